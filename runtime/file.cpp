#include "runtime/file.h"

#include <algorithm>
#include <array>
#include <new>

#include "runtime/error.h"

namespace inlay {
namespace {

/// A number of the metadata for show: what is missing or absurd is 0 here, and an error where it is used.
uint32_t shown(const ModelSource& file, ModelNumber number) {
  try {
    const auto value = file.number(number);
    return value && *value <= UINT32_MAX ? static_cast<uint32_t>(*value) : 0;
  } catch (const Error&) {
    return 0;
  }
}

/// Likewise a text, "" where it is wrong.
std::string_view shown(const ModelSource& file, std::string_view (ModelSource::*text)() const) {
  try {
    return (file.*text)();
  } catch (const Error&) {
    return "";
  }
}

uint32_t count_tokens(const ModelSource& file) {
  try {
    if (const auto tokenizer = file.tokenizer()) return tokenizer->tokens;
    const auto vocabulary = file.vocabulary();
    return vocabulary ? static_cast<uint32_t>(vocabulary->tokens.size()) : 0;
  } catch (const Error&) {
    return 0;
  }
}

/// "Q4_K 61%, Q6_K 22%": types by their share of the tensors' bytes, the largest first; small ones are left
/// out.
std::string quantisation_mix(const ModelSource& file) {
  std::array<uint64_t, kTensorTypeCount> bytes{};
  uint64_t total = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    bytes[static_cast<size_t>(tensor.type)] += tensor.bytes;
    total += tensor.bytes;
  }
  std::array<size_t, kTensorTypeCount> order;
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bytes[a] > bytes[b]; });
  std::string text;
  for (const size_t type : order) {
    const uint64_t percent = total == 0 ? 0 : (bytes[type] * 100 + total / 2) / total;
    if (percent == 0) break;
    if (!text.empty()) text += ", ";
    text += std::string(traits(static_cast<TensorType>(type)).name) + " " + std::to_string(percent) + "%";
  }
  return text;
}

}  // namespace

File* File::open(Runtime& runtime, const inlay_source& source) {
  const uint32_t losses = platform::lost_mappings();
  ModelSourcePointer model;
  try {
    model = open_model(source, runtime.memory());
  } catch (const Error&) {
    if (platform::lost_mappings() != losses) refuse_lost_file();
    throw;
  }
  void* place = runtime.memory()->allocate(sizeof(File), alignof(File));
  try {
    File* file = new (place) File(runtime, std::move(model));
    try {
      file->check_lost();
    } catch (...) {
      file->~File();
      throw;
    }
    return file;
  } catch (...) {
    runtime.memory()->deallocate(place, sizeof(File), alignof(File));
    throw;
  }
}

File::File(Runtime& runtime, ModelSourcePointer model)
    : runtime_(&runtime),
      model_(std::move(model)),
      architecture_(runtime.memory()),
      name_(runtime.memory()),
      quantisation_(runtime.memory()),
      chat_template_(runtime.memory()) {
  describe();
}

void File::describe() {
  const ModelSource& model = *model_;
  architecture_ = shown(model, &ModelSource::architecture);
  name_ = shown(model, &ModelSource::name);
  quantisation_ = quantisation_mix(model);
  chat_template_ = shown(model, &ModelSource::chat_template);
  info_.architecture = architecture_.c_str();
  info_.name = name_.c_str();
  info_.quantisation = quantisation_.c_str();
  info_.chat_template = chat_template_.c_str();
  info_.file_bytes = model.file_bytes();
  for (const StoredTensor& tensor : model.tensors()) info_.parameters += tensor.elements();
  info_.has_weights = model.tensors().empty() ? 0 : 1;
  info_.mtp_layers = shown(model, ModelNumber::MtpLayers);
  const uint32_t blocks = shown(model, ModelNumber::BlockCount);
  info_.layers = blocks > info_.mtp_layers ? blocks - info_.mtp_layers : 0;
  info_.attention_interval = shown(model, ModelNumber::AttentionInterval);
  info_.embedding_length = shown(model, ModelNumber::EmbeddingLength);
  info_.feed_forward_length = shown(model, ModelNumber::FeedForwardLength);
  info_.attention_heads = shown(model, ModelNumber::AttentionHeads);
  info_.attention_kv_heads = shown(model, ModelNumber::AttentionKvHeads);
  info_.attention_head_length = shown(model, ModelNumber::AttentionKeyLength);
  info_.delta_net_key_heads = shown(model, ModelNumber::KeyHeads);
  info_.delta_net_value_heads = shown(model, ModelNumber::ValueHeads);
  info_.delta_net_state_length = shown(model, ModelNumber::StateLength);
  info_.context_length = shown(model, ModelNumber::ContextLength);
  const uint32_t tokens = count_tokens(model);
  const StoredTensor* embedding = model.find_tensor("token_embd.weight");
  info_.has_tokenizer = tokens > 0 ? 1 : 0;
  info_.vocabulary_size = embedding != nullptr ? static_cast<uint32_t>(embedding->dimensions[1]) : tokens;
  info_.kv_type = model.kv_type();
}

void File::destroy() {
  const Held<Runtime> runtime(runtime_.get());
  this->~File();
  runtime->memory()->deallocate(this, sizeof(File), alignof(File));
}

}  // namespace inlay

#include "runtime/file.h"

#include <algorithm>
#include <array>
#include <new>

#include "runtime/error.h"

namespace inlay {
namespace {

GgufFile open_source(const inlay_source& source, std::pmr::memory_resource* memory) {
  const int given = (source.path != nullptr) + (source.data != nullptr) + (source.io != nullptr);
  if (given != 1) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                "a source needs exactly one of path, data and io, and has " + std::to_string(given));
  }
  if (source.path != nullptr) return GgufFile::open(source.path, memory);
  if (source.data != nullptr) return GgufFile::open(open_memory(source.data, source.data_size, memory), memory);
  return GgufFile::open(open_io(*source.io, memory), memory);
}

/// A number of the metadata for show: what is missing or absurd is 0 here, and an error where it is used.
uint32_t shown(const GgufFile& file, const std::string& key) {
  try {
    const auto value = file.unsigned_value(key);
    return value && *value <= UINT32_MAX ? static_cast<uint32_t>(*value) : 0;
  } catch (const Error&) {
    return 0;
  }
}

std::string_view shown_text(const GgufFile& file, const char* key) {
  try {
    return file.string_value(key).value_or("");
  } catch (const Error&) {
    return "";
  }
}

uint32_t count_tokens(const GgufFile& file) {
  try {
    const auto tokens = file.string_array("tokenizer.ggml.tokens");
    return tokens && tokens->size() <= UINT32_MAX ? static_cast<uint32_t>(tokens->size()) : 0;
  } catch (const Error&) {
    return 0;
  }
}

/// "Q4_K 61%, Q6_K 22%": types by their share of the tensors' bytes, the largest first; small ones are left out.
std::string quantisation_mix(const GgufFile& file) {
  std::array<uint64_t, kTensorTypeCount> bytes{};
  uint64_t total = 0;
  for (const GgufTensor& tensor : file.tensors()) {
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
  GgufFile gguf = open_source(source, runtime.memory());
  void* place = runtime.memory()->allocate(sizeof(File), alignof(File));
  try {
    return new (place) File(runtime, std::move(gguf));
  } catch (...) {
    runtime.memory()->deallocate(place, sizeof(File), alignof(File));
    throw;
  }
}

File::File(Runtime& runtime, GgufFile gguf)
    : runtime_(&runtime),
      gguf_(std::move(gguf)),
      architecture_(runtime.memory()),
      name_(runtime.memory()),
      quantisation_(runtime.memory()),
      chat_template_(runtime.memory()) {
  describe();
}

void File::describe() {
  architecture_ = shown_text(gguf_, "general.architecture");
  name_ = shown_text(gguf_, "general.name");
  quantisation_ = quantisation_mix(gguf_);
  chat_template_ = shown_text(gguf_, "tokenizer.chat_template");
  info_.architecture = architecture_.c_str();
  info_.name = name_.c_str();
  info_.quantisation = quantisation_.c_str();
  info_.chat_template = chat_template_.c_str();
  info_.file_bytes = gguf_.file_bytes();
  for (const GgufTensor& tensor : gguf_.tensors()) info_.parameters += tensor.elements();
  info_.has_weights = gguf_.tensors().empty() ? 0 : 1;
  const std::string prefix = std::string(architecture_) + ".";
  info_.mtp_layers = shown(gguf_, prefix + "nextn_predict_layers");
  const uint32_t blocks = shown(gguf_, prefix + "block_count");
  info_.layers = blocks > info_.mtp_layers ? blocks - info_.mtp_layers : 0;
  info_.attention_interval = shown(gguf_, prefix + "full_attention_interval");
  info_.embedding_length = shown(gguf_, prefix + "embedding_length");
  info_.feed_forward_length = shown(gguf_, prefix + "feed_forward_length");
  info_.attention_heads = shown(gguf_, prefix + "attention.head_count");
  info_.attention_kv_heads = shown(gguf_, prefix + "attention.head_count_kv");
  info_.attention_head_length = shown(gguf_, prefix + "attention.key_length");
  info_.delta_net_key_heads = shown(gguf_, prefix + "ssm.group_count");
  info_.delta_net_value_heads = shown(gguf_, prefix + "ssm.time_step_rank");
  info_.delta_net_state_length = shown(gguf_, prefix + "ssm.state_size");
  info_.context_length = shown(gguf_, prefix + "context_length");
  const uint32_t tokens = count_tokens(gguf_);
  const GgufTensor* embedding = gguf_.find_tensor("token_embd.weight");
  info_.has_tokenizer = tokens > 0 ? 1 : 0;
  info_.vocabulary_size = embedding != nullptr ? static_cast<uint32_t>(embedding->dimensions[1]) : tokens;
}

void File::destroy() {
  const Held<Runtime> runtime(runtime_.get());
  this->~File();
  runtime->memory()->deallocate(this, sizeof(File), alignof(File));
}

}  // namespace inlay

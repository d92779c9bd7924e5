#include "runtime/model.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "runtime/model_reader.h"
#include "runtime/owned.h"
#include "runtime/pool.h"
#include "runtime/session.h"
#include "runtime/snapshot.h"
#include "runtime/tokenizer_plan.h"

namespace inlay {
namespace {

constexpr uint32_t kDefaultContext = 4096;
constexpr uint64_t kReadAheadBytes = 64u << 20;

/// Fails where weights lie as the device does not read them.
void check_layouts(const File& file) {
  if (file.runtime().device().reads_tiles()) return;
  for (const StoredTensor& tensor : file.model().tensors()) {
    if (tensor.layout != TensorLayout::kTiles) continue;
    throw Error(
        INLAY_ERROR_UNSUPPORTED,
        "tensor " + std::string(tensor.name) + " lies in the layout " + std::string(kTilesLayout) +
            ", which only CUDA devices read: open the package on one, or pack the model again without "
            "a layout");
  }
}

uint64_t weight_bytes(const ModelSource& file, bool mapped) {
  uint64_t bytes = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    if ((tensor.data != nullptr) == mapped) bytes += tensor.bytes;
  }
  return bytes;
}

}  // namespace

KvType kv_type_of(int32_t kv_type, const inlay_model_info& info) {
  switch (kv_type == INLAY_KV_DEFAULT ? info.kv_type : kv_type) {
    case INLAY_KV_F16: return KvType::kF16;
    case INLAY_KV_FP8: return KvType::kFp8;
    case INLAY_KV_Q8: return KvType::kQ8;
    default:
      throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                  "kv_type is " + std::to_string(kv_type) + ", not an inlay_kv_type");
  }
}

uint32_t kv_row_bytes(KvType type, uint32_t head_length) {
  switch (type) {
    case KvType::kF16: return 2 * head_length;
    case KvType::kFp8: return head_length;
    case KvType::kQ8: return head_length / 32 * 34;
  }
  return 0;
}

SessionShape session_shape_of(const inlay_session_params& params, const ModelShape& shape,
                              const inlay_model_info& info, const Device& device) {
  SessionShape session;
  const uint32_t trained_context = info.context_length;
  uint32_t context = params.context_length;
  if (context == 0)
    context = trained_context == 0 ? kDefaultContext : std::min(kDefaultContext, trained_context);
  constexpr uint32_t kMostContext = 1u << 24;
  if (context > kMostContext) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "context_length is " + std::to_string(context) + ", at most " +
                                                  std::to_string(kMostContext) + " is possible");
  }
  session.context = (context + kPageTokens - 1) / kPageTokens * kPageTokens;
  session.kv_type = kv_type_of(params.kv_type, info);
  session.mtp = params.mtp != 0;
  if (session.mtp && !shape.mtp) {
    throw Error(INLAY_ERROR_UNSUPPORTED, "the session asks for mtp, and the model has no MTP head");
  }
  constexpr uint32_t kMostChunk = 1u << 16;
  if (params.prefill_chunk > kMostChunk) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "prefill_chunk is " + std::to_string(params.prefill_chunk) +
                                                  ", at most " + std::to_string(kMostChunk) + " is possible");
  }
  session.prefill_chunk =
      params.prefill_chunk == 0 ? device.default_prefill_chunk(shape) : params.prefill_chunk;
  session.prefill_chunk = std::min(session.prefill_chunk, session.context);
  return session;
}

/// What a model is made of, found out from a file's header.
struct Model::Parts {
  explicit Parts(const File& file)
      : shape(read_model_shape(file.model())),
        layers(shape.layers, file.runtime().memory()),
        tokenizer(TokenizerPlan::of(file.model(), file.runtime().guards_mappings())) {
    check_layouts(file);
    if (tokenizer && tokenizer->tokens() > shape.vocabulary) {
      throw Error(INLAY_ERROR_CORRUPT_FILE, "the tokenizer has " + std::to_string(tokenizer->tokens()) +
                                                " tokens, the embedding only " +
                                                std::to_string(shape.vocabulary));
    }
    Layout counting;
    lay_out(file, counting);
    bytes = counting.bytes();
    file.check_lost();
  }

  /// Everything but the model's own placing, in the order in which the constructor takes it.
  void lay_out(const File& file, Layout& layout) {
    layout.take<Model>(1);
    layout.take<LayerWeights>(shape.layers);
    read_model_weights(file.model(), shape, layout, layers.data(), &weights);
    const DeviceBytes on_device = file.runtime().device().plan_weights(weights);
    device_bytes = on_device.device;
    layout.take<std::byte>(on_device.host);
    layout.take<ByteSourcePointer>(file.model().part_count());
    if (tokenizer) {
      layout.take<Tokenizer>(1);
      layout.take<TokenizerObject>(1);
      layout.take<std::byte>(tokenizer->bytes());
    }
    const inlay_model_info& info = file.info();
    for (const char* text : {info.architecture, info.name, info.quantisation, info.chat_template}) {
      layout.take<char>(std::strlen(text) + 1);
    }
  }

  /// Gives back what only counting needs, so that create never holds more than the plan.
  void forget_layers() {
    std::pmr::vector<LayerWeights>(layers.get_allocator()).swap(layers);
    weights.layers = nullptr;
  }

  ModelShape shape;
  std::pmr::vector<LayerWeights> layers;
  ModelWeights weights;
  std::optional<TokenizerPlan> tokenizer;
  uint64_t bytes = 0;
  uint64_t device_bytes = 0;
};

Model* Model::create(File& file, const inlay_model_params& params) {
  Parts parts(file);
  parts.forget_layers();
  Block block = params.arena == nullptr
                    ? Block(file.runtime().memory(MemoryKind::kModel), parts.bytes)
                    : Block(params.arena, params.arena_bytes, parts.bytes, "inlay_model_params.arena");
  Layout layout(block.data(), block.bytes());
  void* place = layout.take<Model>(1);
  auto* model = new (place) Model(file, params, parts, layout);
  model->block_ = std::move(block);
  // Sessions can be saved when the file is lost.
  if (file.runtime().guards_mappings()) model->fingerprint();
  if (file.model().lost()) {
    model->release();
    refuse_lost_file();
  }
  return model;
}

Model::Model(File& file, const inlay_model_params& params, const Parts& parts, Layout& layout)
    : runtime_(&file.runtime()), block_bytes_(parts.bytes), mapped_bytes_(weight_bytes(file.model(), true)) {
  const ModelSource& source = file.model();
  auto* layers = layout.take<LayerWeights>(parts.shape.layers);
  read_model_weights(source, parts.shape, layout, layers, &weights_);
  const DeviceBytes on_device = device().plan_weights(weights_);
  auto* device_block = layout.take<std::byte>(on_device.host);
  watched_ = runtime_->guards_mappings() && on_device.device == 0;
  sources_ = layout.take<ByteSourcePointer>(source.part_count());
  void* tokenizer_place = parts.tokenizer ? layout.take<Tokenizer>(1) : nullptr;
  void* object_place = parts.tokenizer ? layout.take<TokenizerObject>(1) : nullptr;
  auto* tokenizer_block = parts.tokenizer ? layout.take<std::byte>(parts.tokenizer->bytes()) : nullptr;
  if (parts.tokenizer) {
    tokenizer_ = parts.tokenizer->make(tokenizer_place, {tokenizer_block, parts.tokenizer->bytes()});
    tokenizer_object_ = new (object_place) TokenizerObject(tokenizer_, runtime_->memory());
  }
  info_ = file.info();
  info_.architecture = keep(info_.architecture, layout);
  info_.name = keep(info_.name, layout);
  info_.quantisation = keep(info_.quantisation, layout);
  info_.chat_template = keep(info_.chat_template, layout);
  if (params.read_ahead != 0) read_ahead(source, params);
  device_weights_ =
      device().create_weights(weights_, device_block, params.progress, params.progress_user_data);
  // Last, so that nothing that throws comes after it.
  for (uint32_t part = 0; part < source.part_count(); ++part)
    new (sources_ + part) ByteSourcePointer(source.part(part));
  source_count_ = source.part_count();
}

Model::~Model() {
  device().release(device_weights_);
  std::destroy_n(sources_, source_count_);
}

void Model::destroy() {
  const Held<Runtime> runtime(runtime_.get());
  const Block block(std::move(block_));
  this->~Model();
}

bool Model::is_cut_short() const noexcept {
  return std::any_of(sources_, sources_ + source_count_, [](const auto& source) { return source->lost(); });
}

uint64_t Model::fingerprint() const {
  uint64_t known = fingerprint_.load(std::memory_order_relaxed);
  if (known == 0) {
    known = model_fingerprint(weights_);
    fingerprint_.store(known, std::memory_order_relaxed);
  }
  return known;
}

const VocabularyTrie& Model::vocabulary_trie() {
  if (tokenizer_ == nullptr) throw Error(INLAY_ERROR_UNSUPPORTED, "the model has no tokenizer");
  const std::lock_guard lock(trie_mutex_);
  if (!trie_) trie_.emplace(*tokenizer_, runtime_->memory());
  return *trie_;
}

const char* Model::keep(const char* text, Layout& layout) {
  const size_t bytes = std::strlen(text) + 1;
  char* copy = layout.take<char>(bytes);
  std::memcpy(copy, text, bytes);
  return copy;
}

/// Touches every page of the mapped weights, so that no later pass waits for the disk.
void Model::read_ahead(const ModelSource& file, const inlay_model_params& params) const {
  uint64_t done = 0;
  unsigned sum = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    if (tensor.data == nullptr) continue;
    for (uint64_t at = 0; at < tensor.bytes; at += kReadAheadBytes) {
      const uint64_t bytes = std::min(kReadAheadBytes, tensor.bytes - at);
      file.part(tensor.part)->advise(tensor.offset + at, bytes, platform::MemoryAdvice::WillNeed);
      for (uint64_t i = 0; i < bytes; i += 4096) {
        sum += static_cast<unsigned>(*const_cast<const volatile std::byte*>(tensor.data + at + i));
      }
      done += bytes;
      if (params.progress != nullptr &&
          params.progress(params.progress_user_data, done, mapped_bytes_) != INLAY_OK) {
        throw Error(INLAY_ERROR_CANCELLED, "the progress callback stopped the loading");
      }
    }
  }
  (void)sum;
}

inlay_memory_plan Model::plan(const File& file, const inlay_session_params& params) {
  const Parts parts(file);
  Device& device = file.runtime().device();
  const SessionShape session = session_shape_of(params, parts.shape, file.info(), device);
  inlay_memory_plan plan = Session::plan(parts.weights, session, device);
  plan.weights_mapped = weight_bytes(file.model(), true);
  plan.model_host = parts.bytes;
  plan.model_device = parts.device_bytes;
  return plan;
}

inlay_memory_plan Model::plan(const inlay_session_params& params) const {
  const SessionShape session = session_shape_of(params, shape(), info_, device());
  inlay_memory_plan plan = Session::plan(weights_, session, device());
  plan.weights_mapped = mapped_bytes_;
  plan.model_host = block_bytes_;
  plan.model_device = device().plan_weights(weights_).device;
  return plan;
}

inlay_pool_plan Model::plan_pool(const File& file, const inlay_pool_params& params) {
  return Pool::plan(read_model_shape(file.model()), file.info(), file.runtime().device(), params);
}

}  // namespace inlay

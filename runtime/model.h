#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "kernels/device.h"
#include "runtime/file.h"
#include "runtime/tokenizer.h"
#include "runtime/vocabulary_trie.h"

namespace inlay {

class TokenizerObject;

/// An inlay_kv_type as it is for a model. Throws INLAY_ERROR_INVALID_ARGUMENT.
KvType kv_type_of(int32_t kv_type, const inlay_model_info& info);
/// Bytes of one head of one token, where it is saved and on the CPU.
uint32_t kv_row_bytes(KvType type, uint32_t head_length);

/// A session's parameters, checked and with defaults filled in for a model.
SessionShape session_shape_of(const inlay_session_params& params, const ModelShape& shape,
                              const inlay_model_info& info, const Device& device);

/// Weights on a device with the tokenizer: immutable, shared by any number of sessions and threads. The
/// object and everything that it owns on the host lie in one block.
class Model final : public Counted {
 public:
  static Model* create(File& file, const inlay_model_params& params);
  /// Every byte that create and a session will take, from the header alone.
  static inlay_memory_plan plan(const File& file, const inlay_session_params& params);

  Runtime& runtime() const { return *runtime_; }
  Device& device() const { return runtime_->device(); }
  const ModelShape& shape() const { return weights_.shape; }
  const ModelWeights& weights() const { return weights_; }
  const DeviceWeights& device_weights() const { return *device_weights_; }
  const inlay_model_info& info() const { return info_; }
  /// Whether a page of the file was found cut off: what passes have computed since is wrong. Any thread; a
  /// load where nothing ever was.
  bool lost() const noexcept { return platform::lost_mappings() != 0 && is_cut_short(); }
  /// The same, and of the page in which the file ends now: asks the system, where passes read the mapping and
  /// the host wants it watched.
  bool lost_by_now() const noexcept { return watched_ && is_cut_short(); }
  /// Which model a snapshot is of. Any thread.
  uint64_t fingerprint() const;
  /// Null where the file has none.
  const Tokenizer* tokenizer() const { return tokenizer_; }
  const TokenizerObject* tokenizer_object() const { return tokenizer_object_; }
  /// The tokenizer's tokens by their bytes; made when it is asked for first. Throws Error.
  const VocabularyTrie& vocabulary_trie();
  inlay_memory_plan plan(const inlay_session_params& params) const;
  static inlay_pool_plan plan_pool(const File& file, const inlay_pool_params& params);

 private:
  struct Parts;

  Model(File& file, const inlay_model_params& params, const Parts& parts, Layout& layout);
  ~Model();
  void destroy() override;
  bool is_cut_short() const noexcept;
  const char* keep(const char* text, Layout& layout);
  void read_ahead(const ModelSource& file, const inlay_model_params& params) const;

  Held<Runtime> runtime_;
  Block block_;
  uint64_t block_bytes_ = 0;
  ByteSourcePointer* sources_ = nullptr;
  uint32_t source_count_ = 0;
  ModelWeights weights_;
  Tokenizer* tokenizer_ = nullptr;
  TokenizerObject* tokenizer_object_ = nullptr;  // what a handle to it is
  DeviceWeights* device_weights_ = nullptr;
  uint64_t mapped_bytes_ = 0;
  bool watched_ = false;
  mutable std::atomic<uint64_t> fingerprint_{0};  // 0: not known yet
  inlay_model_info info_ = INLAY_MODEL_INFO_INIT;
  std::mutex trie_mutex_;
  std::optional<VocabularyTrie> trie_;
};

}  // namespace inlay

#pragma once

#include <optional>

#include "kernels/device.h"
#include "runtime/file.h"
#include "runtime/tokenizer.h"

namespace inlay {

class TokenizerObject;

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
  /// Null where the file has none.
  const Tokenizer* tokenizer() const { return tokenizer_; }
  const TokenizerObject* tokenizer_object() const { return tokenizer_object_; }
  inlay_memory_plan plan(const inlay_session_params& params) const;

 private:
  struct Parts;

  Model(File& file, const inlay_model_params& params, const Parts& parts, Layout& layout);
  ~Model();
  void destroy() override;
  const char* keep(const char* text, Layout& layout);
  void read_ahead(const ModelSource& file, const inlay_model_params& params) const;

  Held<Runtime> runtime_;
  uint64_t block_bytes_ = 0;
  ByteSourcePointer* sources_ = nullptr;
  uint32_t source_count_ = 0;
  ModelWeights weights_;
  Tokenizer* tokenizer_ = nullptr;
  TokenizerObject* tokenizer_object_ = nullptr;  // what a handle to it is
  DeviceWeights* device_weights_ = nullptr;
  uint64_t mapped_bytes_ = 0;
  inlay_model_info info_ = INLAY_MODEL_INFO_INIT;
};

}  // namespace inlay

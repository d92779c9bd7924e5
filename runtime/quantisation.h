#pragma once

#include <cstdint>
#include <string_view>

#include "formats/stored_tensor.h"

namespace inlay {

/// What `inlay pack --quant` makes of a model's tensors.
enum class Quantisation : uint8_t { kNone, kQ8_0, kQ6_K, kQ5_K_M, kQ4_K_M, kQ2_K, kFp8, kNvfp4 };

/// "" is kNone. Throws INLAY_ERROR_INVALID_ARGUMENT for a name that is none.
Quantisation quantisation_of(std::string_view name);

/// What the choice of a tensor's type depends on beside the tensor.
struct QuantisationShape {
  uint32_t blocks = 0;      // layers, the MTP block among them
  uint32_t mtp_blocks = 0;  // they come last
  uint32_t heads = 1;
  uint32_t kv_heads = 1;
  bool tied_embeddings = false;
};

/// The type that the tensor is to have; its own where it is to stay. The K types follow llama-quantize's
/// mixes (llama.cpp v0.5.0): which tensors get more bits. Rows that are no whole number of blocks of 256
/// become Q8_0. FP8 and NVFP4 leave embeddings, head, norms, convolutions, the small DeltaNet projections and
/// the MTP head's joint as they are, NVFP4 all of the MTP block, as those who publish such models do.
TensorType quantised_type(Quantisation quantisation, const StoredTensor& tensor,
                          const QuantisationShape& shape);

}  // namespace inlay

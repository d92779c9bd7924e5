#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/pass_params.h"

// What happens to rows between the products: norms, gates, hidden states, guesses. One block a row (or a row
// and head), sums in a fixed order.

namespace inlay::cuda {

/// F16 activations of a wide pass's SwiGLU are kept divided by this, so that large ones fit.
inline constexpr float kSwiGluScale = 16.0f;

/// rms_norm(x[row]) * weight, as activations of a narrow pass (matvec.h) or in F16 for a wide one.
void launch_rms_norm(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                     uint32_t rows, __half* activations);
void launch_rms_norm_half(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                          uint32_t rows, __half* out);
/// The same in float32, [rows][columns].
void launch_rms_norm_float(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                           uint32_t rows, float* out);

/// The gate after DeltaNet: out = rms_norm(x of a head) * weight * silu(gate), heads of 128.
struct GatedNormArguments {
  bool narrow = false;
  const float* x = nullptr;     // [rows][heads * 128]
  const float* gate = nullptr;  // [rows][gate_stride]
  uint32_t gate_stride = 0;
  const float* weight = nullptr;  // [128]
  float epsilon = 0;
  uint32_t heads = 0;
  __half* out = nullptr;  // narrow: activations; wide: [rows][heads * 128]
};
void launch_gated_norm(Queue& queue, const GatedNormArguments& arguments, uint32_t rows);

/// Activations of silu(gate) * up; a row of `gate_up` has `columns` gates, then as many ups.
void launch_swiglu(Queue& queue, const float* gate_up, uint32_t columns, uint32_t rows, __half* activations);

/// The final norm of a narrow pass: activations for the head, and each segment's hidden_out, of which row 0
/// becomes row 0 of its hidden_in.
void launch_final_norm(Queue& queue, const PassParams* params, const float* x, const float* weight,
                       float epsilon, uint32_t columns, uint32_t rows, __half* activations);

/// The last row's norm of an MTP step: activations for its head, and `chained` for the next step.
void launch_chain_norm(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                       __half* activations, float* chained);

/// The input of the MTP head's projection: norm(embedding[row]) beside norm(hidden). Narrow: row r of
/// segment 0 reads hidden_in + r, or `chained` where params->draft_step > 0.
void launch_mtp_input(Queue& queue, const PassParams* params, const float* embedding, const float* chained,
                      const float* embedding_norm, const float* hidden_norm, float epsilon, uint32_t columns,
                      uint32_t rows, __half* activations);
/// Wide: row r reads hidden[r - 1], row 0 reads `before`.
void launch_mtp_input_wide(Queue& queue, const float* embedding, const float* before, const float* hidden,
                           const float* embedding_norm, const float* hidden_norm, float epsilon,
                           uint32_t columns, uint32_t rows, __half* out);

/// The guess of a draft: the likeliest token (the lowest id among equals) and its probability by softmax.
struct GuessArguments {
  const float* logits = nullptr;  // [vocabulary]
  uint32_t vocabulary = 0;
  float4* partial = nullptr;       // [kGuessBlocks]
  int32_t* tokens = nullptr;       // [kMaxWidth]
  float* probabilities = nullptr;  // [kMaxWidth]
  PassParams* params = nullptr;    // the next guess's token, position and step are set in it
};
inline constexpr uint32_t kGuessBlocks = 64;
void launch_guess(Queue& queue, const GuessArguments& arguments);

}  // namespace inlay::cuda

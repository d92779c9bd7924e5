#pragma once

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matvec.h"
#include "kernels/cuda/scratch.h"
#include "kernels/cuda/state.h"
#include "kernels/cuda/wide_slices.h"

// The passes as lists of kernels. Each function queues one slice's; nothing here waits, allocates or throws.

namespace inlay::cuda {

struct PassDevice {
  MatvecDevice matvec;
  GemmDevice gemm;
  uint32_t attention_blocks = 0;
  uint32_t shared_bytes = 0;  // that a block may have
  bool clusters = false;      // blocks can run together and see each other's shared memory
};

/// What a narrow or draft pass's kernels are queued with; all that changes between passes of one shape is in
/// scratch.params.
struct NarrowContext {
  const PassDevice& device;
  CudaScratch& scratch;
  Queue& queue;
  uint32_t rows = 0;
  uint32_t segments = 1;
  uint32_t segment_rows = 0;  // the most of one segment

  const ModelShape& shape() const { return scratch.shape(); }
  const ModelWeights& model() const { return scratch.weights->model; }
};

// Slices of a narrow pass: embed, then mixer and feed-forward of each layer, then the head.
inline uint32_t narrow_slices(const ModelShape& shape) { return 2 + 2 * shape.layers; }
void queue_narrow_slice(const NarrowContext& context, uint32_t slice);

/// Brings the MTP head's KV up to date with the rows; with `guess`, also guesses what follows the last of
/// them.
void queue_mtp(const NarrowContext& context, bool guess);

inline WideSlices wide_slices(const PassDevice& device, const CudaScratch& scratch, uint32_t rows,
                              uint64_t position) {
  return {scratch.shape(), scratch.session.mtp, rows, position,
          static_cast<uint32_t>(device.gemm.multiprocessors)};
}

struct WideContext {
  const PassDevice& device;
  CudaScratch& scratch;
  CudaState& state;
  Queue& queue;
  uint32_t rows = 0;
  uint64_t position = 0;
  uint32_t hidden_row = 0;
  bool logits = true;

  const ModelShape& shape() const { return scratch.shape(); }
  const ModelWeights& model() const { return scratch.weights->model; }
  WideSlices slices() const { return wide_slices(device, scratch, rows, position); }
};

/// Parts of one operation that follow each other go together.
void queue_wide_slices(const WideContext& context, uint32_t begin, uint32_t end);
/// After the last slice: what the pass has done becomes the state's.
void queue_wide_end(const WideContext& context);

}  // namespace inlay::cuda

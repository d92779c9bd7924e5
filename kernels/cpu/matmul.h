#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/tensor_type.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/model_weights.h"

// Y[rows x n] = X[rows x columns] . W^T with W as it lies in a mapped file. Two families: `narrow` for the
// 1..8 rows of steps and verifies, limited by memory, and `wide` for prompts, limited by arithmetic.
//
// What both promise: the bits of an output depend on its row of X and its row of W alone. They do not depend
// on how many other rows are in the call, on where the row stands among them, or on the cut of n into ranges,
// so threads and speculation change nothing. narrow and wide round differently from one another, and so do
// the instruction sets.

namespace inlay::cpu {

inline constexpr uint32_t kMaxNarrowRows = 8;

/// n ranges given to the kernels begin at multiples of this.
inline constexpr uint32_t kOutputGranule = 16;

/// A good size for n ranges of `wide`: whole panels.
inline constexpr uint32_t kWideOutputGranule = 64;

using inlay::WeightMatrix;

/// Bytes that `rows` prepared rows of `columns` activations take, for any kernels, narrow or wide. The
/// memory must be aligned to 64 bytes.
size_t activation_bytes(uint32_t rows, uint32_t columns);

/// Turns rows [row_begin, row_end) of x (row r at x + r * stride) into what the kernels multiply with, at
/// their places in `prepared`. Ranges of rows may be prepared in parallel; each row's result is its own.
using PrepareFunction = void (*)(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end,
                                 uint32_t columns, void* prepared);

struct MatmulArguments {
  WeightMatrix weights;
  uint32_t n_begin;  // the range of W's rows to do; n_begin a multiple of kOutputGranule,
  uint32_t n_end;    // n_end too, unless it is weights.rows
  const float* x;  // [rows][columns], row r at x + r * x_stride: float weights are multiplied with it exactly
  size_t x_stride;
  const void* prepared;  // all `rows` rows, prepared by the same kernels for narrow or for wide, as called
  uint32_t rows;
  float* out;  // output n of row r goes to out[r * out_stride + n]
  size_t out_stride;
  std::byte* scratch;  // wide only: wide_scratch_bytes of this thread's own, aligned to 64 bytes
};

/// The matrix products of one instruction set. Constant, without state: any thread may call anything.
struct MatmulKernels {
  const char* name;
  PrepareFunction prepare_narrow;
  PrepareFunction prepare_wide;
  void (*narrow)(const MatmulArguments&);  // rows 1..kMaxNarrowRows
  void (*wide)(const MatmulArguments&);    // any number of rows
  size_t wide_scratch_bytes;
};

/// The kernels that a processor with `features` can run, fastest first, the portable ones last.
std::span<const MatmulKernels* const> available_kernels(const CpuFeatures& features);

}  // namespace inlay::cpu

#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul.h"

// What the instruction sets' sources share. Those sources are compiled with flags that not every processor
// can run, so they keep all that they define in unnamed namespaces and call no inline function of a shared
// header: the linker could otherwise give such a function's AVX-512 build to everybody.

// Loops over the rows or vectors of a register tile must be unrolled whole for the tile to be in registers.
#if defined(__clang__)
#define INLAY_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define INLAY_UNROLL _Pragma("GCC unroll 16")
#else
#define INLAY_UNROLL
#endif

// Makes the compiler forget what it knows of a pointer, so that it does not move loads out of a loop: it
// would have to put them on the stack.
#if defined(__GNUC__)
#define INLAY_FORGET(pointer) asm("" : "+r"(pointer))
#else
#define INLAY_FORGET(pointer)
#endif

// Functions that a register tile is handed to by reference must be inlined, for the same reason.
#if defined(__GNUC__)
#define INLAY_INLINE [[gnu::always_inline]] inline
#else
#define INLAY_INLINE __forceinline
#endif

namespace inlay::cpu {

/// Activations are quantised, and weights decoded, this many columns at a time; the last chunk of a row is
/// filled up with zeros.
inline constexpr uint32_t kChunkColumns = 256;

/// A chunk of a row prepared for `narrow`: x = scale * code. 16 bits make the activations' rounding small
/// beside that of any quantised weight, and need no scale of their own within a chunk.
struct ActivationChunk {
  alignas(64) int16_t codes[kChunkColumns];  // in an order of the instruction set's own
  float sums16[16];                          // of the codes of each 16 columns
  float sums32[16];                          // 8 zeros, then the sums of the codes of each 32 columns
  float scale;
};

inline constexpr size_t kActivationChunkBytes = sizeof(ActivationChunk);

static constexpr uint32_t chunk_count(uint32_t columns) {
  return (columns + kChunkColumns - 1) / kChunkColumns;
}

/// How far ahead of the weights in use the next ones are fetched: whole groups of `group_bytes` bytes, and
/// enough of them for the time that memory takes.
static constexpr size_t prefetch_distance(size_t group_bytes) {
  constexpr size_t kLeastBytes = 8192;
  return (kLeastBytes + group_bytes - 1) / group_bytes * group_bytes;
}

/// Wide activations are prepared for whole groups of this many rows; what is in the absent ones is not used.
inline constexpr uint32_t kPreparedRowGroup = 16;

/// Bytes that a row prepared for `narrow` takes; no kernels take more for a row of `wide`.
static constexpr size_t prepared_stride(uint32_t columns) {
  return chunk_count(columns) * kActivationChunkBytes;
}

static constexpr bool is_float(TensorType type) {
  return type == TensorType::F32 || type == TensorType::F16 || type == TensorType::BF16;
}

extern const MatmulKernels kScalarMatmul;
#if defined(__x86_64__) || defined(_M_X64)
extern const MatmulKernels kAvx2Matmul;
extern const MatmulKernels kAvx512Matmul;
extern const MatmulKernels kAvx512Bf16Matmul;
extern const MatmulKernels kAmxMatmul;

void prepare_narrow_avx2(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end,
                         uint32_t columns, void* prepared);
void narrow_avx2(const MatmulArguments& arguments);

// FP8 weights, narrow and wide alike; nothing is prepared for them.
void multiply_fp8_avx2(const MatmulArguments& arguments);
void multiply_fp8_avx512(const MatmulArguments& arguments);

// Parts of the AVX-512 kernels that the BF16 and AMX ones have in common with them.
void prepare_narrow_avx512(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end,
                           uint32_t columns, void* prepared);
void narrow_avx512(const MatmulArguments& arguments);
void narrow_integer_avx512(const MatmulArguments& arguments);  // types with has_integer_scales() alone
void wide_avx512(const MatmulArguments& arguments);
void prepare_wide_bfloat16(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end,
                           uint32_t columns, void* prepared);
#elif defined(__aarch64__) || defined(_M_ARM64)
extern const MatmulKernels kNeonMatmul;
extern const MatmulKernels kNeonDotMatmul;

inline constexpr size_t kWideScratchBytesNeon = sizeof(float) * 16 * kChunkColumns;
void multiply_fp8_neon(const MatmulArguments& arguments);
void prepare_wide_neon(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end, uint32_t columns,
                       void* prepared);
void wide_neon(const MatmulArguments& arguments);
#endif

}  // namespace inlay::cpu

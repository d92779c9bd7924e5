#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/matvec.h"

// What kernels that make activations, or run in a chain of programmatic dependent launches, share.

namespace inlay::cuda {

/// Where value k of a row of activations lies: of each 32 values, those of columns 4t..4t+3 and
/// 16+4t..16+4t+3 are neighbours, so that a thread's operands of two m16n8k16 instructions are one 16-byte
/// load. Four consecutive values from a multiple of 4 on stay together.
__device__ __forceinline__ uint32_t activation_index(uint32_t k) {
  return (k & ~31u) | ((k & 12u) << 1) | ((k & 16u) >> 2) | (k & 3u);
}

__device__ __forceinline__ __half to_activation(float x) {
  const float limit = 65504.0f;
  return __float2half_rn(fminf(fmaxf(x * (1.0f / kActivationDivisor), -limit), limit));
}

/// Writes values k..k+3 of a row of activations; k is a multiple of 4.
__device__ __forceinline__ void store_activations(__half* row, uint32_t k, float4 x) {
  union {
    __half2 pairs[2];
    uint2 bits;
  } v;
  v.pairs[0] = __halves2half2(to_activation(x.x), to_activation(x.y));
  v.pairs[1] = __halves2half2(to_activation(x.z), to_activation(x.w));
  *reinterpret_cast<uint2*>(row + activation_index(k)) = v.bits;
}

/// Waits until the kernels before this one in a chain of programmatic launches have ended and their writes
/// can be seen; nothing that they write may be read before, and nothing they read may be written before.
__device__ __forceinline__ void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel of such a chain be launched.
__device__ __forceinline__ void release_successor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace inlay::cuda

#pragma once

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/cuda/pass_params.h"

// Reading and writing the rows of a KV slab, eight elements at a time.

namespace inlay::cuda {

/// Eight F16 values as four registers.
struct Half8 {
  uint32_t pair[4];
};

__device__ inline uint32_t pack_half2(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

__device__ inline float clamp_half(float x) { return fminf(fmaxf(x, -65504.0f), 65504.0f); }

/// Two E4M3 values in the low half of `bits` as F16, exactly.
__device__ inline uint32_t widen_fp8(uint32_t bits) {
#if __CUDA_ARCH__ >= 890
  const __half2_raw raw = __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(bits), __NV_E4M3);
  return uint32_t{raw.x} | uint32_t{raw.y} << 16;
#else
  // Exponent and mantissa moved to where F16 has them are the value times 2^-8, subnormal ones too.
  const uint32_t spread = __byte_perm(bits, 0, 0x1404);
  const uint32_t small = (spread & 0x80008000u) | (spread & 0x7f007f00u) >> 1;
  const __half2 pair = __hmul2(*reinterpret_cast<const __half2*>(&small), __float2half2_rn(256.0f));
  return *reinterpret_cast<const uint32_t*>(&pair);
#endif
}

/// What fetch_kv fetches, before it is widened: keeping it apart lets many fetches be in flight.
template <KvType kType>
struct KvFetch;
template <>
struct KvFetch<KvType::kF16> {
  uint4 bits;
};
template <>
struct KvFetch<KvType::kFp8> {
  uint2 bits;
};
template <>
struct KvFetch<KvType::kQ8> {
  uint2 bits;
  __half scale;
};

/// Elements [element, element + 8) of row `row` of a slab.
template <KvType kType, uint32_t kLength>
__device__ KvFetch<kType> fetch_kv(const std::byte* slab, uint32_t row, uint32_t element) {
  KvFetch<kType> fetch;
  const uint32_t at = row * kLength + element;
  if constexpr (kType == KvType::kF16) {
    fetch.bits = *reinterpret_cast<const uint4*>(slab + at * 2);
  } else {
    fetch.bits = *reinterpret_cast<const uint2*>(slab + at);
    if constexpr (kType == KvType::kQ8) {
      fetch.scale = *reinterpret_cast<const __half*>(slab + kPageTokens * kLength + at / 32 * 2);
    }
  }
  return fetch;
}

template <KvType kType>
__device__ Half8 widen_kv(const KvFetch<kType>& fetch) {
  Half8 out;
  if constexpr (kType == KvType::kF16) {
    out.pair[0] = fetch.bits.x, out.pair[1] = fetch.bits.y, out.pair[2] = fetch.bits.z,
    out.pair[3] = fetch.bits.w;
  } else if constexpr (kType == KvType::kFp8) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = i < 2 ? fetch.bits.x : fetch.bits.y;
      out.pair[i] = widen_fp8(word >> (i % 2 * 16));
    }
  } else {
    const float scale = __half2float(fetch.scale);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = (i < 2 ? fetch.bits.x : fetch.bits.y) >> (i % 2 * 16);
      out.pair[i] =
          pack_half2(scale * static_cast<int8_t>(word & 0xff), scale * static_cast<int8_t>(word >> 8 & 0xff));
    }
  }
  return out;
}

/// A warp writes a row of kLength elements; lane's element i is lane + 32 * i.
template <KvType kType, uint32_t kLength>
__device__ void store_kv(std::byte* slab, uint32_t row, uint32_t lane, const float (&x)[kLength / 32]) {
#pragma unroll
  for (uint32_t i = 0; i < kLength / 32; ++i) {
    const uint32_t at = row * kLength + lane + 32 * i;
    if constexpr (kType == KvType::kF16) {
      *reinterpret_cast<__half*>(slab + at * 2) = __float2half_rn(clamp_half(x[i]));
    } else if constexpr (kType == KvType::kFp8) {
      *reinterpret_cast<__nv_fp8_storage_t*>(slab + at) =
          __nv_cvt_float_to_fp8(x[i], __NV_SATFINITE, __NV_E4M3);
    } else {
      float largest = fabsf(x[i]);
#pragma unroll
      for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, step));
      const __half scale = __float2half_rn(fminf(largest / 127.0f, 65504.0f));
      const float inverse = __half2float(scale) > 0.0f ? 1.0f / __half2float(scale) : 0.0f;
      const float rounded = rintf(fminf(fmaxf(x[i] * inverse, -127.0f), 127.0f));
      *reinterpret_cast<int8_t*>(slab + at) = static_cast<int8_t>(rounded);
      if (lane == 0) *reinterpret_cast<__half*>(slab + kPageTokens * kLength + at / 32 * 2) = scale;
    }
  }
}

}  // namespace inlay::cuda

#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/launch.h"

namespace inlay::cuda {

enum class GemmEpilogue : uint8_t {
  kStore,   // out[r][n] = factor * product[r][n]
  kAdd,     // out[r][n] += factor * product[r][n]
  kSwiGlu,  // half_out[r][n] = factor * silu(product[r][n]) * product[r][outputs + n]
};

/// out = a * transpose(b) with F16 operands and float accumulators, each output one sum in order of k.
struct GemmArguments {
  const __half* a = nullptr;  // [rows][columns], 16-byte aligned
  const __half* b = nullptr;  // [outputs][columns], 16-byte aligned; kSwiGlu: [2 * outputs], gates first
  uint32_t rows = 0;
  uint32_t outputs = 0;  // even
  uint32_t columns = 0;  // a multiple of 32
  GemmEpilogue epilogue = GemmEpilogue::kStore;
  float factor = 1.0f;
  float* out = nullptr;  // [rows][out_stride]
  uint32_t out_stride = 0;
  __half* half_out = nullptr;  // [rows][out_stride]
};

/// What a launch needs to know of the device, found out once.
struct GemmDevice {
  int multiprocessors = 0;
  bool hopper = false;                // sm_90: TMA, clusters and wgmma
  void* encode_tensor_map = nullptr;  // cuTensorMapEncodeTiled
};

/// Throws Error.
GemmDevice make_gemm_device(int device);

void launch_gemm(Queue& queue, const GemmDevice& device, const GemmArguments& arguments);

/// The two implementations behind launch_gemm.
void launch_gemm_mma(Queue& queue, const GemmArguments& arguments);
void launch_gemm_hopper(Queue& queue, const GemmDevice& device, const GemmArguments& arguments);
bool gemm_hopper_built();

}  // namespace inlay::cuda

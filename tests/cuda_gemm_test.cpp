#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/wide_slices.h"
#include "tests/cuda_host.h"
#include "tests/cuda_memory.h"
#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay;
using namespace inlay::test;

namespace {

// More tiles than an H200 has pairs of blocks, the last of them not full, and a sum that is no multiple of a
// stage's depth.
constexpr uint32_t kRows = 1100, kOutputs = 3080, kColumns = 352;

struct Product {
  cuda::GemmEpilogue epilogue;
  bool any_device;  // the implementation that every device has
  cuda::GemmDevice device;
  DeviceCopy<__half> a{random_halves(1, size_t{kRows} * kColumns)};
  DeviceCopy<__half> b{random_halves(2, size_t{2} * kOutputs * kColumns)};

  /// All rows, `rows_at_once` at a time.
  std::vector<float> run(uint32_t rows_at_once) const {
    const DeviceCopy<float> out(std::vector<float>(size_t{kRows} * kOutputs, 0.25f));
    const bool halves = epilogue == cuda::GemmEpilogue::kSwiGlu;
    for (uint32_t row = 0; row < kRows; row += rows_at_once) {
      cuda::GemmArguments g;
      g.a = a.get() + size_t{row} * kColumns;
      g.b = b.get();
      g.rows = std::min(rows_at_once, kRows - row);
      g.outputs = kOutputs;
      g.columns = kColumns;
      g.epilogue = epilogue;
      g.factor = 0.5f;
      g.out_stride = kOutputs;
      if (halves) {
        g.half_out = reinterpret_cast<__half*>(out.get()) + size_t{row} * kOutputs;
      } else {
        g.out = out.get() + size_t{row} * kOutputs;
      }
      cuda::Queue queue;
      if (any_device) {
        cuda::launch_gemm_mma(queue, g);
      } else {
        cuda::launch_gemm(queue, device, g);
      }
      REQUIRE(queue.error == cudaSuccess);
    }
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    return out.read();
  }
};

/// One output as it should be.
double expected(const Product& product, const std::vector<__half>& a, const std::vector<__half>& b,
                uint32_t row, uint32_t output) {
  const auto sum = [&](uint32_t n) {
    double result = 0;
    for (uint32_t k = 0; k < kColumns; ++k) {
      result += static_cast<double>(__half2float(a[size_t{row} * kColumns + k])) *
                static_cast<double>(__half2float(b[size_t{n} * kColumns + k]));
    }
    return result;
  };
  const double x = sum(output);
  switch (product.epilogue) {
    case cuda::GemmEpilogue::kStore: return 0.5 * x;
    case cuda::GemmEpilogue::kAdd: return 0.25 + 0.5 * x;
    case cuda::GemmEpilogue::kSwiGlu: return 0.5 * x / (1 + std::exp(-x)) * sum(kOutputs + output);
  }
  return 0;
}

}  // namespace

TEST_CASE("cuda: a prompt's product is the sum, and the same bits in however many parts its rows come") {
  INLAY_CUDA_ONLY();
  const cuda::GemmDevice device = cuda::make_gemm_device(0);
  for (const auto epilogue :
       {cuda::GemmEpilogue::kStore, cuda::GemmEpilogue::kAdd, cuda::GemmEpilogue::kSwiGlu}) {
    for (const bool any_device : {false, true}) {
      CAPTURE(static_cast<int>(epilogue));
      CAPTURE(any_device);
      const Product product{epilogue, any_device, device};
      const std::vector<float> whole = product.run(kRows);
      for (const uint32_t rows : {256u, 512u}) {
        const std::vector<float> parts = product.run(rows);
        CHECK(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)) == 0);
      }
      const std::vector<__half> a = product.a.read(), b = product.b.read();
      const auto* halves = reinterpret_cast<const __half*>(whole.data());
      for (uint32_t row = 0; row < kRows; row += 53) {
        for (uint32_t output = 0; output < kOutputs; output += 311) {
          const size_t at = size_t{row} * kOutputs + output;
          const bool half = epilogue == cuda::GemmEpilogue::kSwiGlu;
          const double value = half ? __half2float(halves[at]) : whole[at];
          CHECK(value == doctest::Approx(expected(product, a, b, row, output)).epsilon(2e-3).scale(1));
        }
      }
    }
  }
}

#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/host.h"

namespace inlay::test {

/// Device memory with what a host's vector has.
template <typename T>
class DeviceCopy {
 public:
  explicit DeviceCopy(const std::vector<T>& values) : count_(values.size()) {
    REQUIRE(cudaMalloc(&memory_, count_ * sizeof(T)) == cudaSuccess);
    REQUIRE(cudaMemcpy(memory_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  ~DeviceCopy() { (void)cudaFree(memory_); }
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;

  T* get() const { return static_cast<T*>(memory_); }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    REQUIRE(cudaMemcpy(values.data(), memory_, count_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  void* memory_ = nullptr;
  size_t count_;
};

/// Uniform in [-1, 1).
inline std::vector<__half> random_halves(uint64_t seed, size_t count) {
  Random random(seed);
  std::vector<__half> values(count);
  for (__half& value : values) value = __float2half(random.real());
  return values;
}

}  // namespace inlay::test

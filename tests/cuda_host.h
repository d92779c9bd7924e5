#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "runtime/layout.h"
#include "tests/test_data.h"

namespace inlay::test {

inline bool has_cuda_device() {
  int count = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  (void)cudaGetLastError();
  return found;
}

/// Bytes of the current device that nobody holds.
inline uint64_t free_device_memory() {
  size_t free = 0, total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
}

/// A block of the host's memory, aligned to a cache line, of exactly the planned size.
class HostBlock {
 public:
  explicit HostBlock(uint64_t bytes)
      : bytes_(bytes),
        data_(static_cast<std::byte*>(std::pmr::new_delete_resource()->allocate(bytes, kCacheLine))) {}
  ~HostBlock() { std::pmr::new_delete_resource()->deallocate(data_, bytes_, kCacheLine); }
  HostBlock(const HostBlock&) = delete;
  HostBlock& operator=(const HostBlock&) = delete;
  std::byte* data() const { return data_; }

 private:
  uint64_t bytes_;
  std::byte* data_;
};

}  // namespace inlay::test

/// Leaves the test case as skipped where this machine has no CUDA device.
#define INLAY_CUDA_ONLY() \
  if (!::inlay::test::has_cuda_device()) INLAY_SKIP("no CUDA device")

#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

// The CUDA runtime as the fault tests' executable sees it: every function that the library calls is counted,
// can be told to fail, and is watched for what it takes and where it queues. Linked with --wrap.

namespace inlay::test {

/// The call-th CUDA call from now on, 1 being the next, gives `error` and does nothing (what gives something
/// back still does); 0: none.
void fail_cuda_call(uint64_t call, cudaError_t error);
/// Whether it has come to that, and the function that failed.
bool cuda_call_has_failed();
const char* failed_cuda_call();

/// Only calls that take memory count for fail_cuda_call, or all.
void count_only_memory(bool only);

/// While true, the process has two devices, both of which are the first one, and 0 is current.
void pretend_two_devices(bool two);
int current_cuda_device();

struct CudaUse {
  int64_t blocks = 0;           // of memory, of the device's and page-locked
  int64_t objects = 0;          // streams, events, graphs
  uint64_t taking = 0;          // calls that take memory or make objects, since the process began
  uint64_t default_stream = 0;  // calls that queue into the default stream
  uint64_t elsewhere = 0;       // calls while the first of two devices was current, or that ask about it
};
CudaUse cuda_use();

}  // namespace inlay::test

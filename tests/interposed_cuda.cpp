#include "tests/interposed_cuda.h"

#include <atomic>
#include <cstring>

namespace {

std::atomic<uint64_t> fail_in = 0;
std::atomic<bool> failed = false, only_memory = false;
std::atomic<cudaError_t> fail_with = cudaSuccess, last_error = cudaSuccess;
std::atomic<const char*> failed_name = "";
std::atomic<int64_t> blocks = 0, objects = 0;
std::atomic<uint64_t> taking = 0, default_stream = 0, elsewhere = 0;
std::atomic<bool> two_devices = false;
thread_local int current = 0;  // of two

enum class Kind { kPlain, kMemory, kObject };

bool may_be_anywhere(const char* name) {
  for (const char* each : {"cudaGetDevice", "cudaSetDevice", "cudaGetDeviceCount"})
    if (std::strcmp(name, each) == 0) return true;
  return false;
}

bool fails(const char* name, Kind kind) {
  if (two_devices && current == 0 && !may_be_anywhere(name)) ++elsewhere;
  if (kind != Kind::kPlain) ++taking;
  if (only_memory && kind != Kind::kMemory) return false;
  uint64_t left = fail_in;
  while (left != 0 && !fail_in.compare_exchange_weak(left, left - 1)) {
  }
  if (left != 1) return false;
  failed_name = name;
  failed = true;
  return true;
}

/// The result of a call that takes something, counted.
cudaError_t taken(cudaError_t error, std::atomic<int64_t>& count) {
  if (error == cudaSuccess) ++count;
  return error;
}

/// The real one of two devices; which was meant is looked at.
int real_device(int device) {
  if (!two_devices) return device;
  if (device == 0) ++elsewhere;
  return 0;
}

void look_at(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) ++default_stream;
}

}  // namespace

// Functions that give something back do so even where they are told to fail, or the test would leak.
#define INLAY_WRAP(name, kind, parameters, arguments) \
  cudaError_t __real_##name parameters;               \
  cudaError_t __wrap_##name parameters {              \
    if (fails(#name, Kind::kind)) return fail_with;   \
    return __real_##name arguments;                   \
  }
#define INLAY_WRAP_TAKING(name, kind, count, parameters, arguments) \
  cudaError_t __real_##name parameters;                             \
  cudaError_t __wrap_##name parameters {                            \
    if (fails(#name, Kind::kind)) return fail_with;                 \
    return taken(__real_##name arguments, count);                   \
  }
#define INLAY_WRAP_GIVING(name, count, parameters, arguments)     \
  cudaError_t __real_##name parameters;                           \
  cudaError_t __wrap_##name parameters {                          \
    const cudaError_t error = __real_##name arguments;            \
    if (error == cudaSuccess) --count;                            \
    return fails(#name, Kind::kPlain) ? fail_with.load() : error; \
  }
#define INLAY_WRAP_QUEUEING(name, parameters, arguments) \
  cudaError_t __real_##name parameters;                  \
  cudaError_t __wrap_##name parameters {                 \
    look_at(stream);                                     \
    if (fails(#name, Kind::kPlain)) return fail_with;    \
    return __real_##name arguments;                      \
  }

extern "C" {

INLAY_WRAP(cudaGetDeviceProperties, kPlain, (cudaDeviceProp * properties, int device),
           (properties, real_device(device)))
INLAY_WRAP(cudaDeviceGetAttribute, kPlain, (int* value, cudaDeviceAttr which, int device),
           (value, which, real_device(device)))
INLAY_WRAP(cudaDeviceGetStreamPriorityRange, kPlain, (int* lowest, int* highest), (lowest, highest))
INLAY_WRAP(cudaFuncSetAttribute, kPlain, (const void* kernel, cudaFuncAttribute which, int value),
           (kernel, which, value))
INLAY_WRAP(cudaFuncGetAttributes, kPlain, (cudaFuncAttributes * attributes, const void* kernel),
           (attributes, kernel))
INLAY_WRAP(cudaEventElapsedTime, kPlain, (float* time, cudaEvent_t start, cudaEvent_t end),
           (time, start, end))
INLAY_WRAP(cudaHostGetDevicePointer, kPlain, (void** device, void* host, unsigned flags),
           (device, host, flags))
INLAY_WRAP(cudaEventSynchronize, kPlain, (cudaEvent_t event), (event))
INLAY_WRAP(cudaGetDriverEntryPointByVersion, kPlain,
           (const char* symbol, void** function, unsigned version, unsigned long long flags,
            cudaDriverEntryPointQueryResult* result),
           (symbol, function, version, flags, result))

INLAY_WRAP_TAKING(cudaMalloc, kMemory, blocks, (void** memory, size_t bytes), (memory, bytes))
INLAY_WRAP_TAKING(cudaHostAlloc, kMemory, blocks, (void** memory, size_t bytes, unsigned flags),
                  (memory, bytes, flags))
INLAY_WRAP_TAKING(cudaHostRegister, kMemory, blocks, (void* memory, size_t bytes, unsigned flags),
                  (memory, bytes, flags))
INLAY_WRAP_TAKING(cudaGraphInstantiate, kMemory, objects,
                  (cudaGraphExec_t * graph, cudaGraph_t from, unsigned long long flags), (graph, from, flags))
INLAY_WRAP_TAKING(cudaStreamCreateWithFlags, kObject, objects, (cudaStream_t * stream, unsigned flags),
                  (stream, flags))
INLAY_WRAP_TAKING(cudaStreamCreateWithPriority, kObject, objects,
                  (cudaStream_t * stream, unsigned flags, int priority), (stream, flags, priority))
INLAY_WRAP_TAKING(cudaEventCreate, kObject, objects, (cudaEvent_t * event), (event))
INLAY_WRAP_TAKING(cudaEventCreateWithFlags, kObject, objects, (cudaEvent_t * event, unsigned flags),
                  (event, flags))
INLAY_WRAP_TAKING(cudaStreamEndCapture, kObject, objects, (cudaStream_t stream, cudaGraph_t* graph),
                  (stream, graph))

INLAY_WRAP_GIVING(cudaFree, blocks, (void* memory), (memory))
INLAY_WRAP_GIVING(cudaFreeHost, blocks, (void* memory), (memory))
INLAY_WRAP_GIVING(cudaHostUnregister, blocks, (void* memory), (memory))
INLAY_WRAP_GIVING(cudaGraphExecDestroy, objects, (cudaGraphExec_t graph), (graph))
INLAY_WRAP_GIVING(cudaGraphDestroy, objects, (cudaGraph_t graph), (graph))
INLAY_WRAP_GIVING(cudaStreamDestroy, objects, (cudaStream_t stream), (stream))
INLAY_WRAP_GIVING(cudaEventDestroy, objects, (cudaEvent_t event), (event))

INLAY_WRAP_QUEUEING(cudaMemcpyAsync,
                    (void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream),
                    (to, from, bytes, kind, stream))
INLAY_WRAP_QUEUEING(cudaMemsetAsync, (void* to, int value, size_t bytes, cudaStream_t stream),
                    (to, value, bytes, stream))
INLAY_WRAP_QUEUEING(cudaEventRecord, (cudaEvent_t event, cudaStream_t stream), (event, stream))
INLAY_WRAP_QUEUEING(cudaGraphLaunch, (cudaGraphExec_t graph, cudaStream_t stream), (graph, stream))
INLAY_WRAP_QUEUEING(cudaGraphUpload, (cudaGraphExec_t graph, cudaStream_t stream), (graph, stream))
INLAY_WRAP_QUEUEING(cudaStreamBeginCapture, (cudaStream_t stream, cudaStreamCaptureMode mode), (stream, mode))
INLAY_WRAP_QUEUEING(cudaStreamQuery, (cudaStream_t stream), (stream))
INLAY_WRAP_QUEUEING(cudaStreamSynchronize, (cudaStream_t stream), (stream))

cudaError_t __real_cudaGetDevice(int* device);
cudaError_t __wrap_cudaGetDevice(int* device) {
  if (fails("cudaGetDevice", Kind::kPlain)) return fail_with;
  if (!two_devices) return __real_cudaGetDevice(device);
  *device = current;
  return cudaSuccess;
}
cudaError_t __real_cudaSetDevice(int device);
cudaError_t __wrap_cudaSetDevice(int device) {
  if (fails("cudaSetDevice", Kind::kPlain)) return fail_with;
  if (!two_devices) return __real_cudaSetDevice(device);
  if (device < 0 || device > 1) return cudaErrorInvalidDevice;
  current = device;
  return cudaSuccess;
}
cudaError_t __real_cudaGetDeviceCount(int* count);
cudaError_t __wrap_cudaGetDeviceCount(int* count) {
  if (fails("cudaGetDeviceCount", Kind::kPlain)) return fail_with;
  const cudaError_t error = __real_cudaGetDeviceCount(count);
  if (error == cudaSuccess && two_devices) *count = 2;
  return error;
}

// What <<<>>> becomes; its error is found by cudaGetLastError alone.
cudaError_t __real___cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                                      size_t shared, cudaStream_t stream);
cudaError_t __wrap___cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                                      size_t shared, cudaStream_t stream) {
  look_at(stream);
  if (!fails("__cudaLaunchKernel", Kind::kPlain))
    return __real___cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
  last_error = fail_with.load();
  return fail_with;
}
cudaError_t __real_cudaGetLastError();
cudaError_t __wrap_cudaGetLastError() {
  const cudaError_t injected = last_error.exchange(cudaSuccess), real = __real_cudaGetLastError();
  return injected != cudaSuccess ? injected : real;
}

cudaError_t __real_cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel,
                                       void** arguments);
cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel,
                                       void** arguments) {
  look_at(config->stream);
  if (fails("cudaLaunchKernelExC", Kind::kPlain)) return fail_with;
  return __real_cudaLaunchKernelExC(config, kernel, arguments);
}

}  // extern "C"

namespace inlay::test {

void fail_cuda_call(uint64_t call, cudaError_t error) {
  failed = false;
  failed_name = "";
  fail_with = error;
  fail_in = call;
}

bool cuda_call_has_failed() { return failed; }
const char* failed_cuda_call() { return failed_name; }
void count_only_memory(bool only) { only_memory = only; }
CudaUse cuda_use() { return {blocks, objects, taking, default_stream, elsewhere}; }
void pretend_two_devices(bool two) {
  two_devices = two;
  current = 0;
}
int current_cuda_device() { return current; }

}  // namespace inlay::test

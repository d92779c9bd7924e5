#include "runtime/runtime.h"

#include <cstring>
#include <new>

#include "kernels/cpu/cpu_device.h"
#ifdef INLAY_HAS_CUDA
#include "kernels/cuda/cuda_device.h"
#endif
#include "runtime/error.h"
#include "runtime/platform.h"

namespace inlay {
namespace {

constexpr uint32_t kMaxThreads = 1024;

uint32_t threads_of(const inlay_runtime_params& params) {
  if (params.threads > kMaxThreads) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "threads is " + std::to_string(params.threads) + ", at most " +
                                                  std::to_string(kMaxThreads) + " make sense");
  }
  return params.threads == 0 ? platform::usable_cpus() : params.threads;
}

}  // namespace

size_t copy_text(const char* message, char* buffer, size_t capacity) {
  const size_t length = std::strlen(message);
  if (capacity > 0) {
    const size_t copied = length < capacity ? length : capacity - 1;
    std::memcpy(buffer, message, copied);
    buffer[copied] = '\0';
  }
  return length;
}

Runtime* Runtime::create(const inlay_runtime_params& params) {
  // The runtime's own memory comes from the allocator that it then holds, so it is taken by hand.
  HostMemory memory(params.allocator, params.memory_limit);
  void* place = memory.allocate(sizeof(Runtime), alignof(Runtime));
  try {
    return new (place) Runtime(params);
  } catch (...) {
    memory.deallocate(place, sizeof(Runtime), alignof(Runtime));
    throw;
  }
}

Runtime::Runtime(const inlay_runtime_params& params)
    : params_(params),
      memory_(params.allocator, params.memory_limit, sizeof(Runtime)),
      guard_(params.guard_mappings != 0 ? std::optional<platform::MappingGuard>(std::in_place)
                                        : std::optional<platform::MappingGuard>()),
      device_(make_device(params)) {
  params_.threads = threads_of(params);
  params_.allocator = nullptr;
  params_.instruction_set = nullptr;
}

Runtime::~Runtime() {
#ifdef INLAY_HAS_CUDA
  if (params_.device == INLAY_DEVICE_CUDA) {
    cuda::destroy_device(device_);
    return;
  }
#endif
  cpu::destroy_device(device_);
}

Device* Runtime::make_device(const inlay_runtime_params& params) {
  if (params.weight_placement < INLAY_WEIGHTS_DEFAULT || params.weight_placement > INLAY_WEIGHTS_IN_PLACE) {
    throw Error(
        INLAY_ERROR_INVALID_ARGUMENT,
        "weight_placement is " + std::to_string(params.weight_placement) + ", not an inlay_weight_placement");
  }
  switch (params.device) {
    case INLAY_DEVICE_CPU:
      if (params.device_index != 0) {
        throw Error(INLAY_ERROR_UNSUPPORTED,
                    "CPU device " + std::to_string(params.device_index) + " does not exist, there is only 0");
      }
      return cpu::make_device(threads_of(params),
                              params.instruction_set == nullptr ? "" : params.instruction_set, &memory_);
    case INLAY_DEVICE_CUDA:
#ifdef INLAY_HAS_CUDA
      return cuda::make_device({params.device_index, params.cuda_stream, params.low_priority != 0,
                                static_cast<inlay_weight_placement>(params.weight_placement)},
                               &memory_);
#else
      throw Error(INLAY_ERROR_UNSUPPORTED, "this build of Inlay has no CUDA device");
#endif
    default: throw Error(INLAY_ERROR_UNSUPPORTED, "device " + std::to_string(params.device) + " is unknown");
  }
}

void Runtime::destroy() {
  const inlay_allocator allocator = memory_.allocator();
  this->~Runtime();
  allocator.release(allocator.user_data, this, sizeof(Runtime), alignof(Runtime));
}

inlay_runtime_info Runtime::info() const {
  return {sizeof(inlay_runtime_info), params_.device, params_.device_index, params_.threads,
          device_->instruction_set(), device_->name()};
}

void Runtime::log(inlay_log_level level, const char* message) const {
  if (params_.log != nullptr) params_.log(params_.log_user_data, level, message);
}

void Runtime::set_message(const char* message) {
  {
    const std::lock_guard lock(message_mutex_);
    copy_text(message, message_, sizeof message_);
  }
  log(INLAY_LOG_ERROR, message);
}

size_t Runtime::copy_message(char* buffer, size_t capacity) const {
  const std::lock_guard lock(message_mutex_);
  return copy_text(message_, buffer, capacity);
}

}  // namespace inlay

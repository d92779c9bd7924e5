#pragma once

#include <memory_resource>

#include "kernels/device.h"

namespace inlay::cuda {

struct DeviceParams {
  uint32_t device_index = 0;
  void* stream = nullptr;     // a cudaStream_t of the host's, of that device; null: one of Inlay's own
  bool low_priority = false;  // of Inlay's own stream: the lowest that the device has
  inlay_weight_placement placement = INLAY_WEIGHTS_DEFAULT;
};

/// Makes the CUDA device. The object, and nothing else, lives in `memory`; destroy it with destroy_device.
/// Throws Error: INLAY_ERROR_UNSUPPORTED where there is no driver, no such device, or one that is too old.
/// Leaves the calling thread's current device as it was, as every call on the device does.
Device* make_device(const DeviceParams& params, std::pmr::memory_resource* memory);
void destroy_device(Device* device);

}  // namespace inlay::cuda

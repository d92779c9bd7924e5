#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <string_view>

#include "kernels/device.h"

namespace inlay::cpu {

/// Deletes an object that make_device placed in memory of a resource.
struct DeviceDeleter {
  std::pmr::memory_resource* resource = nullptr;
  void operator()(Device* device) const;
};
using DevicePointer = std::unique_ptr<Device, DeviceDeleter>;

/// The processor as a device, with `threads` threads (the callers' included). An empty `instruction_set` takes
/// the best that the processor has; else "scalar", "avx2", "avx512", "amx" or "neon". Throws
/// INLAY_ERROR_UNSUPPORTED for one that is unknown or not there.
DevicePointer make_device(uint32_t threads, std::string_view instruction_set, std::pmr::memory_resource* resource);

}  // namespace inlay::cpu

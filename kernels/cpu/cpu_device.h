#pragma once

#include <cstdint>
#include <memory_resource>
#include <string_view>

#include "kernels/device.h"

namespace inlay::cpu {

/// The processor as a device, with `threads` threads (the callers' included). An empty `instruction_set`
/// takes the best that the processor has. Throws INLAY_ERROR_UNSUPPORTED for one that is unknown or not
/// there. The object lives in memory of `resource`.
Device* make_device(uint32_t threads, std::string_view instruction_set, std::pmr::memory_resource* resource);
void destroy_device(Device* device);

}  // namespace inlay::cpu

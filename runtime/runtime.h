#pragma once

#include <cstdint>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <string>

#include "kernels/device.h"
#include "runtime/counted.h"
#include "runtime/host_memory.h"
#include "runtime/platform.h"

namespace inlay {

class Scratch;

/// What a process makes first: the device with its threads, the host's memory, and the log.
class Runtime final : public Counted {
 public:
  /// Throws Error.
  static Runtime* create(const inlay_runtime_params& params);

  HostMemory* memory() { return &memory_; }
  /// Whether files that are cut short while they are mapped are to be a status.
  bool guards_mappings() const { return guard_.has_value(); }
  std::pmr::memory_resource* memory(MemoryKind kind) { return memory_.of(kind); }
  Device& device() { return *device_; }
  inlay_runtime_info info() const;

  void log(inlay_log_level level, const char* message) const;
  /// Keeps the message of a failed create or open, and logs it. Any thread.
  void set_message(const char* message);
  size_t copy_message(char* buffer, size_t capacity) const;

  /// Scratches that live in arenas of the host: ScratchList's alone.
  std::mutex& arena_mutex() { return arena_mutex_; }
  Scratch*& arena_scratches() { return arena_scratches_; }

 private:
  explicit Runtime(const inlay_runtime_params& params);
  ~Runtime();
  void destroy() override;
  Device* make_device(const inlay_runtime_params& params);

  inlay_runtime_params params_;
  HostMemory memory_;
  std::optional<platform::MappingGuard> guard_;
  Device* device_ = nullptr;
  mutable std::mutex message_mutex_;
  char message_[512] = "";
  std::mutex arena_mutex_;
  Scratch* arena_scratches_ = nullptr;
};

/// Copies `message`, cut to capacity and zero terminated; returns its whole length.
size_t copy_text(const char* message, char* buffer, size_t capacity);

}  // namespace inlay

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <string_view>

#include "inlay/inlay.h"
#include "runtime/platform.h"

namespace inlay {

/// Read-only random access to one file: what every reader of a format stands on, whether the bytes are a
/// mapped path, the caller's memory or behind the host's I/O table. Immutable, so any number of threads may
/// use one (a host's callbacks allowing). The bytes may lie at any alignment.
class ByteSource {
 public:
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;

  /// What messages call it: the path, or what stands for one.
  virtual std::string_view name() const = 0;

  uint64_t size() const { return size_; }

  /// All size() bytes, there as long as this object; null where they can only be read.
  const std::byte* data() const { return data_; }

  /// Copies exactly `bytes` bytes from `offset`, or throws INLAY_ERROR_IO.
  void read(uint64_t offset, void* destination, size_t bytes) const;

  /// Whether bytes that were read from data() may not have been the file's, which was cut short meanwhile,
  /// where that is watched. Asks the system. Any thread.
  virtual bool lost() const noexcept { return false; }

  /// A hint about a range's use; does nothing where the bytes are not the system's.
  virtual void advise(uint64_t offset, uint64_t bytes, platform::MemoryAdvice advice) const noexcept;

 protected:
  ByteSource() = default;
  void set_extent(const std::byte* data, uint64_t size);

 private:
  virtual void read_inside(uint64_t offset, void* destination, size_t bytes) const;

  const std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

using ByteSourcePointer = std::shared_ptr<const ByteSource>;

/// Maps the file at `path` (UTF-8). INLAY_ERROR_IO where it cannot be opened or mapped.
ByteSourcePointer open_path(std::string_view path, std::pmr::memory_resource* memory);

/// The caller's memory, which must outlive the source; nothing is copied.
ByteSourcePointer open_memory(const void* data, uint64_t size, std::pmr::memory_resource* memory);

/// Through the host's table, which is copied; `io.size` and `io.read_at` must be there. The table's close is
/// called exactly once: when the source goes, or before this throws. A callback's error becomes
/// INLAY_ERROR_IO with the callback's name and status in the message.
ByteSourcePointer open_io(const inlay_io& io, std::pmr::memory_resource* memory);

}  // namespace inlay

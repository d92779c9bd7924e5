#include "formats/byte_source.h"

#include <cstring>
#include <string>
#include <utility>

#include "runtime/error.h"

namespace inlay {
namespace {

class PathSource final : public ByteSource {
 public:
  PathSource(std::string_view path, std::pmr::memory_resource* memory)
      : path_(path, memory), file_(path_.c_str()), mapping_(file_.map()) {
    set_extent(mapping_.base(), mapping_.size());
  }

  std::string_view name() const override { return path_; }

  bool lost() const noexcept override {
    if (!mapping_.guarded()) return false;
    if (mapping_.lost()) return true;
    // The rest of the page in which a file ends reads as zeros, without a signal.
    if (file_.size_now() >= size()) return false;
    mapping_.set_lost();
    return true;
  }

  void advise(uint64_t offset, uint64_t bytes, platform::MemoryAdvice advice) const noexcept override {
    mapping_.advise(offset, bytes, advice);
  }

 private:
  // Not a copy out of the mapping: a long read is faster than its page faults, and a file that was cut short
  // is an error here.
  void read_inside(uint64_t offset, void* destination, size_t bytes) const override {
    file_.read_at(offset, destination, bytes);
  }

  std::pmr::string path_;
  platform::File file_;
  platform::Mapping mapping_;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(const void* data, uint64_t size) { set_extent(static_cast<const std::byte*>(data), size); }

  std::string_view name() const override { return "file in memory"; }
};

/// Owns the host's file: close is called when it goes, wherever an error leaves it.
class HostFile {
 public:
  explicit HostFile(const inlay_io& io) : io_(io) {}
  HostFile(HostFile&& other) noexcept : io_(other.io_) { other.io_.close = nullptr; }
  HostFile& operator=(HostFile&&) = delete;
  ~HostFile() {
    if (io_.close != nullptr) io_.close(io_.user_data);
  }

  const inlay_io& io() const { return io_; }

 private:
  inlay_io io_;
};

class HostSource final : public ByteSource {
 public:
  explicit HostSource(HostFile file) : file_(std::move(file)) {
    const inlay_io& io = file_.io();
    uint64_t size = 0;
    check(io.size(io.user_data, &size), "size");
    const void* base = nullptr;
    if (io.map != nullptr) {
      check(io.map(io.user_data, &base), "map");
      if (base == nullptr && size > 0) {
        throw Error(INLAY_ERROR_IO, "file of the host: its map callback returned no address");
      }
    }
    set_extent(static_cast<const std::byte*>(base), size);
  }

  std::string_view name() const override { return "file of the host"; }

 private:
  static void check(inlay_status status, const char* callback) {
    if (status == INLAY_OK) return;
    throw Error(INLAY_ERROR_IO, std::string("file of the host: its ") + callback +
                                    " callback returned status " + std::to_string(status));
  }

  void read_inside(uint64_t offset, void* destination, size_t bytes) const override {
    const inlay_status status = file_.io().read_at(file_.io().user_data, offset, destination, bytes);
    if (status == INLAY_OK) return;
    throw Error(INLAY_ERROR_IO, "file of the host: its read_at callback returned status " +
                                    std::to_string(status) + " for " + std::to_string(bytes) +
                                    " bytes at byte " + std::to_string(offset));
  }

  HostFile file_;
};

}  // namespace

void ByteSource::set_extent(const std::byte* data, uint64_t size) {
  data_ = data;
  size_ = size;
}

void ByteSource::read(uint64_t offset, void* destination, size_t bytes) const {
  if (offset > size_ || bytes > size_ - offset) {
    throw Error(INLAY_ERROR_IO, std::string(name()) + ": " + std::to_string(bytes) + " bytes at byte " +
                                    std::to_string(offset) + " were asked for, it has " +
                                    std::to_string(size_));
  }
  if (bytes > 0) read_inside(offset, destination, bytes);
}

void ByteSource::read_inside(uint64_t offset, void* destination, size_t bytes) const {
  std::memcpy(destination, data_ + offset, bytes);
}

void ByteSource::advise(uint64_t, uint64_t, platform::MemoryAdvice) const noexcept {}

ByteSourcePointer open_path(std::string_view path, std::pmr::memory_resource* memory) {
  return std::allocate_shared<PathSource>(std::pmr::polymorphic_allocator<>(memory), path, memory);
}

ByteSourcePointer open_memory(const void* data, uint64_t size, std::pmr::memory_resource* memory) {
  return std::allocate_shared<MemorySource>(std::pmr::polymorphic_allocator<>(memory), data, size);
}

ByteSourcePointer open_io(const inlay_io& io, std::pmr::memory_resource* memory) {
  return std::allocate_shared<HostSource>(std::pmr::polymorphic_allocator<>(memory), HostFile(io));
}

}  // namespace inlay

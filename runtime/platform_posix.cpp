#include "runtime/platform.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "runtime/error.h"

namespace inlay::platform {
namespace {

[[noreturn]] void fail(const char* path, const char* action, int error) {
  throw Error(INLAY_ERROR_IO,
              std::string(path) + ": " + action + ": " + std::generic_category().message(error));
}

int posix_advice(MemoryAdvice advice) {
  switch (advice) {
    case MemoryAdvice::Normal: return POSIX_MADV_NORMAL;
    case MemoryAdvice::Sequential: return POSIX_MADV_SEQUENTIAL;
    case MemoryAdvice::Random: return POSIX_MADV_RANDOM;
    case MemoryAdvice::WillNeed: return POSIX_MADV_WILLNEED;
  }
  return POSIX_MADV_NORMAL;
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (base_ != nullptr) ::munmap(const_cast<std::byte*>(base_), static_cast<size_t>(size_));
}

void Mapping::advise(uint64_t offset, uint64_t bytes, MemoryAdvice advice) const noexcept {
  if (offset >= size_) return;
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t end = offset + std::min(bytes, size_ - offset);
  const uint64_t begin = offset / page * page;
  ::posix_madvise(const_cast<std::byte*>(base_) + begin, static_cast<size_t>(end - begin),
                  posix_advice(advice));
}

File::File(const char* path) : path_(path) {
  // O_NONBLOCK, so that the path of a pipe is refused below instead of waiting for its writer.
  const int handle = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (handle < 0) fail(path, "cannot be opened", errno);
  struct stat status = {};
  const int error = ::fstat(handle, &status) != 0 ? errno : 0;
  if (error != 0 || !S_ISREG(status.st_mode)) {
    ::close(handle);
    if (error != 0) fail(path, "cannot be examined", error);
    throw Error(INLAY_ERROR_IO,
                std::string(path) + (S_ISDIR(status.st_mode) ? ": is a folder, a file was expected"
                                                             : ": is not a regular file"));
  }
  handle_ = handle;
  size_ = static_cast<uint64_t>(status.st_size);
}

File::~File() { ::close(static_cast<int>(handle_)); }

void File::read_at(uint64_t offset, void* destination, size_t bytes) const {
  // Some systems refuse a single read of 2 GiB or more.
  constexpr size_t kLargestRead = size_t{1} << 30;
  auto* at = static_cast<std::byte*>(destination);
  while (bytes > 0) {
    const ssize_t got =
        ::pread(static_cast<int>(handle_), at, std::min(bytes, kLargestRead), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, "cannot be read", errno);
    if (got == 0) {
      throw Error(INLAY_ERROR_IO, std::string(path_) + ": ends at byte " + std::to_string(offset) +
                                      ", it had " + std::to_string(size_) + " bytes when it was opened");
    }
    at += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

Mapping File::map() const {
  if (size_ == 0) return {};
  if (size_ > std::numeric_limits<size_t>::max()) fail(path_, "cannot be mapped", EFBIG);
  void* base =
      ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_SHARED, static_cast<int>(handle_), 0);
  if (base == MAP_FAILED) fail(path_, "cannot be mapped", errno);
  return {static_cast<const std::byte*>(base), size_};
}

uint64_t monotonic_ns() noexcept {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(now.tv_nsec);
}

unsigned usable_cpus() noexcept {
#if defined(__linux__)
  // The kernel refuses a mask smaller than its own; 16,384 processors are twice what it can be built for.
  constexpr size_t kSets = 16384 / CPU_SETSIZE;
  cpu_set_t mask[kSets];
  if (::sched_getaffinity(0, sizeof(mask), mask) == 0) {
    return static_cast<unsigned>(std::max(1, CPU_COUNT_S(sizeof(mask), mask)));
  }
#endif
  return static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace inlay::platform

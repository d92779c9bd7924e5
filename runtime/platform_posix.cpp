#include "runtime/platform.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstdio>
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

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      guarded_(std::exchange(other.guarded_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(guarded_, other.guarded_);
  return *this;
}

bool Mapping::lost() const noexcept { return is_lost(guarded_); }
void Mapping::set_lost() const noexcept { set_range_lost(guarded_); }

Mapping::~Mapping() {
  release_range(guarded_);
  if (base_ != nullptr) ::munmap(const_cast<std::byte*>(base_), static_cast<size_t>(size_));
}

void Mapping::advise(uint64_t offset, uint64_t bytes, MemoryAdvice advice) const noexcept {
  if (offset >= size_) return;
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t end = offset + std::min(bytes, size_ - offset);
  const uint64_t begin = offset / page * page;
  // Not posix_madvise, whose "not needed" some C libraries ignore: of a mapping that nobody writes it loses
  // nothing.
  ::madvise(const_cast<std::byte*>(base_) + begin, static_cast<size_t>(end - begin),
            advice == MemoryAdvice::WillNeed ? MADV_WILLNEED : MADV_DONTNEED);
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

uint64_t File::size_now() const noexcept {
  struct stat status = {};
  return ::fstat(static_cast<int>(handle_), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

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
  try {
    const auto* bytes = static_cast<const std::byte*>(base);
    return {bytes, size_, guard_range(bytes, size_)};
  } catch (...) {
    ::munmap(base, static_cast<size_t>(size_));
    throw;
  }
}

namespace {

/// Whether the open file is still what stands at the path: another program may have renamed it meanwhile.
bool is_at_path(int handle, const char* path) {
  struct stat open_file = {};
  struct stat named = {};
  return ::fstat(handle, &open_file) == 0 && ::stat(path, &named) == 0 && open_file.st_dev == named.st_dev &&
         open_file.st_ino == named.st_ino;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Makes a rename in the folder last. Some systems cannot do this to a folder, and need not.
void sync_folder(const std::string& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

}  // namespace

OutputFile::OutputFile(const char* path, uint64_t bytes) : path_(path), partial_path_(path_ + ".partial") {
  if (is_folder(path)) throw Error(INLAY_ERROR_IO, path_ + ": is a folder, a file's name was expected");
  const char* name = partial_path_.c_str();
  const int handle = ::open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (handle < 0) fail(name, "cannot be made", errno);
  const auto give_up = [&](const char* action, int error) {
    ::close(handle);
    fail(name, action, error);
  };
  if (::flock(handle, LOCK_EX | LOCK_NB) != 0) give_up("is being written by another program", errno);
  if (!is_at_path(handle, name)) give_up("was replaced by another program", EAGAIN);
  handle_ = handle;
  // What a program that died has left behind must not count against the room there is.
  const int cut = ::ftruncate(handle, 0);
  struct statvfs disk = {};
  if (cut == 0 && ::fstatvfs(handle, &disk) == 0) {
    const uint64_t room = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
    if (room < bytes) {
      ::unlink(name);
      ::close(handle);
      throw Error(INLAY_ERROR_IO, path_ + ": needs " + std::to_string(bytes) + " bytes, the disk has " +
                                      std::to_string(room) + " free");
    }
  }
  if (cut != 0 || ::ftruncate(handle, static_cast<off_t>(bytes)) != 0) {
    const int error = errno;
    ::unlink(name);
    give_up("cannot be made as large as needed", error);
  }
}

OutputFile::~OutputFile() {
  if (handle_ < 0) return;
  ::unlink(partial_path_.c_str());
  ::close(static_cast<int>(handle_));
}

void OutputFile::write_at(uint64_t offset, const void* data, size_t bytes) {
  constexpr size_t kLargestWrite = size_t{1} << 30;
  const auto* from = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ssize_t put =
        ::pwrite(static_cast<int>(handle_), from, std::min(bytes, kLargestWrite), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail(partial_path_.c_str(), "cannot be written", put == 0 ? ENOSPC : errno);
    from += put;
    offset += static_cast<uint64_t>(put);
    bytes -= static_cast<size_t>(put);
  }
}

void OutputFile::finish() {
  const int handle = static_cast<int>(handle_);
  if (::fsync(handle) != 0) fail(partial_path_.c_str(), "cannot be brought to disk", errno);
  if (::rename(partial_path_.c_str(), path_.c_str()) != 0)
    fail(path_.c_str(), "cannot be given its name", errno);
  handle_ = -1;
  ::close(handle);
  sync_folder(folder_of(path_));
}

bool is_folder(const char* path) noexcept {
  struct stat status = {};
  return ::stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool exists(const char* path) noexcept {
  struct stat status = {};
  return ::stat(path, &status) == 0;
}

std::vector<std::string> files_of_folder(const char* path) {
  DIR* folder = ::opendir(path);
  if (folder == nullptr) fail(path, "cannot be opened", errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t page_bytes() noexcept { return static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)); }

void populate(const void* data, uint64_t bytes) noexcept {
#if defined(__linux__)
  // MADV_POPULATE_READ, of Linux 5.14; an older one refuses, and the pages fault as they are read.
  constexpr int kPopulateRead = 22;
  const uintptr_t page = page_bytes();
  const uintptr_t into_page = reinterpret_cast<uintptr_t>(data) % page;
  const auto* begin = static_cast<const std::byte*>(data) - into_page;
  (void)::madvise(const_cast<std::byte*>(begin), into_page + bytes, kPopulateRead);
#else
  (void)data;
  (void)bytes;
#endif
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

bool request_amx() noexcept {
#if defined(__linux__) && defined(__x86_64__)
  // Linux, Documentation/arch/x86/xstate.rst.
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace inlay::platform

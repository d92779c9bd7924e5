#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Everything that Inlay asks of the operating system. platform_posix.cpp implements it; another system needs
// one more file beside that one and nothing else.
namespace inlay::platform {

/// What a range of a mapping will be used for; a hint, which no result depends on.
enum class MemoryAdvice { WillNeed, DontNeed };

/// A regular file mapped read-only and shared, so that its pages are the system's page cache. Where the file
/// is cut short by someone else while it is mapped, the system kills the process that reads beyond the new
/// end, unless a MappingGuard lives: then what is gone reads as zeros, and lost() says so.
class Mapping {
 public:
  Mapping() = default;
  /// `guarded`: what guard_range gave.
  Mapping(const std::byte* base, uint64_t size, uint32_t guarded)
      : base_(base), size_(size), guarded_(guarded) {}
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  /// Null where the file is empty.
  const std::byte* base() const { return base_; }
  uint64_t size() const { return size_; }

  /// Ranges need not be aligned; what lies outside the mapping is cut off. Any thread.
  void advise(uint64_t offset, uint64_t bytes, MemoryAdvice advice) const noexcept;

  /// Whether a page that was read since it was mapped was not the file's any more. Any thread: who has read
  /// one finds true.
  bool lost() const noexcept;
  bool guarded() const noexcept { return guarded_ != 0; }
  /// Makes lost() true: of a guarded mapping.
  void set_lost() const noexcept;

 private:
  const std::byte* base_ = nullptr;
  uint64_t size_ = 0;
  uint32_t guarded_ = 0;
};

/// While one lives, files that are cut short under mappings made meanwhile are noted instead of ending the
/// process. Sets the process's handler of SIGBUS, which passes on whatever is not of such a mapping; the last
/// guard that goes puts back the former one, unless another has been set since. Throws
/// INLAY_ERROR_UNSUPPORTED.
class MappingGuard {
 public:
  MappingGuard();
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;
  ~MappingGuard();
};

/// How often a page was found lost so far, in all mappings: as long as it is 0, none is. Any thread.
uint32_t lost_mappings() noexcept;

/// For Mapping alone: notes a range that was mapped, where a guard lives. Throws INLAY_ERROR_UNSUPPORTED
/// where there are too many.
uint32_t guard_range(const std::byte* base, uint64_t size);
void release_range(uint32_t guarded) noexcept;
bool is_lost(uint32_t guarded) noexcept;
void set_range_lost(uint32_t guarded) noexcept;

/// A regular file opened for reading. Errors are INLAY_ERROR_IO with the path and the system's words.
class File {
 public:
  /// `path` is UTF-8 and must outlive the file: messages name it.
  explicit File(const char* path);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  /// Bytes, as they were when it was opened.
  uint64_t size() const { return size_; }
  /// Bytes as they are now; 0 where the system does not say. Any thread.
  uint64_t size_now() const noexcept;

  /// Exactly `bytes` bytes from `offset`, or an error. Any thread; moves no position.
  void read_at(uint64_t offset, void* destination, size_t bytes) const;

  /// The whole file; the mapping stays when the file is closed.
  Mapping map() const;

 private:
  const char* path_;
  uint64_t size_ = 0;
  intptr_t handle_ = -1;
};

/// A file that is written whole or not at all. Until finish() it is called PATH.partial, in the same folder;
/// then it is on disk and takes the place of PATH in one step. Without finish() it is removed; where the
/// program dies before, PATH.partial stays behind, and the next OutputFile of that path replaces it. Errors
/// are INLAY_ERROR_IO with the path and the system's words.
class OutputFile {
 public:
  /// `path` is UTF-8. Refuses where the disk has fewer than `bytes` bytes free, and where another program has
  /// the same partial file open.
  OutputFile(const char* path, uint64_t bytes);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// What is not written reads as zeros.
  void write_at(uint64_t offset, const void* data, size_t bytes);
  void finish();

 private:
  std::string path_;
  std::string partial_path_;
  intptr_t handle_ = -1;
};

bool is_folder(const char* path) noexcept;
bool exists(const char* path) noexcept;

/// The names of the files in a folder, sorted. Throws INLAY_ERROR_IO.
std::vector<std::string> files_of_folder(const char* path);

/// Brings pages of a mapping that is about to be read into memory, many at a time; a hint, which costs less
/// than their faults one by one. Any memory, any alignment, any thread.
void populate(const void* data, uint64_t bytes) noexcept;

/// Of the system's memory pages.
uint64_t page_bytes() noexcept;

/// Nanoseconds of a clock that never goes back; its zero is arbitrary. Any thread, allocates nothing.
uint64_t monotonic_ns() noexcept;

/// Processors that this process may run on, at least 1: its affinity mask where the system has one.
unsigned usable_cpus() noexcept;

/// Asks the system to let this process use the AMX tile registers, for good. False where it has no such
/// registers, or refuses. Any thread, any number of times.
bool request_amx() noexcept;

}  // namespace inlay::platform

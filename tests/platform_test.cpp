#include "runtime/platform.h"

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

#include "runtime/error.h"

namespace inlay::platform {
namespace {

/// A file that goes with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : path_((std::filesystem::temp_directory_path() / "inlay_platform_test_").string() +
              std::to_string(std::random_device{}())) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("a file is read at any place and mapped whole") {
  std::string content(100'000, ' ');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  const TemporaryFile temporary(content);
  Mapping mapping;
  {
    const File file(temporary.path());
    CHECK(file.size() == content.size());
    std::string part(1000, ' ');
    file.read_at(54'321, part.data(), part.size());
    CHECK(part == content.substr(54'321, 1000));
    mapping = file.map();
  }
  REQUIRE(mapping.size() == content.size());
  CHECK(std::memcmp(mapping.base(), content.data(), content.size()) == 0);
  for (const MemoryAdvice advice : {MemoryAdvice::WillNeed, MemoryAdvice::DontNeed}) {
    mapping.advise(12'345, 1000, advice);
    mapping.advise(99'999, UINT64_MAX, advice);
    mapping.advise(UINT64_MAX, 1, advice);
  }
  const Mapping moved = std::move(mapping);
  CHECK(std::memcmp(moved.base(), content.data(), content.size()) == 0);
}

TEST_CASE("a file that is cut short after it was opened is an error of reading") {
  const TemporaryFile temporary("0123456789");
  const File file(temporary.path());
  std::filesystem::resize_file(temporary.path(), 4);
  char bytes[10];
  try {
    file.read_at(0, bytes, sizeof(bytes));
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.status() == INLAY_ERROR_IO);
    CHECK(std::string(error.what()) ==
          std::string(temporary.path()) + ": ends at byte 4, it had 10 bytes when it was opened");
  }
}

TEST_CASE("an empty file has an empty mapping") {
  const TemporaryFile temporary("");
  const Mapping mapping = File(temporary.path()).map();
  CHECK(mapping.base() == nullptr);
  CHECK(mapping.size() == 0);
}

TEST_CASE("the clock goes forward") {
  const uint64_t before = monotonic_ns();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  CHECK(monotonic_ns() - before >= 2'000'000);
}

TEST_CASE("usable processors are those of the affinity mask") {
  CHECK(usable_cpus() >= 1);
#if defined(__linux__)
  std::thread([] {  // of its own, for the mask is a thread's
    cpu_set_t mask;
    REQUIRE(sched_getaffinity(0, sizeof(mask), &mask) == 0);
    int first = 0;
    while (!CPU_ISSET(first, &mask)) ++first;
    CPU_ZERO(&mask);
    CPU_SET(first, &mask);
    REQUIRE(sched_setaffinity(0, sizeof(mask), &mask) == 0);
    CHECK(usable_cpus() == 1);
  })
      .join();
#endif
}

}  // namespace inlay::platform

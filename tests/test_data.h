#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace inlay::test {

/// The root of the source tree.
std::filesystem::path source_dir();

/// A file or folder of the golden data that lies outside the repository: under $INLAY_TEST_DATA, else under
/// ../shared beside the repository. Empty where it is absent; the test then says INLAY_SKIP.
std::optional<std::filesystem::path> shared_data(std::string_view relative);

/// The model that comes with the source, examples/model/tavern.gguf; empty where it is absent.
std::optional<std::filesystem::path> bundled_model();

/// A file of the project's own golden set, tests/golden/`relative`. Throws where it is absent, for it is part
/// of the source.
std::filesystem::path own_data(std::string_view relative);

/// Where every instruction is emulated, tests that repeat themselves do so less often.
bool emulated();

/// False in a build or a run whose times mean nothing: unoptimised, with sanitizers, or emulated.
bool full_speed();

/// Records that the running test case could not be run; the process then ends with kSkippedExitCode.
void report_skip(std::string_view reason);
int skipped_tests();
inline constexpr int kSkippedExitCode = 77;

/// The tensors of a safetensors file, by name. Throws std::runtime_error on a missing name, on another dtype
/// than the one asked for, and on a file that is not safetensors.
class Safetensors {
 public:
  explicit Safetensors(const std::filesystem::path& path);

  std::vector<uint64_t> shape(std::string_view name) const;
  std::vector<float> f32(std::string_view name) const;
  std::vector<int32_t> i32(std::string_view name) const;

 private:
  struct Entry {
    std::string dtype;
    std::vector<uint64_t> shape;
    std::span<const char> bytes;
  };
  Entry find(std::string_view name) const;

  std::string path_;
  std::vector<char> content_;
  std::string_view header_;
  std::span<const char> data_;
};

/// Normalised mean squared error, Σ(output − reference)² / Σ reference², in double. Infinity where the
/// lengths differ or an output is not finite.
double nmse(std::span<const float> output, std::span<const float> reference);

}  // namespace inlay::test

/// Leaves the test case as skipped. Tests that may say this stand in files named *_golden_test.cpp or
/// cuda_*_test.cpp, so that ctest shows the file's tests as skipped without hiding others.
#define INLAY_SKIP(reason)              \
  do {                                  \
    ::inlay::test::report_skip(reason); \
    return;                             \
  } while (false)

/// Declares `name`, the path of `relative` in the shared golden data, or skips the test case.
#define INLAY_SHARED_DATA(name, relative)                                                 \
  const auto name##_found = ::inlay::test::shared_data(relative);                         \
  if (!name##_found) INLAY_SKIP(std::string("no golden data: ") + std::string(relative)); \
  const std::filesystem::path& name = *name##_found

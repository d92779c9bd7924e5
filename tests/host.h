#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "inlay/inlay.h"
#include "tests/handles.h"

// A host of the public ABI as the tests play it: an allocator that watches, models with their parents, and
// feeding with the logits that come of it. What fails unexpectedly throws std::runtime_error with Inlay's
// words.

namespace inlay::test {

/// A host's allocator that counts, checks what is given back, and fails when told to. Any thread.
class CountingAllocator {
 public:
  inlay_allocator table();

  /// The call-th allocation from now on gives null, 1 being the next; 0: none.
  void fail_at(uint64_t call);
  bool has_failed() const { return failed_; }

  uint64_t calls() const { return calls_; }
  uint64_t live_blocks() const { return blocks_.size(); }
  uint64_t live_bytes() const { return live_bytes_; }
  /// Releases of what is not there or was taken with another size or alignment, absurd wishes.
  uint64_t mistakes() const { return mistakes_; }

 private:
  struct Taken {
    size_t size;
    size_t alignment;
  };
  void* allocate(size_t size, size_t alignment);
  void release(void* memory, size_t size, size_t alignment);

  std::mutex mutex_;
  std::map<void*, Taken> blocks_;
  uint64_t calls_ = 0;
  uint64_t fail_in_ = 0;
  uint64_t live_bytes_ = 0;
  uint64_t mistakes_ = 0;
  bool failed_ = false;
};

/// SplitMix64, so that every platform gives the same tests.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// 0 <= result < bound.
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(next() % bound); }
  /// Uniform in [-1, 1).
  float real() { return static_cast<float>(static_cast<int64_t>(next()) >> 40) * 0x1p-23f; }

 private:
  uint64_t state_;
};

std::vector<int32_t> random_tokens(uint64_t seed, size_t count, uint32_t vocabulary);

std::string message_of(const inlay_runtime* runtime);
std::string message_of(const inlay_session* session);
std::string message_of(const inlay_generator* generator);

struct RuntimeWish {
  uint32_t threads = 1;
  const char* instruction_set = nullptr;
  CountingAllocator* allocator = nullptr;
  uint64_t memory_limit = 0;
  int32_t device = INLAY_DEVICE_CPU;
  void* cuda_stream = nullptr;
  bool low_priority = false;
  uint32_t device_index = 0;
  int32_t weight_placement = INLAY_WEIGHTS_DEFAULT;
};
Handle<inlay_runtime> make_runtime(const RuntimeWish& wish = {});
uint64_t memory_of(inlay_runtime* runtime);
Handle<inlay_file> open_file(inlay_runtime* runtime, const std::filesystem::path& path);

/// Those of "" (the best), "scalar", "avx2", "avx512", "amx" and "neon" that this processor and this build
/// have.
std::vector<std::string> instruction_sets();

/// A model with its runtime and its file, which stays open.
class OpenModel {
 public:
  explicit OpenModel(const std::filesystem::path& path, const RuntimeWish& wish = {});

  inlay_runtime* runtime() const { return runtime_.get(); }
  inlay_file* file() const { return file_.get(); }
  inlay_model* get() const { return model_.get(); }
  const inlay_model_info& info() const { return info_; }
  uint32_t vocabulary() const { return info_.vocabulary_size; }
  bool mtp() const { return info_.mtp_layers > 0; }
  Handle<inlay_session> session(const inlay_session_params& params) const;

 private:
  Handle<inlay_runtime> runtime_;
  Handle<inlay_file> file_;
  Handle<inlay_model> model_;
  inlay_model_info info_ = INLAY_MODEL_INFO_INIT;
};

/// The models of the project's own golden set.
std::vector<std::filesystem::path> own_models();

inlay_session_params session_params(uint32_t context, bool mtp = false, int32_t kv_type = INLAY_KV_F16,
                                    uint32_t prefill_chunk = 0);

using Logits = std::vector<float>;

Logits logits_of(const inlay_session* session, size_t row, uint32_t vocabulary);
/// The logits after the last token.
Logits prefill(inlay_session* session, std::span<const int32_t> tokens, uint32_t vocabulary);
Logits step(inlay_session* session, int32_t token, uint32_t vocabulary);
/// One row a token; nothing is committed.
std::vector<Logits> verify(inlay_session* session, std::span<const int32_t> tokens, uint32_t vocabulary);
void commit(inlay_session* session, size_t count);

std::vector<std::byte> save_to_memory(inlay_session* session);
std::vector<std::byte> save_to_memory(inlay_generator* generator);

bool same_bits(std::span<const float> a, std::span<const float> b);

}  // namespace inlay::test

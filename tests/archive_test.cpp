#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

// A game's archive: the model lies uncompressed among other files, at an odd offset. It is opened where it
// lies, and every call into the archive may fail.

namespace {

constexpr size_t kOffset = 12345;

std::vector<char> bytes_of(const char* name) {
  std::ifstream file(own_data(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Archive {
  std::vector<char> bytes;
  uint64_t model_bytes = 0;
  int fail_in = 0;  // the fail_in-th call fails, 1 being the next; 0: none
  int calls = 0;
  int closed = 0;
  bool mapped = false;

  Archive(const char* name, bool is_mapped) : mapped(is_mapped) {
    const std::vector<char> model = bytes_of(name);
    model_bytes = model.size();
    bytes.assign(kOffset, 'x');
    bytes.insert(bytes.end(), model.begin(), model.end());
    bytes.insert(bytes.end(), 777, 'y');
  }

  inlay_status called() {
    ++calls;
    return fail_in > 0 && --fail_in == 0 ? INLAY_ERROR_IO : INLAY_OK;
  }
  inlay_io table() {
    inlay_io io = INLAY_IO_INIT;
    io.user_data = this;
    io.size = [](void* user_data, uint64_t* out_bytes) {
      auto& archive = *static_cast<Archive*>(user_data);
      *out_bytes = archive.model_bytes;
      return archive.called();
    };
    io.read_at = [](void* user_data, uint64_t offset, void* destination, size_t count) {
      auto& archive = *static_cast<Archive*>(user_data);
      if (offset > archive.model_bytes || count > archive.model_bytes - offset) return INLAY_ERROR_IO;
      std::memcpy(destination, archive.bytes.data() + kOffset + offset, count);
      return archive.called();
    };
    if (mapped) {
      io.map = [](void* user_data, const void** out_base) {
        auto& archive = *static_cast<Archive*>(user_data);
        *out_base = archive.bytes.data() + kOffset;
        return archive.called();
      };
    }
    io.close = [](void* user_data) { ++static_cast<Archive*>(user_data)->closed; };
    return io;
  }
};

inlay_status open_from(inlay_runtime* runtime, Archive& archive, inlay_model** out_model) {
  const inlay_io io = archive.table();
  inlay_source source = INLAY_SOURCE_INIT;
  source.io = &io;
  return inlay_model_open(runtime, &source, nullptr, out_model);
}

Logits logits_of_some(inlay_model* model, uint32_t vocabulary) {
  const inlay_session_params params = session_params(256);
  inlay_session* made = nullptr;
  REQUIRE(inlay_session_create(model, &params, &made) == INLAY_OK);
  const Handle<inlay_session> session(made);
  Logits all = prefill(made, random_tokens(1, 20, vocabulary), vocabulary);
  const Logits row = step(made, 1, vocabulary);
  all.insert(all.end(), row.begin(), row.end());
  return all;
}

}  // namespace

TEST_CASE("a model in an archive is the model, mapped, read, and in memory") {
  for (const char* name : {"blocks32.gguf", "blocks256.gguf", "fp4.gguf", "floats.gguf"}) {
    CAPTURE(std::string(name));
    const OpenModel plain(own_data(name));
    const Logits expected = logits_of_some(plain.get(), plain.vocabulary());
    const Handle<inlay_runtime> runtime = make_runtime();
    for (const bool mapped : {true, false}) {
      Archive archive(name, mapped);
      inlay_model* model = nullptr;
      REQUIRE(open_from(runtime.get(), archive, &model) == INLAY_OK);
      CHECK(same_bits(logits_of_some(model, plain.vocabulary()), expected));
      inlay_model_destroy(model);
      CHECK(archive.closed == 1);
    }
    const Archive archive(name, true);
    inlay_source source = INLAY_SOURCE_INIT;
    source.data = archive.bytes.data() + kOffset;
    source.data_size = archive.model_bytes;
    inlay_model* model = nullptr;
    REQUIRE(inlay_model_open(runtime.get(), &source, nullptr, &model) == INLAY_OK);
    CHECK(same_bits(logits_of_some(model, plain.vocabulary()), expected));
    inlay_model_destroy(model);
  }
}

TEST_CASE("every call into an archive fails once: a status, nothing held, and then it opens") {
  CountingAllocator allocator;
  const Handle<inlay_runtime> runtime = make_runtime({.threads = 2, .allocator = &allocator});
  for (const bool mapped : {true, false}) {
    for (const char* name : {"blocks32.gguf", "fp4.gguf"}) {
      const uint64_t blocks = allocator.live_blocks(), bytes = allocator.live_bytes();
      int failures = 0;
      for (int call = 1;; ++call) {
        CAPTURE(call);
        Archive archive(name, mapped);
        archive.fail_in = call;
        inlay_model* model = nullptr;
        const inlay_status status = open_from(runtime.get(), archive, &model);
        if (status == INLAY_OK) {
          REQUIRE(archive.fail_in > 0);
          inlay_model_destroy(model);
          CHECK(archive.closed == 1);
          break;
        }
        ++failures;
        CHECK((status == INLAY_ERROR_IO || status == INLAY_ERROR_CALLBACK));
        CHECK(model == nullptr);
        CHECK(archive.closed <= 1);
        CHECK(!message_of(runtime.get()).empty());
        REQUIRE(allocator.live_blocks() == blocks);
        REQUIRE(allocator.live_bytes() == bytes);
      }
      CHECK(failures >= 2);
    }
  }
  CHECK(allocator.mistakes() == 0);
}

TEST_CASE("a model in the host's arena takes nothing else") {
  CountingAllocator allocator;
  const Handle<inlay_runtime> runtime = make_runtime({.allocator = &allocator});
  const std::string path = own_data("blocks32.gguf").string();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = path.c_str();
  inlay_file* opened = nullptr;
  REQUIRE(inlay_file_open(runtime.get(), &source, &opened) == INLAY_OK);
  const Handle<inlay_file> file(opened);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_file_plan(opened, nullptr, &plan) == INLAY_OK);
  struct alignas(64) Line {
    char bytes[64];
  };
  std::vector<Line> arena(plan.model_host / 64);
  inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
  params.arena = arena.data();
  params.arena_bytes = plan.model_host - 1;
  const uint64_t held = allocator.live_bytes();
  inlay_model* model = nullptr;
  CHECK(inlay_model_create(opened, &params, &model) == INLAY_ERROR_MEMORY_LIMIT);
  params.arena_bytes = plan.model_host;
  REQUIRE(inlay_model_create(opened, &params, &model) == INLAY_OK);
  CHECK(allocator.live_bytes() == held);
  const OpenModel plain(own_data("blocks32.gguf"));
  CHECK(
      same_bits(logits_of_some(model, plain.vocabulary()), logits_of_some(plain.get(), plain.vocabulary())));
  inlay_model_destroy(model);
  CHECK(allocator.live_bytes() == held);
}

TEST_CASE("memory is told by kinds") {
  const OpenModel model(own_data("blocks32.gguf"));
  const auto of_kind = [&](inlay_memory_kind kind, bool reset = false) {
    inlay_memory_use use = INLAY_MEMORY_USE_INIT;
    REQUIRE(inlay_runtime_memory_of(model.runtime(), kind, reset ? 1 : 0, &use) == INLAY_OK);
    return use;
  };
  const inlay_session_params params = session_params(300, true);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_model_plan(model.get(), &params, &plan) == INLAY_OK);
  CHECK(of_kind(INLAY_MEMORY_MODEL).now == plan.model_host);
  CHECK(of_kind(INLAY_MEMORY_STATE).now == 0);
  {
    const Handle<inlay_session> session = model.session(params);
    CHECK(of_kind(INLAY_MEMORY_STATE).now == plan.session_host);
    CHECK(of_kind(INLAY_MEMORY_SCRATCH).now == plan.scratch_host);
    const uint64_t sum =
        of_kind(INLAY_MEMORY_OTHER).now + plan.model_host + plan.session_host + plan.scratch_host;
    CHECK(sum == memory_of(model.runtime()));
  }
  CHECK(of_kind(INLAY_MEMORY_STATE).now == 0);
  CHECK(of_kind(INLAY_MEMORY_STATE, true).high_water == plan.session_host);
  CHECK(of_kind(INLAY_MEMORY_STATE).high_water == 0);
  inlay_memory_use use = INLAY_MEMORY_USE_INIT;
  CHECK(inlay_runtime_memory_of(model.runtime(), static_cast<inlay_memory_kind>(4), 0, &use) ==
        INLAY_ERROR_INVALID_ARGUMENT);
}

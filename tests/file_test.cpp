#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "tests/gguf_parts.h"
#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Files as a host gives them, whole and damaged: through the public interface, a status with words or a model
// that works, and nothing is left behind.

namespace {

inlay_source source_of(std::span<const std::byte> bytes) {
  inlay_source source = INLAY_SOURCE_INIT;
  source.data = bytes.data();
  source.data_size = bytes.size();
  return source;
}

/// Opens, makes a model and a session, feeds a little: how far it came.
inlay_status use(inlay_runtime* runtime, const inlay_source& source, bool tokenizer_too = false) {
  inlay_file* file = nullptr;
  inlay_model* model = nullptr;
  inlay_tokenizer* tokenizer = nullptr;
  inlay_session* session = nullptr;
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  const inlay_session_params params = session_params(16);
  const int32_t tokens[] = {1, 2, 3};
  inlay_status status = inlay_file_open(runtime, &source, &file);
  if (status == INLAY_OK) status = inlay_file_plan(file, &params, &plan);
  if (status == INLAY_OK) status = inlay_model_create(file, nullptr, &model);
  if (status == INLAY_OK) status = inlay_session_create(model, &params, &session);
  if (status == INLAY_OK) {
    CHECK(inlay_session_prefill(session, tokens, 2) == INLAY_OK);
    CHECK(inlay_session_verify(session, tokens, 2) == INLAY_OK);
  }
  if (tokenizer_too) inlay_tokenizer_create(file, &tokenizer);
  inlay_tokenizer_destroy(tokenizer);
  inlay_session_destroy(session);
  inlay_model_destroy(model);
  inlay_file_destroy(file);
  return status;
}

/// That what came of a damaged file is one of the things that may.
void check_outcome(inlay_runtime* runtime, const CountingAllocator& allocator, uint64_t blocks,
                   inlay_status status) {
  REQUIRE(allocator.live_blocks() == blocks);
  if (status == INLAY_OK) return;
  REQUIRE((status == INLAY_ERROR_CORRUPT_FILE || status == INLAY_ERROR_UNSUPPORTED ||
           status == INLAY_ERROR_IO || status == INLAY_ERROR_MEMORY_LIMIT ||
           status == INLAY_ERROR_INVALID_ARGUMENT));
  REQUIRE(message_of(runtime).size() > 10);
}

}  // namespace

TEST_CASE("a file cut short anywhere is refused") {
  CountingAllocator allocator;
  const Handle<inlay_runtime> runtime = make_runtime({.allocator = &allocator});
  const uint64_t blocks = allocator.live_blocks();
  const std::vector<std::byte> whole = read_bytes(own_data("blocks32.gguf"));
  Random random(1);
  for (size_t i = 0; i < 4296; ++i) {
    const size_t bytes = i < 4096 ? i : random.next() % whole.size();
    CAPTURE(bytes);
    // A copy of that size, so that a sanitizer sees what reads beyond it.
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes));
    inlay_source source = source_of(cut);
    if (bytes == 0) source.data = &source;
    const inlay_status status = use(runtime.get(), source, true);
    REQUIRE(status != INLAY_OK);
    check_outcome(runtime.get(), allocator, blocks, status);
  }
}

TEST_CASE("flipped bytes are an error or a model that still runs") {
  for (const char* name : {"blocks32.gguf", "blocks256.gguf", "fp4.gguf", "floats.gguf"}) {
    CAPTURE(std::string(name));
    CountingAllocator allocator;
    const Handle<inlay_runtime> runtime = make_runtime({.allocator = &allocator, .memory_limit = 512u << 20});
    const uint64_t blocks = allocator.live_blocks();
    const std::vector<std::byte> whole = read_bytes(own_data(name));
    Random random(2);
    for (int i = 0; i < 600; i += emulated() ? 10 : 1) {
      CAPTURE(i);
      std::vector<std::byte> damaged = whole;
      const bool header = i < 500;
      for (uint32_t flips = 1 + random.below(header ? 3 : 2000); flips > 0; --flips) {
        damaged[random.next() % (header ? 8192 : whole.size())] = static_cast<std::byte>(random.below(256));
      }
      check_outcome(runtime.get(), allocator, blocks, use(runtime.get(), source_of(damaged), true));
    }
  }
}

TEST_CASE("weights of any bits at all are computed with") {
  GgufParts parts(own_data("blocks32.gguf"));
  CountingAllocator allocator;
  for (const std::string& set : instruction_sets()) {
    const Handle<inlay_runtime> runtime =
        make_runtime({.instruction_set = set.c_str(), .allocator = &allocator});
    for (const int fill : {0x00, 0x7F, 0x80, 0xFF}) {
      for (GgufParts::Tensor& tensor : parts.tensors)
        std::fill(tensor.bytes.begin(), tensor.bytes.end(), static_cast<char>(fill));
      const std::vector<std::byte> bytes = parts.build();
      CHECK(use(runtime.get(), source_of(bytes)) == INLAY_OK);
    }
  }
}

TEST_CASE("a model is the same from a path, memory at any alignment, and a host's table") {
  for (const char* name : {"blocks32.gguf", "fp4.gguf"}) {
    CAPTURE(std::string(name));
    const std::vector<std::byte> whole = read_bytes(own_data(name));
    const OpenModel plain(own_data(name));
    const std::vector<int32_t> tokens = random_tokens(1, 20, plain.vocabulary());
    const inlay_session_params params = session_params(64, true);
    const Logits expected = prefill(plain.session(params).get(), tokens, plain.vocabulary());
    std::vector<std::byte> shifted(whole.size() + 64);
    HostFile host(whole);
    const inlay_io mapped = host.table(true), read = host.table(false);
    for (int way = 0; way < 8; ++way) {
      CAPTURE(way);
      CountingAllocator allocator;
      const Handle<inlay_runtime> runtime = make_runtime({.allocator = &allocator});
      inlay_source source = INLAY_SOURCE_INIT;
      const int odd[] = {0, 1, 2, 3, 7, 33};
      if (way < 6) {
        std::copy(whole.begin(), whole.end(), shifted.begin() + odd[way]);
        source = source_of(std::span(shifted).subspan(static_cast<size_t>(odd[way]), whole.size()));
      } else {
        source.io = way == 6 ? &mapped : &read;
      }
      inlay_file* opened = nullptr;
      REQUIRE(inlay_file_open(runtime.get(), &source, &opened) == INLAY_OK);
      Handle<inlay_file> file(opened);
      inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
      REQUIRE(inlay_file_plan(opened, &params, &plan) == INLAY_OK);
      CHECK((plan.weights_mapped == 0) == (way == 7));
      const uint64_t before = memory_of(runtime.get());
      inlay_memory_use high = INLAY_MEMORY_USE_INIT;
      inlay_runtime_memory(runtime.get(), 1, &high);
      inlay_model* made = nullptr;
      REQUIRE(inlay_model_create(opened, nullptr, &made) == INLAY_OK);
      const Handle<inlay_model> model(made);
      CHECK(memory_of(runtime.get()) - before == plan.model_host);
      inlay_runtime_memory(runtime.get(), 0, &high);
      CHECK(high.high_water == high.now);
      file.reset();
      inlay_session* session = nullptr;
      REQUIRE(inlay_session_create(made, &params, &session) == INLAY_OK);
      const Handle<inlay_session> feeding(session);
      CHECK(same_bits(prefill(session, tokens, plain.vocabulary()), expected));
    }
    CHECK(host.closes == 2);
  }
}

TEST_CASE("a host's callbacks that fail, fail the open and nothing else") {
  struct Failing {
    HostFile file;
    inlay_io inner;
    uint64_t calls = 0;
    uint64_t fail_at = 0;
    int closes = 0;
    bool next() { return ++calls == fail_at; }
  };
  const std::vector<std::byte> whole = read_bytes(own_data("fp4.gguf"));
  for (const bool mapped : {true, false}) {
    CAPTURE(mapped);
    CountingAllocator allocator;
    const Handle<inlay_runtime> runtime = make_runtime({.allocator = &allocator});
    const uint64_t blocks = allocator.live_blocks();
    inlay_status status = INLAY_ERROR_IO;
    for (uint64_t fail_at = 1; status != INLAY_OK; ++fail_at) {
      CAPTURE(fail_at);
      REQUIRE(fail_at < 10000);
      Failing failing{HostFile(whole), {}, 0, fail_at};
      failing.inner = failing.file.table(mapped);
      inlay_io io = INLAY_IO_INIT;
      io.user_data = &failing;
      io.size = [](void* self, uint64_t* out) {
        auto* f = static_cast<Failing*>(self);
        return f->next() ? INLAY_ERROR_IO : f->inner.size(f->inner.user_data, out);
      };
      io.read_at = [](void* self, uint64_t offset, void* destination, size_t bytes) {
        auto* f = static_cast<Failing*>(self);
        return f->next() ? INLAY_ERROR_CALLBACK
                         : f->inner.read_at(f->inner.user_data, offset, destination, bytes);
      };
      if (mapped) {
        io.map = [](void* self, const void** out) {
          auto* f = static_cast<Failing*>(self);
          return f->next() ? INLAY_ERROR_OUT_OF_MEMORY : f->inner.map(f->inner.user_data, out);
        };
      }
      io.close = [](void* self) { ++static_cast<Failing*>(self)->closes; };
      inlay_source source = INLAY_SOURCE_INIT;
      source.io = &io;
      status = use(runtime.get(), source);
      REQUIRE((status == INLAY_OK || status == INLAY_ERROR_IO));
      if (status != INLAY_OK)
        REQUIRE(message_of(runtime.get()).find("callback returned status") != std::string::npos);
      REQUIRE(failing.closes == 1);
      REQUIRE(allocator.live_blocks() == blocks);
    }
  }
}

TEST_CASE("what a file says of itself") {
  const OpenModel model(own_data("blocks32.gguf"));
  const inlay_model_info& info = model.info();
  CHECK(std::string(info.architecture) == "qwen35");
  CHECK(std::string(info.quantisation).find('%') != std::string::npos);
  CHECK(info.file_bytes == std::filesystem::file_size(own_data("blocks32.gguf")));
  CHECK(info.layers == 4);
  CHECK(info.attention_interval == 4);
  CHECK(info.mtp_layers == 1);
  CHECK(info.vocabulary_size == 256);
  CHECK(info.has_weights == 1);
  CHECK(info.has_tokenizer == 1);
  uint64_t bytes = 0, elements = 0;
  for (uint32_t i = 0; i < inlay_file_tensor_count(model.file()); ++i) {
    inlay_tensor_info tensor = INLAY_TENSOR_INFO_INIT;
    REQUIRE(inlay_file_get_tensor(model.file(), i, &tensor) == INLAY_OK);
    CHECK(tensor.name_bytes > 0);
    CHECK(std::string(tensor.type) != "");
    bytes += tensor.bytes;
    elements += tensor.dimensions[0] * tensor.dimensions[1] * tensor.dimensions[2] * tensor.dimensions[3];
  }
  CHECK(elements == info.parameters);
  CHECK(bytes < info.file_bytes);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_file_plan(model.file(), nullptr, &plan) == INLAY_OK);
  CHECK(plan.weights_mapped == bytes);
}

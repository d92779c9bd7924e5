#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

namespace {

struct Log {
  std::string last;
  inlay_log_level level = INLAY_LOG_INFO;
  int lines = 0;

  static void write(void* self, inlay_log_level level, const char* message) {
    auto* log = static_cast<Log*>(self);
    log->last = message;
    log->level = level;
    ++log->lines;
  }
};

inlay_runtime_params logged(Log& log) {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  params.threads = 1;
  params.log = Log::write;
  params.log_user_data = &log;
  return params;
}

}  // namespace

TEST_CASE("a runtime says what it is") {
  for (const std::string& set : instruction_sets()) {
    const Handle<inlay_runtime> runtime = make_runtime({.threads = 3, .instruction_set = set.c_str()});
    inlay_runtime_info info = INLAY_RUNTIME_INFO_INIT;
    REQUIRE(inlay_runtime_get_info(runtime.get(), &info) == INLAY_OK);
    CHECK(info.device == INLAY_DEVICE_CPU);
    CHECK(info.threads == 3);
    CHECK(std::string(info.device_name) != "");
    CHECK(std::string(info.instruction_set) != "");
    if (!set.empty()) CHECK(std::string(info.instruction_set).starts_with(set));
  }
  const Handle<inlay_runtime> runtime = make_runtime({.threads = 0});
  inlay_runtime_info info = INLAY_RUNTIME_INFO_INIT;
  REQUIRE(inlay_runtime_get_info(runtime.get(), &info) == INLAY_OK);
  CHECK(info.threads >= 1);
}

TEST_CASE("wishes that cannot be fulfilled are refused with words in the log") {
  struct Wish {
    void (*set)(inlay_runtime_params&);
    inlay_status expected;
    const char* words;
  };
  const Wish wishes[] = {
      {[](inlay_runtime_params& p) { p.device = 77; }, INLAY_ERROR_UNSUPPORTED, "77"},
      {[](inlay_runtime_params& p) { p.device = -1; }, INLAY_ERROR_UNSUPPORTED, "-1"},
      {[](inlay_runtime_params& p) { p.device_index = 1; }, INLAY_ERROR_UNSUPPORTED, "1"},
      {[](inlay_runtime_params& p) { p.threads = 1000000; }, INLAY_ERROR_INVALID_ARGUMENT, "threads"},
      {[](inlay_runtime_params& p) { p.instruction_set = "sse9"; }, INLAY_ERROR_UNSUPPORTED, "sse9"},
      {[](inlay_runtime_params& p) { p.memory_limit = 1; }, INLAY_ERROR_MEMORY_LIMIT, "limit"},
  };
  for (const Wish& wish : wishes) {
    Log log;
    inlay_runtime_params params = logged(log);
    wish.set(params);
    auto* runtime = reinterpret_cast<inlay_runtime*>(&log);
    CHECK(inlay_runtime_create(&params, &runtime) == wish.expected);
    CHECK(runtime == nullptr);
    CHECK(log.lines == 1);
    CHECK(log.level == INLAY_LOG_ERROR);
    CHECK(log.last.find(wish.words) != std::string::npos);
  }
}

TEST_CASE("the log and the message tell of a failed open") {
  Log log;
  const inlay_runtime_params params = logged(log);
  inlay_runtime* made = nullptr;
  REQUIRE(inlay_runtime_create(&params, &made) == INLAY_OK);
  const Handle<inlay_runtime> runtime(made);
  CHECK(message_of(runtime.get()).empty());
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = "/nowhere.gguf";
  inlay_file* file = nullptr;
  CHECK(inlay_file_open(runtime.get(), &source, &file) == INLAY_ERROR_IO);
  CHECK(log.last == message_of(runtime.get()));
  CHECK(log.last.find("/nowhere.gguf") != std::string::npos);
}

TEST_CASE("a runtime is used by many threads at once") {
  CountingAllocator allocator;
  {
    const Handle<inlay_runtime> runtime = make_runtime({.threads = 2, .allocator = &allocator});
    const std::string path = own_data("blocks32.gguf").string();
    inlay_source source = INLAY_SOURCE_INIT;
    source.path = path.c_str();
    inlay_model* opened = nullptr;
    REQUIRE(inlay_model_open(runtime.get(), &source, nullptr, &opened) == INLAY_OK);
    const Handle<inlay_model> model(opened);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < 10; ++round) {
          inlay_model* own = nullptr;
          inlay_session* session = nullptr;
          inlay_tokenizer_find(inlay_model_tokenizer(model.get()), "a", 1);
          if (inlay_model_open(runtime.get(), &source, nullptr, &own) == INLAY_OK &&
              inlay_session_create(i % 2 == 0 ? own : model.get(), nullptr, &session) == INLAY_OK) {
            inlay_session_step(session, i);
          }
          inlay_source absent = INLAY_SOURCE_INIT;
          absent.path = "/nowhere.gguf";
          inlay_file* file = nullptr;
          inlay_file_open(runtime.get(), &absent, &file);
          message_of(runtime.get());
          memory_of(runtime.get());
          inlay_model_destroy(own);
          inlay_session_destroy(session);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(allocator.live_blocks() == 0);
  CHECK(allocator.mistakes() == 0);
}

TEST_CASE("the version is the header's") {
  CHECK(inlay_version() == (INLAY_VERSION_MAJOR << 16 | INLAY_VERSION_MINOR << 8 | INLAY_VERSION_PATCH));
}

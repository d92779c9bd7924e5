#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/host.h"
#include "tests/temporary_folder.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Files that another program cuts short while they are mapped, under a runtime with guard_mappings.

namespace {

Handle<inlay_runtime> guarded_runtime(uint32_t threads, bool guarded = true) {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  params.threads = threads;
  params.guard_mappings = guarded ? 1 : 0;
  inlay_runtime* made = nullptr;
  REQUIRE(inlay_runtime_create(&params, &made) == INLAY_OK);
  return Handle<inlay_runtime>(made);
}

inlay_source source_of(const std::string& path) {
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = path.c_str();
  return source;
}

Handle<inlay_model> open_model(inlay_runtime* runtime, const std::string& path) {
  const inlay_source source = source_of(path);
  inlay_model* made = nullptr;
  REQUIRE(inlay_model_open(runtime, &source, nullptr, &made) == INLAY_OK);
  return Handle<inlay_model>(made);
}

Handle<inlay_session> make_session(inlay_model* model, bool mtp = false) {
  const inlay_session_params params = session_params(512, mtp);
  inlay_session* made = nullptr;
  REQUIRE(inlay_session_create(model, &params, &made) == INLAY_OK);
  return Handle<inlay_session>(made);
}

uint32_t vocabulary_of(const inlay_model* model) {
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  REQUIRE(inlay_model_get_info(model, &info) == INLAY_OK);
  return info.vocabulary_size;
}

/// A copy of a model that may be spoilt.
std::string copy_to(const TemporaryFolder& folder, const std::filesystem::path& from) {
  std::string path = folder.file("model");
  std::filesystem::copy_file(from, path, std::filesystem::copy_options::overwrite_existing);
  return path;
}

void cut(const std::string& path, uint64_t bytes) {
  REQUIRE(::truncate(path.c_str(), static_cast<off_t>(bytes)) == 0);
}

}  // namespace

// The first: once a page was found lost anywhere, sessions ask for more than they need to.
TEST_CASE("a file that lost the end of its last page alone") {
  const std::string whole = own_data("blocks32.gguf").string();
  const TemporaryFolder folder;
  const std::string path = copy_to(folder, whole);
  const Handle<inlay_runtime> runtime = guarded_runtime(2);
  const Handle<inlay_model> model = open_model(runtime.get(), path);
  const Handle<inlay_session> session = make_session(model.get());
  REQUIRE(inlay_session_step(session.get(), 1) == INLAY_OK);
  cut(path, std::filesystem::file_size(path) - 1);
  // There is no signal, only zeros.
  CHECK(inlay_session_step(session.get(), 2) == INLAY_ERROR_IO);
  CHECK(inlay_session_position(session.get()) == 1);
}

TEST_CASE("a file cut short under a session is a status; the session is as before, and goes on elsewhere") {
  const std::string whole = own_data("blocks32.gguf").string();
  for (const uint32_t threads : {1u, 4u}) {
    const TemporaryFolder folder;
    const std::string path = copy_to(folder, whole);
    const Handle<inlay_runtime> runtime = guarded_runtime(threads);
    const Handle<inlay_model> model = open_model(runtime.get(), path),
                              other = open_model(runtime.get(), whole);
    const Handle<inlay_session> session = make_session(model.get()), untouched = make_session(other.get());
    const uint32_t vocabulary = vocabulary_of(model.get());
    const std::vector<int32_t> tokens = random_tokens(1, 300, vocabulary);
    prefill(session.get(), tokens, vocabulary);
    prefill(untouched.get(), tokens, vocabulary);
    step(session.get(), 7, vocabulary);
    step(untouched.get(), 7, vocabulary);

    cut(path, 8192);
    // All kinds of work.
    const int32_t more[] = {1, 2, 3};
    REQUIRE(inlay_session_step(session.get(), 1) == INLAY_ERROR_IO);
    CHECK(message_of(session.get()).find("cut short") != std::string::npos);
    CHECK(inlay_session_position(session.get()) == 301);
    CHECK(inlay_session_prefill(session.get(), more, 3) == INLAY_ERROR_IO);
    CHECK(inlay_session_verify(session.get(), more, 3) == INLAY_ERROR_IO);
    CHECK(inlay_session_begin_step(session.get(), 1) == INLAY_ERROR_IO);
    inlay_session* none = nullptr;
    CHECK(inlay_session_create(model.get(), nullptr, &none) == INLAY_ERROR_IO);
    CHECK(inlay_session_fork(session.get(), &none) == INLAY_ERROR_IO);

    // What it was can be saved and goes on where the file is whole, with the same bits.
    const std::vector<std::byte> saved = save_to_memory(session.get());
    const Handle<inlay_session> again = make_session(other.get());
    REQUIRE(inlay_session_load_memory(again.get(), saved.data(), saved.size()) == INLAY_OK);
    CHECK(same_bits(step(again.get(), 9, vocabulary), step(untouched.get(), 9, vocabulary)));
  }
}

TEST_CASE("every slice can be the one that finds the file cut short") {
  const std::string whole = own_data("blocks32.gguf").string();
  const Handle<inlay_runtime> runtime = guarded_runtime(2);
  const Handle<inlay_model> other = open_model(runtime.get(), whole);
  const uint32_t vocabulary = vocabulary_of(other.get());
  const std::vector<int32_t> tokens = random_tokens(1, 40, vocabulary);
  for (int slices = 0; slices < 60; slices += 3) {
    const TemporaryFolder folder;
    const std::string path = copy_to(folder, whole);
    const Handle<inlay_model> model = open_model(runtime.get(), path);
    const Handle<inlay_session> session = make_session(model.get()), untouched = make_session(other.get());
    prefill(session.get(), tokens, vocabulary);
    prefill(untouched.get(), tokens, vocabulary);
    inlay_status status = slices % 2 == 0 ? inlay_session_begin_step(session.get(), 3)
                                          : inlay_session_begin_prefill(session.get(), tokens.data(), 40);
    REQUIRE(status == INLAY_OK);
    status = INLAY_PENDING;
    for (int i = 0; i < slices && status == INLAY_PENDING; ++i) status = inlay_session_poll(session.get());
    cut(path, 0);
    if (status == INLAY_PENDING) status = inlay_session_finish(session.get());
    if (status == INLAY_OK) continue;  // it was done before
    REQUIRE(status == INLAY_ERROR_IO);
    CHECK(inlay_session_position(session.get()) == 40);
    const std::vector<std::byte> saved = save_to_memory(session.get());
    const Handle<inlay_session> again = make_session(other.get());
    REQUIRE(inlay_session_load_memory(again.get(), saved.data(), saved.size()) == INLAY_OK);
    REQUIRE(same_bits(step(again.get(), 9, vocabulary), step(untouched.get(), 9, vocabulary)));
  }
}

TEST_CASE("a generator on a file cut short gives the status, and is saved") {
  const auto bundled = bundled_model();
  if (!bundled) return;
  const TemporaryFolder folder;
  const std::string path = copy_to(folder, *bundled);
  const Handle<inlay_runtime> runtime = guarded_runtime(2);
  const auto make = [&](inlay_session* session) {
    inlay_generator* made = nullptr;
    inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
    params.ignore_end = 1;
    REQUIRE(inlay_generator_create(session, &params, &made) == INLAY_OK);
    return Handle<inlay_generator>(made);
  };
  const auto words = [](inlay_generator* generator, int rounds) {
    std::string text;
    for (int i = 0; i < rounds; ++i) {
      inlay_output output = INLAY_OUTPUT_INIT;
      REQUIRE(inlay_generator_next(generator, INLAY_NO_BUDGET, &output) >= INLAY_OK);
      text.append(output.text, output.text_bytes);
    }
    return text;
  };
  const Handle<inlay_model> model = open_model(runtime.get(), path),
                            other = open_model(runtime.get(), bundled->string());
  const Handle<inlay_session> session = make_session(model.get()), untouched = make_session(other.get());
  const Handle<inlay_generator> generator = make(session.get()), reference = make(untouched.get());
  const std::string prompt = "Innkeeper, what do you have?";
  REQUIRE(inlay_generator_prompt_text(generator.get(), prompt.data(), prompt.size(), 0) == INLAY_OK);
  REQUIRE(inlay_generator_prompt_text(reference.get(), prompt.data(), prompt.size(), 0) == INLAY_OK);
  CHECK(words(generator.get(), 4) == words(reference.get(), 4));
  cut(path, 4096);
  inlay_output output = INLAY_OUTPUT_INIT;
  for (int i = 0; i < 2; ++i) {
    CHECK(inlay_generator_next(generator.get(), INLAY_NO_BUDGET, &output) == INLAY_ERROR_IO);
    CHECK(message_of(generator.get()).find("cut short") != std::string::npos);
  }
  const std::vector<std::byte> saved = save_to_memory(generator.get());
  const Handle<inlay_session> later = make_session(other.get());
  const Handle<inlay_generator> again = make(later.get());
  REQUIRE(inlay_generator_load_memory(again.get(), saved.data(), saved.size()) == INLAY_OK);
  CHECK(words(again.get(), 8) == words(reference.get(), 8));
}

TEST_CASE("a package's tokenizer outlives its file") {
  const auto bundled = bundled_model();
  if (!bundled) return;
  const TemporaryFolder folder;
  const std::string path = folder.file("model.inlay");
  const Handle<inlay_runtime> runtime = guarded_runtime(1);
  REQUIRE(inlay_pack(runtime.get(), bundled->string().c_str(), path.c_str(), nullptr) == INLAY_OK);
  const Handle<inlay_model> model = open_model(runtime.get(), path);
  const std::string text = "Good evening, innkeeper!";
  int32_t before[64] = {}, after[64] = {};
  size_t count = 0, count_after = 0;
  const inlay_tokenizer* tokenizer = inlay_model_tokenizer(model.get());
  REQUIRE(inlay_tokenizer_encode(tokenizer, text.data(), text.size(), 0, before, 64, &count) == INLAY_OK);
  cut(path, 0);
  REQUIRE(inlay_tokenizer_encode(tokenizer, text.data(), text.size(), 0, after, 64, &count_after) ==
          INLAY_OK);
  CHECK(count == count_after);
  CHECK(std::equal(before, before + count, after));
}

TEST_CASE("a file cut short before and while its model is made") {
  const std::string whole = own_data("blocks32.gguf").string();
  const TemporaryFolder folder;
  const std::string path = copy_to(folder, whole);
  const Handle<inlay_runtime> runtime = guarded_runtime(1);
  const uint64_t held = memory_of(runtime.get());
  const inlay_source source = source_of(path);
  {
    inlay_file* made = nullptr;
    REQUIRE(inlay_file_open(runtime.get(), &source, &made) == INLAY_OK);
    const Handle<inlay_file> file(made);
    cut(path, 100);
    inlay_model* model = nullptr;
    inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
    inlay_tokenizer* tokenizer = nullptr;
    CHECK(inlay_file_plan(file.get(), nullptr, &plan) == INLAY_ERROR_IO);
    CHECK(message_of(runtime.get()).find("cut short") != std::string::npos);
    CHECK(inlay_model_create(file.get(), nullptr, &model) == INLAY_ERROR_IO);
    CHECK(inlay_tokenizer_create(file.get(), &tokenizer) < INLAY_OK);
    CHECK(model == nullptr);
  }
  CHECK(memory_of(runtime.get()) == held);
  copy_to(folder, whole);
  {
    inlay_file* made = nullptr;
    REQUIRE(inlay_file_open(runtime.get(), &source, &made) == INLAY_OK);
    const Handle<inlay_file> file(made);
    inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
    params.read_ahead = 1;
    params.progress_user_data = const_cast<std::string*>(&path);
    params.progress = [](void* user_data, uint64_t, uint64_t) {
      cut(*static_cast<std::string*>(user_data), 4096);
      return INLAY_OK;
    };
    inlay_model* model = nullptr;
    CHECK(inlay_model_create(file.get(), &params, &model) == INLAY_ERROR_IO);
    CHECK(model == nullptr);
  }
  CHECK(memory_of(runtime.get()) == held);
  copy_to(folder, whole);
  const Handle<inlay_model> model = open_model(runtime.get(), path);
  step(make_session(model.get()).get(), 1, vocabulary_of(model.get()));
}

TEST_CASE("files cut short at any moment by another thread: a status each time") {
  const std::string whole = own_data("blocks32.gguf").string();
  const Handle<inlay_runtime> runtime = guarded_runtime(2);
  const TemporaryFolder folder;
  Random random(1);
  int lost = 0;
  for (int round = 0; round < 60; ++round) {
    const std::string path = copy_to(folder, whole);
    const uint32_t wait_us = random.below(3000);
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
      (void)!::truncate(path.c_str(), 4096);
    });
    inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
    params.read_ahead = 1;
    const inlay_source source = source_of(path);
    inlay_model* model = nullptr;
    inlay_session* session = nullptr;
    const inlay_session_params wish = session_params(256);
    inlay_status status = inlay_model_open(runtime.get(), &source, &params, &model);
    if (status == INLAY_OK) status = inlay_session_create(model, &wish, &session);
    for (int i = 0; i < 20 && status == INLAY_OK; ++i) status = inlay_session_step(session, 1);
    other.join();
    CAPTURE(status);
    CHECK((status == INLAY_OK || status == INLAY_ERROR_IO || status == INLAY_ERROR_CORRUPT_FILE));
    lost += status == INLAY_OK ? 0 : 1;
    inlay_session_destroy(session);
    inlay_model_destroy(model);
  }
  CHECK(lost > 0);
}

namespace {

std::atomic<int> foreign_faults{0};
void* foreign_page = nullptr;

void handle_foreign(int, siginfo_t* info, void*) {
  ++foreign_faults;
  if (info->si_addr == foreign_page) {
    (void)::mmap(foreign_page, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  }
}

}  // namespace

TEST_CASE("the host's own handler gets what is not Inlay's, and comes back") {
  struct sigaction own {};
  own.sa_sigaction = handle_foreign;
  own.sa_flags = SA_SIGINFO;
  struct sigaction before {};
  struct sigaction now {};
  REQUIRE(::sigaction(SIGBUS, &own, &before) == 0);
  const TemporaryFolder folder;
  const std::string foreign = folder.file("foreign");
  write_text(foreign, std::string(100, 'x'));
  {
    // Nothing is touched unless it was asked for.
    const Handle<inlay_runtime> plain = guarded_runtime(1, false);
    REQUIRE(::sigaction(SIGBUS, nullptr, &now) == 0);
    CHECK((now.sa_sigaction == handle_foreign));
    Handle<inlay_runtime> first = guarded_runtime(1), second = guarded_runtime(1);
    REQUIRE(::sigaction(SIGBUS, nullptr, &now) == 0);
    CHECK((now.sa_sigaction != handle_foreign));
    first.reset();
    const std::string path = copy_to(folder, own_data("blocks32.gguf"));
    const Handle<inlay_model> model = open_model(second.get(), path);
    const Handle<inlay_session> session = make_session(model.get());

    FILE* file = std::fopen(foreign.c_str(), "rb");
    REQUIRE(file != nullptr);
    foreign_page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, ::fileno(file), 0);
    REQUIRE(foreign_page != MAP_FAILED);
    cut(foreign, 0);
    CHECK(*static_cast<volatile char*>(foreign_page) == 0);
    CHECK(foreign_faults == 1);
    step(session.get(), 1, vocabulary_of(model.get()));  // untouched by it
    cut(path, 0);
    CHECK(inlay_session_step(session.get(), 1) == INLAY_ERROR_IO);
    CHECK(foreign_faults == 1);
    ::munmap(foreign_page, 4096);
    std::fclose(file);
  }
  REQUIRE(::sigaction(SIGBUS, nullptr, &now) == 0);
  CHECK((now.sa_sigaction == handle_foreign));
  REQUIRE(::sigaction(SIGBUS, &before, nullptr) == 0);
}

#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "tests/host.h"
#include "tests/temporary_folder.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Models packed through the ABI, and what becomes of them.

namespace {

std::string packed(inlay_runtime* runtime, const std::filesystem::path& from, const TemporaryFolder& folder,
                   const inlay_pack_params* params = nullptr) {
  std::string to = folder.file(from.stem().string() + ".inlay");
  const inlay_status status = inlay_pack(runtime, from.string().c_str(), to.c_str(), params);
  if (status != INLAY_OK) throw std::runtime_error(message_of(runtime));
  return to;
}

std::vector<float> all_logits(const std::filesystem::path& path) {
  const OpenModel model(path);
  const Handle<inlay_session> session = model.session(session_params(64, model.mtp()));
  const std::vector<int32_t> tokens = random_tokens(3, 12, model.vocabulary());
  std::vector<float> all = prefill(session.get(), tokens, model.vocabulary());
  for (const int32_t token : random_tokens(4, 4, model.vocabulary())) {
    const Logits row = step(session.get(), token, model.vocabulary());
    all.insert(all.end(), row.begin(), row.end());
  }
  if (model.mtp()) {
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    Logits mtp((tokens.size() - 1) * model.vocabulary());
    REQUIRE(inlay_session_mtp_logits(session.get(), tokens.data(), tokens.size(), mtp.data()) == INLAY_OK);
    all.insert(all.end(), mtp.begin(), mtp.end());
  }
  return all;
}

}  // namespace

TEST_CASE("pack: a GGUF file's package gives the same bits") {
  const TemporaryFolder folder;
  const Handle<inlay_runtime> runtime = make_runtime({.threads = 2});
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const std::string package = packed(runtime.get(), path, folder);
    const std::vector<float> of_file = all_logits(path);
    CHECK(same_bits(of_file, all_logits(package)));
    const OpenModel model(package);
    CHECK(inlay_file_verify(model.file(), nullptr, nullptr) == INLAY_OK);
    // A package of a package is the same package.
    const std::filesystem::path again = folder.path() / "again";
    std::filesystem::create_directory(again);
    const std::string second = (again / "p.inlay").string();
    REQUIRE(inlay_pack(runtime.get(), package.c_str(), second.c_str(), nullptr) == INLAY_OK);
    CHECK(read_bytes(package) == read_bytes(second));
  }
}

TEST_CASE("pack: the tokenizer lies ready, and the plan is what is taken") {
  const auto bundled = bundled_model();
  REQUIRE(bundled);
  const TemporaryFolder folder;
  const Handle<inlay_runtime> runtime = make_runtime();
  const std::string package = packed(runtime.get(), *bundled, folder);
  const OpenModel of_file(*bundled);
  const uint64_t before = memory_of(runtime.get());
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = package.c_str();
  inlay_file* file = nullptr;
  REQUIRE(inlay_file_open(runtime.get(), &source, &file) == INLAY_OK);
  const Handle<inlay_file> file_handle(file);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_file_plan(file, nullptr, &plan) == INLAY_OK);
  inlay_memory_plan plan_of_gguf = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_file_plan(of_file.file(), nullptr, &plan_of_gguf) == INLAY_OK);
  CHECK(plan.model_host < plan_of_gguf.model_host);
  CHECK(plan.weights_mapped == plan_of_gguf.weights_mapped);
  const uint64_t opened = memory_of(runtime.get());
  inlay_model* made = nullptr;
  REQUIRE(inlay_model_create(file, nullptr, &made) == INLAY_OK);
  const Handle<inlay_model> model(made);
  CHECK(memory_of(runtime.get()) - opened == plan.model_host);
  CHECK(opened > before);
  const std::string text = "Welcome, traveller! What'll it be? <|im_end|>\n";
  std::vector<int32_t> ours(200), theirs(200);
  size_t our_count = 0, their_count = 0;
  REQUIRE(inlay_tokenizer_encode(inlay_model_tokenizer(made), text.data(), text.size(), 1, ours.data(),
                                 ours.size(), &our_count) == INLAY_OK);
  REQUIRE(inlay_tokenizer_encode(inlay_model_tokenizer(of_file.get()), text.data(), text.size(), 1,
                                 theirs.data(), theirs.size(), &their_count) == INLAY_OK);
  CHECK(our_count == their_count);
  CHECK(ours == theirs);
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  REQUIRE(inlay_model_get_info(made, &info) == INLAY_OK);
  CHECK(std::string(info.chat_template) == of_file.info().chat_template);
}

TEST_CASE("pack: a tokenizer of a package outlives its file") {
  const auto bundled = bundled_model();
  REQUIRE(bundled);
  const TemporaryFolder folder;
  const Handle<inlay_runtime> runtime = make_runtime();
  const std::string package = packed(runtime.get(), *bundled, folder);
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = package.c_str();
  inlay_file* file = nullptr;
  REQUIRE(inlay_file_open(runtime.get(), &source, &file) == INLAY_OK);
  inlay_tokenizer* tokenizer = nullptr;
  REQUIRE(inlay_tokenizer_create(file, &tokenizer) == INLAY_OK);
  const Handle<inlay_tokenizer> handle(tokenizer);
  inlay_file_destroy(file);
  size_t count = 0;
  CHECK(inlay_tokenizer_encode(tokenizer, "a drink", 7, 0, nullptr, 0, &count) == INLAY_OK);
  CHECK(count > 0);
}

TEST_CASE("pack: progress rises, and can stop it without a trace") {
  const TemporaryFolder folder;
  const Handle<inlay_runtime> runtime = make_runtime();
  const std::filesystem::path path = own_models().front();
  struct Seen {
    uint64_t last = 0;
    int calls = 0;
    int stop_at = 0;
  } seen;
  inlay_pack_params params = INLAY_PACK_PARAMS_INIT;
  params.progress_user_data = &seen;
  params.progress = [](void* user_data, uint64_t done, uint64_t total) {
    auto& state = *static_cast<Seen*>(user_data);
    CHECK(done >= state.last);
    CHECK(done <= total);
    state.last = done;
    return ++state.calls == state.stop_at ? INLAY_ERROR_CANCELLED : INLAY_OK;
  };
  packed(runtime.get(), path, folder, &params);
  CHECK(seen.calls > 10);
  std::filesystem::remove_all(folder.path());
  std::filesystem::create_directory(folder.path());
  seen = {0, 0, 5};
  const std::string to = folder.file("stopped.inlay");
  CHECK(inlay_pack(runtime.get(), path.string().c_str(), to.c_str(), &params) == INLAY_ERROR_CANCELLED);
  CHECK(folder.files() == 0);
}

TEST_CASE("pack: a package for CUDA devices says so to every other") {
  const TemporaryFolder folder;
  const Handle<inlay_runtime> runtime = make_runtime({.threads = 2});
  inlay_pack_params params = INLAY_PACK_PARAMS_INIT;
  params.layout = "cuda";
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const std::string package = packed(runtime.get(), path, folder, &params);
    const Handle<inlay_file> file = open_file(runtime.get(), package);
    CHECK(inlay_file_verify(file.get(), nullptr, nullptr) == INLAY_OK);
    inlay_model* model = nullptr;
    CHECK(inlay_model_create(file.get(), nullptr, &model) == INLAY_ERROR_UNSUPPORTED);
    CHECK(model == nullptr);
    CHECK(message_of(runtime.get()).find("cuda-tiles-1") != std::string::npos);
    CHECK(message_of(runtime.get()).find("pack the model again") != std::string::npos);
    inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
    CHECK(inlay_file_plan(file.get(), nullptr, &plan) == INLAY_ERROR_UNSUPPORTED);
    const std::string again = folder.file("again.inlay");
    CHECK(inlay_pack(runtime.get(), package.c_str(), again.c_str(), nullptr) == INLAY_ERROR_UNSUPPORTED);
    CHECK(message_of(runtime.get()).find("cuda-tiles-1") != std::string::npos);
  }
  params.layout = "vulkan";
  CHECK(inlay_pack(runtime.get(), own_models().front().string().c_str(), folder.file("o.inlay").c_str(),
                   &params) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(message_of(runtime.get()).find("vulkan") != std::string::npos);
}

TEST_CASE("pack: wrong wishes are refused with words") {
  const TemporaryFolder folder;
  const Handle<inlay_runtime> runtime = make_runtime();
  const std::string model = own_models().front().string();
  const std::string out = folder.file("o.inlay");
  CHECK(inlay_pack(nullptr, model.c_str(), out.c_str(), nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_pack(runtime.get(), nullptr, out.c_str(), nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_pack(runtime.get(), model.c_str(), nullptr, nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_pack(runtime.get(), "/there/is/none.gguf", out.c_str(), nullptr) == INLAY_ERROR_IO);
  CHECK(inlay_pack(runtime.get(), model.c_str(), folder.path().string().c_str(), nullptr) == INLAY_ERROR_IO);
  CHECK(inlay_pack(runtime.get(), model.c_str(), (folder.file("no") + "/o.inlay").c_str(), nullptr) ==
        INLAY_ERROR_IO);
  CHECK(inlay_pack(runtime.get(), folder.path().string().c_str(), out.c_str(), nullptr) == INLAY_ERROR_IO);
  CHECK(message_of(runtime.get()).find("config.json") != std::string::npos);
  inlay_pack_params params = INLAY_PACK_PARAMS_INIT;
  params.quantisation = "q9";
  CHECK(inlay_pack(runtime.get(), model.c_str(), out.c_str(), &params) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(folder.files() == 0);
  const OpenModel gguf(model);
  CHECK(inlay_file_verify(gguf.file(), nullptr, nullptr) == INLAY_ERROR_UNSUPPORTED);
}

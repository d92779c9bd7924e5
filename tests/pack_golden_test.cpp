#include <doctest/doctest.h>

#include <string>

#include "tests/host.h"
#include "tests/temporary_folder.h"
#include "tests/test_data.h"

using namespace inlay::test;

// The published forms of a checkpoint, packed and run, against the logits of Hugging Face transformers.

namespace {

std::string pack(const std::filesystem::path& from, const std::string& to) {
  const Handle<inlay_runtime> runtime = make_runtime({.threads = 2});
  const inlay_status status = inlay_pack(runtime.get(), from.string().c_str(), to.c_str(), nullptr);
  if (status != INLAY_OK) throw std::runtime_error(message_of(runtime.get()));
  return to;
}

struct Result {
  std::vector<float> prompts;
  std::vector<float> steps;
  std::vector<float> mtp;
};

Result run(const std::filesystem::path& path, const std::vector<int32_t>& tokens) {
  const OpenModel model(path);
  const uint32_t vocabulary = model.vocabulary();
  const Handle<inlay_session> session = model.session(session_params(256, true, INLAY_KV_DEFAULT));
  Result result;
  result.mtp.resize((tokens.size() - 1) * vocabulary);
  REQUIRE(inlay_session_mtp_logits(session.get(), tokens.data(), tokens.size(), result.mtp.data()) ==
          INLAY_OK);
  for (size_t i = 0; i < tokens.size(); ++i) {
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    const Logits row = prefill(session.get(), std::span(tokens).first(i + 1), vocabulary);
    result.prompts.insert(result.prompts.end(), row.begin(), row.end());
  }
  REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
  for (const int32_t token : tokens) {
    const Logits row = step(session.get(), token, vocabulary);
    result.steps.insert(result.steps.end(), row.begin(), row.end());
  }
  return result;
}

}  // namespace

TEST_CASE("checkpoints in every published form") {
  struct Form {
    const char* name;
    double bound;
    int32_t kv_type;
  };
  constexpr Form kForms[] = {{"bf16", 1e-4, INLAY_KV_F16},
                             {"fp8-block", 1e-3, INLAY_KV_F16},
                             {"ct-mixed", 1e-3, INLAY_KV_F16},
                             {"modelopt-nvfp4", 1e-3, INLAY_KV_FP8}};
  const TemporaryFolder folder;
  for (const Form& form : kForms) {
    CAPTURE(std::string(form.name));
    INLAY_SHARED_DATA(checkpoint, "golden/hf/" + std::string(form.name));
    const Safetensors golden(checkpoint / "golden.safetensors");
    const std::string package = pack(checkpoint, folder.file(std::string(form.name) + ".inlay"));
    const OpenModel model(package);
    CHECK(model.info().kv_type == form.kv_type);
    CHECK(model.info().mtp_layers == 1);
    const std::vector<int32_t> tokens = golden.i32("tokens");
    const Result result = run(package, tokens);
    const std::vector<float> reference = golden.f32("logits");
    CHECK(nmse(result.prompts, reference) <= form.bound);
    CHECK(nmse(result.steps, reference) <= form.bound);
    if (std::string(form.name) != "bf16") continue;
    CHECK(nmse(result.mtp, Safetensors(checkpoint / "golden-mtp.safetensors").f32("mtp_logits")) <=
          form.bound);
    const Result converted = run(pack(checkpoint / "converted.gguf", folder.file("converted.inlay")), tokens);
    CHECK(same_bits(result.prompts, converted.prompts));
    CHECK(same_bits(result.steps, converted.steps));
    CHECK(same_bits(result.mtp, converted.mtp));
  }
}

TEST_CASE("golden GGUF files, packed, give the same bits") {
  const TemporaryFolder folder;
  for (const char* name : {"bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k"}) {
    CAPTURE(std::string(name));
    INLAY_SHARED_DATA(path, "golden/gguf/micro-" + std::string(name) + ".gguf");
    const std::vector<int32_t> tokens = random_tokens(5, 24, 512);
    const Result of_file = run(path, tokens);
    const Result of_package = run(pack(path, folder.file(std::string(name) + ".inlay")), tokens);
    CHECK(same_bits(of_file.prompts, of_package.prompts));
    CHECK(same_bits(of_file.steps, of_package.steps));
    CHECK(same_bits(of_file.mtp, of_package.mtp));
  }
}

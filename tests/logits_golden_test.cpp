#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Models and exact logits that were made by programs which share no code with this one, and what llama.cpp
// makes of the same files: the bar.

namespace {

/// llama.cpp's error on this quantisation, out of micro.json.
double llama_cpp_error(const std::filesystem::path& path, const std::string& quantisation) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t key = text.find("\"" + quantisation + "\":");
  if (key == std::string::npos) throw std::runtime_error(path.string() + " has no " + quantisation);
  return std::stod(text.substr(text.find(':', key) + 1));
}

struct Golden {
  std::vector<int32_t> tokens;
  std::vector<float> logits;
  std::vector<float> mtp_logits;
};

/// The error of prompts that end at every `stride`-th token, and at the last.
double error_of_prompts(const OpenModel& model, inlay_session* session, const Golden& golden, size_t stride) {
  Logits ours, reference;
  for (size_t i = 0; i < golden.tokens.size(); ++i) {
    if (i % stride != 0 && i + 1 != golden.tokens.size()) continue;
    REQUIRE(inlay_session_reset(session) == INLAY_OK);
    const Logits row = prefill(session, std::span(golden.tokens).first(i + 1), model.vocabulary());
    ours.insert(ours.end(), row.begin(), row.end());
    const auto exact = golden.logits.begin() + static_cast<ptrdiff_t>(i * model.vocabulary());
    reference.insert(reference.end(), exact, exact + model.vocabulary());
  }
  return nmse(ours, reference);
}

double error_of_steps(const OpenModel& model, inlay_session* session, const Golden& golden) {
  REQUIRE(inlay_session_reset(session) == INLAY_OK);
  Logits ours;
  for (const int32_t token : golden.tokens) {
    const Logits row = step(session, token, model.vocabulary());
    ours.insert(ours.end(), row.begin(), row.end());
  }
  return nmse(ours, golden.logits);
}

double error_of_mtp(inlay_session* session, const Golden& golden) {
  REQUIRE(inlay_session_reset(session) == INLAY_OK);
  Logits ours(golden.mtp_logits.size());
  REQUIRE(inlay_session_mtp_logits(session, golden.tokens.data(), golden.tokens.size(), ours.data()) ==
          INLAY_OK);
  return nmse(ours, golden.mtp_logits);
}

/// The first `count` tokens of it.
Golden beginning_of(const Golden& golden, size_t count, uint32_t vocabulary) {
  Golden part = golden;
  part.tokens.resize(count);
  part.logits.resize(count * vocabulary);
  part.mtp_logits.resize((count - 1) * vocabulary);
  return part;
}

/// The best instruction set with all lengths of prompt, the others, some of which are slow, with a few. Where
/// the best is emulated it has every 24th.
void check_model(const std::filesystem::path& path, const Golden& golden, double bar) {
  const size_t stride = emulated() ? 24 : 1;
  for (const std::string& set : instruction_sets()) {
    CAPTURE(set);
    const OpenModel model(path, {.threads = 2, .instruction_set = set.c_str()});
    const Handle<inlay_session> session = model.session(session_params(256, model.mtp()));
    const Golden part = set.empty() ? golden : beginning_of(golden, 20, model.vocabulary());
    CHECK(error_of_prompts(model, session.get(), part, set.empty() ? stride : 10) <= bar);
    CHECK(error_of_steps(model, session.get(), part) <= bar);
    CHECK(error_of_mtp(session.get(), part) <= bar);
  }
}

}  // namespace

TEST_CASE("micro models are at least as exact as llama.cpp") {
  INLAY_SHARED_DATA(bars, "golden/gguf/micro.json");
  for (const std::string quantisation : {"bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k"}) {
    CAPTURE(quantisation);
    INLAY_SHARED_DATA(path, "golden/gguf/micro-" + quantisation + ".gguf");
    INLAY_SHARED_DATA(golden_path, "golden/gguf/micro-" + quantisation + ".golden.safetensors");
    const Safetensors file(golden_path);
    const Golden golden{file.i32("tokens"), file.f32("logits"), file.f32("mtp_logits")};
    const double bar = llama_cpp_error(bars, quantisation);
    check_model(path, golden, bar);
  }
}

TEST_CASE("a checkpoint through llama.cpp's converter has Hugging Face's logits") {
  INLAY_SHARED_DATA(path, "golden/hf/bf16/converted.gguf");
  INLAY_SHARED_DATA(golden_path, "golden/hf/bf16/golden.safetensors");
  INLAY_SHARED_DATA(mtp_path, "golden/hf/bf16/golden-mtp.safetensors");
  const Safetensors file(golden_path);
  Golden golden{file.i32("tokens"), file.f32("logits"), {}};
  golden.mtp_logits = Safetensors(mtp_path).f32("mtp_logits");
  check_model(path, golden, 1e-4);
}

#include <doctest/doctest.h>

#include <string>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

// The project's own golden models against their exact logits, on every path and every instruction set.

namespace {

// What rounding alone leaves, with some room; a mistake shows as 0.01 to 1 (golden/README.md). Prompts may be
// multiplied in BF16 where the processor can.
struct Bounds {
  double narrow;
  double wide;
};

void append(Logits& all, const Logits& row) { all.insert(all.end(), row.begin(), row.end()); }

void check_model(const std::string& name, const OpenModel& model, int32_t kv_type, Bounds bounds) {
  const Safetensors golden(own_data(name + ".golden.safetensors"));
  const std::vector<int32_t> tokens = golden.i32("tokens");
  const std::vector<float> reference = golden.f32("logits");
  const Handle<inlay_session> session = model.session(session_params(256, model.mtp(), kv_type));
  Logits prompted, stepped;
  for (const int32_t token : tokens) append(stepped, step(session.get(), token, model.vocabulary()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    append(prompted, prefill(session.get(), std::span(tokens).first(i + 1), model.vocabulary()));
  }
  CHECK(nmse(stepped, reference) <= bounds.narrow);
  CHECK(nmse(prompted, reference) <= bounds.wide);
  if (!model.mtp()) return;
  REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
  Logits mtp((tokens.size() - 1) * model.vocabulary());
  REQUIRE(inlay_session_mtp_logits(session.get(), tokens.data(), tokens.size(), mtp.data()) == INLAY_OK);
  CHECK(nmse(mtp, golden.f32("mtp_logits")) <= bounds.narrow);
  CHECK(inlay_session_position(session.get()) == 0);
}

}  // namespace

TEST_CASE("the project's own golden models, on every instruction set") {
  for (const std::string& set : instruction_sets()) {
    for (const char* name : {"blocks32", "blocks256", "fp4", "floats"}) {
      CAPTURE(set);
      CAPTURE(std::string(name));
      const OpenModel model(own_data(std::string(name) + ".gguf"), {.instruction_set = set.c_str()});
      check_model(name, model, INLAY_KV_F16, {1e-6, 1e-4});
    }
  }
}

TEST_CASE("keys and values in 8 bits stay close") {
  for (const char* name : {"blocks32", "blocks256", "fp4", "floats"}) {
    CAPTURE(std::string(name));
    const OpenModel model(own_data(std::string(name) + ".gguf"));
    check_model(name, model, INLAY_KV_Q8, {1e-4, 2e-4});
    check_model(name, model, INLAY_KV_FP8, {1e-3, 1e-3});
  }
}

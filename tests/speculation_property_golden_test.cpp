#include <doctest/doctest.h>

#include <string>

#include "tests/test_data.h"
#include "tests/timeline.h"

using namespace inlay::test;

// The properties of speculation_property_test.cpp on the golden models from outside and on the bundled one.

namespace {

void check_model(const std::filesystem::path& path, uint64_t seed) {
  CAPTURE(path.string());
  constexpr size_t kPrompts[] = {5, 70};
  const OpenModel model(path, {.threads = 2});
  for (const int32_t kv_type : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
    CAPTURE(kv_type);
    const bool first = kv_type == INLAY_KV_F16;
    check_widths(model, session_params(256, model.mtp(), kv_type), std::span(kPrompts).last(first ? 2 : 1));
    check_random_play(model, session_params(200, model.mtp() && !first, kv_type, 24), seed, 40);
  }
}

}  // namespace

TEST_CASE("widths and random plays of the golden models") {
  uint64_t seed = 0;
  for (const std::string quantisation : {"bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k"}) {
    INLAY_SHARED_DATA(path, "golden/gguf/micro-" + quantisation + ".gguf");
    check_model(path, ++seed);
  }
  INLAY_SHARED_DATA(converted, "golden/hf/bf16/converted.gguf");
  check_model(converted, ++seed);
}

TEST_CASE("widths and random plays of the bundled model") {
  const auto path = bundled_model();
  if (!path) INLAY_SKIP("the bundled model is not there");
  check_model(*path, 99);
}

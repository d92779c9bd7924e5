#include "tests/speculation.h"

#include <doctest/doctest.h>

#include <cstring>

#include "tests/test_data.h"

using namespace inlay::test;

namespace {

inlay_sampler_params sampled() {
  inlay_sampler_params params = INLAY_SAMPLER_PARAMS_INIT;
  params.temperature = 0.6f;
  params.top_p = 0.95f;
  params.repeat_penalty = 1.1f;
  params.frequency_penalty = 0.05f;
  params.presence_penalty = 0.1f;
  return params;
}

/// Every drafting gives what none gives: tokens, text, stop, what the session was fed, and the next logits.
void compare_all(const LoadedModel& model, const Wish& wish, std::span<const Drafting> draftings) {
  const Generation plain = generate(model, wish, {"none"});
  std::vector<int32_t> truth = wish.prompt;
  truth.insert(truth.end(), plain.tokens.begin(), plain.tokens.end());
  for (const Drafting& drafting : draftings) {
    CAPTURE(drafting.name);
    const Generation drafted = generate(model, wish, drafting, truth);
    REQUIRE(drafted.tokens == plain.tokens);
    REQUIRE(drafted.text == plain.text);
    REQUIRE(drafted.stop == plain.stop);
    REQUIRE(drafted.timeline == plain.timeline);
    REQUIRE(drafted.logits.size() == plain.logits.size());
    REQUIRE(std::memcmp(drafted.logits.data(), plain.logits.data(), plain.logits.size() * sizeof(float)) == 0);
    REQUIRE(drafted.stats.accepted <= drafted.stats.drafted);
    REQUIRE(drafted.stats.rounds <= plain.stats.rounds);
    if (drafting.name == "right:7") {
      REQUIRE(drafted.stats.accepted == drafted.stats.drafted);
      REQUIRE(drafted.stats.rounds <= (plain.tokens.size() + 6) / 8 + 1);
    }
    if (drafting.name == "wrong:7") REQUIRE(drafted.stats.accepted == 0);
  }
}

void compare_prompts(const LoadedModel& model, uint64_t prompts, uint64_t max_tokens) {
  const std::vector<Drafting> draftings = all_draftings(model.info().mtp_layers > 0);
  for (uint64_t seed = 0; seed < prompts; ++seed) {
    for (const bool greedy : {true, false}) {
      CAPTURE(seed);
      CAPTURE(greedy);
      Wish wish;
      wish.prompt = made_up_prompt(seed, 4 + seed % 37, model.info().vocabulary_size);
      if (!greedy) wish.sampler = sampled();
      wish.sampler.seed = seed;
      wish.max_tokens = max_tokens + seed % 5;
      compare_all(model, wish, draftings);
    }
  }
}

}  // namespace

TEST_CASE("no drafting changes the text: the golden models") {
  for (const char* name : {"floats.gguf", "blocks256.gguf", "fp4.gguf"}) {
    CAPTURE(name);
    compare_prompts(LoadedModel(own_data(name)), 12, 24);
  }
}

TEST_CASE("no drafting changes the text: 200 prompts") {
  const auto bundled = bundled_model();
  compare_prompts(LoadedModel(bundled ? *bundled : own_data("floats.gguf")), 200, 20);
}

TEST_CASE("no drafting changes the text where the context ends") {
  const LoadedModel model(own_data("floats.gguf"));
  for (uint32_t left = 0; left < 12; ++left) {
    CAPTURE(left);
    Wish wish;
    wish.context = 64;
    wish.prompt = made_up_prompt(left, wish.context - left, model.info().vocabulary_size);
    wish.max_tokens = 0;
    wish.ignore_end = true;
    compare_all(model, wish, all_draftings(model.info().mtp_layers > 0));
    CHECK(generate(model, wish, {"none"}).stop == INLAY_STOP_CONTEXT_FULL);
  }
}

TEST_CASE("no drafting and no budget changes the text") {
  const LoadedModel model(own_data("floats.gguf"));
  Wish wish;
  wish.prompt = made_up_prompt(5, 50, model.info().vocabulary_size);
  wish.sampler = sampled();
  const Generation plain = generate(model, wish, {"none"});
  for (const uint64_t budget_us : {20u, 100u, 1000u}) {
    wish.budget_us = budget_us;
    const Generation sliced = generate(model, wish, {"none"});
    CHECK(sliced.tokens == plain.tokens);
    CHECK(sliced.logits == plain.logits);
    compare_all(model, wish, all_draftings(model.info().mtp_layers > 0));
  }
}

#include "tests/speculation.h"

#include <doctest/doctest.h>

#include "tests/test_data.h"

using namespace inlay::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kPrompts = 2;  // of each golden model; everything takes many times as long
constexpr uint64_t kQuestions = 4;
#else
constexpr uint64_t kPrompts = 12;
constexpr uint64_t kQuestions = 200;
#endif

/// What a guest of the tavern may say, as a chat.
std::vector<int32_t> question(const OpenModel& model, uint64_t seed) {
  static constexpr const char* kOpenings[] = {
      "What is the price of", "I would like", "Do you have", "Tell me about",
      "Could I get",          "How much for", "Bring me",    "I want to buy"};
  static constexpr const char* kThings[] = {
      "a mug of ale", "three loaves of bread", "a hot bath",    "a coil of rope",
      "two lanterns", "a bowl of stew",        "a map",         "the small room",
      "five torches", "a healing potion",      "your name",     "the old mill",
      "a warm cloak", "six honey cakes",       "a stall",       "the road north",
      "a pot of tea", "some cheese",           "four meat pies"};
  static constexpr const char* kEndings[] = {"?", ", please.", " for tonight?", " and a candle.", "!"};
  const std::string text = std::string("<|im_start|>user\n") + kOpenings[seed % 8] + " " +
                           kThings[seed % 19] + kEndings[seed % 5] + "<|im_end|>\n<|im_start|>assistant\n";
  const inlay_tokenizer* tokenizer = inlay_model_tokenizer(model.get());
  std::vector<int32_t> tokens(text.size());
  size_t count = 0;
  REQUIRE(inlay_tokenizer_encode(tokenizer, text.data(), text.size(), 1, tokens.data(), tokens.size(),
                                 &count) == INLAY_OK);
  tokens.resize(count);
  return tokens;
}

}  // namespace

TEST_CASE("no drafting changes the text: the golden models") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    compare_prompts(OpenModel(path), kPrompts);
  }
}

TEST_CASE("no drafting changes the text: 200 questions to the bundled model") {
  const auto path = bundled_model();
  REQUIRE(path);
  const OpenModel model(*path);
  const std::vector<Drafting> all = all_draftings(model.mtp());
  std::vector<Drafting> draftings;
  for (const char* name : {"mtp:1", "mtp:2", "mtp:3", "mtp:7", "lookup:5", "random:7", "wrong:7"}) {
    for (const Drafting& drafting : all) {
      if (drafting.name == name) draftings.push_back(drafting);
    }
  }
  REQUIRE(draftings.size() == 7);
  for (uint64_t seed = 0; seed < kQuestions; ++seed) {
    CAPTURE(seed);
    Wish wish;
    wish.prompt = question(model, seed);
    wish.max_tokens = 20;
    compare_all(model, wish, draftings);
    wish.sampler = sampled();
    wish.sampler.seed = seed;
    compare_all(model, wish, draftings);
  }
}

TEST_CASE("no drafting changes the text where the context ends") {
  const OpenModel model(own_data("fp4.gguf"));
  for (uint32_t left = 0; left < 12; ++left) {
    CAPTURE(left);
    Wish wish;
    wish.context = 64;
    wish.prompt = made_up_prompt(left, wish.context - left, model.vocabulary());
    wish.max_tokens = 0;
    wish.ignore_end = true;
    compare_all(model, wish, all_draftings(model.mtp()));
    CHECK(generate(model, wish, {"none"}).stop == INLAY_STOP_CONTEXT_FULL);
  }
}

TEST_CASE("no drafting and no budget changes the text") {
  const OpenModel model(own_data("fp4.gguf"));
  Wish wish;
  wish.prompt = made_up_prompt(5, 50, model.vocabulary());
  wish.sampler = sampled();
  const Generation plain = generate(model, wish, {"none"});
  for (const uint64_t budget_us : {20u, 100u, 1000u}) {
    wish.budget_us = budget_us;
    const Generation sliced = generate(model, wish, {"none"});
    CHECK(sliced.tokens == plain.tokens);
    CHECK(sliced.logits == plain.logits);
    compare_all(model, wish, all_draftings(model.mtp()));
  }
}

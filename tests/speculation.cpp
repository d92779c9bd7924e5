#include "tests/speculation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>

namespace inlay::test {
namespace {

[[noreturn]] void give_up(const std::string& what, inlay_status status, const std::string& words) {
  throw std::runtime_error(what + ": " + inlay_status_name(status) + ": " + words);
}

uint64_t mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

std::vector<Drafting> all_draftings(bool mtp) {
  std::vector<Drafting> all = {
      {"lookup:5", INLAY_DRAFT_LOOKUP, 5, 0, {}},
      {"lookup", INLAY_DRAFT_LOOKUP, 0, 0, {}},
      {"random:7", INLAY_DRAFT_HOST, 7, 0, Guesses::kRandom},
      {"wrong:7", INLAY_DRAFT_HOST, 7, 0, Guesses::kWrong},
      {"right:7", INLAY_DRAFT_HOST, 7, 0, Guesses::kRight},
      {"mixed:5", INLAY_DRAFT_HOST, 5, 0, Guesses::kMixed},
      {"mixed", INLAY_DRAFT_HOST, 0, 0, Guesses::kMixed},
      {"rubbish:4", INLAY_DRAFT_HOST, 4, 0, Guesses::kRubbish},
      {"failing:4", INLAY_DRAFT_HOST, 4, 0, Guesses::kFailing},
  };
  if (!mtp) return all;
  for (const uint32_t length : {1u, 2u, 3u, 7u}) {
    all.push_back({"mtp:" + std::to_string(length), INLAY_DRAFT_MTP, length, 0, {}});
  }
  all.push_back({"mtp", INLAY_DRAFT_MTP, 0, 0, {}});
  all.push_back({"mtp:5 above 0.02", INLAY_DRAFT_MTP, 5, 0.02f, {}});
  all.push_back({"lookup else mtp:3", INLAY_DRAFT_LOOKUP_MTP, 3, 0, {}});
  return all;
}

Generation generate(const OpenModel& model, const Wish& wish, const Drafting& drafting,
                    std::span<const int32_t> truth) {
  const bool mtp = drafting.kind == INLAY_DRAFT_MTP || drafting.kind == INLAY_DRAFT_LOOKUP_MTP;
  const Handle<inlay_session> session = model.session(session_params(wish.context, mtp));
  const auto vocabulary = static_cast<int32_t>(model.vocabulary());
  GuessingDrafter drafter(drafting.guesses, vocabulary, truth, wish.sampler.seed + wish.prompt.size());
  const inlay_drafter table = drafter.table();
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  params.sampler = &wish.sampler;
  params.draft = drafting.kind;
  params.draft_length = drafting.length;
  params.draft_min_probability = drafting.min_probability;
  params.drafter = &table;
  params.max_tokens = wish.max_tokens;
  params.ignore_end = wish.ignore_end ? 1 : 0;
  inlay_generator* made = nullptr;
  inlay_status status = inlay_generator_create(session.get(), &params, &made);
  const Handle<inlay_generator> generator(made);
  if (status == INLAY_OK)
    status = inlay_generator_prompt_tokens(made, wish.prompt.data(), wish.prompt.size());
  Generation result;
  while (status >= INLAY_OK && status != INLAY_END) {
    inlay_output output = INLAY_OUTPUT_INIT;
    status = inlay_generator_next(made, wish.budget_us, &output);
    result.tokens.insert(result.tokens.end(), output.tokens, output.tokens + output.token_count);
    result.text.append(output.text == nullptr ? "" : output.text, output.text_bytes);
    result.stop = output.stop;
    if (status == INLAY_ERROR_CALLBACK && drafting.guesses == Guesses::kFailing) status = INLAY_OK;
  }
  if (status != INLAY_END) {
    give_up("generate, " + drafting.name, status,
            made == nullptr ? message_of(model.runtime()) : message_of(made));
  }
  inlay_generator_get_stats(made, &result.stats);
  const int32_t* fed = inlay_session_tokens(session.get());
  result.timeline.assign(fed, fed + inlay_session_position(session.get()));
  if (!result.tokens.empty() && result.timeline.size() < wish.context) {
    result.logits = step(session.get(), result.tokens.back(), model.vocabulary());
  }
  return result;
}

GuessingDrafter::GuessingDrafter(Guesses guesses, int32_t vocabulary, std::span<const int32_t> truth,
                                 uint64_t seed)
    : guesses_(guesses), vocabulary_(vocabulary), truth_(truth.begin(), truth.end()), state_(mixed(seed)) {}

inlay_drafter GuessingDrafter::table() {
  inlay_drafter table = INLAY_DRAFTER_INIT;
  table.user_data = this;
  table.propose = [](void* self, const int32_t* tokens, size_t count, size_t max, int32_t* out,
                     size_t* out_count) {
    return static_cast<GuessingDrafter*>(self)->propose({tokens, count}, max, out, out_count);
  };
  table.observe = [](void* self, const int32_t* tokens, size_t count, size_t accepted) {
    auto* drafter = static_cast<GuessingDrafter*>(self);
    drafter->observed.insert(drafter->observed.end(), tokens, tokens + count);
    drafter->accepted += accepted;
  };
  table.reset = [](void* self) { static_cast<GuessingDrafter*>(self)->observed.clear(); };
  return table;
}

uint32_t GuessingDrafter::random(uint32_t below) {
  state_ = mixed(state_);
  return static_cast<uint32_t>(state_ % below);
}

inlay_status GuessingDrafter::propose(std::span<const int32_t> timeline, size_t max, int32_t* out,
                                      size_t* out_count) {
  ++proposals;
  if (inside) inside();
  if (guesses_ == Guesses::kFailing && random(2) == 0) return INLAY_ERROR_IO;
  const size_t count = guesses_ == Guesses::kRight || guesses_ == Guesses::kWrong ? max : random(max + 1);
  const size_t wrong_from = guesses_ == Guesses::kMixed ? random(max + 1) : max;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = timeline.size() + i;
    const int32_t right = at < truth_.size() ? truth_[at] : 0;
    switch (guesses_) {
      case Guesses::kRight: out[i] = right; break;
      case Guesses::kWrong: out[i] = (right + 1) % vocabulary_; break;
      case Guesses::kMixed:
        out[i] = i < wrong_from ? right : static_cast<int32_t>(random(vocabulary_));
        break;
      case Guesses::kRubbish: out[i] = random(3) == 0 ? right : static_cast<int32_t>(state_); break;
      default: out[i] = static_cast<int32_t>(random(vocabulary_)); break;
    }
  }
  *out_count = count;
  if (guesses_ == Guesses::kRubbish && random(4) == 0) *out_count = max + 1 + random(1000);
  return guesses_ == Guesses::kRubbish && random(5) == 0 ? INLAY_END : INLAY_OK;
}

std::vector<int32_t> made_up_prompt(uint64_t seed, size_t count, uint32_t vocabulary) {
  uint64_t state = mixed(seed);
  std::vector<int32_t> tokens;
  while (tokens.size() < count) {
    state = mixed(state);
    const size_t length = 1 + state % 6;
    if (tokens.size() > 8 && state % 3 == 0) {
      const size_t from = (state >> 20) % (tokens.size() - 7);  // something that was said before
      for (size_t i = 0; i < length; ++i) tokens.push_back(tokens[from + i]);
    } else {
      for (size_t i = 0; i < length; ++i)
        tokens.push_back(static_cast<int32_t>(mixed(state + i) % vocabulary));
    }
  }
  tokens.resize(count);
  return tokens;
}

inlay_sampler_params sampled() {
  inlay_sampler_params params = INLAY_SAMPLER_PARAMS_INIT;
  params.temperature = 0.6f;
  params.top_p = 0.95f;
  params.repeat_penalty = 1.1f;
  params.frequency_penalty = 0.05f;
  params.presence_penalty = 0.1f;
  return params;
}

void compare_all(const OpenModel& model, const Wish& wish, std::span<const Drafting> draftings) {
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
    REQUIRE(same_bits(drafted.logits, plain.logits));
    REQUIRE(drafted.stats.accepted <= drafted.stats.drafted);
    REQUIRE(drafted.stats.rounds <= plain.stats.rounds);
    if (drafting.name == "right:7") {  // what it says beyond the end of the text is not right
      if (plain.stop != INLAY_STOP_END_OF_TEXT) REQUIRE(drafted.stats.accepted == drafted.stats.drafted);
      REQUIRE(drafted.stats.rounds <= (plain.tokens.size() + 6) / 8 + 1);
    }
    if (drafting.name == "wrong:7") REQUIRE(drafted.stats.accepted == 0);
  }
}

void compare_prompts(const OpenModel& model, uint64_t prompts) {
  const std::vector<Drafting> draftings = all_draftings(model.mtp());
  for (uint64_t seed = 0; seed < prompts; ++seed) {
    for (const bool greedy : {true, false}) {
      CAPTURE(seed);
      CAPTURE(greedy);
      Wish wish;
      wish.prompt = made_up_prompt(seed, 4 + seed % 37, model.vocabulary());
      if (!greedy) {
        wish.sampler = sampled();
        wish.sampler.temperature = 3.0f;  // random weights are very sure of themselves
      }
      wish.sampler.seed = seed;
      wish.max_tokens = 24 + seed % 5;
      compare_all(model, wish, draftings);
    }
  }
}

}  // namespace inlay::test

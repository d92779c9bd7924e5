#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "inlay/inlay.h"
#include "tests/host.h"

// Whole generations over the public ABI, as a host makes them, for the tests that compare them.

namespace inlay::test {

/// How a host's drafter behaves. `truth` is the whole text that comes, prompt included.
enum class Guesses { kRandom, kWrong, kRight, kMixed, kRubbish, kFailing };

/// A way to draft: a name for messages, the parameters, and for INLAY_DRAFT_HOST the behaviour.
struct Drafting {
  std::string name;
  int32_t kind = INLAY_DRAFT_NONE;
  uint32_t length = 0;
  float min_probability = 0;
  Guesses guesses = Guesses::kRandom;
};

/// All that has to be tried on a model, with and without an MTP head.
std::vector<Drafting> all_draftings(bool mtp);

struct Generation {
  std::vector<int32_t> tokens;  // of the answer
  std::string text;
  int32_t stop = INLAY_STOP_NONE;
  std::vector<int32_t> timeline;  // what the session has been fed
  std::vector<float> logits;      // of one step more; empty where the context is full
  inlay_generator_stats stats = INLAY_GENERATOR_STATS_INIT;
};

struct Wish {
  std::vector<int32_t> prompt;
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  uint64_t max_tokens = 32;
  uint32_t context = 256;
  uint64_t budget_us = INLAY_NO_BUDGET;
  bool ignore_end = false;
};

/// Generates in a new session. `truth` serves the host drafters that know it. Throws std::runtime_error on
/// any error but those that a failing drafter brings about.
Generation generate(const OpenModel& model, const Wish& wish, const Drafting& drafting,
                    std::span<const int32_t> truth = {});

/// The host's drafter itself, for tests that make their own generator; it has to outlive the generator.
class GuessingDrafter {
 public:
  GuessingDrafter(Guesses guesses, int32_t vocabulary, std::span<const int32_t> truth, uint64_t seed);
  inlay_drafter table();

  std::vector<int32_t> observed;  // all tokens that it was told of
  uint64_t accepted = 0;
  uint64_t proposals = 0;
  std::function<void()> inside;  // called from propose

 private:
  inlay_status propose(std::span<const int32_t> timeline, size_t max, int32_t* out, size_t* out_count);
  uint32_t random(uint32_t below);

  Guesses guesses_;
  int32_t vocabulary_;
  std::vector<int32_t> truth_;
  uint64_t state_;
};

/// `count` tokens that look like something: a few words, repeated and varied, of ids below the vocabulary's
/// size.
std::vector<int32_t> made_up_prompt(uint64_t seed, size_t count, uint32_t vocabulary);

/// Temperature, top-p and all penalties.
inlay_sampler_params sampled();

/// Requires of every drafting what none gives: tokens, text, stop, what the session was fed, the next logits.
void compare_all(const OpenModel& model, const Wish& wish, std::span<const Drafting> draftings);

/// compare_all with every drafting on so many made-up prompts, greedy and sampled.
void compare_prompts(const OpenModel& model, uint64_t prompts);

}  // namespace inlay::test

#include "runtime/sampler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "runtime/error.h"
#include "runtime/philox.h"

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

inlay_sampler_params default_params() { return INLAY_SAMPLER_PARAMS_INIT; }

/// A sampler and the memory it lies in, which has guard bytes behind it.
class OwnedSampler {
 public:
  OwnedSampler(const inlay_sampler_params& params, uint32_t vocabulary)
      : bytes_(inlay::Sampler::bytes(params, vocabulary)), memory_((bytes_ + 128) / 64), sampler_([&] {
          inlay::Sampler::check(params, vocabulary);
          std::fill_n(data() + bytes_, 64, std::byte{0xA5});
          return inlay::Sampler(params, vocabulary, {data(), bytes_});
        }()) {}
  ~OwnedSampler() {
    CHECK(
        std::all_of(data() + bytes_, data() + bytes_ + 64, [](std::byte b) { return b == std::byte{0xA5}; }));
  }

  inlay_status sample(const std::vector<float>& logits, uint64_t position, int32_t* token,
                      std::span<const int32_t> history = {}) {
    return sampler_.sample(logits.data(), history, position, token);
  }
  inlay::Sampler& sampler() { return sampler_; }
  int32_t sample(const std::vector<float>& logits, uint64_t position = 0,
                 std::span<const int32_t> history = {}) {
    int32_t token = -2;
    REQUIRE(sample(logits, position, &token, history) == INLAY_OK);
    return token;
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::byte* data() { return memory_[0].bytes; }

  uint64_t bytes_;
  std::vector<Line> memory_;
  inlay::Sampler sampler_;
};

/// What the header says, in double and with a sort: the probability of each token, zero where it is cut.
std::vector<double> reference(const inlay_sampler_params& params, const std::vector<float>& logits,
                              std::span<const int32_t> history) {
  std::vector<double> x(logits.begin(), logits.end());
  for (size_t i = 0; i < params.bias_count; ++i) x[params.biases[i].token] += params.biases[i].bias;
  std::map<int32_t, int> counts;
  const size_t window = params.penalty_window == 0 ? 64 : params.penalty_window;
  for (const int32_t token : history.last(std::min(history.size(), window))) ++counts[token];
  for (const auto& [token, count] : counts) {
    if (params.repeat_penalty != 0) {
      x[token] = x[token] > 0 ? x[token] / params.repeat_penalty : x[token] * params.repeat_penalty;
    }
    x[token] -= count * double{params.frequency_penalty} + double{params.presence_penalty};
  }
  std::vector<size_t> order(x.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
  if (params.top_k > 0 && params.top_k < order.size()) order.resize(params.top_k);
  std::vector<double> p(x.size(), 0.0);
  double total = 0;
  for (const size_t i : order) total += p[i] = std::exp((x[i] - x[order[0]]) / params.temperature);
  if (params.top_p > 0 && params.top_p < 1) {
    double sum = 0;
    size_t kept = 0;
    while (kept < order.size() && sum < params.top_p * total) sum += p[order[kept++]];
    for (size_t i = kept; i < order.size(); ++i) p[order[i]] = 0;
    order.resize(kept);
  }
  for (const size_t i : order) {
    if (p[i] < params.min_p) p[i] = 0;
  }
  total = 0;
  for (const double value : p) total += value;
  for (double& value : p) value /= total;
  return p;
}

std::vector<float> random_logits(std::mt19937& random, size_t count, float spread) {
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(count);
  for (float& x : logits) x = normal(random);
  return logits;
}

}  // namespace

TEST_CASE("philox gives the published numbers") {
  // Known answers of the authors' Random123 distribution.
  using Block = std::array<uint32_t, 4>;
  CHECK(inlay::philox4x32({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(inlay::philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(inlay::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the random numbers of positions are uniform and differ by seed and by position") {
  int buckets[16] = {};
  for (uint64_t position = 0; position < 16000; ++position) {
    const double u = inlay::philox_uniform(7, position);
    REQUIRE(u >= 0.0);
    REQUIRE(u < 1.0);
    ++buckets[static_cast<int>(u * 16)];
  }
  for (const int count : buckets) CHECK(std::abs(count - 1000) < 150);
  CHECK(inlay::philox_uniform(1, 5) != inlay::philox_uniform(2, 5));
  CHECK(inlay::philox_uniform(1, 5) != inlay::philox_uniform(1, 6));
  CHECK(inlay::philox_uniform(1, 5) != inlay::philox_uniform(1, 5 + (uint64_t{1} << 32)));
  CHECK(inlay::philox_uniform(1, 5) != inlay::philox_uniform(1 + (uint64_t{1} << 32), 5));
}

TEST_CASE("greedy takes the largest logit, the lowest id among equals") {
  for (const uint32_t vocabulary : {1u, 2u, 63u, 64u, 65u, 1000u}) {
    OwnedSampler sampler(default_params(), vocabulary);
    std::mt19937 random(vocabulary);
    for (int round = 0; round < 50; ++round) {
      std::vector<float> logits = random_logits(random, vocabulary, 3.0f);
      if (round % 2 == 1) {
        for (float& x : logits) x = std::round(x);  // many equals
      }
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      CHECK(sampler.sample(logits) == best);
    }
  }
  OwnedSampler sampler(default_params(), 3);
  CHECK(sampler.sample({-0.0f, 0.0f, -1.0f}) == 0);
}

TEST_CASE("a draw is the one that exact arithmetic gives") {
  std::mt19937 random(1);
  const uint32_t vocabulary = 1500;
  const std::vector<inlay_logit_bias> biases = {{3, 2.5f}, {17, -kInfinity}, {1499, 1.0f}};
  std::vector<int32_t> history(200);
  for (int32_t& token : history) token = static_cast<int32_t>(random() % 40);
  int near_an_edge = 0;
  int draws = 0;
  for (int variant = 0; variant < 256; ++variant) {
    inlay_sampler_params params = default_params();
    params.seed = static_cast<uint64_t>(variant) << 30;
    params.temperature = variant & 128 ? 1.7f : 0.6f;
    if (variant & 1) params.top_k = variant & 128 ? 700 : 20;
    if (variant & 2) params.top_p = 0.9f;
    if (variant & 4) params.min_p = 0.02f;
    if (variant & 8) params.repeat_penalty = 1.3f;
    if (variant & 16) params.frequency_penalty = 0.1f;
    if (variant & 32) params.presence_penalty = 0.5f, params.penalty_window = 150;
    if (variant & 64) params.biases = biases.data(), params.bias_count = biases.size();
    OwnedSampler sampler(params, vocabulary);
    const std::vector<float> logits = random_logits(random, vocabulary, 1.0f + (variant % 5));
    const std::vector<double> p = reference(params, logits, history);
    for (uint64_t position = 0; position < 40; ++position) {
      const int32_t token = sampler.sample(logits, position, history);
      const double u = inlay::philox_uniform(params.seed, position);
      double below = 0;
      for (int32_t i = 0; i < token; ++i) below += p[i];
      ++draws;
      // Where the edge of top-p or of min-p falls between two nearly equal tokens, float may see it
      // elsewhere.
      if (u < below || u >= below + p[token]) ++near_an_edge;
      CHECK(u > below - 2e-3);
      CHECK(u < below + p[token] + 2e-3);
    }
  }
  CHECK(near_an_edge * 200 < draws);
}

TEST_CASE("top-k and top-p keep what a sort would keep, ties by id") {
  inlay_sampler_params params = default_params();
  params.temperature = 1.0f;
  params.top_k = 3;
  {
    OwnedSampler sampler(params, 200);  // more blocks than k, and fewer
    std::vector<float> logits(200, -1.0f);
    logits[150] = logits[7] = logits[70] = logits[71] = logits[199] = 4.0f;
    std::map<int32_t, int> seen;
    for (uint64_t position = 0; position < 300; ++position) ++seen[sampler.sample(logits, position)];
    CHECK(seen.size() == 3);
    for (const int32_t token : {7, 70, 71}) CHECK(seen[token] > 60);
  }
  params.top_k = 0;
  params.top_p = 0.5f;
  {
    OwnedSampler sampler(params, 1000);  // all equal: half of them, the lower ids
    std::map<int32_t, int> seen;
    for (uint64_t position = 0; position < 6000; ++position) {
      ++seen[sampler.sample(std::vector<float>(1000, 2.0f), position)];
    }
    CHECK(seen.size() == 500);
    CHECK(seen.rbegin()->first == 499);
  }
  params.top_p = 1e-6f;  // at least one stays
  {
    OwnedSampler sampler(params, 100);
    std::vector<float> logits(100, 0.0f);
    logits[42] = 0.001f;
    for (uint64_t position = 0; position < 50; ++position) CHECK(sampler.sample(logits, position) == 42);
  }
}

TEST_CASE("penalties count the window and nothing before it") {
  inlay_sampler_params params = default_params();
  params.presence_penalty = 10.0f;
  params.penalty_window = 2;
  OwnedSampler sampler(params, 4);
  const std::vector<float> logits = {3.0f, 2.0f, 1.0f, 0.0f};
  const std::vector<int32_t> history = {0, 1, 2};
  CHECK(sampler.sample(logits, 3, history) == 0);
  CHECK(sampler.sample(logits, 2, std::span(history).first(2)) == 2);
  CHECK(sampler.sample(logits, 0) == 0);
  CHECK(sampler.sample(logits, 3, history) == 0);  // nothing is left over from the draws before
}

TEST_CASE("logits that are no numbers or not finite never crash") {
  for (const bool greedy : {true, false}) {
    for (const uint32_t truncation : {0u, 1u, 2u, 3u}) {
      inlay_sampler_params params = default_params();
      params.temperature = greedy ? 0.0f : 0.8f;
      if (truncation & 1) params.top_k = 5;
      if (truncation & 2) params.top_p = 0.9f;
      OwnedSampler sampler(params, 300);
      std::vector<float> logits(300, kNaN);
      int32_t token = 5;
      CHECK(sampler.sample(logits, 0, &token) == INLAY_ERROR_INVALID_ARGUMENT);
      CHECK(token == 0);
      logits.assign(300, -kInfinity);
      CHECK(sampler.sample(logits, 0, &token) == INLAY_ERROR_INVALID_ARGUMENT);
      logits[130] = -1e30f;  // the only one that is possible
      CHECK(sampler.sample(logits) == 130);
      logits[140] = kNaN;
      CHECK(sampler.sample(logits) == 130);
      logits[150] = kInfinity;
      CHECK(sampler.sample(logits) == 150);
      logits.assign(300, 1.0f);
      logits[20] = kInfinity, logits[21] = kInfinity;
      for (uint64_t position = 0; position < 20; ++position) {
        const int32_t drawn = sampler.sample(logits, position);
        CHECK((drawn == 20 || (!greedy && drawn == 21)));
      }
    }
  }
}

TEST_CASE("tiny and huge temperatures") {
  inlay_sampler_params params = default_params();
  for (const float temperature : {1e-45f, 1e-38f, 1e-6f}) {
    params.temperature = temperature;
    OwnedSampler sampler(params, 100);
    std::vector<float> logits(100, 0.0f);
    logits[60] = 0.5f;
    CHECK(sampler.sample(logits, 9) == 60);
  }
  params.temperature = 3e38f;
  OwnedSampler sampler(params, 4);
  std::map<int32_t, int> seen;
  for (uint64_t position = 0; position < 400; ++position)
    ++seen[sampler.sample({0.0f, 9.0f, -9.0f, 3.0f}, position)];
  CHECK(seen.size() == 4);
}

TEST_CASE("parameters out of range are refused with words") {
  const auto refused = [](auto change) {
    inlay_sampler_params params = default_params();
    change(params);
    try {
      inlay::Sampler::check(params, 100);
    } catch (const inlay::Error& error) {
      return error.status() == INLAY_ERROR_INVALID_ARGUMENT && error.what()[0] != '\0';
    }
    return false;
  };
  static const inlay_logit_bias out_of_range[] = {{100, 1.0f}}, negative[] = {{-1, 1.0f}},
                                no_number[] = {{1, kNaN}}, forced[] = {{1, kInfinity}},
                                forbidden[] = {{1, -kInfinity}};
  CHECK_FALSE(refused([](auto&) {}));
  CHECK(refused([](auto& p) { p.temperature = -0.1f; }));
  CHECK(refused([](auto& p) { p.temperature = kNaN; }));
  CHECK(refused([](auto& p) { p.temperature = kInfinity; }));
  CHECK(refused([](auto& p) { p.top_p = 1.01f; }));
  CHECK(refused([](auto& p) { p.top_p = -0.01f; }));
  CHECK(refused([](auto& p) { p.top_p = kNaN; }));
  CHECK(refused([](auto& p) { p.min_p = 1.5f; }));
  CHECK(refused([](auto& p) { p.min_p = kNaN; }));
  CHECK(refused([](auto& p) { p.repeat_penalty = -1.0f; }));
  CHECK(refused([](auto& p) { p.repeat_penalty = kNaN; }));
  CHECK(refused([](auto& p) { p.frequency_penalty = kInfinity; }));
  CHECK(refused([](auto& p) { p.presence_penalty = kNaN; }));
  CHECK(refused([](auto& p) { p.bias_count = 1; }));
  CHECK(refused([](auto& p) { p.biases = out_of_range, p.bias_count = 1; }));
  CHECK(refused([](auto& p) { p.biases = negative, p.bias_count = 1; }));
  CHECK(refused([](auto& p) { p.biases = no_number, p.bias_count = 1; }));
  CHECK(refused([](auto& p) { p.biases = forced, p.bias_count = 1; }));
  CHECK_FALSE(refused([](auto& p) { p.biases = forbidden, p.bias_count = 1; }));
}

TEST_CASE("a history token outside the vocabulary is an error and leaves the sampler usable") {
  inlay_sampler_params params = default_params();
  params.repeat_penalty = 1.5f;
  OwnedSampler sampler(params, 10);
  std::vector<float> logits(10, 1.0f);
  int32_t token = 0;
  for (const int32_t wrong : {10, -1, std::numeric_limits<int32_t>::max()}) {
    const std::vector<int32_t> history = {0, 0, wrong};
    CHECK(sampler.sample(logits, 3, &token, history) == INLAY_ERROR_INVALID_ARGUMENT);
    CHECK(token == 0);
  }
  CHECK(sampler.sample(logits) == 0);
}

TEST_CASE("the same draws on every machine") {
  // Fixed values: a change of compiler, processor or vector length must not change a single one.
  std::vector<float> logits(5000);
  uint32_t state = 12345;
  for (float& x : logits) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(state >> 8) * (12.0f / 16777216.0f);
  }
  inlay_sampler_params params = default_params();
  params.temperature = 0.9f;
  params.seed = 2024;
  uint64_t all = 1469598103934665603u;
  for (const float top_p : {0.0f, 0.95f}) {
    params.top_p = top_p;
    OwnedSampler sampler(params, 5000);
    for (uint64_t position = 0; position < 200; ++position) {
      all = (all ^ static_cast<uint64_t>(sampler.sample(logits, position))) * 1099511628211u;
    }
  }
  CHECK(all == 7417619340339794250u);
}

TEST_CASE("a draw in pieces is the draw in one, and no piece is the whole") {
  constexpr uint32_t kVocabulary = 248320;
  std::vector<float> logits(kVocabulary);
  std::mt19937 random(1);
  for (float& x : logits) x = static_cast<float>(random() % 1024) / 1024.0f;
  std::vector<inlay_sampler_params> all(5, default_params());
  for (inlay_sampler_params& params : all) params.temperature = 1;
  all[1].top_p = all[2].top_p = 0.95f;
  all[2].top_k = all[3].top_k = 200000;
  all[3].min_p = 0.5f;
  all[4].min_p = 0.4f;
  for (const inlay_sampler_params& params : all) {
    OwnedSampler owned(params, kVocabulary);
    inlay::Sampler& sampler = owned.sampler();
    for (uint64_t position = 0; position < 3; ++position) {
      const int32_t expected = owned.sample(logits, position);
      int32_t token = -1, other = -1;
      // One that is given up half way leaves nothing behind.
      REQUIRE(sampler.begin(logits.data(), {}, position + 77) == INLAY_OK);
      for (int i = 0; i < static_cast<int>(position) * 7; ++i) sampler.advance(&other);
      REQUIRE(sampler.begin(logits.data(), {}, position) == INLAY_OK);
      int pieces = 1;
      while (sampler.advance(&token) == INLAY_PENDING) ++pieces;
      CHECK(token == expected);
      const bool truncates = params.top_k > 0 || params.top_p > 0 || params.min_p > 0;
      CHECK(pieces >= (truncates ? 16 : 2));
    }
  }
}

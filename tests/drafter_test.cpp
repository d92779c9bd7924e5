#include "runtime/drafter.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "runtime/error.h"

using inlay::DraftPlanner;
using inlay::DraftSource;
using inlay::HostDrafter;
using inlay::LookupDrafter;

namespace {

/// A lookup drafter with its memory.
class OwnedLookup {
 public:
  explicit OwnedLookup(uint32_t context)
      : memory_(LookupDrafter::bytes(context) / sizeof(Line) + 1),
        drafter(context, {memory_[0].bytes, LookupDrafter::bytes(context)}) {}

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory_;

 public:
  LookupDrafter drafter;
};

/// The newest of the longest earlier occurrences, by trying all places; one past its end, 0 where there is
/// none.
size_t place_by_search(const std::vector<int32_t>& tokens) {
  size_t best = LookupDrafter::kNgram - 1;
  size_t place = 0;
  for (size_t end = tokens.size() - 1; end > 0; --end) {
    size_t length = 0;
    while (length < std::min<size_t>(end, LookupDrafter::kLongest) &&
           tokens[end - 1 - length] == tokens[tokens.size() - 1 - length]) {
      ++length;
    }
    if (length > best) best = length, place = end;
  }
  return place;
}

std::vector<int32_t> propose(const LookupDrafter& drafter, const std::vector<int32_t>& tokens, size_t most) {
  std::vector<int32_t> out(most, -7);
  out.resize(drafter.propose(tokens, out));
  return out;
}

}  // namespace

TEST_CASE("lookup finds what followed the longest earlier occurrence, the newest among equals") {
  std::mt19937 random(3);
  size_t found = 0;
  for (int round = 0; round < 60; ++round) {
    OwnedLookup lookup(600);
    std::vector<int32_t> tokens;
    const uint32_t kinds = 2 + random() % 20;
    for (int i = 0; i < 300; ++i) {
      if (tokens.size() > 20 && random() % 8 == 0) {
        const size_t from = random() % (tokens.size() - 12);
        for (size_t k = 0; k < 4 + random() % 8; ++k) tokens.push_back(tokens[from + k]);
      }
      tokens.push_back(static_cast<int32_t>(random() % kinds));
      if (tokens.size() > 560) break;
      lookup.drafter.observe(tokens);
      const std::vector<int32_t> drafts = propose(lookup.drafter, tokens, 5);
      if (tokens.size() < 2) continue;
      const size_t place = place_by_search(tokens);
      // With few kinds of tokens there are more places than are compared; then any of three tokens will do.
      if (kinds >= 8) REQUIRE((place == 0) == drafts.empty());
      if (drafts.empty()) continue;
      ++found;
      REQUIRE(drafts.size() == 5);
      if (kinds < 8) continue;
      for (size_t k = 0; k < drafts.size(); ++k) {
        const int32_t expected =
            place + k < tokens.size() ? tokens[place + k] : drafts[place + k - tokens.size()];
        REQUIRE(drafts[k] == expected);
      }
    }
  }
  CHECK(found > 1000);
}

TEST_CASE("lookup goes on with a short period") {
  OwnedLookup lookup(64);
  const std::vector<int32_t> tokens = {9, 1, 2, 1, 2, 1, 2};
  lookup.drafter.observe(tokens);
  CHECK(propose(lookup.drafter, tokens, 7) == std::vector<int32_t>{1, 2, 1, 2, 1, 2, 1});
}

TEST_CASE("lookup after a rewind is as if the rest had never been") {
  std::mt19937 random(4);
  for (int round = 0; round < 40; ++round) {
    OwnedLookup lookup(400);
    std::vector<int32_t> tokens;
    for (int step = 0; step < 60; ++step) {
      if (random() % 3 == 0) {
        const size_t keep = random() % (tokens.size() + 1);
        lookup.drafter.rewind(tokens, keep);
        tokens.resize(keep);
      }
      const size_t more = std::min<size_t>(random() % 30, 400 - tokens.size());
      for (size_t i = 0; i < more; ++i) tokens.push_back(static_cast<int32_t>(random() % 3));
      lookup.drafter.observe(tokens);
      OwnedLookup fresh(400);
      fresh.drafter.observe(tokens);
      REQUIRE(propose(lookup.drafter, tokens, 4) == propose(fresh.drafter, tokens, 4));
    }
  }
}

TEST_CASE("lookup indexes a long timeline in parts and says nothing before it is done") {
  const size_t count = 2 * LookupDrafter::kIndexed + 10;
  std::vector<int32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<int32_t>(i % 1000);
  OwnedLookup lookup(static_cast<uint32_t>(count));
  for (const bool done : {false, false, true}) {
    lookup.drafter.observe(tokens);
    CHECK(propose(lookup.drafter, tokens, 3).empty() != done);
  }
}

TEST_CASE("short timelines have no lookup") {
  OwnedLookup lookup(8);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 8; ++i) {
    lookup.drafter.observe(tokens);
    CHECK(propose(lookup.drafter, tokens, 3).size() == (i >= 4 ? 3 : 0));
    tokens.push_back(5);
  }
}

TEST_CASE("a host's drafter is checked and its mistakes are cut off") {
  using Body = std::function<inlay_status(size_t, int32_t*, size_t*)>;
  struct Host {
    Body body;
    std::vector<std::vector<int32_t>> observed;
    int resets = 0;
  } host;
  inlay_drafter table = INLAY_DRAFTER_INIT;
  CHECK_THROWS_AS(HostDrafter::check(nullptr), inlay::Error);
  CHECK_THROWS_AS(HostDrafter::check(&table), inlay::Error);
  table.user_data = &host;
  table.propose = [](void* self, const int32_t*, size_t, size_t max, int32_t* out, size_t* count) {
    return static_cast<Host*>(self)->body(max, out, count);
  };
  HostDrafter::check(&table);
  const std::vector<int32_t> timeline = {1, 2, 3};
  const auto drafts = [&](const inlay_drafter& with, inlay_status expected = INLAY_OK) {
    HostDrafter drafter(with, 100);
    std::vector<int32_t> out(4);
    size_t count = 99;
    CHECK(drafter.propose(timeline, out, &count) == expected);
    REQUIRE(count <= out.size());
    out.resize(count);
    return out;
  };
  const auto fill = [](const std::vector<int32_t>& tokens, size_t said, inlay_status status = INLAY_OK) {
    return [=](size_t max, int32_t* out, size_t* count) {
      std::copy_n(tokens.begin(), std::min(max, tokens.size()), out);
      *count = said;
      return status;
    };
  };
  host.body = fill({7, 8, 9}, 3);
  CHECK(drafts(table) == std::vector<int32_t>{7, 8, 9});
  host.body = fill({7, 8, 9, 10, 11}, 5);
  CHECK(drafts(table) == std::vector<int32_t>{7, 8, 9, 10});
  host.body = fill({7, 8}, SIZE_MAX);  // says more than it writes
  CHECK(drafts(table) == std::vector<int32_t>{7, 8});
  host.body = fill({7, 100, 9}, 3);
  CHECK(drafts(table) == std::vector<int32_t>{7});
  host.body = fill({-1, 5}, 2);
  CHECK(drafts(table).empty());
  host.body = [](size_t, int32_t*, size_t*) { return INLAY_OK; };  // sets nothing
  CHECK(drafts(table).empty());
  host.body = fill({7}, 1, INLAY_END);
  CHECK(drafts(table).empty());
  host.body = fill({7}, 1, INLAY_ERROR_IO);
  CHECK(drafts(table, INLAY_ERROR_CALLBACK).empty());

  HostDrafter silent(table, 100);  // neither observe nor reset
  silent.observe(timeline, 0);
  silent.reset();
  table.observe = [](void* self, const int32_t* tokens, size_t count, size_t) {
    static_cast<Host*>(self)->observed.emplace_back(tokens, tokens + count);
  };
  table.reset = [](void* self) { ++static_cast<Host*>(self)->resets; };
  HostDrafter drafter(table, 100);
  drafter.observe(std::span(timeline).first(2), 0);
  drafter.observe(timeline, 1);
  drafter.observe(timeline, 0);  // nothing new
  drafter.reset();
  drafter.observe(timeline, 0);
  CHECK(host.observed == std::vector<std::vector<int32_t>>{{1, 2}, {3}, {1, 2, 3}});
  CHECK(host.resets == 1);
}

TEST_CASE("drafts below the least probability are dropped with all after them") {
  const std::vector<float> probabilities = {0.9f, 0.5f, 0.49f, 0.8f};
  CHECK(inlay::confident_drafts(probabilities, 0.5f) == 2);
  CHECK(inlay::confident_drafts(probabilities, 0.95f) == 0);
  CHECK(inlay::confident_drafts(probabilities, 0.1f) == 4);
  CHECK(inlay::confident_drafts({}, 0.1f) == 0);
}

namespace {

/// Times and acceptance of an imagined machine and text; what the planner's choices cost on it.
struct Simulation {
  double verify = 1000;        // ns of a verify of one token
  double verify_more = 0;      // for each token more
  double draft = 0;            // for each draft
  double noise = 0;            // share by which times vary
  std::vector<double> accept;  // by round / accept.size() of the run, of a draft after right ones

  /// Nanoseconds a token, over `rounds` rounds.
  double run(DraftPlanner& planner, int rounds, DraftSource source = DraftSource::kMtp, uint64_t seed = 1) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(0, 1);
    const auto time = [&](double ns) {
      double factor = 1 + noise * uniform(random);
      if (noise > 0 && uniform(random) < 0.01) factor *= 10;  // the machine does something else
      return ns * factor;
    };
    double total = 0;
    uint64_t tokens = 0;
    for (int round = 0; round < rounds; ++round) {
      const double share = accept[accept.size() * round / rounds];
      const uint32_t drafts = planner.choose(source, inlay::kMostDrafts);
      if (drafts > 0) {
        const double ns = time(draft * drafts);
        planner.record_draft(source, drafts, static_cast<uint64_t>(ns));
        total += ns;
      }
      const double ns = time(verify + verify_more * drafts);
      planner.record_verify(drafts + 1, static_cast<uint64_t>(ns));
      total += ns;
      uint32_t right = 0;
      while (right < drafts && uniform(random) < share) ++right;
      planner.record_round(source, drafts, right);
      tokens += right + 1;
      last = drafts;
      longest = std::max(longest, drafts);
    }
    return total / static_cast<double>(tokens);
  }
  double plain() const { return verify * (1 + noise / 2 + (noise > 0 ? 0.09 * (1 + noise / 2) : 0)); }

  uint32_t last = 0;
  uint32_t longest = 0;
};

}  // namespace

TEST_CASE("automatic length: never 2 % slower than no drafting on text that drafts badly") {
  for (const double verify_more : {0.0, 20.0, 100.0, 300.0, 1000.0}) {
    for (const double draft : {0.0, 50.0, 300.0}) {
      for (const double noise : {0.0, 0.1}) {
        for (const double accept : {0.0, 0.02, 0.1}) {
          CAPTURE(verify_more);
          CAPTURE(draft);
          CAPTURE(noise);
          CAPTURE(accept);
          DraftPlanner planner;
          Simulation simulation{1000, verify_more, draft, noise, {accept}};
          const int rounds = noise > 0 ? 20000 : 1000;
          CHECK(simulation.run(planner, rounds) < simulation.plain() * 1.02);
        }
      }
    }
  }
}

TEST_CASE("automatic length: on text that drafts well it is close to the best fixed length") {
  for (const double verify_more : {0.0, 20.0, 100.0, 300.0}) {
    for (const double draft : {0.0, 50.0, 150.0}) {
      for (const double accept : {0.5, 0.7, 0.9, 1.0}) {
        CAPTURE(verify_more);
        CAPTURE(draft);
        CAPTURE(accept);
        double best = 1000;
        double tokens = 1;
        double chance = 1;
        for (int drafts = 1; drafts <= 7; ++drafts) {
          tokens += chance *= accept;
          best = std::min(best, (1000 + verify_more * drafts + draft * drafts) / tokens);
        }
        DraftPlanner planner;
        Simulation simulation{1000, verify_more, draft, 0.05, {accept}};
        simulation.run(planner, 300);
        CHECK(simulation.run(planner, 20000, DraftSource::kMtp, 2) < best * simulation.plain() / 1000 * 1.04);
      }
    }
  }
}

TEST_CASE("automatic length: comes back when the text drafts well again") {
  DraftPlanner planner;
  Simulation bad{1000, 50, 100, 0.0, {0.0}};
  bad.run(planner, 2000);
  Simulation good{1000, 50, 100, 0.0, {0.95}};
  const double late = good.run(planner, 600);
  CHECK(late < 700);
  CHECK(good.longest >= 3);
}

TEST_CASE("automatic length: sources are judged apart, lengths are tried one by one") {
  DraftPlanner planner;
  CHECK(planner.choose(DraftSource::kMtp, 7) == 0);  // what a plain round takes comes first
  planner.record_verify(1, 1000);
  planner.record_verify(1, 1000);
  CHECK(planner.choose(DraftSource::kMtp, 7) == 1);
  CHECK(planner.choose(DraftSource::kMtp, 0) == 0);
  Simulation bad{1000, 100, 100, 0.0, {0.0}};
  bad.run(planner, 50, DraftSource::kMtp);
  Simulation good{1000, 10, 10, 0.0, {1.0}};
  good.run(planner, 50, DraftSource::kLookup);
  CHECK(planner.acceptance(DraftSource::kMtp, 0) < 0.2);
  CHECK(planner.acceptance(DraftSource::kLookup, 6) > 0.9);
  CHECK(planner.choose(DraftSource::kLookup, 7) == 7);
  CHECK(planner.choose(DraftSource::kLookup, 3) == 3);
}

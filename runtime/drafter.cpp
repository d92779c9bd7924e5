#include "runtime/drafter.h"

#include <algorithm>
#include <bit>

#include "runtime/error.h"

namespace inlay {

// LookupDrafter

uint32_t LookupDrafter::slots(uint32_t context) { return std::bit_ceil(std::max(context, 64u)); }

void LookupDrafter::Parts::lay_out(Layout& layout, uint32_t context) {
  newest = layout.take<uint32_t>(slots(context));
  older = layout.take<uint32_t>(context);
}

uint64_t LookupDrafter::bytes(uint32_t context) {
  Layout layout;
  Parts().lay_out(layout, context);
  return layout.bytes();
}

LookupDrafter::LookupDrafter(uint32_t context, std::span<std::byte> memory)
    : context_(context), slot_bits_(static_cast<uint32_t>(std::countr_zero(slots(context)))) {
  Layout layout(memory.data(), memory.size());
  parts_.lay_out(layout, context);
  std::fill_n(parts_.newest, slots(context), 0u);
}

/// Multiplicative hashing: the high bits of a product depend on all of its factors' bits.
uint32_t LookupDrafter::slot(const int32_t* ngram_end) const {
  uint64_t hash = 0;
  for (const int32_t* token = ngram_end - kNgram; token != ngram_end; ++token) {
    hash = (hash + static_cast<uint32_t>(*token)) * 0x9E3779B97F4A7C15u;
  }
  return static_cast<uint32_t>(hash >> (64 - slot_bits_));
}

void LookupDrafter::observe(std::span<const int32_t> timeline) {
  const size_t end = std::min({timeline.size(), indexed_ + kIndexed, size_t{context_}});
  for (; indexed_ < end; ++indexed_) {
    if (indexed_ + 1 < kNgram) continue;
    uint32_t& newest = parts_.newest[slot(timeline.data() + indexed_ + 1)];
    parts_.older[indexed_] = newest;
    newest = static_cast<uint32_t>(indexed_) + 1;
  }
}

void LookupDrafter::rewind(std::span<const int32_t> timeline, size_t count) {
  while (indexed_ > count) {
    --indexed_;
    if (indexed_ + 1 < kNgram) continue;
    parts_.newest[slot(timeline.data() + indexed_ + 1)] = parts_.older[indexed_];
  }
}

size_t LookupDrafter::propose(std::span<const int32_t> timeline, std::span<int32_t> out) const {
  const size_t count = timeline.size();
  if (indexed_ != count || count <= kNgram) return 0;
  size_t best_length = kNgram - 1;  // another hash of the same slot may agree in fewer
  size_t best_end = 0;
  uint32_t place = parts_.older[count - 1];  // the newest is the timeline's own end
  for (uint32_t i = 0; i < kCandidates && place != 0; ++i, place = parts_.older[place - 1]) {
    const size_t most = std::min<size_t>(place, kLongest);
    size_t length = 0;
    while (length < most && timeline[place - 1 - length] == timeline[count - 1 - length]) ++length;
    if (length <= best_length) continue;
    best_length = length;
    best_end = place;
    if (length == kLongest) break;
  }
  if (best_end == 0) return 0;
  for (size_t i = 0; i < out.size(); ++i) {
    // What repeats with a short period goes on into the guesses themselves.
    out[i] = best_end + i < count ? timeline[best_end + i] : out[best_end + i - count];
  }
  return out.size();
}

// HostDrafter

void HostDrafter::check(const inlay_drafter* table) {
  if (table == nullptr) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "generator: draft is INLAY_DRAFT_HOST, drafter is null");
  }
  if (table->propose == nullptr) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "generator: the drafter has no propose");
  }
}

inlay_status HostDrafter::propose(std::span<const int32_t> timeline, std::span<int32_t> out,
                                  size_t* out_count) {
  *out_count = 0;
  std::fill(out.begin(), out.end(), -1);  // what is counted but not written is then out of range
  size_t count = 0;
  const inlay_status status =
      table_.propose(table_.user_data, timeline.data(), timeline.size(), out.size(), out.data(), &count);
  if (status < 0) return INLAY_ERROR_CALLBACK;
  if (status > 0) return INLAY_OK;
  const auto given = out.first(std::min(count, out.size()));
  const auto wrong = std::find_if(given.begin(), given.end(), [this](int32_t token) {
    return token < 0 || static_cast<uint32_t>(token) >= vocabulary_;
  });
  *out_count = static_cast<size_t>(wrong - given.begin());
  return INLAY_OK;
}

void HostDrafter::observe(std::span<const int32_t> timeline, size_t accepted) {
  const auto fresh = timeline.subspan(observed_);
  observed_ = timeline.size();
  if (table_.observe == nullptr || fresh.empty()) return;
  table_.observe(table_.user_data, fresh.data(), fresh.size(), accepted);
}

void HostDrafter::reset() {
  observed_ = 0;
  if (table_.reset != nullptr) table_.reset(table_.user_data);
}

size_t confident_drafts(std::span<const float> probabilities, float least) {
  const auto cut =
      std::find_if(probabilities.begin(), probabilities.end(), [least](float p) { return !(p >= least); });
  return static_cast<size_t>(cut - probabilities.begin());
}

// DraftPlanner

namespace {

constexpr uint32_t kFirstSamples = 4;         // of which the least counts
constexpr double kDurationWeight = 1.0 / 16;  // of a later sample
constexpr double kOutlier = 1.25;             // a sample counts as at most so many times the usual
constexpr double kPriorShare = 0.8;           // of right drafts at depth 0, before any is judged
constexpr double kPriorWeight = 0.6;          // drafts that the prior counts for
constexpr double kRecent = 1.0 - 1.0 / 32;    // what is left of the past after one more judgement
constexpr double kFading = 1.0 - 1.0 / 256;   // and after a round without one
constexpr double kWidthSlope = 0.05;  // of a verify's time for each token more, while only one width is known
constexpr double kDraftSlope = 0.05;  // of a verify's time for an MTP draft, until one is measured
constexpr uint32_t kPlainRounds = 2;  // rounds without drafts at first, against which drafting is measured

}  // namespace

void DraftPlanner::Duration::add(double sample) {
  if (samples == 0) {
    ns = sample;
  } else if (samples < kFirstSamples) {
    ns = std::min(ns, sample);
  } else {
    ns += (std::min(sample, kOutlier * ns) - ns) * kDurationWeight;
  }
  ++samples;
}

/// The time of `index` by the times measured around it: on the line between them, beyond the last on the line
/// through the last two, or, where there is only one, with `slope` nanoseconds for each step from it.
double DraftPlanner::estimate(std::span<const Duration> times, size_t index, double slope) {
  if (times[index].samples > 0) return times[index].ns;
  size_t below = index;
  while (below > 0 && times[below].samples == 0) --below;
  size_t above = index;
  while (above < times.size() && times[above].samples == 0) ++above;
  const double at = times[below].ns;  // zero where nothing below was measured
  if (above < times.size()) {
    slope = (times[above].ns - at) / static_cast<double>(above - below);
  } else if (below > 0) {
    size_t before = below - 1;
    while (before > 0 && times[before].samples == 0) --before;
    slope = std::max((at - times[before].ns) / static_cast<double>(below - before), 0.0);
  }
  return at + slope * static_cast<double>(index - below);
}

double DraftPlanner::acceptance(DraftSource source, uint32_t depth) const {
  // A depth of which little is known is believed to be like the one before it.
  double share = kPriorShare;
  for (uint32_t i = 0; i <= depth; ++i) {
    const Share& known = at(source).depths[i];
    share = (share * kPriorWeight + known.right) / (kPriorWeight + known.tried);
  }
  return share;
}

uint32_t DraftPlanner::choose(DraftSource source, uint32_t most) const {
  const Duration& plain = verify_times_[0];
  if (plain.samples < kPlainRounds) return 0;
  // One token more than was ever tried, so that a long draft is not paid for before a shorter one was.
  uint32_t tried = 0;
  for (uint32_t drafts = 1; drafts <= kMostDrafts; ++drafts) {
    if (at(source).draft_times[drafts].samples > 0) tried = drafts;
  }
  most = std::min({most, tried + 1, kMostDrafts});
  if (tried == 0) return most;
  double tokens = 1.0;
  double chance = 1.0;
  // A verify of fewer tokens takes no longer: what says otherwise is noise, which would last, as a time is
  // measured only where its length is chosen.
  double plain_ns = plain.ns;
  for (const Duration& wider : verify_times_) {
    if (wider.samples > 0) plain_ns = std::min(plain_ns, wider.ns);
  }
  double best_rate = 1.0 / plain_ns;
  uint32_t best = 0;
  for (uint32_t drafts = 1; drafts <= most; ++drafts) {
    chance *= acceptance(source, drafts - 1);
    tokens += chance;
    const double time = estimate(verify_times_, drafts, plain_ns * kWidthSlope) +
                        estimate(at(source).draft_times, drafts, plain_ns * kDraftSlope);
    if (tokens > best_rate * time) {
      best_rate = tokens / time;
      best = drafts;
    }
  }
  return best;
}

void DraftPlanner::record_round(DraftSource source, uint32_t drafted, uint32_t accepted) {
  auto& depths = at(source).depths;
  for (uint32_t depth = 0; depth < depths.size(); ++depth) {
    const bool judged = depth < drafted && depth <= accepted;
    const double left = judged ? kRecent : kFading;
    depths[depth].right = depths[depth].right * left + (judged && depth < accepted ? 1.0 : 0.0);
    depths[depth].tried = depths[depth].tried * left + (judged ? 1.0 : 0.0);
  }
}

void DraftPlanner::record_draft(DraftSource source, uint32_t drafts, uint64_t nanoseconds) {
  if (drafts <= kMostDrafts) at(source).draft_times[drafts].add(static_cast<double>(nanoseconds));
}

void DraftPlanner::record_verify(uint32_t width, uint64_t nanoseconds) {
  if (width >= 1 && width <= INLAY_MAX_WIDTH) verify_times_[width - 1].add(static_cast<double>(nanoseconds));
}

}  // namespace inlay

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "inlay/inlay.h"
#include "runtime/layout.h"

namespace inlay {

inline constexpr uint32_t kMostDrafts = INLAY_MAX_WIDTH - 1;  // a verify holds the certain token too

/// Prompt lookup (Saxena, "Prompt Lookup Decoding", 2023): what followed the longest earlier occurrence of
/// the timeline's last tokens, the most recent one among equals. Every place is indexed by a hash of the
/// kNgram tokens that end there; places of one hash are chained, the newest first, so the newest can be taken
/// out again. One thread at a time.
class LookupDrafter {
 public:
  static constexpr uint32_t kNgram = 3;        // tokens that have to agree at least
  static constexpr uint32_t kCandidates = 32;  // places that are compared at most
  static constexpr uint32_t kLongest = 64;     // tokens that are compared at each
  static constexpr uint32_t kIndexed = 16384;  // tokens that one call indexes at most, some 100 us

  /// Bytes of memory for timelines of up to `context` tokens: about 12 a token at most.
  static uint64_t bytes(uint32_t context);
  /// `memory` is aligned to a cache line, stays the owner's and has to outlive the drafter.
  LookupDrafter(uint32_t context, std::span<std::byte> memory);

  /// Indexes what of the timeline is not indexed yet, which has only grown since the last call, or a part of
  /// it.
  void observe(std::span<const int32_t> timeline);
  /// The first `count` tokens stay; `timeline` still has those that are taken back.
  void rewind(std::span<const int32_t> timeline, size_t count);
  /// Guesses at what follows the timeline; returns how many. None before all of the timeline is indexed.
  size_t propose(std::span<const int32_t> timeline, std::span<int32_t> out) const;

 private:
  struct Parts {
    uint32_t* newest =
        nullptr;  // [slots]: one more than the newest place with this hash, 0 where there is none
    uint32_t* older = nullptr;  // [context]: the same for the place before this one
    void lay_out(Layout& layout, uint32_t context);
  };
  static uint32_t slots(uint32_t context);
  uint32_t slot(const int32_t* ngram_end) const;

  Parts parts_;
  uint32_t context_;
  uint32_t slot_bits_;
  size_t indexed_ = 0;  // tokens of the timeline
};

/// The host's table, and what keeps its mistakes from doing harm. One thread at a time; the callbacks run on
/// it.
class HostDrafter {
 public:
  /// Throws INLAY_ERROR_INVALID_ARGUMENT where there is no table or no propose.
  static void check(const inlay_drafter* table);
  HostDrafter(const inlay_drafter& table, uint32_t vocabulary) : table_(table), vocabulary_(vocabulary) {}

  /// Asks for up to out.size() <= kMostDrafts guesses. What is beyond that, an id out of range and all after
  /// it are dropped; a positive status is no guess, a negative one INLAY_ERROR_CALLBACK.
  inlay_status propose(std::span<const int32_t> timeline, std::span<int32_t> out, size_t* out_count);
  /// Tells of the tokens appended since the last call, of which the first `accepted` were proposed.
  void observe(std::span<const int32_t> timeline, size_t accepted);
  void reset();

 private:
  inlay_drafter table_;
  uint32_t vocabulary_;
  size_t observed_ = 0;  // tokens of the timeline
};

/// Drops what comes after the first draft that is less probable than `least`; returns how many are left.
size_t confident_drafts(std::span<const float> probabilities, float least);

enum class DraftSource : uint8_t { kMtp, kLookup, kHost };
inline constexpr size_t kDraftSources = 3;

/// Chooses how many tokens to draft: the number that brings most tokens in a nanosecond, by the acceptance
/// measured at each depth and the times measured for each width. It decides about speed alone: no text
/// depends on it. What is not tried fades, so that where drafting was given up a single draft is tried now
/// and then, at a cost below 1 %. One thread at a time.
class DraftPlanner {
 public:
  /// Drafts for the next round, 0 to `most`.
  uint32_t choose(DraftSource source, uint32_t most) const;
  /// A round is over that could have drafted from this source: of `drafted` tokens the first `accepted` were
  /// right, and more than that were judged where `accepted` < `drafted` only.
  void record_round(DraftSource source, uint32_t drafted, uint32_t accepted);
  void record_draft(DraftSource source, uint32_t drafts, uint64_t nanoseconds);
  void record_verify(uint32_t width, uint64_t nanoseconds);

  /// The share of right drafts at this depth (from 0) after right ones before, as it is believed now.
  double acceptance(DraftSource source, uint32_t depth) const;

 private:
  /// The usual time of some work: the least of the first few, then a slow mean that outliers hardly move.
  struct Duration {
    double ns = 0;
    uint32_t samples = 0;
    void add(double sample);
  };
  struct Share {
    double right = 0;
    double tried = 0;
  };
  struct Source {
    std::array<Share, kMostDrafts> depths;
    std::array<Duration, kMostDrafts + 1> draft_times;  // by the number of drafts
  };

  static double estimate(std::span<const Duration> times, size_t index, double slope);

  const Source& at(DraftSource source) const { return sources_[static_cast<size_t>(source)]; }
  Source& at(DraftSource source) { return sources_[static_cast<size_t>(source)]; }

  std::array<Source, kDraftSources> sources_;
  std::array<Duration, INLAY_MAX_WIDTH> verify_times_;  // by width - 1
};

}  // namespace inlay

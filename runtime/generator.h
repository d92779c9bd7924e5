#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "runtime/counted.h"
#include "runtime/drafter.h"
#include "runtime/grammar_matcher.h"
#include "runtime/grammar_object.h"
#include "runtime/guide.h"
#include "runtime/host_memory.h"
#include "runtime/sampler.h"
#include "runtime/session.h"
#include "runtime/slice_costs.h"
#include "runtime/text_stream.h"

namespace inlay {

/// What one call of Generator::next brought; both live until the next call.
struct GeneratorOutput {
  std::string_view text;  // zero terminated
  std::span<const int32_t> tokens;
  inlay_stop stop = INLAY_STOP_NONE;
};

/// Where a generator stands between two rounds, beside its session and its parameters: plain values. With the
/// tokens that wait (Generator::waiting) it is all that a later generator needs to go on with the same words.
struct GeneratorState {
  uint64_t fed = 0;            // tokens of the timeline that the session has
  uint64_t end = 0;            // tokens of the timeline, those that wait included
  uint64_t answer_tokens = 0;  // since the last prompt
  uint32_t prompt_waits = 0;   // 1: what waits ends in a prompt; 0: it is at most a token that was sampled
  int32_t stop = INLAY_STOP_NONE;
  TextStream text;
  inlay_generator_stats stats = INLAY_GENERATOR_STATS_INIT;
};
static_assert(std::is_trivially_copyable_v<GeneratorState>);

/// Session, sampler, drafter and text stream as one machine that turns a prompt into an answer, in rounds:
/// the token that was sampled last is certain, and not fed yet; drafts are guessed after it; one verify feeds
/// all of them; at each row the token of the next position is sampled with that position's own random number,
/// and as long as it is the next row's draft the row counts. The last one sampled is the next certain token.
/// The session keeps what a run without drafts would have fed, no more, so neither the text nor where the
/// session stands depends on the drafter.
///
/// The token that ends an answer, by any stop, stays certain and unfed; it is fed with the next prompt, in
/// front of it. So "<|im_end|>" is part of the timeline when the conversation goes on, and costs no pass if
/// it doesn't.
///
/// All memory is one block, taken at create. One thread at a time; the caller holds the session meanwhile. A
/// generator that goes in the middle of a round takes the round back: the session can be used at once.
class Generator final : public Counted, private Meanwhile {
 public:
  /// Throws Error. A session that has tokens is gone on from. `guided`: the caller will want guide(), which
  /// there is also where the parameters ask for a mask.
  static Generator* create(Session& session, const inlay_generator_params& params, bool guided = false);

  /// INLAY_ERROR_WRONG_STATE while a round is under way (next gave INLAY_PENDING), INLAY_ERROR_CONTEXT_FULL
  /// and INLAY_ERROR_INVALID_ARGUMENT leave everything as it was. A session that the caller has changed since
  /// the last answer (rewound, fed) is gone on from as it is.
  inlay_status prompt(std::span<const int32_t> tokens);
  inlay_status prompt(std::string_view text, bool parse_special);

  /// See inlay_generator_next. After an error the round it happened in is as if it had not begun, and the
  /// next call tries again.
  inlay_status next(uint64_t budget_us, GeneratorOutput* output);

  /// Bytes that save would write; the header is filled in. Takes the round under way back, as save does.
  uint64_t snapshot(SnapshotHeader* header);
  inlay_status save(const inlay_writer& host);
  /// See inlay_generator_load.
  inlay_status load(const inlay_reader& host);
  void report(inlay_progress* progress) const;

  Session& session() const { return *session_; }
  /// Whether a prompt waits or is fed, or a round has begun and is not over.
  bool in_round() const { return phase_ != Phase::kIdle && phase_ != Phase::kPropose; }
  /// Null where nothing guides the answers. Its wishes are of one answer: begin() them after a prompt.
  Guide* guide() { return guide_ ? &*guide_ : nullptr; }
  /// A guide with a grammar needs a matcher, which is made when it is first asked for. Throws Error.
  void need_matcher();
  /// The same for a grammar of calls.
  void need_call_matcher();
  /// Most tokens of an answer from the next prompt on; 0: until the context is full.
  void set_max_tokens(uint64_t tokens) { params_.max_tokens = tokens; }
  const inlay_generator_stats& stats() const { return state_.stats; }
  const char* message() const { return message_; }
  /// Keeps the message; `status` is what it returns.
  inlay_status fail(inlay_status status, const char* message);

  const GeneratorState& state() const { return state_; }
  /// All tokens, those that wait included; they live until the next call.
  std::span<const int32_t> timeline() const { return {parts_.timeline, state_.end}; }
  /// Tokens that are part of the timeline and not fed yet.
  std::span<const int32_t> waiting() const { return {parts_.timeline + state_.fed, state_.end - state_.fed}; }

 private:
  enum class Phase : uint8_t {
    kIdle,     // nothing to do before a prompt
    kFeed,     // a prompt waits
    kPrefill,  // the session feeds it
    kPropose,  // a round begins
    kDraft,    // the session's MTP head drafts
    kVerify,   // the session feeds the certain token and the drafts
    kSample    // rows of logits are there; row_ is the next
  };
  /// What lies in the block of memory; the object itself comes first.
  struct Parts {
    Parts(Layout& layout, const Session& session, const inlay_generator_params& params, bool guided);
    void* object;
    int32_t* timeline;  // [context + kMostDrafts]
    char* text;         // [text_bytes]
    uint64_t text_bytes;
    std::byte* sampler;
    uint64_t sampler_bytes;
    std::byte* lookup;
    uint64_t lookup_bytes;
    std::byte* guide;
    uint64_t guide_bytes;
  };

  Generator(Session& session, const inlay_generator_params& params, const Parts& parts, bool guided,
            Block& block);
  static Guide::Shape guide_shape(const Session& session);
  ~Generator();
  void destroy() override;
  static void check(const Session& session, const inlay_generator_params& params);

  inlay_status fail_as_session(inlay_status status) { return fail(status, session_->message()); }
  void take_back();
  void forget();
  inlay_status check_snapshot(const SnapshotHeader& header);
  void probe_sampling();
  inlay_status check_prompt();
  inlay_status encode_prompt(std::string_view text, bool parse_special);
  inlay_status append_prompt(size_t count);
  void follow_session();
  inlay_status run(uint64_t deadline, GeneratorOutput* output);
  inlay_status feed_prompt(uint64_t deadline);
  inlay_status propose();
  void propose_forced(uint32_t most);
  inlay_status propose_from(DraftSource source, uint32_t most);
  void cut_drafts();
  void restart_masks();
  inlay_status find_mask(uint32_t row);
  bool has_more() const override;
  void do_piece() override;
  uint64_t longest_ns() const override { return mask_cost_.longest(); }
  bool lacks_mask() const { return guide_ && row_ >= masks_; }
  inlay_status draft(uint64_t deadline);
  inlay_status begin_verify();
  inlay_status verify(uint64_t deadline);
  inlay_status sample_rows(uint64_t deadline);
  inlay_status sample_piece(int32_t* token);
  inlay_status begin_row(const float* logits, int32_t* token);
  bool fits(SliceCost& cost, uint64_t now, uint64_t deadline);
  inlay_status finish_round(GeneratorOutput* output);
  inlay_status abandon_round(inlay_status status, const char* message);
  inlay_status advance(uint64_t deadline, uint64_t* spent_ns);
  bool automatic() const { return params_.draft_length == 0; }
  inlay_stop stop_after(int32_t token, uint64_t sampled) const;
  uint64_t left_after(uint64_t sampled) const;
  uint32_t most_drafts() const;
  std::string_view write_text(std::span<const int32_t> tokens, bool ends);
  int32_t certain() const { return parts_.timeline[state_.end - 1]; }

  Held<Session> session_;
  Block block_;
  Parts parts_;
  inlay_generator_params params_;
  Sampler sampler_;
  std::optional<LookupDrafter> lookup_;
  std::optional<HostDrafter> host_;
  std::optional<Guide> guide_;
  std::optional<GrammarMatcher> matcher_;
  std::optional<GrammarMatcher> call_matcher_;
  Held<GrammarObject> grammar_;  // of every answer, unless a chat says otherwise
  DraftPlanner planner_;
  GeneratorState state_;

  // Of the round under way. Its drafts lie in the timeline after the certain token, and what is sampled takes
  // their places.
  Phase phase_ = Phase::kIdle;
  DraftSource source_ = DraftSource::kMtp;
  std::array<bool, kDraftSources> considered_{};  // sources that the planner was asked about
  uint32_t asked_ = 0;                            // drafts that the MTP head was asked for
  uint32_t drafts_ = 0;
  uint32_t accepted_ = 0;
  bool verified_ = false;  // the rows come from a verify, not from a prompt
  bool forced_ = false;    // the drafts are what the guide forces, no guesses
  uint32_t row_ = 0;
  inlay_stop stop_ = INLAY_STOP_NONE;
  uint64_t draft_ns_ = 0;
  uint64_t verify_ns_ = 0;
  bool drawing_ = false;  // a row's token is being drawn, piece by piece
  SliceCost row_cost_;    // of beginning a row
  SliceCost draw_cost_;   // of a piece of a draw
  SliceCost mask_cost_;   // of a row's mask
  uint32_t masks_ = 0;    // rows that have their mask
  uint32_t guided_ = 0;   // drafts that the guide was told of since it was rewound, while masks are found
  bool forbids_ = false;  // the last of the masks forbids its draft: later rows need none
  inlay_status mask_status_ = INLAY_OK;
  uint64_t longest_piece_ns_ = 0;  // of what is not a slice of the session's

  char message_[256] = "";
};

}  // namespace inlay

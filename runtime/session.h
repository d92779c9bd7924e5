#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory_resource>
#include <span>

#include "kernels/device.h"
#include "runtime/host_memory.h"
#include "runtime/model.h"
#include "runtime/pool.h"
#include "runtime/scratch.h"
#include "runtime/snapshot.h"

namespace inlay {

/// What its caller can do while the device has a pass of a session's: pieces that neither read nor change the
/// session.
class Meanwhile {
 public:
  virtual bool has_more() const = 0;
  virtual void do_piece() = 0;
  /// Of a piece, lately.
  virtual uint64_t longest_ns() const = 0;

 protected:
  ~Meanwhile() = default;
};

/// One timeline of tokens. The device keeps committed state and the log of the tokens after it; this keeps
/// the tokens, says which of them are kept, and runs the passes slice by slice. One thread at a time.
class Session final : public Counted {
 public:
  static Session* create(Model& model, const inlay_session_params& params);
  /// A new session at the same place; takes memory like create. Throws Error.
  static Session* fork(Session& from, const inlay_fork_params& params);
  /// The session's and scratch's part of a plan.
  static inlay_memory_plan plan(const ModelWeights& weights, const SessionShape& shape, const Device& device);

  Model& model() const { return *model_; }
  const ModelShape& shape() const { return model_->shape(); }
  const Tokenizer* tokenizer() const { return model_->tokenizer(); }
  std::pmr::memory_resource* resource() const { return model_->runtime().memory(); }
  Scratch& scratch() const { return *scratch_; }
  static uint64_t now_ns();

  /// Tokens kept so far.
  uint64_t position() const { return position_; }
  uint32_t context_length() const { return context_; }
  std::span<const int32_t> tokens() const { return {tokens_, static_cast<size_t>(position_)}; }
  bool mtp() const { return session_.mtp; }
  bool busy() const { return work_ != Work::kNone; }
  /// Keeps others that share the scratch from overwriting the logits, until released or the next work ends.
  void hold_logits() { scratch_->enter(this); }
  void release_logits() {
    if (!busy() && scratch_->is_held_by(this)) scratch_->leave();
  }
  bool waits_for_commit() const { return verified_; }
  size_t rewindable() const { return static_cast<size_t>(position_ - window_begin_); }

  // Each begins one piece of work, which advance() runs. Constant time but for copying the tokens.
  inlay_status begin_prefill(std::span<const int32_t> tokens);
  inlay_status begin_verify(std::span<const int32_t> tokens);
  inlay_status begin_step(int32_t token);
  /// A token for each of several sessions that share a scratch, in one pass, which is the first one's work.
  static inlay_status begin_steps(std::span<Session* const> sessions, std::span<const int32_t> tokens);
  /// The MTP head guesses what follows next_token, which was sampled after the last kept token and is not
  /// fed. Chains `drafts` guesses, 1 to kMaxWidth - 1; with `logits`, one guess, and its logits are kept.
  inlay_status begin_draft(int32_t next_token, uint32_t drafts, bool logits = false);
  std::span<const int32_t> draft_tokens() const { return {result_.draft_tokens, drafts_}; }
  std::span<const float> draft_probabilities() const { return {result_.draft_probabilities, drafts_}; }
  const float* draft_logits() const { return result_.draft_logits; }

  /// `meanwhile` is called after slices, and while an asynchronous device has the rest, within the budget
  /// too.
  inlay_status advance(uint64_t budget_us, inlay_progress* progress, Meanwhile* meanwhile = nullptr);
  /// Goes on without waiting: what inlay_session_poll says.
  inlay_status poll();
  void report(inlay_progress* progress) const;
  inlay_status estimate(size_t prompt, size_t rounds, uint32_t width, inlay_estimate* out) const;
  uint64_t longest_slice_ns() const { return longest_slice_ns_; }
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  inlay_status commit(size_t count);
  inlay_status rewind(size_t count);
  inlay_status reset();
  /// Stands where `mark` stands from now on.
  inlay_status rewind_to(const Session& mark);

  /// 0 where the device fails; snapshot_bytes, too.
  uint64_t save_bytes() const;
  inlay_status save(const inlay_writer& host);
  inlay_status load(const inlay_reader& host);

  /// What a snapshot has of a session. No work is under way.
  void describe(SnapshotHeader* header) const;
  uint64_t snapshot_bytes(const SnapshotHeader& header) const;
  inlay_status write_body(const SnapshotHeader& header, SnapshotWriter& writer) const;
  /// Whether the snapshot could be loaded; changes nothing.
  inlay_status check_snapshot(const SnapshotHeader& header);
  /// Empty after an error.
  inlay_status read_body(const SnapshotHeader& header, SnapshotReader& reader);

  inlay_status logits(size_t row, const float** out_logits) const;
  inlay_status hidden(size_t row, const float** out_hidden) const;
  inlay_status mtp_logits(std::span<const int32_t> tokens, float* out_logits);

  /// Notes what went wrong; `status` is what it returns.
  inlay_status fail(inlay_status status, const char* format, ...) __attribute__((format(printf, 3, 4)));
  const char* message() const { return message_; }

  /// Set while a call is inside, so that a second thread or a callback is told.
  std::atomic<bool>& inside() { return inside_; }

 private:
  enum class Work : uint8_t { kNone, kPrefill, kStep, kVerify, kDraft, kBatch, kFollow };

  Session(Model& model, const inlay_session_params& params, const SessionShape& shape, Block& state,
          Held<Scratch>& scratch);
  ~Session();
  void destroy() override;

  inlay_status check_idle();
  inlay_status stop_lost_work();
  inlay_status check_feed(std::span<const int32_t> tokens);
  inlay_status own_pages(uint64_t first, uint64_t end);
  inlay_status replace_page(uint32_t index);
  void keep_pages(uint64_t tokens);
  inlay_status share_pages(const Session& from);
  inlay_status stand_where(const Session& from);
  inlay_status begin_work(Work work, std::span<const int32_t> tokens);
  void end_work();
  void begin_pass(PassKind kind, uint64_t position, uint32_t rows, uint32_t hidden_row);
  bool begin_mtp_cache_pass(Session& of);
  void begin_next_pass();
  void begin_batch_pass();
  void count_slices();
  inlay_status finish_pass();
  void take_rows(uint32_t first_row, uint32_t rows);
  void leave_work(bool replayed);
  inlay_status stop_work(inlay_status status, const char* why);
  inlay_status run_slices(uint64_t budget_ns, Meanwhile* meanwhile);
  uint64_t do_meanwhile(Meanwhile& meanwhile, uint64_t now, uint64_t deadline);
  inlay_status wait_for_queue(uint64_t deadline);
  inlay_status settle(inlay_status status);
  inlay_status probe();
  inlay_status probe_passes();
  using SliceRuns = std::array<uint8_t, Device::kSliceKinds>;
  inlay_status probe_pass(SliceRuns& runs);
  inlay_status move_parts(const SnapshotHeader& header, SnapshotWriter* writer, SnapshotReader* reader) const;
  inlay_status move_part(const StatePart& part, uint64_t bytes, SnapshotWriter* writer,
                         SnapshotReader* reader) const;
  inlay_status move_layer(const SnapshotHeader& header, uint32_t layer, uint64_t committed,
                          SnapshotWriter* writer, SnapshotReader* reader) const;
  inlay_status move_pages(uint64_t end, SnapshotWriter* writer, SnapshotReader* reader) const;

  Held<Model> model_;
  Held<Scratch> scratch_;
  Held<Pool> pool_;
  Block state_block_;
  SessionShape session_;
  uint32_t context_;  // as asked for; session_.context is whole pages
  inlay_session_params params_;
  DeviceState* state_ = nullptr;
  int32_t* tokens_ = nullptr;  // [session_.context]; those being fed lie beyond position_
  float* hidden_ = nullptr;    // [kMaxWidth][embedding] copies for the host
  uint32_t* pages_ = nullptr;  // [pages] of the pool, where there is one
  uint32_t page_count_ = 0;

  // Where the timeline stands.
  uint64_t position_ = 0;
  uint64_t window_begin_ = 0;  // the device has committed up to here; what follows can be taken back
  uint64_t mtp_position_ = 0;  // the MTP KV is right for tokens 1 .. mtp_position_ - 1
  uint32_t hidden_row_ = 0;    // the device's hidden row of token position_ - 1
  uint32_t rows_ = 0;          // of logits that are there
  uint32_t logits_row_ = 0;    // the first of them in the scratch
  uint64_t logits_pass_ = 0;   // of the scratch: that they come from
  bool verified_ = false;      // a verify waits for its commit
  bool poisoned_ = false;      // the device failed

  // The work under way.
  Work work_ = Work::kNone;
  uint32_t fed_ = 0;   // tokens of it
  uint32_t done_ = 0;  // of them, by finished passes of a prefill
  uint32_t drafts_ = 0;
  bool draft_logits_ = false;
  Pass pass_;
  std::array<Segment, kMaxWidth> segments_;
  uint32_t slice_ = 0;
  uint32_t slices_ = 0;
  SliceCounts left_{};    // slices of the pass that are still to be run
  uint32_t stalled_ = 0;  // calls in a row that found no room for a slice
  bool queued_ = false;   // the device has all slices of the pass
  PassResult result_;
  // Of a batch: its sessions, this one first, and the token of each.
  std::array<Session*, kMaxWidth> batch_{};
  std::array<int32_t, kMaxWidth> batch_tokens_{};
  uint32_t batch_count_ = 0;
  uint32_t batch_next_ = 0;    // the next whose MTP entries are brought up to date
  Session* leader_ = nullptr;  // of the batch that this session is in
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> inside_{false};

  uint64_t longest_slice_ns_ = 0;
  char message_[256] = "";
};

}  // namespace inlay

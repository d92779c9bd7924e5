#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory_resource>
#include <span>

#include "kernels/device.h"
#include "runtime/host_memory.h"
#include "runtime/model.h"

namespace inlay {

/// One timeline of tokens. The device keeps committed state and the log of the tokens after it; this keeps
/// the tokens, says which of them are kept, and runs the passes slice by slice. One thread at a time.
class Session final : public Counted {
 public:
  static Session* create(Model& model, const inlay_session_params& params);
  /// A new session at the same place; takes memory like create.
  static Session* fork(Session& from);
  /// The session's and scratch's part of a plan.
  static inlay_memory_plan plan(const ModelWeights& weights, const SessionShape& shape, const Device& device);

  Model& model() const { return *model_; }
  const ModelShape& shape() const { return model_->shape(); }
  const Tokenizer* tokenizer() const { return model_->tokenizer(); }
  std::pmr::memory_resource* resource() const { return model_->runtime().memory(); }
  static uint64_t now_ns();

  /// Tokens kept so far.
  uint64_t position() const { return position_; }
  uint32_t context_length() const { return context_; }
  std::span<const int32_t> tokens() const { return {tokens_, static_cast<size_t>(position_)}; }
  bool mtp() const { return session_.mtp; }
  bool busy() const { return work_ != Work::kNone; }
  bool waits_for_commit() const { return verified_; }
  size_t rewindable() const { return static_cast<size_t>(position_ - window_begin_); }

  // Each begins one piece of work, which advance() runs. Constant time but for copying the tokens.
  inlay_status begin_prefill(std::span<const int32_t> tokens);
  inlay_status begin_verify(std::span<const int32_t> tokens);
  inlay_status begin_step(int32_t token);
  /// The MTP head guesses what follows next_token, which was sampled after the last kept token and is not
  /// fed. Chains `drafts` guesses, 1 to kMaxWidth - 1; with `logits`, one guess, and its logits are kept.
  inlay_status begin_draft(int32_t next_token, uint32_t drafts, bool logits = false);
  std::span<const int32_t> draft_tokens() const { return {result_.draft_tokens, drafts_}; }
  std::span<const float> draft_probabilities() const { return {result_.draft_probabilities, drafts_}; }
  const float* draft_logits() const { return result_.draft_logits; }

  inlay_status advance(uint64_t budget_us, inlay_progress* progress);
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  inlay_status commit(size_t count);
  inlay_status rewind(size_t count);
  inlay_status reset();

  inlay_status logits(size_t row, const float** out_logits) const;
  inlay_status hidden(size_t row, const float** out_hidden) const;
  inlay_status mtp_logits(std::span<const int32_t> tokens, float* out_logits);

  /// Notes what went wrong; `status` is what it returns.
  inlay_status fail(inlay_status status, const char* format, ...) __attribute__((format(printf, 3, 4)));
  const char* message() const { return message_; }

  /// Set while a call is inside, so that a second thread or a callback is told.
  std::atomic<bool>& inside() { return inside_; }

 private:
  enum class Work : uint8_t { kNone, kPrefill, kStep, kVerify, kDraft };

  Session(Model& model, const inlay_session_params& params, const SessionShape& shape, Block& state,
          Block& scratch);
  ~Session();
  void destroy() override;

  inlay_status check_feed(std::span<const int32_t> tokens);
  void end_work();
  void begin_pass(PassKind kind, uint64_t position, uint32_t rows, uint32_t hidden_row);
  bool begin_mtp_cache_pass();
  void begin_next_pass();
  inlay_status finish_pass();
  inlay_status stop_work(inlay_status status, const char* why);
  inlay_status run_slices(uint64_t budget_ns);
  void measured(uint32_t kind, uint64_t ns);
  void report(inlay_progress* progress) const;

  Held<Model> model_;
  Block state_block_;
  Block scratch_block_;
  SessionShape session_;
  uint32_t context_;  // as asked for; session_.context is whole pages
  inlay_session_params params_;
  DeviceState* state_ = nullptr;
  DeviceScratch* scratch_ = nullptr;
  const Session** scratch_user_ = nullptr;  // in the scratch: whose work is under way on it
  int32_t* tokens_ = nullptr;               // [session_.context]; those being fed lie beyond position_
  float* hidden_ = nullptr;                 // [kMaxWidth][embedding] copies for the host

  // Where the timeline stands.
  uint64_t position_ = 0;
  uint64_t window_begin_ = 0;  // the device has committed up to here; what follows can be taken back
  uint64_t mtp_position_ = 0;  // the MTP KV is right for tokens 1 .. mtp_position_ - 1
  uint32_t hidden_row_ = 0;    // the device's hidden row of token position_ - 1
  uint32_t rows_ = 0;          // of logits that are there
  bool verified_ = false;      // a verify waits for its commit
  bool poisoned_ = false;      // the device failed

  // The work under way.
  Work work_ = Work::kNone;
  uint32_t fed_ = 0;   // tokens of it
  uint32_t done_ = 0;  // of them, by finished passes of a prefill
  uint32_t drafts_ = 0;
  bool draft_logits_ = false;
  Pass pass_;
  Segment segment_;
  uint32_t slice_ = 0;
  uint32_t slices_ = 0;
  PassResult result_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> inside_{false};

  std::array<uint64_t, Device::kSliceKinds> slice_ns_{};  // the longest lately, by kind
  uint64_t longest_slice_ns_ = 0;
  char message_[256] = "";
};

}  // namespace inlay

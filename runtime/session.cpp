#include "runtime/session.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "runtime/error.h"
#include "runtime/platform.h"

namespace inlay {
namespace {

/// Lays out the session's own arrays; the device's share follows.
struct StateLayout {
  StateLayout(const ModelShape& shape, const SessionShape& session, const DeviceBytes& device, Layout& layout)
      : object(layout.take<Session>(1)),
        tokens(layout.take<int32_t>(session.context)),
        hidden(layout.take<float>(uint64_t{kMaxWidth} * shape.embedding)),
        device_block(layout.take<std::byte>(device.host)) {}

  void* object;
  int32_t* tokens;
  float* hidden;
  std::byte* device_block;
};

/// Scratch that several sessions may share begins with which of them has work under way on it.
struct ScratchLayout {
  ScratchLayout(const DeviceBytes& device, Layout& layout)
      : user(layout.take<const Session*>(1)), device_block(layout.take<std::byte>(device.host)) {}

  const Session** user;
  std::byte* device_block;
};

uint64_t scratch_bytes(const DeviceBytes& device) {
  Layout layout;
  ScratchLayout(device, layout);
  return layout.bytes();
}

uint64_t state_bytes(const ModelShape& shape, const SessionShape& session, const DeviceBytes& device) {
  Layout layout;
  StateLayout(shape, session, device, layout);
  return layout.bytes();
}

}  // namespace

uint64_t Session::now_ns() { return platform::monotonic_ns(); }

inlay_memory_plan Session::plan(const ModelWeights& weights, const SessionShape& session,
                                const Device& device) {
  const ModelShape& shape = weights.shape;
  const DeviceBytes state = device.plan_state(shape, session);
  const DeviceBytes scratch = device.plan_scratch(weights, session);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  plan.session_host = state_bytes(shape, session, state);
  plan.session_device = state.device;
  plan.scratch_host = scratch_bytes(scratch);
  plan.scratch_device = scratch.device;
  const uint64_t kv_row = session.kv_type == KvType::kF16   ? 2 * shape.head_length
                          : session.kv_type == KvType::kFp8 ? shape.head_length
                                                            : shape.head_length / 32 * 34;
  const uint64_t kv_layers = shape.attention_layers() + (session.mtp ? 1 : 0);
  plan.kv_cache = kv_layers * 2 * shape.kv_heads * kv_row * session.context;
  const uint64_t conv_slots = kLogSlots + shape.conv_kernel - 1;
  plan.delta_net_state =
      shape.delta_net_layers() * sizeof(float) *
      (uint64_t{shape.value_length()} * shape.state_length + conv_slots * shape.conv_channels());
  plan.window = shape.delta_net_layers() * sizeof(float) * uint64_t{kLogSlots} *
                (shape.key_length() + shape.value_length() + 2 * shape.value_heads);
  return plan;
}

Session* Session::create(Model& model, const inlay_session_params& params) {
  const SessionShape session = session_shape_of(params, model.shape(), model.info(), model.device());
  const DeviceBytes state = model.device().plan_state(model.shape(), session);
  const uint64_t scratch = scratch_bytes(model.device().plan_scratch(model.weights(), session));
  const uint64_t bytes = state_bytes(model.shape(), session, state);
  HostMemory* memory = model.runtime().memory();
  Block state_block = params.state_arena == nullptr
                          ? Block(memory, bytes)
                          : Block(params.state_arena, params.state_arena_bytes, bytes, "state_arena");
  Block scratch_block =
      params.scratch_arena == nullptr
          ? Block(memory, scratch)
          : Block(params.scratch_arena, params.scratch_arena_bytes, scratch, "scratch_arena");
  void* place = state_block.data();
  return new (place) Session(model, params, session, state_block, scratch_block);
}

Session* Session::fork(Session& from) {
  inlay_session_params params = from.params_;
  params.state_arena = nullptr;
  params.scratch_arena = nullptr;
  Session* session = create(*from.model_, params);
  const inlay_status copied = from.model_->device().copy(*from.state_, *session->state_, from.position_);
  if (copied != INLAY_OK) {
    session->release();
    throw Error(copied, "the device failed while it copied the session");
  }
  std::memcpy(session->tokens_, from.tokens_, from.position_ * sizeof(int32_t));
  session->position_ = from.position_;
  session->window_begin_ = from.window_begin_;
  session->mtp_position_ = from.mtp_position_;
  session->hidden_row_ = from.hidden_row_;
  session->slice_ns_ = from.slice_ns_;
  return session;
}

/// Takes the blocks over last: the object lies in one of them, and must not lose it while it is given up.
Session::Session(Model& model, const inlay_session_params& params, const SessionShape& session, Block& state,
                 Block& scratch)
    : model_(&model),
      session_(session),
      context_(params.context_length == 0 ? session.context : params.context_length),
      params_(params) {
  Device& device = model.device();
  Layout layout(state.data(), state.bytes());
  const StateLayout parts(model.shape(), session, device.plan_state(model.shape(), session), layout);
  tokens_ = parts.tokens;
  hidden_ = parts.hidden;
  state_ = device.create_state(model.device_weights(), session, parts.device_block);
  try {
    Layout scratch_layout(scratch.data(), scratch.bytes());
    const ScratchLayout scratch_parts(device.plan_scratch(model.weights(), session), scratch_layout);
    scratch_ = device.create_scratch(model.device_weights(), session, scratch_parts.device_block);
    scratch_user_ = scratch_parts.user;
    *scratch_user_ = nullptr;
  } catch (...) {
    device.release(state_);
    throw;
  }
  state_block_ = std::move(state);
  scratch_block_ = std::move(scratch);
}

Session::~Session() {
  if (busy()) end_work();
  model_->device().release(scratch_);
  model_->device().release(state_);
}

void Session::destroy() {
  const Held<Model> model(model_.get());
  const Block state(std::move(state_block_));
  const Block scratch(std::move(scratch_block_));
  this->~Session();
}

inlay_status Session::fail(inlay_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message_, sizeof message_, format, arguments);
  va_end(arguments);
  return status;
}

inlay_status Session::check_feed(std::span<const int32_t> tokens) {
  if (poisoned_)
    return fail(INLAY_ERROR_DEVICE, "the device failed earlier; the session can only be destroyed");
  if (busy()) return fail(INLAY_ERROR_WRONG_STATE, "work is under way: advance it to its end or cancel it");
  if (verified_) return fail(INLAY_ERROR_WRONG_STATE, "a verify waits for its commit");
  if (*scratch_user_ != nullptr) {
    return fail(INLAY_ERROR_WRONG_STATE, "a session that shares this one's scratch has work under way");
  }
  if (tokens.empty()) return fail(INLAY_ERROR_INVALID_ARGUMENT, "there are no tokens to feed");
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || static_cast<uint32_t>(tokens[i]) >= shape().vocabulary) {
      return fail(INLAY_ERROR_INVALID_ARGUMENT, "token %zu is %d, expected 0 to %u", i, tokens[i],
                  shape().vocabulary - 1);
    }
  }
  if (tokens.size() > context_ - position_) {
    return fail(INLAY_ERROR_CONTEXT_FULL, "%zu tokens do not fit: %llu of the context's %u are taken",
                tokens.size(), static_cast<unsigned long long>(position_), context_);
  }
  return INLAY_OK;
}

void Session::end_work() {
  work_ = Work::kNone;
  *scratch_user_ = nullptr;
}

void Session::begin_pass(PassKind kind, uint64_t position, uint32_t rows, uint32_t hidden_row) {
  *scratch_user_ = this;
  segment_ = {state_, 0, rows, position, hidden_row};
  pass_ = Pass{};
  pass_.kind = kind;
  pass_.tokens = tokens_ + position;
  pass_.rows = rows;
  pass_.segments = {&segment_, 1};
  pass_.draft_logits = kind == PassKind::kDraft && draft_logits_;
  slice_ = 0;
  slices_ = 0;
}

inlay_status Session::begin_prefill(std::span<const int32_t> tokens) {
  if (const inlay_status status = check_feed(tokens); status != INLAY_OK) return status;
  // The MTP entry of a token that was only expected here is overwritten by the prompt's own.
  mtp_position_ = std::min(mtp_position_, position_);
  std::memcpy(tokens_ + position_, tokens.data(), tokens.size_bytes());
  work_ = Work::kPrefill;
  fed_ = static_cast<uint32_t>(tokens.size());
  done_ = 0;
  cancelled_.store(false, std::memory_order_relaxed);
  if (!begin_mtp_cache_pass()) begin_next_pass();
  return INLAY_OK;
}

inlay_status Session::begin_step(int32_t token) {
  const inlay_status status = begin_verify({&token, 1});
  if (status == INLAY_OK) work_ = Work::kStep;
  return status;
}

inlay_status Session::begin_verify(std::span<const int32_t> tokens) {
  if (tokens.size() > kMaxWidth) {
    return fail(INLAY_ERROR_INVALID_ARGUMENT, "a verify takes at most %u tokens, not %zu", kMaxWidth,
                tokens.size());
  }
  if (const inlay_status status = check_feed(tokens); status != INLAY_OK) return status;
  // The MTP head may have been fed another token here than the one that now comes.
  if (mtp_position_ > position_ && tokens_[position_] != tokens[0]) mtp_position_ = position_;
  std::memcpy(tokens_ + position_, tokens.data(), tokens.size_bytes());
  work_ = Work::kVerify;
  fed_ = static_cast<uint32_t>(tokens.size());
  done_ = 0;
  cancelled_.store(false, std::memory_order_relaxed);
  if (!begin_mtp_cache_pass()) begin_next_pass();
  return INLAY_OK;
}

inlay_status Session::begin_draft(int32_t next_token, uint32_t drafts, bool logits) {
  if (!mtp()) return fail(INLAY_ERROR_WRONG_STATE, "the session was made without mtp");
  if (const inlay_status status = check_feed({&next_token, 1}); status != INLAY_OK) return status;
  if (position_ == 0)
    return fail(INLAY_ERROR_WRONG_STATE, "the MTP head needs a token before the one it is fed");
  if (drafts == 0 || drafts >= kMaxWidth) {
    return fail(INLAY_ERROR_INVALID_ARGUMENT, "%u drafts were asked for, expected 1 to %u", drafts,
                kMaxWidth - 1);
  }
  const uint64_t room = session_.context - position_;  // the head's own entries need places, too
  drafts = static_cast<uint32_t>(std::min<uint64_t>(drafts, room));
  draft_logits_ = logits;
  // A repeated draft after the same token: its entry is there, and is computed again to the same bits.
  mtp_position_ = std::min(mtp_position_, position_);
  tokens_[position_] = next_token;
  const uint64_t first = std::max<uint64_t>(mtp_position_, 1);
  begin_pass(PassKind::kDraft, first, static_cast<uint32_t>(position_ + 1 - first),
             hidden_row_ - static_cast<uint32_t>(position_ - first));
  pass_.drafts = drafts;
  drafts_ = drafts;
  work_ = Work::kDraft;
  cancelled_.store(false, std::memory_order_relaxed);
  return INLAY_OK;
}

/// Before a pass overwrites the hidden states: the MTP entries that still need them. False where none do.
/// A prompt brings its own entries, the first of which reads a hidden state that is still there.
bool Session::begin_mtp_cache_pass() {
  if (!mtp()) return false;
  const uint64_t first = std::max<uint64_t>(mtp_position_, 1);
  const uint64_t end = work_ == Work::kPrefill ? position_ : position_ + 1;
  if (first >= end) return false;
  begin_pass(PassKind::kDraft, first, static_cast<uint32_t>(end - first),
             hidden_row_ - static_cast<uint32_t>(position_ - first));
  return true;
}

void Session::begin_next_pass() {
  if (work_ == Work::kPrefill) {
    // Chunks depend on the length of the feed alone.
    const uint32_t rows = std::min(session_.prefill_chunk, fed_ - done_);
    begin_pass(PassKind::kWide, position_, rows, hidden_row_);
    pass_.logits = done_ + rows == fed_;
  } else {
    begin_pass(PassKind::kNarrow, position_, fed_, hidden_row_);
  }
}

/// Takes over what the pass has done. PENDING where the work needs another pass.
inlay_status Session::finish_pass() {
  const inlay_status status = model_->device().finish(*scratch_, pass_, &result_);
  if (status != INLAY_OK) return status;
  switch (pass_.kind) {
    case PassKind::kDraft:
      mtp_position_ = segment_.position + segment_.rows;
      if (work_ == Work::kDraft) {
        end_work();
        return INLAY_OK;
      }
      begin_next_pass();
      return INLAY_PENDING;
    case PassKind::kWide:
      position_ += segment_.rows;
      window_begin_ = position_;
      mtp_position_ = position_;
      hidden_row_ = 1;
      done_ += segment_.rows;
      rows_ = done_ == fed_ ? 1 : 0;
      if (done_ < fed_) {
        begin_next_pass();
        return INLAY_PENDING;
      }
      end_work();
      return INLAY_OK;
    case PassKind::kNarrow:
      window_begin_ = position_;
      mtp_position_ = position_ + 1;
      hidden_row_ = 0;
      rows_ = fed_;
      verified_ = true;
      if (work_ == Work::kStep) commit(1);
      end_work();
      return INLAY_OK;
  }
  return INLAY_OK;
}

inlay_status Session::commit(size_t count) {
  if (!verified_) return fail(INLAY_ERROR_WRONG_STATE, "no verify waits for a commit");
  if (count > rows_) {
    return fail(INLAY_ERROR_INVALID_ARGUMENT, "commit of %zu tokens, the verify had %u", count, rows_);
  }
  verified_ = false;
  position_ += count;
  hidden_row_ = static_cast<uint32_t>(count);
  mtp_position_ = std::min(mtp_position_, position_);
  return INLAY_OK;
}

inlay_status Session::rewind(size_t count) {
  if (busy()) return fail(INLAY_ERROR_WRONG_STATE, "work is under way: advance it to its end or cancel it");
  if (verified_) return fail(INLAY_ERROR_WRONG_STATE, "a verify waits for its commit");
  if (count > rewindable()) {
    return fail(INLAY_ERROR_INVALID_ARGUMENT, "rewind of %zu tokens, at most %zu are possible", count,
                rewindable());
  }
  position_ -= count;
  hidden_row_ -= static_cast<uint32_t>(count);
  rows_ = std::min(rows_, hidden_row_);
  mtp_position_ = std::min(mtp_position_, position_);
  return INLAY_OK;
}

inlay_status Session::reset() {
  if (poisoned_)
    return fail(INLAY_ERROR_DEVICE, "the device failed earlier; the session can only be destroyed");
  if (busy()) stop_work(INLAY_OK, "");
  const inlay_status status = model_->device().reset(*state_);
  if (status != INLAY_OK) {
    poisoned_ = true;
    return fail(status, "the device failed");
  }
  position_ = window_begin_ = mtp_position_ = 0;
  hidden_row_ = rows_ = 0;
  verified_ = false;
  return INLAY_OK;
}

/// Leaves the work: the session is as before it, but for the whole chunks of a prompt.
inlay_status Session::stop_work(inlay_status status, const char* why) {
  const inlay_status undone = model_->device().abandon(*scratch_, pass_, slice_);
  end_work();
  rows_ = 0;
  // Some layers may have replayed what could still be taken back.
  if (slice_ > 0 && pass_.kind != PassKind::kDraft) window_begin_ = position_;
  mtp_position_ = std::min(mtp_position_, position_);
  if (undone != INLAY_OK) {
    poisoned_ = true;
    return fail(undone, "the device failed");
  }
  return fail(status, "%s", why);
}

void Session::measured(uint32_t kind, uint64_t ns) {
  slice_ns_[kind] = std::max(ns, slice_ns_[kind] - slice_ns_[kind] / 16);
  longest_slice_ns_ = std::max(longest_slice_ns_, ns);
}

inlay_status Session::run_slices(uint64_t budget_ns) {
  Device& device = model_->device();
  const uint64_t start = now_ns();
  uint64_t now = start;
  bool ran = false;
  for (;;) {
    if (slices_ == 0) slices_ = device.slice_count(*scratch_, pass_);
    while (slice_ < slices_) {
      if (cancelled_.load(std::memory_order_relaxed)) {
        return stop_work(INLAY_ERROR_CANCELLED, "the work was cancelled");
      }
      if (budget_ns == 0) return INLAY_PENDING;
      const bool whole = device.asynchronous() && budget_ns == UINT64_MAX;
      const uint32_t end = whole ? slices_ : slice_ + 1;
      const uint32_t kind = device.slice_kind(*scratch_, pass_, slice_);
      if (budget_ns != UINT64_MAX && now - start + slice_ns_[kind] > budget_ns) {
        // An estimate that one slow slice has spoilt must not stop the work for good.
        if (!ran) slice_ns_[kind] -= slice_ns_[kind] / 8;
        return INLAY_PENDING;
      }
      const inlay_status status = device.run(*scratch_, pass_, slice_, end);
      if (status != INLAY_OK) return status;
      const uint64_t after = now_ns();
      if (!whole) measured(kind, after - now);
      now = after;
      ran = true;
      slice_ = end;
    }
    const inlay_status status = finish_pass();
    if (status != INLAY_PENDING) return status;
  }
}

inlay_status Session::advance(uint64_t budget_us, inlay_progress* progress) {
  if (poisoned_)
    return fail(INLAY_ERROR_DEVICE, "the device failed earlier; the session can only be destroyed");
  inlay_status status = INLAY_OK;
  if (busy()) {
    const uint64_t budget_ns = budget_us > UINT64_MAX / 1000 - 1 ? UINT64_MAX : budget_us * 1000;
    status = run_slices(budget_ns);
    if (status < 0 && busy()) {
      poisoned_ = true;
      end_work();
      fail(status, "the device failed; the session can only be destroyed");
    }
  }
  if (progress != nullptr) report(progress);
  return status;
}

void Session::report(inlay_progress* progress) const {
  progress->slices_done = busy() ? slice_ : 0;
  progress->slices_total = 0;
  progress->longest_slice_ns = longest_slice_ns_;
  progress->remaining_ns = 0;
  if (!busy()) return;
  const Device& device = model_->device();
  const uint32_t slices = device.slice_count(*scratch_, pass_);
  progress->slices_total = slices;
  for (uint32_t i = slice_; i < slices; ++i) {
    progress->remaining_ns += slice_ns_[device.slice_kind(*scratch_, pass_, i)];
  }
  if (work_ != Work::kPrefill || pass_.kind != PassKind::kWide) return;
  // Further chunks cost what this one does, row for row.
  uint64_t chunk_ns = 0;
  for (uint32_t i = 0; i < slices; ++i) chunk_ns += slice_ns_[device.slice_kind(*scratch_, pass_, i)];
  progress->remaining_ns += chunk_ns * (fed_ - done_ - pass_.rows) / pass_.rows;
}

inlay_status Session::logits(size_t row, const float** out_logits) const {
  *out_logits = nullptr;
  if (busy() || row >= rows_) return INLAY_ERROR_WRONG_STATE;
  *out_logits = result_.logits + row * shape().vocabulary;
  return INLAY_OK;
}

inlay_status Session::hidden(size_t row, const float** out_hidden) const {
  *out_hidden = nullptr;
  if (busy() || row >= rows_) return INLAY_ERROR_WRONG_STATE;
  float* copy = hidden_ + row * shape().embedding;
  const inlay_status status = model_->device().read_hidden(*state_, static_cast<uint32_t>(row + 1), copy);
  if (status == INLAY_OK) *out_hidden = copy;
  return status;
}

inlay_status Session::mtp_logits(std::span<const int32_t> tokens, float* out_logits) {
  if (!mtp()) return fail(INLAY_ERROR_WRONG_STATE, "the session was made without mtp");
  if (position_ != 0) return fail(INLAY_ERROR_WRONG_STATE, "the session is not empty");
  if (const inlay_status status = check_feed(tokens); status != INLAY_OK) return status;
  inlay_status status = INLAY_OK;
  for (size_t i = 0; i + 1 < tokens.size() && status == INLAY_OK; ++i) {
    status = begin_step(tokens[i]);
    if (status == INLAY_OK) status = advance(INLAY_NO_BUDGET, nullptr);
    if (status == INLAY_OK) status = begin_draft(tokens[i + 1], 1, true);
    if (status == INLAY_OK) status = advance(INLAY_NO_BUDGET, nullptr);
    if (status == INLAY_OK) {
      std::memcpy(out_logits + i * shape().vocabulary, draft_logits(), shape().vocabulary * sizeof(float));
    }
  }
  const inlay_status emptied = reset();
  return status == INLAY_OK ? emptied : status;
}

}  // namespace inlay

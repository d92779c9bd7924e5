#include "runtime/session.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <utility>

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
        pages(layout.take<uint32_t>(session.pooled ? session.pages() : 0)),
        device_block(layout.take<std::byte>(device.host)) {}

  void* object;
  int32_t* tokens;
  float* hidden;
  uint32_t* pages;
  std::byte* device_block;
};

uint64_t state_bytes(const ModelShape& shape, const SessionShape& session, const DeviceBytes& device) {
  Layout layout;
  StateLayout(shape, session, device, layout);
  return layout.bytes();
}

/// The scratch that the parameters ask for.
Scratch* scratch_of(Model& model, const SessionShape& shape, const inlay_session_params& params) {
  if (params.share_scratch == nullptr) {
    return Scratch::create(model, shape, params.scratch_arena, params.scratch_arena_bytes);
  }
  Scratch& shared = reinterpret_cast<Session*>(params.share_scratch)->scratch();
  if (!shared.fits(model, shape)) {
    throw Error(INLAY_ERROR_MISMATCH,
                "share_scratch is a session of another model or of parameters that need another scratch");
  }
  shared.retain();
  return &shared;
}

SessionShape pooled_shape(SessionShape session, Model& model, const inlay_session_params& params) {
  if (params.pool == nullptr) return session;
  const auto& pool = *reinterpret_cast<const Pool*>(params.pool);
  if (&pool.model() != &model || pool.shape().kv_type != session.kv_type || pool.shape().mtp != session.mtp) {
    throw Error(INLAY_ERROR_MISMATCH, "the pool is of another model, another kv_type or another mtp");
  }
  session.pooled = true;
  return session;
}

}  // namespace

uint64_t Session::now_ns() { return platform::monotonic_ns(); }

inlay_memory_plan Session::plan(const ModelWeights& weights, const SessionShape& session,
                                const Device& device) {
  const ModelShape& shape = weights.shape;
  const DeviceBytes state = device.plan_state(shape, session);
  SessionShape pooled = session;
  pooled.pooled = true;
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  plan.session_host = state_bytes(shape, session, state);
  plan.session_device = state.device;
  plan.scratch_host = Scratch::bytes(weights, session, device);
  plan.scratch_device = device.plan_scratch(weights, session).device;
  if (device.has_pools()) {
    const DeviceBytes pooled_state = device.plan_state(shape, pooled);
    plan.pooled_session_host = state_bytes(shape, pooled, pooled_state);
    plan.pooled_session_device = pooled_state.device;
  }
  const uint64_t kv_row = kv_row_bytes(session.kv_type, shape.head_length);
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
  if (model.lost()) refuse_lost_file();
  const SessionShape session =
      pooled_shape(session_shape_of(params, model.shape(), model.info(), model.device()), model, params);
  const DeviceBytes state = model.device().plan_state(model.shape(), session);
  const uint64_t bytes = state_bytes(model.shape(), session, state);
  Block state_block = params.state_arena == nullptr
                          ? Block(model.runtime().memory(MemoryKind::kState), bytes)
                          : Block(params.state_arena, params.state_arena_bytes, bytes, "state_arena");
  Held<Scratch> scratch = Held<Scratch>::adopt(scratch_of(model, session, params));
  void* place = state_block.data();
  auto* object = new (place) Session(model, params, session, state_block, scratch);
  const inlay_status probed = object->probe();
  const bool lost = model.lost() || model.lost_by_now();
  if (!lost && probed == INLAY_OK) return object;
  object->release();
  if (lost) refuse_lost_file();
  throw Error(probed, "the device failed while it timed a session's slices");
}

Session* Session::fork(Session& from, const inlay_fork_params& fork) {
  inlay_session_params params = from.params_;
  params.state_arena = fork.state_arena;
  params.state_arena_bytes = fork.state_arena_bytes;
  params.scratch_arena = fork.scratch_arena;
  params.scratch_arena_bytes = fork.scratch_arena_bytes;
  params.pool = reinterpret_cast<inlay_pool*>(from.pool_.get());
  params.share_scratch = fork.share_scratch != 0 ? reinterpret_cast<inlay_session*>(&from) : nullptr;
  Session* session = create(*from.model_, params);
  const inlay_status stands = session->stand_where(from);
  if (stands != INLAY_OK) {
    session->release();
    throw Error(stands, stands == INLAY_ERROR_MEMORY_LIMIT
                            ? "the pool has no page free for the fork's last one"
                            : "the device failed while it copied the session");
  }
  return session;
}

/// Takes the blocks over last: the object lies in one of them, and must not lose it while it is given up.
Session::Session(Model& model, const inlay_session_params& params, const SessionShape& session, Block& state,
                 Held<Scratch>& scratch)
    : model_(&model),
      session_(session),
      context_(params.context_length == 0 ? session.context : params.context_length),
      params_(params) {
  Device& device = model.device();
  Layout layout(state.data(), state.bytes());
  const StateLayout parts(model.shape(), session, device.plan_state(model.shape(), session), layout);
  tokens_ = parts.tokens;
  hidden_ = parts.hidden;
  pages_ = parts.pages;
  state_ = device.create_state(model.device_weights(), session, parts.device_block);
  if (session.pooled) {
    pool_ = Held<Pool>(reinterpret_cast<Pool*>(params.pool));
    device.attach(*state_, pool_->device());
  }
  params_.pool = nullptr;
  params_.share_scratch = nullptr;
  scratch_ = std::move(scratch);
  state_block_ = std::move(state);
}

Session::~Session() {
  if (leader_ != nullptr) leader_->stop_work(INLAY_ERROR_CANCELLED, "a session of the batch was destroyed");
  if (busy()) leave_work(false);
  release_logits();
  keep_pages(0);
  model_->device().release(state_);
}

void Session::destroy() {
  const Held<Model> model(model_.get());
  const Block state(std::move(state_block_));
  this->~Session();
}

inlay_status Session::fail(inlay_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message_, sizeof message_, format, arguments);
  va_end(arguments);
  return status;
}

// Pages of a pool

/// Makes the pages of tokens [first, end) this session's alone, to be written.
inlay_status Session::own_pages(uint64_t first, uint64_t end) {
  if (!session_.pooled || first >= end) return INLAY_OK;
  const auto last = static_cast<uint32_t>((end - 1) / kPageTokens);
  for (auto index = static_cast<uint32_t>(first / kPageTokens); index <= last; ++index) {
    if (index < page_count_ && pool_->is_sole(pages_[index])) continue;
    if (const inlay_status status = replace_page(index); status != INLAY_OK) {
      if (status == INLAY_ERROR_MEMORY_LIMIT) keep_pages(position_);
      return status;
    }
  }
  return INLAY_OK;
}

/// A page of its own in the place of a shared one, or after the last.
inlay_status Session::replace_page(uint32_t index) {
  Device& device = model_->device();
  const uint32_t page = pool_->take();
  if (page == Pool::kNone) {
    return fail(INLAY_ERROR_MEMORY_LIMIT, "the pool's %u pages are all in use", pool_->pages());
  }
  inlay_status status = INLAY_OK;
  if (index < page_count_) status = device.copy_page(pool_->device(), pages_[index], page);
  if (status == INLAY_OK) status = device.set_page(*state_, index, page);
  if (status != INLAY_OK) {
    pool_->give_back(page);
    poisoned_ = true;
    return fail(status, "the device failed");
  }
  if (index < page_count_) {
    pool_->give_back(pages_[index]);
  } else {
    page_count_ = index + 1;
  }
  pages_[index] = page;
  return INLAY_OK;
}

/// Gives back the pages after those of the first tokens.
void Session::keep_pages(uint64_t tokens) {
  const uint64_t keep = (tokens + kPageTokens - 1) / kPageTokens;
  while (page_count_ > keep) pool_->give_back(pages_[--page_count_]);
}

/// Full pages of both; one of its own for what is left. It has no pages before.
inlay_status Session::share_pages(const Session& from) {
  Device& device = model_->device();
  const auto full = static_cast<uint32_t>(from.position_ / kPageTokens);
  for (uint32_t index = 0; index < full; ++index) {
    pool_->share(from.pages_[index]);
    pages_[index] = from.pages_[index];
    page_count_ = index + 1;
    if (const inlay_status status = device.set_page(*state_, index, pages_[index]); status != INLAY_OK) {
      return status;
    }
  }
  if (from.position_ % kPageTokens == 0) return INLAY_OK;
  if (const inlay_status status = replace_page(full); status != INLAY_OK) return status;
  return device.copy_page(pool_->device(), from.pages_[full], pages_[full]);
}

inlay_status Session::stand_where(const Session& from) {
  keep_pages(0);
  inlay_status status = session_.pooled ? share_pages(from) : INLAY_OK;
  if (status == INLAY_OK) status = model_->device().copy(*from.state_, *state_, from.position_);
  if (status != INLAY_OK) return status;
  std::memcpy(tokens_, from.tokens_, from.position_ * sizeof(int32_t));
  position_ = from.position_;
  window_begin_ = from.window_begin_;
  mtp_position_ = std::min(from.mtp_position_, from.position_);
  hidden_row_ = from.hidden_row_;
  rows_ = 0;
  verified_ = false;
  return INLAY_OK;
}

inlay_status Session::rewind_to(const Session& mark) {
  if (const inlay_status status = check_idle(); status != INLAY_OK) return status;
  if (&mark == this) return INLAY_OK;
  if (mark.model_.get() != model_.get() || mark.session_ != session_ || mark.pool_.get() != pool_.get() ||
      mark.position_ > context_) {
    return fail(INLAY_ERROR_MISMATCH, "the mark is of another model, other parameters or another pool");
  }
  if (mark.busy() || mark.verified_ || mark.poisoned_) {
    return fail(INLAY_ERROR_WRONG_STATE, "the mark has work under way or a verify without its commit");
  }
  const inlay_status status = stand_where(mark);
  if (status == INLAY_ERROR_MEMORY_LIMIT) {
    reset();
    return fail(status, "the pool has no page free for the mark's last one");
  }
  if (status != INLAY_OK) {
    poisoned_ = true;
    return fail(status, "the device failed");
  }
  return INLAY_OK;
}

// Beginning work

inlay_status Session::check_idle() {
  if (poisoned_)
    return fail(INLAY_ERROR_DEVICE, "the device failed earlier; the session can only be destroyed");
  if (busy()) return fail(INLAY_ERROR_WRONG_STATE, "work is under way: advance it to its end or cancel it");
  return INLAY_OK;
}

inlay_status Session::check_feed(std::span<const int32_t> tokens) {
  if (const inlay_status status = check_idle(); status != INLAY_OK) return status;
  if (model_->lost()) return fail(INLAY_ERROR_IO, "the model's file was cut short while it was mapped");
  if (verified_) return fail(INLAY_ERROR_WRONG_STATE, "a verify waits for its commit");
  if (scratch_->busy() && !scratch_->is_held_by(this)) {
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

/// Takes the scratch and the tokens; the passes follow.
inlay_status Session::begin_work(Work work, std::span<const int32_t> tokens) {
  const uint64_t first = mtp() ? std::min(mtp_position_, position_) : position_;
  if (const inlay_status status = own_pages(first, position_ + tokens.size()); status != INLAY_OK) {
    return status;
  }
  if (!scratch_->enter(this)) {
    return fail(INLAY_ERROR_WRONG_STATE, "a session that shares this one's scratch has work under way");
  }
  // An MTP entry that was only expected here is overwritten by the prompt's own; the head may also have been
  // fed another token than the one that now comes.
  const bool other = mtp_position_ > position_ && tokens_[position_] != tokens[0];
  if (work == Work::kPrefill || other) mtp_position_ = std::min(mtp_position_, position_);
  std::memcpy(tokens_ + position_, tokens.data(), tokens.size_bytes());
  work_ = work;
  fed_ = static_cast<uint32_t>(tokens.size());
  done_ = 0;
  stalled_ = 0;
  cancelled_.store(false, std::memory_order_relaxed);
  return INLAY_OK;
}

inlay_status Session::begin_prefill(std::span<const int32_t> tokens) {
  if (const inlay_status status = check_feed(tokens); status != INLAY_OK) return status;
  if (const inlay_status status = begin_work(Work::kPrefill, tokens); status != INLAY_OK) return status;
  if (!begin_mtp_cache_pass(*this)) begin_next_pass();
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
  if (const inlay_status status = begin_work(Work::kVerify, tokens); status != INLAY_OK) return status;
  if (!begin_mtp_cache_pass(*this)) begin_next_pass();
  return INLAY_OK;
}

inlay_status Session::begin_steps(std::span<Session* const> sessions, std::span<const int32_t> tokens) {
  Session& leader = *sessions[0];
  if (sessions.size() > kMaxWidth) {
    return leader.fail(INLAY_ERROR_INVALID_ARGUMENT, "at most %u sessions fit one pass, not %zu", kMaxWidth,
                       sessions.size());
  }
  for (size_t i = 0; i < sessions.size(); ++i) {
    Session& session = *sessions[i];
    if (session.scratch_.get() != leader.scratch_.get()) {
      return leader.fail(INLAY_ERROR_INVALID_ARGUMENT, "session %zu does not share the first one's scratch",
                         i);
    }
    inlay_status status = session.check_feed(tokens.subspan(i, 1));
    if (std::find(sessions.begin(), sessions.begin() + static_cast<ptrdiff_t>(i), &session) !=
        sessions.begin() + static_cast<ptrdiff_t>(i)) {
      status = session.fail(INLAY_ERROR_INVALID_ARGUMENT, "the session is in the batch twice");
    }
    const uint64_t first =
        session.mtp() ? std::min(session.mtp_position_, session.position_) : session.position_;
    if (status == INLAY_OK) status = session.own_pages(first, session.position_ + 1);
    if (status != INLAY_OK) {
      char words[sizeof session.message_];
      std::memcpy(words, session.message_, sizeof words);
      return leader.fail(status, "session %zu: %.200s", i, words);
    }
  }
  for (size_t i = 0; i < sessions.size(); ++i) {
    Session& session = *sessions[i];
    if (i > 0) session.leader_ = &leader;
    // The leader takes the scratch for all.
    session.work_ = Work::kFollow;
    if (session.mtp_position_ > session.position_ && session.tokens_[session.position_] != tokens[i]) {
      session.mtp_position_ = session.position_;
    }
    session.tokens_[session.position_] = tokens[i];
    leader.batch_[i] = &session;
    leader.batch_tokens_[i] = tokens[i];
  }
  leader.scratch_->enter(&leader);
  leader.work_ = Work::kBatch;
  leader.batch_count_ = leader.fed_ = static_cast<uint32_t>(sessions.size());
  leader.batch_next_ = leader.done_ = leader.stalled_ = 0;
  leader.cancelled_.store(false, std::memory_order_relaxed);
  leader.begin_batch_pass();
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
  // A repeated draft after the same token: its entry is there, and is computed again to the same bits.
  const uint64_t known = std::min(mtp_position_, position_);
  if (const inlay_status status = own_pages(known, position_ + drafts); status != INLAY_OK) return status;
  if (const inlay_status status = begin_work(Work::kDraft, {&next_token, 1}); status != INLAY_OK) {
    return status;
  }
  draft_logits_ = logits;
  mtp_position_ = known;
  const uint64_t first = std::max<uint64_t>(mtp_position_, 1);
  begin_pass(PassKind::kDraft, first, static_cast<uint32_t>(position_ + 1 - first),
             hidden_row_ - static_cast<uint32_t>(position_ - first));
  pass_.drafts = drafts;
  drafts_ = drafts;
  return INLAY_OK;
}

// Where the timeline stands

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
  if (const inlay_status status = check_idle(); status != INLAY_OK) return status;
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
  if (leader_ != nullptr) leader_->stop_work(INLAY_ERROR_CANCELLED, "a session of the batch was reset");
  if (busy()) stop_work(INLAY_OK, "");
  const inlay_status status = model_->device().reset(*state_);
  if (status != INLAY_OK) {
    poisoned_ = true;
    return fail(status, "the device failed");
  }
  keep_pages(0);
  position_ = window_begin_ = mtp_position_ = 0;
  hidden_row_ = rows_ = 0;
  verified_ = false;
  return INLAY_OK;
}

inlay_status Session::logits(size_t row, const float** out_logits) const {
  *out_logits = nullptr;
  if (busy() || row >= rows_ || logits_pass_ != scratch_->logits_pass()) return INLAY_ERROR_WRONG_STATE;
  *out_logits = result_.logits + (logits_row_ + row) * shape().vocabulary;
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

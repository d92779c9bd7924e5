#include <algorithm>
#include <cstring>

#include "runtime/session.h"

// A session's work: its passes, slice by slice, within the host's time.

namespace inlay {

void Session::end_work() {
  const uint32_t sessions = work_ == Work::kBatch ? batch_count_ : 0;
  for (uint32_t i = 0; i < sessions; ++i) {
    batch_[i]->work_ = Work::kNone;
    batch_[i]->leader_ = nullptr;
  }
  work_ = Work::kNone;
  queued_ = false;
  scratch_->leave();
}

void Session::begin_pass(PassKind kind, uint64_t position, uint32_t rows, uint32_t hidden_row) {
  segments_[0] = {state_, 0, rows, position, hidden_row};
  pass_ = Pass{};
  pass_.kind = kind;
  pass_.tokens = tokens_ + position;
  pass_.rows = rows;
  pass_.segments = {segments_.data(), 1};
  pass_.draft_logits = kind == PassKind::kDraft && draft_logits_ && work_ == Work::kDraft;
  if (kind != PassKind::kDraft || pass_.draft_logits) logits_pass_ = scratch_->begin_logits();
  slice_ = 0;
  slices_ = 0;
  queued_ = false;
}

/// Before a pass overwrites the hidden states: the MTP entries that still need them. False where none do.
/// A prompt brings its own entries, the first of which reads a hidden state that is still there.
bool Session::begin_mtp_cache_pass(Session& of) {
  if (!mtp()) return false;
  const uint64_t first = std::max<uint64_t>(of.mtp_position_, 1);
  const uint64_t end = work_ == Work::kPrefill ? of.position_ : of.position_ + 1;
  if (first >= end) return false;
  begin_pass(PassKind::kDraft, first, static_cast<uint32_t>(end - first),
             of.hidden_row_ - static_cast<uint32_t>(of.position_ - first));
  segments_[0].state = of.state_;
  pass_.tokens = of.tokens_ + first;
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

/// The MTP entries of one session after the other, then a row of each.
void Session::begin_batch_pass() {
  while (batch_next_ < batch_count_) {
    if (begin_mtp_cache_pass(*batch_[batch_next_++])) return;
  }
  begin_pass(PassKind::kNarrow, position_, batch_count_, hidden_row_);
  for (uint32_t i = 0; i < batch_count_; ++i) {
    const Session& session = *batch_[i];
    segments_[i] = {session.state_, i, 1, session.position_, session.hidden_row_};
  }
  pass_.tokens = batch_tokens_.data();
  pass_.segments = {segments_.data(), batch_count_};
}

void Session::count_slices() {
  const Device& device = model_->device();
  slices_ = device.slice_count(scratch_->device(), pass_);
  left_ = device.count_kinds(scratch_->device(), pass_);
}

/// What a narrow pass leaves: rows of logits, of which a commit says what stays.
void Session::take_rows(uint32_t first_row, uint32_t rows) {
  window_begin_ = position_;
  mtp_position_ = position_ + 1;
  hidden_row_ = 0;
  rows_ = rows;
  logits_row_ = first_row;
  verified_ = true;
}

/// Takes over what the pass has done. PENDING where the work needs another pass.
inlay_status Session::finish_pass() {
  if (model_->lost_by_now()) return stop_lost_work();
  const inlay_status status = model_->device().finish(scratch_->device(), pass_, &result_);
  if (status != INLAY_OK) return status;
  queued_ = false;
  switch (pass_.kind) {
    case PassKind::kDraft:
      if (work_ == Work::kBatch) {
        batch_[batch_next_ - 1]->mtp_position_ = segments_[0].position + segments_[0].rows;
        begin_batch_pass();
        return INLAY_PENDING;
      }
      mtp_position_ = segments_[0].position + segments_[0].rows;
      if (work_ == Work::kDraft) {
        end_work();
        return INLAY_OK;
      }
      begin_next_pass();
      return INLAY_PENDING;
    case PassKind::kWide:
      position_ += pass_.rows;
      window_begin_ = position_;
      mtp_position_ = position_;
      hidden_row_ = 1;
      done_ += pass_.rows;
      rows_ = done_ == fed_ ? 1 : 0;
      logits_row_ = 0;
      if (done_ < fed_) {
        begin_next_pass();
        return INLAY_PENDING;
      }
      end_work();
      return INLAY_OK;
    case PassKind::kNarrow:
      for (uint32_t i = 0; work_ == Work::kBatch && i < batch_count_; ++i) {
        Session& session = *batch_[i];
        session.take_rows(i, 1);
        session.commit(1);
        session.result_ = result_;
        session.logits_pass_ = logits_pass_;
      }
      if (work_ != Work::kBatch) take_rows(0, fed_);
      if (work_ == Work::kStep) commit(1);
      end_work();
      return INLAY_OK;
  }
  return INLAY_OK;
}

/// Leaves the work, for all sessions of a batch; `replayed`: some layers may have replayed what could still
/// be taken back.
void Session::leave_work(bool replayed) {
  if (work_ == Work::kFollow) return;
  const uint32_t count = work_ == Work::kBatch ? batch_count_ : 1;
  for (uint32_t i = 0; i < count; ++i) {
    Session& session = work_ == Work::kBatch ? *batch_[i] : *this;
    session.rows_ = 0;
    if (replayed) session.window_begin_ = session.position_;
    session.mtp_position_ = std::min(session.mtp_position_, session.position_);
  }
  end_work();
}

/// The session is as before the work, but for the whole chunks of a prompt.
inlay_status Session::stop_work(inlay_status status, const char* why) {
  const inlay_status undone = model_->device().abandon(scratch_->device(), pass_, slice_);
  leave_work(slice_ > 0 && pass_.kind != PassKind::kDraft);
  if (undone != INLAY_OK) {
    poisoned_ = true;
    return fail(undone, "the device failed");
  }
  return fail(status, "%s", why);
}

/// The weights are no longer what they were: what was computed since counts for nothing, what was before
/// does.
inlay_status Session::stop_lost_work() {
  return stop_work(INLAY_ERROR_IO, "the model's file was cut short while it was mapped; the work was undone");
}

/// While the device has the pass: asks it until the deadline.
inlay_status Session::wait_for_queue(uint64_t deadline) {
  for (;;) {
    const inlay_status status = model_->device().poll(scratch_->device());
    if (status != INLAY_PENDING) return status;
    if (deadline != UINT64_MAX && now_ns() >= deadline) return INLAY_PENDING;
  }
}

/// A piece after each slice, and all of them once an asynchronous device has the last; returns the time.
uint64_t Session::do_meanwhile(Meanwhile& meanwhile, uint64_t now, uint64_t deadline) {
  const bool all = model_->device().asynchronous() && slice_ == slices_;
  while (meanwhile.has_more() && (deadline == UINT64_MAX || now + meanwhile.longest_ns() <= deadline)) {
    meanwhile.do_piece();
    now = now_ns();
    if (!all) break;
  }
  return now;
}

inlay_status Session::run_slices(uint64_t budget_ns, Meanwhile* meanwhile) {
  Device& device = model_->device();
  DeviceScratch& scratch = scratch_->device();
  SliceCosts& costs = scratch_->costs();
  const uint64_t start = now_ns();
  const uint64_t deadline = budget_ns == UINT64_MAX ? UINT64_MAX : start + budget_ns;
  uint64_t now = start;
  bool ran = false;
  for (;;) {
    if (slices_ == 0) count_slices();
    if (queued_) {
      const inlay_status status = wait_for_queue(deadline);
      if (status != INLAY_OK) return status;
    }
    while (slice_ < slices_) {
      if (cancelled_.load(std::memory_order_relaxed)) {
        return stop_work(INLAY_ERROR_CANCELLED, "the work was cancelled");
      }
      if (budget_ns == 0) return INLAY_PENDING;
      const uint32_t kind = device.slice_kind(scratch, pass_, slice_);
      const bool whole = device.asynchronous() && budget_ns == UINT64_MAX;
      if (kind == Device::kNoSlice && !whole) {
        ++slice_;
        continue;
      }
      const uint32_t end = whole ? device.next_stop(scratch, pass_, slice_) : slice_ + 1;
      if (budget_ns != UINT64_MAX && now + costs.longest(kind) > deadline) {
        if (!ran && ++stalled_ >= 4) costs.relax(kind);
        return INLAY_PENDING;
      }
      inlay_status status = device.run(scratch, pass_, slice_, end);
      // A slice's cost is all of it: the device leaves the wait for a pass's last one to others.
      if (status == INLAY_OK && !whole && end == slices_ && device.asynchronous())
        status = wait_for_queue(UINT64_MAX);
      if (status != INLAY_OK) return status;
      const uint64_t after = now_ns();
      if (!whole) {
        costs.add(kind, after - now);
        longest_slice_ns_ = std::max(longest_slice_ns_, after - now);
        --left_[kind];
      }
      now = after;
      ran = true;
      stalled_ = 0;
      slice_ = end;
      if (model_->lost()) return stop_lost_work();
      if (meanwhile == nullptr) continue;
      now = do_meanwhile(*meanwhile, now, deadline);
    }
    // What poll has handed to a device can be cancelled, too.
    if (cancelled_.load(std::memory_order_relaxed)) {
      return stop_work(INLAY_ERROR_CANCELLED, "the work was cancelled");
    }
    const inlay_status status = finish_pass();
    if (status != INLAY_PENDING) return status;
  }
}

/// What comes of an error of the device: the session is lost.
inlay_status Session::settle(inlay_status status) {
  if (status >= 0 || !busy()) return status;
  const uint32_t count = work_ == Work::kBatch ? batch_count_ : 0;
  for (uint32_t i = 0; i < count; ++i) batch_[i]->poisoned_ = true;
  poisoned_ = true;
  end_work();
  return fail(status, "the device failed; the session can only be destroyed");
}

inlay_status Session::advance(uint64_t budget_us, inlay_progress* progress, Meanwhile* meanwhile) {
  if (poisoned_)
    return fail(INLAY_ERROR_DEVICE, "the device failed earlier; the session can only be destroyed");
  if (leader_ != nullptr) {
    return fail(INLAY_ERROR_WRONG_STATE, "the session is in a batch: advance the batch's first session");
  }
  inlay_status status = INLAY_OK;
  if (busy()) {
    const uint64_t budget_ns = budget_us > UINT64_MAX / 2000 ? UINT64_MAX : budget_us * 1000;
    status = settle(run_slices(budget_ns, meanwhile));
  }
  if (progress != nullptr) report(progress);
  return status;
}

inlay_status Session::poll() {
  if (poisoned_ || leader_ != nullptr || !busy()) return advance(0, nullptr);
  Device& device = model_->device();
  if (slices_ == 0) count_slices();
  if (cancelled_.load(std::memory_order_relaxed)) return advance(0, nullptr);
  if (device.asynchronous()) {
    if (!queued_) {
      const inlay_status status = device.run(scratch_->device(), pass_, slice_, slices_);
      if (status != INLAY_OK) return settle(status);
      slice_ = slices_;
      queued_ = true;
    }
    const inlay_status status = device.poll(scratch_->device());
    if (status != INLAY_OK) return settle(status);
    return settle(finish_pass());
  }
  while (slice_ < slices_) {
    const uint32_t kind = device.slice_kind(scratch_->device(), pass_, slice_);
    if (kind == Device::kNoSlice) {
      ++slice_;
      continue;
    }
    const uint64_t before = now_ns();
    const inlay_status status = device.run(scratch_->device(), pass_, slice_, slice_ + 1);
    if (status != INLAY_OK) return settle(status);
    const uint64_t ns = now_ns() - before;
    scratch_->costs().add(kind, ns);
    longest_slice_ns_ = std::max(longest_slice_ns_, ns);
    --left_[kind];
    ++slice_;
    if (model_->lost()) return stop_lost_work();
    break;
  }
  return slice_ < slices_ ? INLAY_PENDING : settle(finish_pass());
}

void Session::report(inlay_progress* progress) const {
  const uint32_t struct_size = progress->struct_size;
  *progress = INLAY_PROGRESS_INIT;
  progress->struct_size = struct_size;
  progress->longest_slice_ns = longest_slice_ns_;
  progress->position = position_;
  if (!busy() || leader_ != nullptr) return;
  progress->tokens_done = done_;
  progress->tokens_total = fed_;
  progress->slices_done = slice_;
  progress->slices_total = slices_;
  if (slices_ == 0) progress->slices_total = model_->device().slice_count(scratch_->device(), pass_);
  WorkCost cost;
  cost.add(scratch_->costs(), left_);
  if (work_ == Work::kPrefill && pass_.kind == PassKind::kWide && slices_ > 0 && slice_ > 0) {
    // Further chunks cost what this one does, row for row.
    const double share = static_cast<double>(slices_ - slice_) / slices_;
    const double chunk = share > 0.05 ? cost.mean / share : 0;
    cost.add_ns(chunk * (fed_ - done_ - pass_.rows) / pass_.rows);
  }
  progress->remaining_ns = cost.expected_ns();
}

inlay_status Session::estimate(size_t prompt, size_t rounds, uint32_t width, inlay_estimate* out) const {
  const Device& device = model_->device();
  const SliceCosts& costs = scratch_->costs();
  WorkCost cost;
  const auto add = [&](PassKind kind, uint64_t position, uint32_t rows, bool logits, double times) {
    Segment segment{state_, 0, rows, position, 0};
    Pass pass;
    pass.kind = kind;
    pass.rows = rows;
    pass.segments = {&segment, 1};
    pass.logits = logits;
    const SliceCounts counts = device.count_kinds(scratch_->device(), pass);
    cost.add(costs, counts, times);
    for (uint32_t kind_used = 0; kind_used < counts.size(); ++kind_used) {
      if (counts[kind_used] > 0)
        out->longest_slice_ns = std::max(out->longest_slice_ns, costs.longest(kind_used));
    }
  };
  uint64_t position = position_;
  for (size_t done = 0; done < prompt;) {
    const auto rows = static_cast<uint32_t>(std::min<size_t>(session_.prefill_chunk, prompt - done));
    // What was measured are a whole chunk's slices.
    const double share = device.slices_are_fewer() ? 1 : static_cast<double>(rows) / session_.prefill_chunk;
    add(PassKind::kWide, position, rows, done + rows == prompt, share);
    done += rows;
    position += rows;
  }
  if (rounds > 0) {
    // The passes between the first and the last lie between them in cost, too.
    const uint64_t last = position + (rounds - 1) * width;
    for (const uint64_t at : {position, last}) {
      add(PassKind::kNarrow, at, width, true, static_cast<double>(rounds) / 2);
      if (mtp()) add(PassKind::kDraft, at, width, false, static_cast<double>(rounds) / 2);
    }
  }
  out->expected_ns = cost.expected_ns();
  // A single slow slice of a small piece of work says more than the spread of all.
  out->p99_ns = std::max(cost.p99_ns(), out->longest_slice_ns);
  return INLAY_OK;
}

/// Runs some slices of each kind that `runs` has not seen often enough, the first of them to warm up.
inlay_status Session::probe_pass(SliceRuns& runs) {
  constexpr uint32_t kRuns = 3;
  Device& device = model_->device();
  DeviceScratch& scratch = scratch_->device();
  const uint32_t slices = device.slice_count(scratch, pass_);
  inlay_status status = INLAY_OK;
  // Twice, for kinds of which a pass has one slice only.
  for (uint32_t i = 0; i < 2 * slices && status == INLAY_OK; ++i) {
    const uint32_t slice = i % slices, kind = device.slice_kind(scratch, pass_, slice);
    if (kind == Device::kNoSlice || runs[kind] >= kRuns) continue;
    const uint64_t before = now_ns();
    status = device.run(scratch, pass_, slice, slice + 1);
    if (status == INLAY_OK && device.asynchronous()) status = wait_for_queue(UINT64_MAX);
    if (++runs[kind] > 1) scratch_->costs().add(kind, now_ns() - before);
  }
  const inlay_status undone = device.abandon(scratch, pass_, slices);
  return status != INLAY_OK ? status : undone;
}

inlay_status Session::probe_passes() {
  for (const uint32_t rows : {1u, kMaxWidth / 2, kMaxWidth}) {
    SliceRuns runs{}, draft_runs{};
    begin_pass(PassKind::kNarrow, 0, rows, 0);
    if (const inlay_status status = probe_pass(runs); status != INLAY_OK) return status;
    if (!mtp()) continue;
    begin_pass(PassKind::kDraft, 1, rows, 0);
    pass_.drafts = 1;
    if (const inlay_status status = probe_pass(draft_runs); status != INLAY_OK) return status;
  }
  SliceRuns runs{};
  for (uint32_t rows = session_.prefill_chunk; rows > 0; rows /= 2) {
    begin_pass(PassKind::kWide, 0, rows, 0);
    if (const inlay_status status = probe_pass(runs); status != INLAY_OK) return status;
    if (!model_->device().slices_are_fewer()) break;
  }
  return INLAY_OK;
}

/// Times one slice of each kind, where nobody has yet. The session is empty, before and afterwards.
inlay_status Session::probe() {
  if (scratch_->probed() || !scratch_->enter(this)) return INLAY_OK;
  const uint32_t tokens = std::max(session_.prefill_chunk, 2 * kMaxWidth);
  inlay_status status = INLAY_OK;
  if (own_pages(0, tokens) == INLAY_OK) {
    std::memset(tokens_, 0, tokens * sizeof(int32_t));
    status = probe_passes();
    if (status == INLAY_OK) scratch_->set_probed();
  }
  scratch_->leave();
  return status == INLAY_OK ? reset() : status;
}

}  // namespace inlay

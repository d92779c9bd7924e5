#include <algorithm>
#include <cstring>
#include <new>

#include "runtime/generator.h"

// Generators as bytes: what they have beside their session goes into the snapshot's header.

namespace inlay {

/// The round under way is as if it had not begun; whole chunks of a prompt stay.
void Generator::take_back() {
  session_->release_logits();
  drawing_ = false;
  switch (phase_) {
    case Phase::kPrefill:
      session_->cancel();
      session_->advance(INLAY_NO_BUDGET, nullptr);
      state_.stats.prompt_tokens += session_->position() - state_.fed;
      state_.fed = session_->position();
      phase_ = Phase::kFeed;
      break;
    case Phase::kDraft:
    case Phase::kVerify:
      session_->cancel();
      session_->advance(INLAY_NO_BUDGET, nullptr);
      phase_ = Phase::kPropose;
      break;
    case Phase::kSample:
      if (!verified_) break;
      session_->commit(0);
      phase_ = Phase::kPropose;
      break;
    case Phase::kIdle:
    case Phase::kFeed:
    case Phase::kPropose: break;
  }
  if (phase_ != Phase::kSample) row_ = accepted_ = drafts_ = 0;
}

uint64_t Generator::snapshot(SnapshotHeader* header) {
  take_back();
  *header = SnapshotHeader{};
  header->kind = SnapshotKind::kGenerator;
  session_->describe(header);
  // Logits that nobody is going to sample are not worth their bytes.
  if (phase_ != Phase::kSample) header->logits = 0;
  header->waiting = waiting().size();
  header->prompt_waits = state_.prompt_waits;
  header->answer_tokens = state_.answer_tokens;
  header->seed = sampler_.seed();
  header->stop = state_.stop;
  header->samples = phase_ == Phase::kSample ? 1 : 0;
  header->active = phase_ == Phase::kPropose ? 1 : 0;
  static_assert(sizeof header->text == sizeof state_.text);
  std::memcpy(header->text, &state_.text, sizeof header->text);
  const inlay_generator_stats& stats = state_.stats;
  const uint64_t figures[] = {stats.prompt_tokens, stats.prompt_ns, stats.generated_tokens,
                              stats.rounds,        stats.drafted,   stats.accepted,
                              stats.draft_ns,      stats.verify_ns, stats.rest_ns};
  std::memcpy(header->stats, figures, sizeof figures);
  const uint64_t body = session_->snapshot_bytes(*header);
  header->total_bytes = body == 0 ? 0 : sizeof *header + waiting().size_bytes() + body + sizeof(uint64_t);
  seal(header);
  return header->total_bytes;
}

inlay_status Generator::save(const inlay_writer& host) {
  SnapshotHeader header;
  if (snapshot(&header) == 0) {
    return fail(INLAY_ERROR_DEVICE, "generator: the state could not be read from the device");
  }
  SnapshotWriter writer(host);
  inlay_status status = writer.put(&header, sizeof header);
  if (status == INLAY_OK && header.waiting > 0) {
    status = writer.put(waiting().data(), waiting().size_bytes());
  }
  if (status == INLAY_OK) status = session_->write_body(header, writer);
  if (status == INLAY_OK) status = writer.end();
  return status == INLAY_OK ? status : fail(status, "generator: the writer reported an error");
}

/// No prompt, nothing said.
void Generator::forget() {
  if (lookup_) lookup_->rewind(timeline(), 0);
  if (host_) host_->reset();
  state_ = GeneratorState{};
  phase_ = Phase::kIdle;
  verified_ = false;
  row_ = accepted_ = drafts_ = 0;
  restart_masks();
}

inlay_status Generator::check_snapshot(const SnapshotHeader& header) {
  const char* words = "";
  inlay_status status = check_header(header, SnapshotKind::kGenerator, &words);
  if (status != INLAY_OK) return fail(status, words);
  TextStream text;
  std::memcpy(static_cast<void*>(&text), header.text, sizeof text);
  const bool possible = text.is_valid() && header.verified == 0 && header.prompt_waits <= 1 &&
                        header.samples <= 1 && header.active <= 1 && header.waiting <= UINT32_MAX &&
                        (header.samples == 0 || (header.logits == 1 && header.rows == 1)) &&
                        ((header.prompt_waits == 0 && header.active == 0) || header.waiting > 0) &&
                        header.stop >= INLAY_STOP_NONE && header.stop <= INLAY_STOP_HOST;
  if (!possible) return fail(INLAY_ERROR_CORRUPT_FILE, "generator: the saved state contradicts itself");
  status = session_->check_snapshot(header);
  return status == INLAY_OK ? status : fail_as_session(status);
}

inlay_status Generator::load(const inlay_reader& host) {
  SnapshotReader reader(host);
  SnapshotHeader header;
  if (reader.get(&header, sizeof header) != INLAY_OK) {
    return fail(INLAY_ERROR_CALLBACK, "generator: the reader reported an error");
  }
  // What is under way is replaced, or goes on after a refusal as after any other pause.
  take_back();
  if (const inlay_status status = check_snapshot(header); status != INLAY_OK) return status;
  forget();
  int32_t* waits = parts_.timeline + header.position;
  inlay_status status = INLAY_OK;
  if (header.waiting > 0) status = reader.get(waits, header.waiting * sizeof(int32_t));
  for (uint64_t i = 0; i < header.waiting && status == INLAY_OK; ++i) {
    const bool inside = waits[i] >= 0 && static_cast<uint32_t>(waits[i]) < session_->shape().vocabulary;
    if (!inside) status = INLAY_ERROR_CORRUPT_FILE;
  }
  if (status != INLAY_OK) {
    session_->reset();
    return fail(status, "generator: the saved state could not be read; the session is empty");
  }
  status = session_->read_body(header, reader);
  if (status != INLAY_OK) return fail_as_session(status);
  std::copy(session_->tokens().begin(), session_->tokens().end(), parts_.timeline);
  state_.fed = header.position;
  state_.end = header.position + header.waiting;
  state_.answer_tokens = header.answer_tokens;
  state_.prompt_waits = header.prompt_waits;
  state_.stop = header.stop;
  std::memcpy(static_cast<void*>(&state_.text), header.text, sizeof header.text);
  const uint64_t* figures = header.stats;
  state_.stats = {sizeof(inlay_generator_stats),
                  figures[0],
                  figures[1],
                  figures[2],
                  figures[3],
                  figures[4],
                  figures[5],
                  figures[6],
                  figures[7],
                  figures[8]};
  sampler_.set_seed(header.seed);
  if (header.prompt_waits != 0) phase_ = Phase::kFeed;
  if (header.samples != 0) phase_ = Phase::kSample;
  if (header.active != 0) phase_ = Phase::kPropose;
  considered_ = {};
  return INLAY_OK;
}

/// Times the draw of a token, so that the first one keeps to its budget too.
void Generator::probe_sampling() {
  if (session_->scratch().busy()) return;
  auto* logits = reinterpret_cast<float*>(session_->scratch().staging());
  uint32_t bits = 1;
  for (uint32_t token = 0; token < session_->shape().vocabulary; ++token) {
    bits = bits * 1664525u + 1013904223u;
    logits[token] = static_cast<float>(bits >> 8) * 0x1p-22f;
  }
  for (int run = 0; run < 2; ++run) {
    inlay_status status = sampler_.begin(logits, timeline(), 0);
    if (status == INLAY_OK) status = INLAY_PENDING;
    while (status == INLAY_PENDING) {
      const uint64_t begin = Session::now_ns();
      int32_t token = 0;
      status = sampler_.advance(&token);
      // The first run warms up.
      if (run > 0) draw_cost_.add(Session::now_ns() - begin);
    }
  }
}

void Generator::report(inlay_progress* progress) const {
  session_->report(progress);
  progress->longest_slice_ns = std::max(progress->longest_slice_ns, longest_piece_ns_);
}

}  // namespace inlay

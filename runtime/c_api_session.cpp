#include "runtime/c_api.h"

// The C ABI's sessions.

using namespace inlay;
using namespace inlay::abi;

namespace {

inlay_status refuse_null(Session& session, const char* name) {
  return session.fail(INLAY_ERROR_INVALID_ARGUMENT, "%s is null", name);
}

/// What takes tokens.
template <typename F>
inlay_status feed(inlay_session* handle, const int32_t* tokens, size_t count, F&& body) noexcept {
  return inside(handle,
                [&](Session& s) { return valid(tokens, count) ? body(s) : refuse_null(s, "tokens"); });
}

}  // namespace

inlay_status inlay_session_create(inlay_model* model, const inlay_session_params* params,
                                  inlay_session** out_session) {
  if (out_session != nullptr) *out_session = nullptr;
  if (model == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(of(model)->runtime(), [&] {
    if (out_session == nullptr) refuse_null("out_session");
    *out_session = reinterpret_cast<inlay_session*>(
        Session::create(*of(model), read_struct(params, "inlay_session_params")));
    return INLAY_OK;
  });
}

void inlay_session_destroy(inlay_session* session) {
  if (session != nullptr) of(session)->release();
}

inlay_status inlay_session_fork(inlay_session* session, inlay_session** out_session) {
  if (out_session != nullptr) *out_session = nullptr;
  return inside(session, [&](Session& s) {
    if (out_session == nullptr) return refuse_null(s, "out_session");
    if (s.busy())
      return s.fail(INLAY_ERROR_WRONG_STATE, "work is under way: advance it to its end or cancel it");
    if (s.waits_for_commit()) return s.fail(INLAY_ERROR_WRONG_STATE, "a verify waits for its commit");
    *out_session = reinterpret_cast<inlay_session*>(Session::fork(s));
    return INLAY_OK;
  });
}

size_t inlay_session_message(const inlay_session* session, char* buffer, size_t capacity) {
  if (session == nullptr || (buffer == nullptr && capacity > 0)) return 0;
  return copy_text(of(session)->message(), buffer, capacity);
}

inlay_status inlay_session_begin_prefill(inlay_session* session, const int32_t* tokens, size_t count) {
  return feed(session, tokens, count, [&](Session& s) { return s.begin_prefill({tokens, count}); });
}

inlay_status inlay_session_begin_step(inlay_session* session, int32_t token) {
  return inside(session, [&](Session& s) { return s.begin_step(token); });
}

inlay_status inlay_session_begin_verify(inlay_session* session, const int32_t* tokens, size_t count) {
  return feed(session, tokens, count, [&](Session& s) { return s.begin_verify({tokens, count}); });
}

inlay_status inlay_session_prefill(inlay_session* session, const int32_t* tokens, size_t count) {
  return feed(session, tokens, count, [&](Session& s) {
    return run_to_end(s, s.begin_prefill({tokens, count}));
  });
}

inlay_status inlay_session_step(inlay_session* session, int32_t token) {
  return inside(session, [&](Session& s) { return run_to_end(s, s.begin_step(token)); });
}

inlay_status inlay_session_verify(inlay_session* session, const int32_t* tokens, size_t count) {
  return feed(session, tokens, count, [&](Session& s) {
    return run_to_end(s, s.begin_verify({tokens, count}));
  });
}

inlay_status inlay_session_commit(inlay_session* session, size_t count) {
  return inside(session, [&](Session& s) { return s.commit(count); });
}

inlay_status inlay_session_rewind(inlay_session* session, size_t count) {
  return inside(session, [&](Session& s) { return s.rewind(count); });
}

size_t inlay_session_rewindable(const inlay_session* session) {
  return session == nullptr ? 0 : of(session)->rewindable();
}

inlay_status inlay_session_reset(inlay_session* session) {
  return inside(session, [&](Session& s) { return s.reset(); });
}

inlay_status inlay_session_advance(inlay_session* session, uint64_t budget_us, inlay_progress* out_progress) {
  clear_struct(out_progress);
  return inside(session, [&](Session& s) {
    if (out_progress == nullptr) return s.advance(budget_us, nullptr);
    inlay_progress progress = INLAY_PROGRESS_INIT;
    give_struct(progress, out_progress, "out_progress");
    const inlay_status status = s.advance(budget_us, &progress);
    write_struct(progress, out_progress);
    return status;
  });
}

void inlay_session_cancel(inlay_session* session) {
  if (session != nullptr) of(session)->cancel();
}

uint64_t inlay_session_position(const inlay_session* session) {
  return session == nullptr ? 0 : of(session)->position();
}

uint32_t inlay_session_context_length(const inlay_session* session) {
  return session == nullptr ? 0 : of(session)->context_length();
}

const int32_t* inlay_session_tokens(const inlay_session* session) {
  return session == nullptr ? nullptr : of(session)->tokens().data();
}

inlay_status inlay_session_logits(const inlay_session* session, size_t row, const float** out_logits) {
  if (out_logits != nullptr) *out_logits = nullptr;
  if (session == nullptr || out_logits == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return of(session)->logits(row, out_logits);
}

inlay_status inlay_session_hidden(const inlay_session* session, size_t row, const float** out_hidden) {
  if (out_hidden != nullptr) *out_hidden = nullptr;
  if (session == nullptr || out_hidden == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return of(session)->hidden(row, out_hidden);
}

inlay_status inlay_session_mtp_logits(inlay_session* session, const int32_t* tokens, size_t count,
                                      float* out_logits) {
  return feed(session, tokens, count, [&](Session& s) {
    if (out_logits == nullptr && count > 1) return refuse_null(s, "out_logits");
    return s.mtp_logits({tokens, count}, out_logits);
  });
}

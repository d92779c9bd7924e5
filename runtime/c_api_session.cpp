#include <algorithm>
#include <array>

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

inlay_status inlay_session_fork_with(inlay_session* session, const inlay_fork_params* params,
                                     inlay_session** out_session) {
  if (out_session != nullptr) *out_session = nullptr;
  return inside(session, [&](Session& s) {
    if (out_session == nullptr) return refuse_null(s, "out_session");
    if (s.busy())
      return s.fail(INLAY_ERROR_WRONG_STATE, "work is under way: advance it to its end or cancel it");
    if (s.waits_for_commit()) return s.fail(INLAY_ERROR_WRONG_STATE, "a verify waits for its commit");
    *out_session =
        reinterpret_cast<inlay_session*>(Session::fork(s, read_struct(params, "inlay_fork_params")));
    return INLAY_OK;
  });
}

inlay_status inlay_session_fork(inlay_session* session, inlay_session** out_session) {
  return inlay_session_fork_with(session, nullptr, out_session);
}

inlay_status inlay_session_rewind_to(inlay_session* session, inlay_session* mark) {
  return inside(session, [&](Session& s) {
    if (mark == nullptr) return refuse_null(s, "mark");
    if (mark == session) return s.rewind_to(s);
    const inlay_status status = inside(mark, [&](Session& m) { return s.rewind_to(m); });
    return status == INLAY_ERROR_BUSY ? s.fail(status, "another thread is inside the mark") : status;
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

inlay_status inlay_session_poll(inlay_session* session) {
  return inside(session, [&](Session& s) { return s.poll(); });
}

inlay_status inlay_session_finish(inlay_session* session) {
  return inside(session, [&](Session& s) { return s.advance(INLAY_NO_BUDGET, nullptr); });
}

inlay_status inlay_session_estimate(inlay_session* session, size_t prompt, size_t rounds, uint32_t width,
                                    inlay_estimate* out_estimate) {
  clear_struct(out_estimate);
  return inside(session, [&](Session& s) {
    if (rounds > 0 && (width == 0 || width > INLAY_MAX_WIDTH)) {
      return s.fail(INLAY_ERROR_INVALID_ARGUMENT, "width is %u, expected 1 to %u", width, INLAY_MAX_WIDTH);
    }
    const uint64_t room = s.context_length() - s.position();
    if (prompt > room || (rounds > 0 && rounds > (room - prompt) / width)) {
      return s.fail(INLAY_ERROR_CONTEXT_FULL, "the work does not fit into the context");
    }
    inlay_estimate estimate = INLAY_ESTIMATE_INIT;
    give_struct(estimate, out_estimate, "out_estimate");
    const inlay_status status = s.estimate(prompt, rounds, width, &estimate);
    write_struct(estimate, out_estimate);
    return status;
  });
}

inlay_status inlay_session_begin_steps(inlay_session* const* sessions, const int32_t* tokens, size_t count) {
  if (sessions == nullptr || tokens == nullptr || count == 0) return INLAY_ERROR_INVALID_ARGUMENT;
  std::array<Session*, INLAY_MAX_WIDTH> all{};
  const size_t known = std::min<size_t>(count, all.size());
  for (size_t i = 0; i < known; ++i) {
    if (sessions[i] == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
    all[i] = of(sessions[i]);
  }
  return inside(sessions[0], [&](Session& leader) {
    if (count > all.size()) {
      return leader.fail(INLAY_ERROR_INVALID_ARGUMENT, "at most %u sessions fit one pass, not %zu",
                         INLAY_MAX_WIDTH, count);
    }
    // The others are entered too; one that is in the batch twice is found by its own flag.
    size_t entered = 1;
    while (entered < count && !all[entered]->inside().exchange(true, std::memory_order_acquire)) ++entered;
    inlay_status status =
        leader.fail(INLAY_ERROR_BUSY, "session %zu is in use, or in the batch twice", entered);
    if (entered == count) status = Session::begin_steps({all.data(), count}, {tokens, count});
    for (size_t i = 1; i < entered; ++i) all[i]->inside().store(false, std::memory_order_release);
    return status;
  });
}

uint64_t inlay_session_save_bytes(const inlay_session* session) {
  if (session == nullptr || of(session)->busy()) return 0;
  return of(session)->save_bytes();
}

inlay_status inlay_session_save(inlay_session* session, const inlay_writer* writer) {
  return inside(session, [&](Session& s) { return s.save(read_writer(writer)); });
}

inlay_status inlay_session_load(inlay_session* session, const inlay_reader* reader) {
  return inside(session, [&](Session& s) { return s.load(read_reader(reader)); });
}

inlay_status inlay_session_save_memory(inlay_session* session, void* buffer, uint64_t capacity,
                                       uint64_t* out_bytes) {
  if (out_bytes != nullptr) *out_bytes = 0;
  return inside(session, [&](Session& s) {
    if (buffer == nullptr) return refuse_null(s, "buffer");
    if (out_bytes == nullptr) return refuse_null(s, "out_bytes");
    const uint64_t bytes = s.busy() ? 0 : s.save_bytes();
    if (!s.busy() && bytes == 0) {
      return s.fail(INLAY_ERROR_DEVICE, "the state could not be read from the device");
    }
    if (bytes > capacity) {
      return s.fail(INLAY_ERROR_MEMORY_LIMIT, "the buffer has %llu bytes, the saved session needs %llu",
                    static_cast<unsigned long long>(capacity), static_cast<unsigned long long>(bytes));
    }
    SnapshotMemory memory{static_cast<std::byte*>(buffer), nullptr, capacity};
    const inlay_status status = s.save(memory.writer());
    if (status == INLAY_OK) *out_bytes = bytes;
    return status;
  });
}

inlay_status inlay_session_load_memory(inlay_session* session, const void* data, uint64_t bytes) {
  return inside(session, [&](Session& s) {
    if (data == nullptr) return refuse_null(s, "data");
    SnapshotMemory memory{nullptr, static_cast<const std::byte*>(data), bytes};
    return is_damaged(data, bytes)
               ? s.fail(INLAY_ERROR_CORRUPT_FILE, "the saved state is damaged: its size or checksum differs")
               : s.load(memory.reader());
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

// Pools

inlay_status inlay_file_plan_pool(const inlay_file* file, const inlay_pool_params* params,
                                  inlay_pool_plan* out_plan) {
  clear_struct(out_plan);
  if (file == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(of(file)->runtime(), [&] {
    return of(file)->read([&] {
      return give_struct(Model::plan_pool(*of(file), read_struct(params, "inlay_pool_params")), out_plan,
                         "out_plan");
    });
  });
}

inlay_status inlay_pool_create(inlay_model* model, const inlay_pool_params* params, inlay_pool** out_pool) {
  if (out_pool != nullptr) *out_pool = nullptr;
  if (model == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(of(model)->runtime(), [&] {
    if (out_pool == nullptr) abi::refuse_null("out_pool");
    *out_pool =
        reinterpret_cast<inlay_pool*>(Pool::create(*of(model), read_struct(params, "inlay_pool_params")));
    return INLAY_OK;
  });
}

void inlay_pool_destroy(inlay_pool* pool) {
  if (pool != nullptr) of(pool)->release();
}

uint64_t inlay_pool_free_pages(const inlay_pool* pool) {
  return pool == nullptr ? 0 : of(pool)->free_pages();
}

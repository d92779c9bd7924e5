#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "inlay/inlay.h"
#include "runtime/abi.h"
#include "runtime/file.h"
#include "runtime/model.h"
#include "runtime/owned.h"
#include "runtime/pool.h"
#include "runtime/runtime.h"
#include "runtime/session.h"

// What the files of the C ABI share. Handles are the objects behind them under another name.

namespace inlay::abi {

inline Runtime* of(inlay_runtime* handle) { return reinterpret_cast<Runtime*>(handle); }
inline const Runtime* of(const inlay_runtime* handle) { return reinterpret_cast<const Runtime*>(handle); }
inline File* of(inlay_file* handle) { return reinterpret_cast<File*>(handle); }
inline const File* of(const inlay_file* handle) { return reinterpret_cast<const File*>(handle); }
inline Model* of(inlay_model* handle) { return reinterpret_cast<Model*>(handle); }
inline const Model* of(const inlay_model* handle) { return reinterpret_cast<const Model*>(handle); }
inline const TokenizerObject& of(const inlay_tokenizer* handle) {
  return *reinterpret_cast<const TokenizerObject*>(handle);
}
inline Pool* of(inlay_pool* handle) { return reinterpret_cast<Pool*>(handle); }
inline const Pool* of(const inlay_pool* handle) { return reinterpret_cast<const Pool*>(handle); }
inline Session* of(inlay_session* handle) { return reinterpret_cast<Session*>(handle); }
inline const Session* of(const inlay_session* handle) { return reinterpret_cast<const Session*>(handle); }

/// A create or open under a runtime: its message stays there. The runtime stays too, whatever the host's
/// callbacks destroy.
template <typename F>
inlay_status create_under(Runtime& runtime, F&& body) noexcept {
  const Held<Runtime> held(&runtime);
  return guard(body, [&](const char* message) { runtime.set_message(message); });
}

[[noreturn]] inline void refuse_null(const char* name) {
  throw Error(INLAY_ERROR_INVALID_ARGUMENT, std::string(name) + " is null");
}

/// One thread inside a session at a time. Destroyed from a callback, it goes when the call is over.
template <typename F>
inlay_status inside(inlay_session* handle, F&& body) noexcept {
  if (handle == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Session& session = *of(handle);
  const Held<Session> held(&session);
  if (session.inside().exchange(true, std::memory_order_acquire)) return INLAY_ERROR_BUSY;
  const inlay_status status =
      guard([&] { return body(session); },
            [&](const char* message) { session.fail(INLAY_ERROR_INTERNAL, "%s", message); });
  session.inside().store(false, std::memory_order_release);
  return status;
}

inline inlay_status run_to_end(Session& session, inlay_status begun) {
  return begun == INLAY_OK ? session.advance(INLAY_NO_BUDGET, nullptr) : begun;
}

/// A host's table with its callback checked; throws Error.
inline inlay_writer read_writer(const inlay_writer* writer) {
  if (writer == nullptr) refuse_null("writer");
  const inlay_writer known = read_struct(writer, "inlay_writer");
  if (known.write == nullptr) refuse_null("inlay_writer.write");
  return known;
}
inline inlay_reader read_reader(const inlay_reader* reader) {
  if (reader == nullptr) refuse_null("reader");
  const inlay_reader known = read_struct(reader, "inlay_reader");
  if (known.read == nullptr) refuse_null("inlay_reader.read");
  return known;
}

/// The sampler's parameters with their biases' address checked; what they mean is checked by the sampler.
inline inlay_sampler_params read_sampler_params(const inlay_sampler_params* params) {
  const inlay_sampler_params known = read_struct(params, "inlay_sampler_params");
  if (known.bias_count > 0 && known.biases == nullptr) refuse_null("inlay_sampler_params.biases");
  return known;
}

/// A generator's parameters with what they point to, each as this library knows it.
struct GeneratorWish {
  explicit GeneratorWish(const inlay_generator_params* given)
      : params(read_struct(given, "inlay_generator_params")) {
    if (params.sampler != nullptr) {
      sampler = read_sampler_params(params.sampler);
      params.sampler = &sampler;
    }
    if (params.drafter != nullptr) {
      drafter = read_struct(params.drafter, "inlay_drafter");
      params.drafter = &drafter;
    }
    if (params.mask != nullptr) {
      mask = read_struct(params.mask, "inlay_mask");
      params.mask = &mask;
    }
  }
  GeneratorWish(const GeneratorWish&) = delete;
  GeneratorWish& operator=(const GeneratorWish&) = delete;

  inlay_generator_params params;
  inlay_sampler_params sampler{};
  inlay_drafter drafter{};
  inlay_mask mask{};
};

inline bool valid(const int32_t* tokens, size_t count) { return tokens != nullptr || count == 0; }

}  // namespace inlay::abi

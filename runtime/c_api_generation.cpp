#include <cstddef>
#include <cstdint>
#include <string>

#include "inlay/inlay.h"
#include "runtime/abi.h"
#include "runtime/generator.h"
#include "runtime/runtime.h"
#include "runtime/sampler.h"
#include "runtime/session.h"

// The C ABI's sampler, drafter and generator.

using namespace inlay;

namespace {

Model* of(inlay_model* handle) { return reinterpret_cast<Model*>(handle); }
Session* of(inlay_session* handle) { return reinterpret_cast<Session*>(handle); }
StandaloneSampler* of(inlay_sampler* handle) { return reinterpret_cast<StandaloneSampler*>(handle); }
Generator* of(inlay_generator* handle) { return reinterpret_cast<Generator*>(handle); }
const Generator* of(const inlay_generator* handle) { return reinterpret_cast<const Generator*>(handle); }

/// One call inside a session at a time: another thread's, or a drafter's into the session or generator that
/// called it, is told so.
template <typename F, typename R>
inlay_status inside(Session& session, F&& body, R&& report) noexcept {
  if (session.inside().exchange(true, std::memory_order_acquire)) return INLAY_ERROR_BUSY;
  const inlay_status status = abi::guard(body, report);
  session.inside().store(false, std::memory_order_release);
  return status;
}

template <typename F>
inlay_status inside(inlay_generator* handle, F&& body) noexcept {
  if (handle == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Generator& generator = *of(handle);
  return inside(
      generator.session(), [&] { return body(generator); },
      [&](const char* message) { generator.set_message(message); });
}

/// The parameters with those they point to, as this library knows them.
struct GeneratorParams {
  explicit GeneratorParams(const inlay_generator_params* given)
      : params(abi::read_struct(given, "inlay_generator_params")) {
    if (params.sampler != nullptr) {
      sampler = abi::read_struct(params.sampler, "inlay_sampler_params");
      params.sampler = &sampler;
    }
    if (params.drafter != nullptr) {
      drafter = abi::read_struct(params.drafter, "inlay_drafter");
      params.drafter = &drafter;
    }
  }
  GeneratorParams(const GeneratorParams&) = delete;
  GeneratorParams& operator=(const GeneratorParams&) = delete;

  inlay_generator_params params;
  inlay_sampler_params sampler{};
  inlay_drafter drafter{};
};

}  // namespace

// Sampler

inlay_status inlay_sampler_create(inlay_model* model, const inlay_sampler_params* params,
                                  inlay_sampler** out_sampler) {
  if (out_sampler != nullptr) *out_sampler = nullptr;
  if (model == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return abi::guard(
      [&] {
        if (out_sampler == nullptr) throw Error(INLAY_ERROR_INVALID_ARGUMENT, "out_sampler is null");
        const inlay_sampler_params known = abi::read_struct(params, "inlay_sampler_params");
        *out_sampler = reinterpret_cast<inlay_sampler*>(StandaloneSampler::create(*of(model), known));
        return INLAY_OK;
      },
      [&](const char* message) { of(model)->runtime().set_message(message); });
}

void inlay_sampler_destroy(inlay_sampler* sampler) {
  if (sampler != nullptr) of(sampler)->release();
}

inlay_status inlay_sampler_sample(inlay_sampler* sampler, const float* logits, const int32_t* history,
                                  size_t history_count, uint64_t position, int32_t* out_token) {
  if (out_token != nullptr) *out_token = 0;
  if (sampler == nullptr || logits == nullptr || out_token == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  if (history == nullptr && history_count > 0) return INLAY_ERROR_INVALID_ARGUMENT;
  int32_t token = 0;
  const inlay_status status =
      of(sampler)->sampler().sample(logits, {history, history_count}, position, &token);
  if (status == INLAY_OK) *out_token = token;
  return status;
}

// Generator

inlay_status inlay_generator_create(inlay_session* session, const inlay_generator_params* params,
                                    inlay_generator** out_generator) {
  if (out_generator != nullptr) *out_generator = nullptr;
  if (session == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Session& parent = *of(session);
  return inside(
      parent,
      [&] {
        if (out_generator == nullptr) throw Error(INLAY_ERROR_INVALID_ARGUMENT, "out_generator is null");
        const GeneratorParams known(params);
        *out_generator = reinterpret_cast<inlay_generator*>(Generator::create(parent, known.params));
        return INLAY_OK;
      },
      [&](const char* message) { parent.fail(INLAY_ERROR_INVALID_ARGUMENT, "%s", message); });
}

void inlay_generator_destroy(inlay_generator* generator) {
  if (generator != nullptr) of(generator)->release();
}

size_t inlay_generator_message(const inlay_generator* generator, char* buffer, size_t capacity) {
  if (generator == nullptr || (buffer == nullptr && capacity > 0)) return 0;
  return copy_text(of(generator)->message(), buffer, capacity);
}

inlay_status inlay_generator_prompt_tokens(inlay_generator* generator, const int32_t* tokens, size_t count) {
  if (tokens == nullptr && count > 0) return INLAY_ERROR_INVALID_ARGUMENT;
  return inside(generator, [&](Generator& g) { return g.prompt(std::span(tokens, count)); });
}

inlay_status inlay_generator_prompt_text(inlay_generator* generator, const char* text, size_t text_bytes,
                                         int32_t parse_special) {
  if (text == nullptr && text_bytes > 0) return INLAY_ERROR_INVALID_ARGUMENT;
  return inside(generator, [&](Generator& g) {
    return g.prompt(std::string_view(text, text_bytes), parse_special != 0);
  });
}

inlay_status inlay_generator_next(inlay_generator* generator, uint64_t budget_us, inlay_output* out_output) {
  inlay_output result = INLAY_OUTPUT_INIT;
  if (abi::write_struct(result, out_output) != INLAY_OK) return INLAY_ERROR_INVALID_ARGUMENT;
  return inside(generator, [&](Generator& g) {
    GeneratorOutput output;
    const inlay_status status = g.next(budget_us, &output);
    if (status < 0) return status;
    result.text = output.text.data();
    result.text_bytes = output.text.size();
    result.tokens = output.tokens.data();
    result.token_count = output.tokens.size();
    result.stop = output.stop;
    abi::write_struct(result, out_output);
    return status;
  });
}

inlay_status inlay_generator_get_stats(const inlay_generator* generator, inlay_generator_stats* out_stats) {
  if (generator == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return abi::write_struct(of(generator)->stats(), out_stats);
}

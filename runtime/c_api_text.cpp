#include <cstring>

#include "runtime/c_api.h"
#include "runtime/generator.h"
#include "runtime/grammar_object.h"
#include "runtime/owned.h"
#include "runtime/sampler.h"

// The C ABI's tokenizers, samplers and generators.

using namespace inlay;
using namespace inlay::abi;

namespace {

using SamplerObject = Owned<Sampler, Model>;

SamplerObject* of(inlay_sampler* handle) { return reinterpret_cast<SamplerObject*>(handle); }
Generator* of(inlay_generator* handle) { return reinterpret_cast<Generator*>(handle); }
const Generator* of(const inlay_generator* handle) { return reinterpret_cast<const Generator*>(handle); }

bool in_range(const TokenizerObject& tokenizer, const int32_t* tokens, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!tokenizer->contains(tokens[i])) return false;
  }
  return true;
}

/// One thread inside a generator and its session at a time.
template <typename F>
inlay_status inside_generator(inlay_generator* handle, F&& body) noexcept {
  if (handle == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Generator& generator = *of(handle);
  const Held<Generator> held(&generator);
  return inside(reinterpret_cast<inlay_session*>(&generator.session()),
                [&](Session&) { return body(generator); });
}

}  // namespace

// Tokenizer

inlay_status inlay_tokenizer_create(inlay_file* file, inlay_tokenizer** out_tokenizer) {
  if (out_tokenizer != nullptr) *out_tokenizer = nullptr;
  if (file == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(abi::of(file)->runtime(), [&] {
    if (out_tokenizer == nullptr) refuse_null("out_tokenizer");
    *out_tokenizer = reinterpret_cast<inlay_tokenizer*>(TokenizerObject::create(*abi::of(file)));
    return INLAY_OK;
  });
}

void inlay_tokenizer_destroy(inlay_tokenizer* tokenizer) {
  if (tokenizer != nullptr) reinterpret_cast<TokenizerObject*>(tokenizer)->destroy();
}

const inlay_tokenizer* inlay_model_tokenizer(const inlay_model* model) {
  return model == nullptr ? nullptr
                          : reinterpret_cast<const inlay_tokenizer*>(abi::of(model)->tokenizer_object());
}

inlay_status inlay_tokenizer_encode(const inlay_tokenizer* tokenizer, const char* text, size_t text_bytes,
                                    int32_t parse_special, int32_t* tokens, size_t capacity,
                                    size_t* out_count) {
  if (out_count != nullptr) *out_count = 0;
  if (tokenizer == nullptr || out_count == nullptr || (text == nullptr && text_bytes > 0) ||
      (tokens == nullptr && capacity > 0)) {
    return INLAY_ERROR_INVALID_ARGUMENT;
  }
  return guard(
      [&] {
        *out_count = abi::of(tokenizer)->encode({text, text_bytes}, parse_special != 0, {tokens, capacity},
                                                abi::of(tokenizer).memory());
        return INLAY_OK;
      },
      [](const char*) {});
}

inlay_status inlay_tokenizer_decode(const inlay_tokenizer* tokenizer, const int32_t* tokens, size_t count,
                                    int32_t show_special, char* text, size_t capacity, size_t* out_bytes) {
  if (out_bytes != nullptr) *out_bytes = 0;
  if (tokenizer == nullptr || out_bytes == nullptr || !valid(tokens, count) ||
      (text == nullptr && capacity > 0) || !in_range(abi::of(tokenizer), tokens, count)) {
    return INLAY_ERROR_INVALID_ARGUMENT;
  }
  return guard(
      [&] {
        *out_bytes = abi::of(tokenizer)->decode({tokens, count}, show_special != 0, {text, capacity});
        return INLAY_OK;
      },
      [](const char*) {});
}

uint32_t inlay_tokenizer_size(const inlay_tokenizer* tokenizer) {
  return tokenizer == nullptr ? 0 : abi::of(tokenizer)->size();
}

int32_t inlay_tokenizer_end_of_text(const inlay_tokenizer* tokenizer) {
  return tokenizer == nullptr ? -1 : abi::of(tokenizer)->end_of_text();
}

int32_t inlay_tokenizer_is_end(const inlay_tokenizer* tokenizer, int32_t token) {
  return tokenizer != nullptr && abi::of(tokenizer)->is_end_of_generation(token) ? 1 : 0;
}

int32_t inlay_tokenizer_find(const inlay_tokenizer* tokenizer, const char* text, size_t text_bytes) {
  if (tokenizer == nullptr || (text == nullptr && text_bytes > 0)) return -1;
  return abi::of(tokenizer)->find({text, text_bytes});
}

// Sampler

inlay_status inlay_sampler_create(inlay_model* model, const inlay_sampler_params* params,
                                  inlay_sampler** out_sampler) {
  if (out_sampler != nullptr) *out_sampler = nullptr;
  if (model == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Runtime& runtime = abi::of(model)->runtime();
  return create_under(runtime, [&] {
    if (out_sampler == nullptr) refuse_null("out_sampler");
    const inlay_sampler_params known = read_sampler_params(params);
    const uint32_t vocabulary = abi::of(model)->shape().vocabulary;
    Sampler::check(known, vocabulary);
    *out_sampler = reinterpret_cast<inlay_sampler*>(SamplerObject::create(
        *abi::of(model), runtime.memory(), Sampler::bytes(known, vocabulary), known, vocabulary));
    return INLAY_OK;
  });
}

void inlay_sampler_destroy(inlay_sampler* sampler) {
  if (sampler != nullptr) of(sampler)->destroy();
}

inlay_status inlay_sampler_sample(inlay_sampler* sampler, const float* logits, const int32_t* history,
                                  size_t history_count, uint64_t position, int32_t* out_token) {
  if (out_token != nullptr) *out_token = 0;
  if (sampler == nullptr || logits == nullptr || out_token == nullptr || !valid(history, history_count)) {
    return INLAY_ERROR_INVALID_ARGUMENT;
  }
  return (*of(sampler))->sample(logits, {history, history_count}, position, out_token);
}

// Grammar

inlay_status inlay_grammar_create(inlay_model* model, inlay_grammar_kind kind, const char* text,
                                  size_t text_bytes, inlay_grammar** out_grammar) {
  if (out_grammar != nullptr) *out_grammar = nullptr;
  if (model == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  const inlay_status status = create_under(abi::of(model)->runtime(), [&] {
    if (out_grammar == nullptr) refuse_null("out_grammar");
    if (text == nullptr) refuse_null("text");
    int number;  // a host may pass any
    std::memcpy(&number, &kind, sizeof number);
    *out_grammar =
        reinterpret_cast<inlay_grammar*>(GrammarObject::create(*abi::of(model), number, {text, text_bytes}));
    return INLAY_OK;
  });
  return status == INLAY_ERROR_CORRUPT_FILE ? INLAY_ERROR_INVALID_ARGUMENT : status;  // the host's JSON
}

void inlay_grammar_destroy(inlay_grammar* grammar) {
  if (grammar != nullptr) reinterpret_cast<GrammarObject*>(grammar)->release();
}

// Generator

inlay_status inlay_generator_create(inlay_session* session, const inlay_generator_params* params,
                                    inlay_generator** out_generator) {
  if (out_generator != nullptr) *out_generator = nullptr;
  if (session == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Session& parent = *abi::of(session);
  return create_under(parent.model().runtime(), [&] {
    if (out_generator == nullptr) refuse_null("out_generator");
    const GeneratorWish wish(params);
    *out_generator = reinterpret_cast<inlay_generator*>(Generator::create(parent, wish.params));
    return INLAY_OK;
  });
}

void inlay_generator_destroy(inlay_generator* generator) {
  if (generator != nullptr) of(generator)->release();
}

size_t inlay_generator_message(const inlay_generator* generator, char* buffer, size_t capacity) {
  if (generator == nullptr || (buffer == nullptr && capacity > 0)) return 0;
  return copy_text(of(generator)->message(), buffer, capacity);
}

inlay_status inlay_generator_prompt_tokens(inlay_generator* generator, const int32_t* tokens, size_t count) {
  return inside_generator(generator, [&](Generator& g) {
    if (!valid(tokens, count)) return g.fail(INLAY_ERROR_INVALID_ARGUMENT, "generator: tokens is null");
    return g.prompt({tokens, count});
  });
}

inlay_status inlay_generator_prompt_text(inlay_generator* generator, const char* text, size_t text_bytes,
                                         int32_t parse_special) {
  return inside_generator(generator, [&](Generator& g) {
    if (text == nullptr && text_bytes > 0)
      return g.fail(INLAY_ERROR_INVALID_ARGUMENT, "generator: text is null");
    return g.prompt({text, text_bytes}, parse_special != 0);
  });
}

inlay_status inlay_generator_next(inlay_generator* generator, uint64_t budget_us, inlay_output* out_output) {
  clear_struct(out_output);
  inlay_output output = INLAY_OUTPUT_INIT;
  const inlay_status status = inside_generator(generator, [&](Generator& g) {
    if (write_struct(output, out_output) != INLAY_OK) {
      return g.fail(INLAY_ERROR_INVALID_ARGUMENT, "generator: out_output is null or was not initialised");
    }
    GeneratorOutput out;
    const inlay_status result = g.next(budget_us, &out);
    output.text = out.text.data();
    output.text_bytes = out.text.size();
    output.tokens = out.tokens.data();
    output.token_count = out.tokens.size();
    output.stop = out.stop;
    return result;
  });
  if (status >= INLAY_OK) write_struct(output, out_output);
  return status;
}

inlay_status inlay_generator_get_progress(const inlay_generator* generator, inlay_progress* out_progress) {
  clear_struct(out_progress);
  if (generator == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  inlay_progress progress = INLAY_PROGRESS_INIT;
  of(generator)->report(&progress);
  return write_struct(progress, out_progress);
}

uint64_t inlay_generator_save_bytes(inlay_generator* generator) {
  uint64_t bytes = 0;
  inside_generator(generator, [&](Generator& g) {
    SnapshotHeader header;
    bytes = g.snapshot(&header);
    return INLAY_OK;
  });
  return bytes;
}

inlay_status inlay_generator_save(inlay_generator* generator, const inlay_writer* writer) {
  return inside_generator(generator, [&](Generator& g) { return g.save(read_writer(writer)); });
}

inlay_status inlay_generator_load(inlay_generator* generator, const inlay_reader* reader) {
  return inside_generator(generator, [&](Generator& g) { return g.load(read_reader(reader)); });
}

inlay_status inlay_generator_save_memory(inlay_generator* generator, void* buffer, uint64_t capacity,
                                         uint64_t* out_bytes) {
  if (out_bytes != nullptr) *out_bytes = 0;
  return inside_generator(generator, [&](Generator& g) {
    if (buffer == nullptr || out_bytes == nullptr) {
      return g.fail(INLAY_ERROR_INVALID_ARGUMENT, "generator: buffer or out_bytes is null");
    }
    SnapshotHeader header;
    const uint64_t bytes = g.snapshot(&header);
    if (bytes == 0) {
      return g.fail(INLAY_ERROR_DEVICE, "generator: the state could not be read from the device");
    }
    if (bytes > capacity) {
      return g.fail(INLAY_ERROR_MEMORY_LIMIT, "generator: the buffer is smaller than save_bytes says");
    }
    SnapshotMemory memory{static_cast<std::byte*>(buffer), nullptr, capacity};
    const inlay_status status = g.save(memory.writer());
    if (status == INLAY_OK) *out_bytes = bytes;
    return status;
  });
}

inlay_status inlay_generator_load_memory(inlay_generator* generator, const void* data, uint64_t bytes) {
  return inside_generator(generator, [&](Generator& g) {
    if (data == nullptr) return g.fail(INLAY_ERROR_INVALID_ARGUMENT, "generator: data is null");
    if (is_damaged(data, bytes)) {
      return g.fail(INLAY_ERROR_CORRUPT_FILE, "generator: the saved state is damaged");
    }
    SnapshotMemory memory{nullptr, static_cast<const std::byte*>(data), bytes};
    return g.load(memory.reader());
  });
}

inlay_status inlay_generator_get_stats(const inlay_generator* generator, inlay_generator_stats* out_stats) {
  clear_struct(out_stats);
  if (generator == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return write_struct(of(generator)->stats(), out_stats);
}

#include "bridge.h"

#include "_cgo_export.h"

static void write_log(void* user_data, inlay_log_level level, const char* message) {
  inlayGoLog((uintptr_t)user_data, (int)level, (char*)message);
}

static void* allocate(void* user_data, size_t size, size_t alignment) {
  return inlayGoAllocate((uintptr_t)user_data, size, alignment);
}

static void release(void* user_data, void* memory, size_t size, size_t alignment) {
  inlayGoRelease((uintptr_t)user_data, memory, size, alignment);
}

inlay_status bridge_runtime_create(const inlay_runtime_params* params, uintptr_t log, uintptr_t allocator,
                                   inlay_runtime** out_runtime) {
  inlay_runtime_params given = *params;
  inlay_allocator memory = INLAY_ALLOCATOR_INIT;
  if (allocator != 0) {
    memory.user_data = (void*)allocator;
    memory.allocate = allocate;
    memory.release = release;
    given.allocator = &memory;
  }
  given.log = write_log;
  given.log_user_data = (void*)log;
  return inlay_runtime_create(&given, out_runtime);
}

static inlay_status io_size(void* user_data, uint64_t* out_bytes) {
  return inlayGoSize((uintptr_t)user_data, out_bytes);
}

static inlay_status io_read_at(void* user_data, uint64_t offset, void* destination, size_t bytes) {
  return inlayGoReadAt((uintptr_t)user_data, offset, destination, bytes);
}

static void io_close(void* user_data) { inlayGoClose((uintptr_t)user_data); }

inlay_status bridge_file_open(inlay_runtime* runtime, const char* path, const void* data, uint64_t data_size,
                              uintptr_t io, inlay_file** out_file) {
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_io table = INLAY_IO_INIT;
  source.path = path;
  source.data = data;
  source.data_size = data_size;
  if (io != 0) {
    table.user_data = (void*)io;
    table.size = io_size;
    table.read_at = io_read_at;
    table.close = io_close;
    source.io = &table;
  }
  return inlay_file_open(runtime, &source, out_file);
}

static inlay_status report(void* user_data, uint64_t done, uint64_t total) {
  return inlayGoProgress((uintptr_t)user_data, done, total);
}

inlay_status bridge_file_verify(inlay_file* file, uintptr_t progress) {
  return inlay_file_verify(file, progress != 0 ? report : NULL, (void*)progress);
}

inlay_status bridge_model_create(inlay_file* file, uint32_t read_ahead, void* arena, uint64_t arena_bytes,
                                 uintptr_t progress, inlay_model** out_model) {
  inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
  params.read_ahead = read_ahead;
  params.arena = arena;
  params.arena_bytes = arena_bytes;
  params.progress = progress != 0 ? report : NULL;
  params.progress_user_data = (void*)progress;
  return inlay_model_create(file, &params, out_model);
}

inlay_status bridge_pack(inlay_runtime* runtime, const char* input, const char* output,
                         const char* quantisation, const char* imatrix, const char* layout,
                         uintptr_t progress) {
  inlay_pack_params params = INLAY_PACK_PARAMS_INIT;
  params.quantisation = quantisation;
  params.imatrix = imatrix;
  params.layout = layout;
  params.progress = progress != 0 ? report : NULL;
  params.progress_user_data = (void*)progress;
  return inlay_pack(runtime, input, output, &params);
}

static inlay_status write_to(void* user_data, const void* data, size_t bytes) {
  return inlayGoWrite((uintptr_t)user_data, (void*)data, bytes);
}

static inlay_status read_from(void* user_data, void* destination, size_t bytes) {
  return inlayGoRead((uintptr_t)user_data, destination, bytes);
}

static inlay_writer writer_of(uintptr_t stream) {
  inlay_writer writer = INLAY_WRITER_INIT;
  writer.user_data = (void*)stream;
  writer.write = write_to;
  return writer;
}

static inlay_reader reader_of(uintptr_t stream) {
  inlay_reader reader = INLAY_READER_INIT;
  reader.user_data = (void*)stream;
  reader.read = read_from;
  return reader;
}

inlay_status bridge_session_save(inlay_session* session, uintptr_t stream) {
  const inlay_writer writer = writer_of(stream);
  return inlay_session_save(session, &writer);
}

inlay_status bridge_session_load(inlay_session* session, uintptr_t stream) {
  const inlay_reader reader = reader_of(stream);
  return inlay_session_load(session, &reader);
}

inlay_status bridge_generator_save(inlay_generator* generator, uintptr_t stream) {
  const inlay_writer writer = writer_of(stream);
  return inlay_generator_save(generator, &writer);
}

inlay_status bridge_generator_load(inlay_generator* generator, uintptr_t stream) {
  const inlay_reader reader = reader_of(stream);
  return inlay_generator_load(generator, &reader);
}

inlay_status bridge_chat_save(inlay_chat* chat, uintptr_t stream) {
  const inlay_writer writer = writer_of(stream);
  return inlay_chat_save(chat, &writer);
}

inlay_status bridge_chat_load(inlay_chat* chat, uintptr_t stream) {
  const inlay_reader reader = reader_of(stream);
  return inlay_chat_load(chat, &reader);
}

static inlay_status propose(void* user_data, const int32_t* tokens, size_t count, size_t max,
                            int32_t* out_tokens, size_t* out_count) {
  return inlayGoPropose((uintptr_t)user_data, (int32_t*)tokens, count, max, out_tokens, out_count);
}

static void observe(void* user_data, const int32_t* tokens, size_t count, size_t accepted) {
  inlayGoObserve((uintptr_t)user_data, (int32_t*)tokens, count, accepted);
}

static void reset(void* user_data) { inlayGoReset((uintptr_t)user_data); }

static inlay_sampler_params with_biases(const inlay_sampler_params* params, const inlay_logit_bias* biases,
                                        size_t bias_count) {
  inlay_sampler_params given = *params;
  given.biases = biases;
  given.bias_count = bias_count;
  return given;
}

static inlay_status allow(void* user_data, const int32_t* tokens, size_t count, uint32_t* allowed,
                          uint32_t vocabulary) {
  return inlayGoAllow((uintptr_t)user_data, (int32_t*)tokens, count, allowed, vocabulary);
}

/* What a generator's parameters point to. */
typedef struct bridge_generator {
  inlay_sampler_params sampler;
  inlay_drafter drafter;
  inlay_mask mask;
  inlay_generator_params params;
} bridge_generator;

static void fill(bridge_generator* it, const inlay_sampler_params* sampler, const inlay_logit_bias* biases,
                 size_t bias_count, const inlay_generator_params* params, uintptr_t drafter, uintptr_t mask) {
  const inlay_drafter drafter_init = INLAY_DRAFTER_INIT;
  const inlay_mask mask_init = INLAY_MASK_INIT;
  it->sampler = with_biases(sampler, biases, bias_count);
  it->drafter = drafter_init;
  it->mask = mask_init;
  it->params = *params;
  it->params.sampler = &it->sampler;
  if (drafter != 0) {
    it->drafter.user_data = (void*)drafter;
    it->drafter.propose = propose;
    it->drafter.observe = observe;
    it->drafter.reset = reset;
    it->params.drafter = &it->drafter;
  }
  if (mask != 0) {
    it->mask.user_data = (void*)mask;
    it->mask.allow = allow;
    it->params.mask = &it->mask;
  }
}

inlay_status bridge_generator_create(inlay_session* session, const inlay_sampler_params* sampler,
                                     const inlay_logit_bias* biases, size_t bias_count,
                                     const inlay_generator_params* params, uintptr_t drafter, uintptr_t mask,
                                     inlay_generator** out_generator) {
  bridge_generator given;
  fill(&given, sampler, biases, bias_count, params, drafter, mask);
  return inlay_generator_create(session, &given.params, out_generator);
}

inlay_status bridge_chat_create(inlay_session* session, const inlay_sampler_params* sampler,
                                const inlay_logit_bias* biases, size_t bias_count,
                                const inlay_generator_params* params, uintptr_t drafter, uintptr_t mask,
                                const inlay_chat_format* format, const char* tools, size_t tools_bytes,
                                uint32_t keep_reasoning, inlay_chat** out_chat) {
  inlay_chat_params given = INLAY_CHAT_PARAMS_INIT;
  bridge_generator generator;
  if (params != NULL) {
    fill(&generator, sampler, biases, bias_count, params, drafter, mask);
    given.generator = &generator.params;
  }
  given.format = format;
  given.tools = tools_bytes > 0 ? tools : NULL;
  given.tools_bytes = tools_bytes;
  given.keep_reasoning = keep_reasoning;
  return inlay_chat_create(session, &given, out_chat);
}

inlay_status bridge_chat_answer(inlay_chat* chat, const inlay_chat_answer_params* params,
                                const char* think_closing, char** stop_strings, size_t stop_count) {
  inlay_chat_answer_params given = *params;
  given.think_closing = think_closing;
  given.stop_strings = (const char* const*)stop_strings;
  given.stop_string_count = stop_count;
  return inlay_chat_answer(chat, &given);
}

inlay_status bridge_sampler_create(inlay_model* model, const inlay_sampler_params* params,
                                   const inlay_logit_bias* biases, size_t bias_count,
                                   inlay_sampler** out_sampler) {
  const inlay_sampler_params given = with_biases(params, biases, bias_count);
  return inlay_sampler_create(model, &given, out_sampler);
}

#include "bridge.h"

#include "_cgo_export.h"

static void write_log(void* user_data, inlay_log_level level, const char* message) {
  inlayGoLog((uintptr_t)user_data, (int)level, (char*)message);
}

inlay_status bridge_runtime_create(int32_t device, uint32_t device_index, uint32_t threads,
                                   uint64_t memory_limit, const char* instruction_set, uint32_t low_priority,
                                   uintptr_t log, inlay_runtime** out_runtime) {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  params.device = device;
  params.device_index = device_index;
  params.threads = threads;
  params.memory_limit = memory_limit;
  params.instruction_set = instruction_set;
  params.low_priority = low_priority;
  params.log = write_log;
  params.log_user_data = (void*)log;
  return inlay_runtime_create(&params, out_runtime);
}

static inlay_status io_size(void* user_data, uint64_t* out_bytes) {
  return inlayGoSize((uintptr_t)user_data, out_bytes);
}

static inlay_status io_read_at(void* user_data, uint64_t offset, void* destination, size_t bytes) {
  return inlayGoReadAt((uintptr_t)user_data, offset, destination, bytes);
}

static void io_close(void* user_data) { inlayGoClose((uintptr_t)user_data); }

inlay_status bridge_file_open(inlay_runtime* runtime, const char* path, uintptr_t io, inlay_file** out_file) {
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_io table = INLAY_IO_INIT;
  source.path = path;
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

inlay_status bridge_model_create(inlay_file* file, uint32_t read_ahead, uintptr_t progress,
                                 inlay_model** out_model) {
  inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
  params.read_ahead = read_ahead;
  params.progress = progress != 0 ? report : NULL;
  params.progress_user_data = (void*)progress;
  return inlay_model_create(file, &params, out_model);
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

inlay_status bridge_generator_create(inlay_session* session, const inlay_sampler_params* sampler,
                                     const inlay_logit_bias* biases, size_t bias_count,
                                     const inlay_generator_params* params, uintptr_t drafter,
                                     inlay_generator** out_generator) {
  const inlay_sampler_params known = with_biases(sampler, biases, bias_count);
  inlay_generator_params given = *params;
  inlay_drafter table = INLAY_DRAFTER_INIT;
  given.sampler = &known;
  if (drafter != 0) {
    table.user_data = (void*)drafter;
    table.propose = propose;
    table.observe = observe;
    table.reset = reset;
    given.drafter = &table;
  }
  return inlay_generator_create(session, &given, out_generator);
}

inlay_status bridge_sampler_create(inlay_model* model, const inlay_sampler_params* params,
                                   const inlay_logit_bias* biases, size_t bias_count,
                                   inlay_sampler** out_sampler) {
  const inlay_sampler_params given = with_biases(params, biases, bias_count);
  return inlay_sampler_create(model, &given, out_sampler);
}

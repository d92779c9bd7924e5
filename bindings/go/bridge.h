/* What Go can't say in C: parameter structs that point to other structs, and callbacks. A handle is a
 * runtime/cgo.Handle, so no Go pointer is kept here. Every function fills the header's struct from plain
 * arguments, on its own stack, and makes the call of the same name. */
#ifndef INLAY_GO_BRIDGE_H
#define INLAY_GO_BRIDGE_H

#include <inlay/inlay.h>

inlay_status bridge_runtime_create(const inlay_runtime_params* params, uintptr_t log, uintptr_t allocator,
                                   inlay_runtime** out_runtime);
inlay_status bridge_file_open(inlay_runtime* runtime, const char* path, const void* data, uint64_t data_size,
                              uintptr_t io, inlay_file** out_file);
inlay_status bridge_file_verify(inlay_file* file, uintptr_t progress);
inlay_status bridge_model_create(inlay_file* file, uint32_t read_ahead, void* arena, uint64_t arena_bytes,
                                 uintptr_t progress, inlay_model** out_model);
inlay_status bridge_pack(inlay_runtime* runtime, const char* input, const char* output,
                         const char* quantisation, const char* imatrix, const char* layout,
                         uintptr_t progress);
inlay_status bridge_session_save(inlay_session* session, uintptr_t stream);
inlay_status bridge_session_load(inlay_session* session, uintptr_t stream);
inlay_status bridge_generator_save(inlay_generator* generator, uintptr_t stream);
inlay_status bridge_generator_load(inlay_generator* generator, uintptr_t stream);
inlay_status bridge_chat_save(inlay_chat* chat, uintptr_t stream);
inlay_status bridge_chat_load(inlay_chat* chat, uintptr_t stream);
inlay_status bridge_generator_create(inlay_session* session, const inlay_sampler_params* sampler,
                                     const inlay_logit_bias* biases, size_t bias_count,
                                     const inlay_generator_params* params, uintptr_t drafter, uintptr_t mask,
                                     inlay_generator** out_generator);
/* Without a generator where params is null. */
inlay_status bridge_chat_create(inlay_session* session, const inlay_sampler_params* sampler,
                                const inlay_logit_bias* biases, size_t bias_count,
                                const inlay_generator_params* params, uintptr_t drafter, uintptr_t mask,
                                const inlay_chat_format* format, const char* tools, size_t tools_bytes,
                                uint32_t keep_reasoning, inlay_chat** out_chat);
inlay_status bridge_chat_answer(inlay_chat* chat, const inlay_chat_answer_params* params,
                                const char* think_closing, char** stop_strings, size_t stop_count);
inlay_status bridge_sampler_create(inlay_model* model, const inlay_sampler_params* params,
                                   const inlay_logit_bias* biases, size_t bias_count,
                                   inlay_sampler** out_sampler);

#endif

/* A client that uses what the first header had, and prints what comes of it. Built against that header and
 * against today's, it must say the same. */
#include <inlay/inlay.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  static const char prompt[] =
      "<|im_start|>user\nThree ales, please.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
  inlay_runtime_params runtime_params = INLAY_RUNTIME_PARAMS_INIT;
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_model_params model_params = INLAY_MODEL_PARAMS_INIT;
  inlay_session_params session_params = INLAY_SESSION_PARAMS_INIT;
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  inlay_generator_params generator_params = INLAY_GENERATOR_PARAMS_INIT;
  inlay_generator_stats stats = INLAY_GENERATOR_STATS_INIT;
  inlay_progress progress = INLAY_PROGRESS_INIT;
  inlay_runtime* runtime = NULL;
  inlay_model* model = NULL;
  inlay_session* session = NULL;
  inlay_generator* generator = NULL;
  inlay_status status;
  if (argc < 2) return 2;
  source.path = argv[1];
  runtime_params.threads = 1;
  session_params.context_length = 512;
  session_params.mtp = 1;
  generator_params.draft = INLAY_DRAFT_MTP;
  generator_params.max_tokens = 40;
  status = inlay_runtime_create(&runtime_params, &runtime);
  if (status == INLAY_OK) status = inlay_model_open(runtime, &source, &model_params, &model);
  if (status == INLAY_OK) status = inlay_model_get_info(model, &info);
  if (status == INLAY_OK) status = inlay_model_plan(model, &session_params, &plan);
  if (status == INLAY_OK) status = inlay_session_create(model, &session_params, &session);
  if (status == INLAY_OK) status = inlay_session_begin_step(session, 1);
  while (status == INLAY_OK && inlay_session_advance(session, 100, &progress) == INLAY_PENDING) {
  }
  if (status == INLAY_OK) status = inlay_session_reset(session);
  if (status == INLAY_OK) status = inlay_generator_create(session, &generator_params, &generator);
  if (status == INLAY_OK) status = inlay_generator_prompt_text(generator, prompt, strlen(prompt), 1);
  while (status == INLAY_OK) {
    inlay_output output = INLAY_OUTPUT_INIT;
    status = inlay_generator_next(generator, INLAY_NO_BUDGET, &output);
    if (status >= INLAY_OK) printf("%s", output.text);
  }
  if (status == INLAY_END) status = inlay_generator_get_stats(generator, &stats);
  printf("\n%s, %u tokens, session %lu, generated %lu, %s\n", info.architecture, info.vocabulary_size,
         (unsigned long)plan.session_host, (unsigned long)stats.generated_tokens, inlay_status_name(status));
  inlay_generator_destroy(generator);
  inlay_session_destroy(session);
  inlay_model_destroy(model);
  inlay_runtime_destroy(runtime);
  return status == INLAY_OK ? 0 : 1;
}

/* Every byte before it is taken, and sessions in the host's own memory.
 *
 *   sh examples/run.sh memory_plan
 *
 * builds the library, then this, and runs it with the bundled model.
 */
#include <inlay/inlay.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inlay_runtime* runtime;

static void check(inlay_status status) {
  char message[256];
  if (status >= 0) return;
  inlay_runtime_message(runtime, message, sizeof message);
  fprintf(stderr, "%s: %s\n", inlay_status_name(status), message);
  exit(1);
}

static unsigned long long held(void) {
  inlay_memory_use use = INLAY_MEMORY_USE_INIT;
  check(inlay_runtime_memory(runtime, 0, &use));
  return use.now;
}

/* Memory of the game's, aligned to 64 as arenas are. */
static void* arena(uint64_t bytes) {
  char* memory = malloc((size_t)bytes + 64);
  if (memory == NULL) exit(1);
  return memory + (64 - (uintptr_t)memory % 64) % 64;
}

int main(int argc, char** argv) {
  static const uint32_t contexts[] = {512, 2048, 4096};
  static const char* names[] = {"", "f16", "fp8", "q8"};
  inlay_runtime_params runtime_params = INLAY_RUNTIME_PARAMS_INIT;
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
  inlay_generator_params generator_params = INLAY_GENERATOR_PARAMS_INIT;
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  inlay_output output = INLAY_OUTPUT_INIT;
  inlay_file* file;
  inlay_model* model;
  inlay_session* session;
  inlay_generator* generator;
  unsigned long long before, with_model;
  const char* prompt = "The tavern was";
  inlay_status status;

  source.path = argc > 1 ? argv[1] : "examples/model/tavern.gguf";
  runtime_params.threads = 1;
  if (inlay_runtime_create(&runtime_params, &runtime) != INLAY_OK) return 1;
  check(inlay_file_open(runtime, &source, &file));

  /* From the file's header alone: nothing is loaded yet. */
  for (int i = 0; i < 3; ++i) {
    for (params.kv_type = INLAY_KV_F16; params.kv_type <= INLAY_KV_Q8; ++params.kv_type) {
      params.context_length = contexts[i];
      check(inlay_file_plan(file, &params, &plan));
      printf("context %u, %s: session %llu, of it keys and values %llu\n", contexts[i], names[params.kv_type],
             (unsigned long long)plan.session_host, (unsigned long long)plan.kv_cache);
    }
  }

  /* What is then taken is what was planned. */
  params.kv_type = INLAY_KV_F16;
  params.context_length = 1024;
  check(inlay_file_plan(file, &params, &plan));
  printf("planned: model %llu, session %llu, scratch %llu\n", (unsigned long long)plan.model_host,
         (unsigned long long)plan.session_host, (unsigned long long)plan.scratch_host);
  before = held();
  check(inlay_model_create(file, NULL, &model));
  with_model = held();
  check(inlay_session_create(model, &params, &session));
  printf("taken: model %llu, session and scratch %llu\n", with_model - before, held() - with_model);
  inlay_session_destroy(session);

  /* In the game's own arenas, and with one byte too little. */
  params.state_arena = arena(plan.session_host);
  params.state_arena_bytes = plan.session_host - 1;
  params.scratch_arena = arena(plan.scratch_host);
  params.scratch_arena_bytes = plan.scratch_host;
  status = inlay_session_create(model, &params, &session);
  printf("a byte too little: %s\n", inlay_status_name(status));
  params.state_arena_bytes = plan.session_host;
  check(inlay_session_create(model, &params, &session));
  printf("taken beside the arenas: %llu\n", held() - with_model);

  generator_params.max_tokens = 30;
  check(inlay_generator_create(session, &generator_params, &generator));
  check(inlay_generator_prompt_text(generator, prompt, strlen(prompt), 1));
  printf("%s", prompt);
  do {
    check(status = inlay_generator_next(generator, INLAY_NO_BUDGET, &output));
    fwrite(output.text, 1, output.text_bytes, stdout);
  } while (status != INLAY_END);
  printf("\n");

  inlay_generator_destroy(generator);
  inlay_session_destroy(session);
  inlay_model_destroy(model);
  inlay_file_destroy(file);
  inlay_runtime_destroy(runtime);
  return 0;
}

/* A file to text.
 *
 *   sh examples/run.sh hello
 *
 * builds the library, then this, and runs it with the bundled model. Where Inlay is installed:
 *
 *   cc hello.c $(pkg-config --cflags --libs inlay) -o hello && ./hello MODEL.gguf
 */
#include <inlay/inlay.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  const char* prompt = argc > 2 ? argv[2] : "Once upon a time";
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  inlay_output output = INLAY_OUTPUT_INIT;
  inlay_runtime* runtime = NULL;
  inlay_model* model = NULL;
  inlay_session* session = NULL;
  inlay_generator* generator = NULL;
  char message[256] = "";
  inlay_status status;

  source.path = argc > 1 ? argv[1] : "examples/model/tavern.gguf";
  params.max_tokens = 200;
  status = inlay_runtime_create(NULL, &runtime);
  if (status == INLAY_OK) status = inlay_model_open(runtime, &source, NULL, &model);
  if (status == INLAY_OK) status = inlay_session_create(model, NULL, &session);
  if (status == INLAY_OK) status = inlay_generator_create(session, &params, &generator);

  if (status == INLAY_OK) status = inlay_generator_prompt_text(generator, prompt, strlen(prompt), 1);
  if (status == INLAY_OK) printf("%s", prompt);
  while (status == INLAY_OK) {
    status = inlay_generator_next(generator, INLAY_NO_BUDGET, &output);
    if (status >= 0) fwrite(output.text, 1, output.text_bytes, stdout);
  }
  if (status == INLAY_END) printf("\n");

  if (status < 0) {
    if (runtime != NULL) inlay_runtime_message(runtime, message, sizeof message);
    if (generator != NULL) inlay_generator_message(generator, message, sizeof message);
    fprintf(stderr, "%s: %s\n", inlay_status_name(status), message);
  }
  inlay_generator_destroy(generator);
  inlay_session_destroy(session);
  inlay_model_destroy(model);
  inlay_runtime_destroy(runtime);
  return status == INLAY_END ? 0 : 1;
}

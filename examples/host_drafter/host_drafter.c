/* A dialogue tree drafts: the game knows what the keeper is likely to say, so the model need only agree.
 *
 *   sh examples/run.sh host_drafter
 *
 * builds the library, then this, and runs it with the bundled model.
 */
#include <inlay/inlay.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char* const questions[] = {"Hello!", "How much is an ale?", "Tell me a riddle."};
/* What the writer has the keeper say; he may say something else. */
static const char* const lines[] = {"Good day, friend! What can I bring you?",
                                    "Good day, traveller! Sit down, the stew is hot.",
                                    "A mug of ale? 2 coppers.", "A bowl of stew? 4 coppers.",
                                    "Listen well: What has a bed but never sleeps?"};
enum { kLines = sizeof lines / sizeof lines[0], kRoom = 64 };

typedef struct tree {
  int32_t think_end; /* the answer begins with this token */
  int32_t tokens[kLines][kRoom];
  size_t counts[kLines];
} tree;

static inlay_runtime* runtime;

static void check(inlay_status status) {
  char message[256];
  if (status >= 0) return;
  inlay_runtime_message(runtime, message, sizeof message);
  fprintf(stderr, "%s: %s\n", inlay_status_name(status), message);
  exit(1);
}

/* The rest of the line that the answer has begun with so far. */
static inlay_status propose(void* user_data, const int32_t* tokens, size_t count, size_t max,
                            int32_t* out_tokens, size_t* out_count) {
  const tree* known = user_data;
  size_t begin = count;
  *out_count = 0;
  while (begin > 0 && tokens[begin - 1] != known->think_end) --begin;
  if (begin-- == 0) return INLAY_OK;
  for (int i = 0; i < kLines && *out_count == 0; ++i) {
    const size_t said = count - begin;
    if (said >= known->counts[i] || memcmp(tokens + begin, known->tokens[i], said * sizeof *tokens) != 0)
      continue;
    while (*out_count < max && said + *out_count < known->counts[i]) {
      out_tokens[*out_count] = known->tokens[i][said + *out_count];
      ++*out_count;
    }
  }
  return INLAY_OK;
}

static unsigned long long talk(inlay_model* model, const inlay_drafter* drafter) {
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  inlay_generator_stats stats = INLAY_GENERATOR_STATS_INIT;
  inlay_output output = INLAY_OUTPUT_INIT;
  inlay_session* session;
  inlay_generator* generator;
  inlay_status status;
  char prompt[256];

  params.draft = drafter != NULL ? INLAY_DRAFT_HOST : INLAY_DRAFT_NONE;
  params.drafter = drafter;
  params.draft_length = 7;
  check(inlay_session_create(model, NULL, &session));
  check(inlay_generator_create(session, &params, &generator));
  for (int i = 0; i < 3; ++i) {
    snprintf(prompt, sizeof prompt,
             "%s<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
             i > 0 ? "\n" : "", questions[i]);
    check(inlay_generator_prompt_text(generator, prompt, strlen(prompt), 1));
    printf("> %s\n", questions[i]);
    do {
      check(status = inlay_generator_next(generator, INLAY_NO_BUDGET, &output));
      fwrite(output.text, 1, output.text_bytes, stdout);
    } while (status != INLAY_END);
    printf("\n");
  }
  check(inlay_generator_get_stats(generator, &stats));
  inlay_generator_destroy(generator);
  inlay_session_destroy(session);
  return stats.rounds;
}

int main(int argc, char** argv) {
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_drafter drafter = INLAY_DRAFTER_INIT;
  inlay_model* model;
  unsigned long long alone, with_tree;
  static tree known;
  char line[256];

  source.path = argc > 1 ? argv[1] : "examples/model/tavern.gguf";
  if (inlay_runtime_create(NULL, &runtime) != INLAY_OK) return 1;
  check(inlay_model_open(runtime, &source, NULL, &model));
  const inlay_tokenizer* tokenizer = inlay_model_tokenizer(model);
  known.think_end = inlay_tokenizer_find(tokenizer, "</think>", 8);
  for (int i = 0; i < kLines; ++i) {
    snprintf(line, sizeof line, "</think>\n\n%s<|im_end|>", lines[i]);
    check(inlay_tokenizer_encode(tokenizer, line, strlen(line), 1, known.tokens[i], kRoom, &known.counts[i]));
  }
  drafter.user_data = &known;
  drafter.propose = propose;

  alone = talk(model, NULL);
  with_tree = talk(model, &drafter);
  printf("passes of the model: %llu alone, %llu with the tree\n", alone, with_tree);
  inlay_model_destroy(model);
  inlay_runtime_destroy(runtime);
  return 0;
}

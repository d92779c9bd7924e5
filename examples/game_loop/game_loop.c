/* Three characters speak in a game that gives them 4 ms a frame, and is saved and loaded while they do.
 *
 *   sh examples/run.sh game_loop
 *
 * builds the library, then this, and runs it with the bundled model. Figures go to stderr. */
#define _POSIX_C_SOURCE 199309L
#include <inlay/inlay.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kCharacters = 3, kBudget = 4000 };
typedef struct character {
  const char *name, *prompt;
  inlay_session* session;
  inlay_generator* generator;
  char text[1024];
  int done;
} character;
static character cast[kCharacters] = {
    {.name = "Bram", .prompt = "<|im_start|>user\nAny rumours?"},
    {.name = "Orla",
     .prompt = "<|im_start|>system\nYou are Orla, keeper of the Blue Boar in Saltford. You are gruff. "
               "Prices: ale 7, stew 9, torch 2.<|im_end|>\n<|im_start|>user\nWhat do you sell?"},
    {.name = "Tilda",
     .prompt = "<|im_start|>system\nYou are Tilda, keeper of the Silver Swan in Oxmoor. You are poetic. "
               "Prices: ale 3, stew 5, room 12.<|im_end|>\n<|im_start|>user\nGood evening! A room for the "
               "night, please."}};
static const char turn[] = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";

static void check(inlay_status status) {
  if (status >= 0) return;
  fprintf(stderr, "%s\n", inlay_status_name(status));
  exit(1);
}

static long microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void create(inlay_model* model, character* who) {
  inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
  params.context_length = 512;
  check(inlay_session_create(model, &params, &who->session));
  check(inlay_generator_create(who->session, NULL, &who->generator));
}

static void destroy(character* who) {
  inlay_generator_destroy(who->generator);
  inlay_session_destroy(who->session);
}

/* The words go on where they were, in a new session: another run of the game, or another machine. */
static void save_and_load(inlay_model* model, character* who) {
  const uint64_t capacity = inlay_generator_save_bytes(who->generator);
  uint64_t bytes;
  void* saved = malloc((size_t)capacity);
  check(inlay_generator_save_memory(who->generator, saved, capacity, &bytes));
  destroy(who);
  create(model, who);
  check(inlay_generator_load_memory(who->generator, saved, bytes));
  free(saved);
}

/* Each speaks as far as the frame's time goes; returns how many have more to say. */
static int frame(int first) {
  const long deadline = microseconds() + kBudget;
  int speaking = 0;
  for (int i = 0; i < kCharacters; ++i) {
    character* who = &cast[(first + i) % kCharacters];
    inlay_output output = INLAY_OUTPUT_INIT;
    inlay_status status = INLAY_OK;
    for (long left; !who->done && status == INLAY_OK && (left = deadline - microseconds()) > 0;) {
      check(status = inlay_generator_next(who->generator, (uint64_t)left, &output));
      if (status != INLAY_PENDING) strncat(who->text, output.text, sizeof who->text - strlen(who->text) - 1);
      who->done = status == INLAY_END;
    }
    speaking += !who->done;
  }
  return speaking;
}

int main(int argc, char** argv) {
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_runtime* runtime;
  inlay_model* model;
  int frames = 0, saved = 0;
  long longest = 0;

  source.path = argc > 1 ? argv[1] : "examples/model/tavern.gguf";
  check(inlay_runtime_create(NULL, &runtime));
  check(inlay_model_open(runtime, &source, NULL, &model));
  for (int i = 0; i < kCharacters; ++i) {
    create(model, &cast[i]);
    check(inlay_generator_prompt_text(cast[i].generator, cast[i].prompt, strlen(cast[i].prompt), 1));
    check(inlay_generator_prompt_text(cast[i].generator, turn, strlen(turn), 1));
  }

  for (int speaking = kCharacters; speaking > 0; ++frames) {
    const long began = microseconds();
    speaking = frame(frames); /* and here the game draws, moves, listens */
    if (microseconds() - began > longest) longest = microseconds() - began;
    if (saved || strlen(cast[0].text) <= 20 || cast[0].done) continue;
    for (int i = 0; i < kCharacters; ++i) save_and_load(model, &cast[i]);
    printf("(saved and loaded while Bram speaks)\n");
    saved = 1;
  }
  for (int i = 0; i < kCharacters; ++i) {
    printf("%s: %s\n", cast[i].name, cast[i].text);
    destroy(&cast[i]);
  }
  fprintf(stderr, "%d frames of %d us for words; the longest took %ld us\n", frames, kBudget, longest);
  inlay_model_destroy(model);
  inlay_runtime_destroy(runtime);
  return 0;
}

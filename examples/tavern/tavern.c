/*
 * A game's loop at 60 Hz that draws a tavern in the terminal and lets its keeper talk with three guests. Each
 * frame gives Inlay 4 ms and not more; the words appear as they come. Without a terminal it draws nothing and
 * prints what was said and how long the frames took.
 *
 *   cc tavern.c $(pkg-config --cflags --libs inlay) -o tavern
 *   ./tavern ../model/tavern.gguf [FRAMES] [fast]
 */
#define _POSIX_C_SOURCE 200809L

#include <inlay/inlay.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kGuests = 3, kQuestions = 3, kMostFrames = 36000, kBudgetUs = 4000, kWidth = 72 };

static const char kScene[] =
    "<|im_start|>system\nYou are the keeper of the Sleeping Fox in Alderbrook.<|im_end|>\n";

static const char* const kNames[kGuests] = {"Mara", "Old Tom", "Wren"};
static const char* const kAsked[kGuests][kQuestions] = {
    {"Good evening, keeper!", "Three ales and two bowls of stew, please.", "What are people talking about?"},
    {"Tell me a riddle.", "Do you have a room for the night?", "Sing us a song, please."},
    {"Who needs help around here?", "Are there bandits?", "What is the price of a torch?"}};

typedef struct {
  inlay_session* session;
  inlay_generator* generator;
  int questions; /* asked so far */
  char said[512];
  size_t said_bytes;
} guest;

static void need(inlay_status status, const char* what) {
  if (status >= INLAY_OK) return;
  fprintf(stderr, "tavern: %s: %s\n", what, inlay_status_name(status));
  exit(1);
}

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* The guest's next question; the answer appears in the frames that follow. */
static void ask(guest* g, const char* question) {
  char prompt[512];
  const int bytes =
      snprintf(prompt, sizeof prompt,
               "%s<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
               g->questions == 0 ? "" : "\n", question);
  need(inlay_generator_prompt_text(g->generator, prompt, (size_t)bytes, 1), "prompt");
  ++g->questions;
  g->said_bytes = 0;
}

/* What Inlay does in one frame: at most kBudgetUs. Returns INLAY_END when the answer is complete. */
static inlay_status think(guest* g) {
  const double begin = now_ms();
  inlay_status status = INLAY_OK;
  while (status == INLAY_OK) {
    const double used_us = (now_ms() - begin) * 1e3;
    inlay_output output = INLAY_OUTPUT_INIT;
    if (used_us >= kBudgetUs) break;
    status = inlay_generator_next(g->generator, (uint64_t)(kBudgetUs - used_us), &output);
    need(status, "next");
    if (output.text_bytes > sizeof g->said - 1 - g->said_bytes) continue;
    memcpy(g->said + g->said_bytes, output.text, output.text_bytes);
    g->said_bytes += output.text_bytes;
    g->said[g->said_bytes] = '\0';
  }
  return status;
}

static void draw_text(const char* text) {
  int column = 0;
  printf("  | ");
  for (; *text != '\0'; ++text) {
    if (*text == '\n' || (column > kWidth - 12 && *text == ' ')) {
      printf("\x1b[K\n  | ");
      column = 0;
    } else {
      putchar(*text);
      ++column;
    }
  }
  printf("\x1b[K\n");
}

static void draw(const guest* guests, int speaker, long frame, double thought_ms) {
  static const char* const kFire[4] = {"(  )", "( ))", "(( )", "(  )"};
  int i;
  printf("\x1b[H  The Sleeping Fox     fire %s     frame %ld     Inlay %.2f ms of %.0f\x1b[K\n\x1b[K\n",
         kFire[frame / 8 % 4], frame, thought_ms, kBudgetUs * 1e-3);
  for (i = 0; i < kGuests; ++i) {
    const guest* g = &guests[i];
    if (g->questions == 0) continue;
    printf("  %s %s: %s\x1b[K\n", i == speaker ? "*" : " ", kNames[i], kAsked[i][g->questions - 1]);
    draw_text(g->said);
  }
  printf("\x1b[J");
  fflush(stdout);
}

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  inlay_runtime* runtime = NULL;
  inlay_model* model = NULL;
  inlay_pool* pool = NULL;
  inlay_session* scene = NULL;
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_pool_params pool_params = INLAY_POOL_PARAMS_INIT;
  inlay_session_params session_params = INLAY_SESSION_PARAMS_INIT;
  inlay_fork_params fork_params = INLAY_FORK_PARAMS_INIT;
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  inlay_generator_params generator_params = INLAY_GENERATOR_PARAMS_INIT;
  inlay_progress progress = INLAY_PROGRESS_INIT;
  static guest guests[kGuests];
  static double took_ms[kMostFrames];
  const int terminal = isatty(1);
  const long wanted = argc > 2 ? atol(argv[2]) : 1200;
  const long frames = wanted < 1 ? 1 : wanted > kMostFrames ? kMostFrames : wanted;
  const int fast = argc > 3 && strcmp(argv[3], "fast") == 0;
  double longest_ms = 0;
  int32_t tokens[256];
  size_t count = 0;
  long frame, over = 0;
  int speaker = 0, i;

  if (argc < 2) {
    fprintf(stderr, "usage: tavern MODEL [FRAMES] [fast]\n");
    return 2;
  }
  /* While the game loads: the model, a pool of pages for all guests, and the scene that they share. */
  source.path = argv[1];
  need(inlay_runtime_create(NULL, &runtime), "runtime");
  need(inlay_model_open(runtime, &source, NULL, &model), "model");
  pool_params.tokens = (uint64_t)(kGuests + 1) * 1024;
  pool_params.mtp = 1;
  need(inlay_pool_create(model, &pool_params, &pool), "pool");
  session_params.context_length = 1024;
  session_params.mtp = 1;
  session_params.pool = pool;
  need(inlay_session_create(model, &session_params, &scene), "session");
  need(
      inlay_tokenizer_encode(inlay_model_tokenizer(model), kScene, sizeof kScene - 1, 1, tokens, 256, &count),
      "tokens");
  need(inlay_session_prefill(scene, tokens, count), "scene");
  sampler.temperature = 0.7f;
  sampler.top_p = 0.9f;
  generator_params.sampler = &sampler;
  generator_params.draft = INLAY_DRAFT_MTP;
  generator_params.max_tokens = 80;
  for (i = 0; i < kGuests; ++i) {
    sampler.seed = (uint64_t)i + 1;
    need(inlay_session_fork_with(scene, &fork_params, &guests[i].session), "fork");
    need(inlay_generator_create(guests[i].session, &generator_params, &guests[i].generator), "generator");
  }

  /* The game. */
  if (terminal) printf("\x1b[2J");
  ask(&guests[0], kAsked[0][0]);
  for (frame = 0; frame < frames; ++frame) {
    const double begin = now_ms();
    guest* g = &guests[speaker];
    const inlay_status status = think(g);
    took_ms[frame] = now_ms() - begin;
    inlay_generator_get_progress(g->generator, &progress);
    if ((double)progress.longest_slice_ns * 1e-6 > longest_ms)
      longest_ms = (double)progress.longest_slice_ns * 1e-6;
    if (took_ms[frame] > kBudgetUs * 1e-3) ++over;
    if (terminal) draw(guests, speaker, frame, took_ms[frame]);
    if (status == INLAY_END) {
      if (!terminal)
        printf("%s: %s\nKeeper: %s\n", kNames[speaker], kAsked[speaker][g->questions - 1], g->said);
      speaker = (speaker + 1) % kGuests;
      if (guests[speaker].questions == kQuestions) break;
      ask(&guests[speaker], kAsked[speaker][guests[speaker].questions]);
    }
    if (!fast) {
      const double left_ms = 1000.0 / 60 - (now_ms() - begin);
      if (left_ms > 0) {
        struct timespec pause;
        pause.tv_sec = 0;
        pause.tv_nsec = (long)(left_ms * 1e6);
        nanosleep(&pause, NULL);
      }
    }
  }
  count = (size_t)(frame < frames ? frame + 1 : frames);
  qsort(took_ms, count, sizeof took_ms[0], compare);
  printf(
      "%lu frames: Inlay took %.2f ms (p50), %.2f ms (p99), %.2f ms (most) of %.0f; %ld frames over; longest "
      "slice %.2f ms\n",
      (unsigned long)count, took_ms[count / 2], took_ms[count * 99 / 100], took_ms[count - 1],
      kBudgetUs * 1e-3, over, longest_ms);

  for (i = 0; i < kGuests; ++i) {
    inlay_generator_destroy(guests[i].generator);
    inlay_session_destroy(guests[i].session);
  }
  inlay_session_destroy(scene);
  inlay_pool_destroy(pool);
  inlay_model_destroy(model);
  inlay_runtime_destroy(runtime);
  return 0;
}

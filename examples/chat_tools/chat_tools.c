/* A conversation with two tools: the model asks for them, the game answers, the model goes on.
 *
 *   sh examples/run.sh chat_tools
 *
 * builds the library, then this, and runs it with the bundled model.
 */
#include <inlay/inlay.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char tools[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"look_up_price\",\"description\":\"Price of an item\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"item\":{\"type\":\"string\"}},\"required\":["
    "\"item\"]}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"roll_dice\",\"description\":\"Roll a die\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"sides\":{\"type\":\"integer\"}},\"required\":["
    "\"sides\"]}}}]";
static const char* const questions[] = {"What does the ale cost today? Look it up.", "Roll a d20!"};

static inlay_chat* chat;

static void check(inlay_status status) {
  char message[256] = "";
  if (status >= 0) return;
  if (chat != NULL) inlay_chat_message(chat, message, sizeof message);
  fprintf(stderr, "%s: %s\n", inlay_status_name(status), message);
  exit(1);
}

/* What the game knows. */
static const char* call(const char* tool, const char* argument) {
  if (strcmp(tool, "look_up_price") == 0) return strcmp(argument, "ale") == 0 ? "9 coppers" : "not found";
  return strcmp(tool, "roll_dice") == 0 ? "17" : "no such tool";
}

/* One answer of the model's; its calls are answered. Returns how many there were. */
static int answer(void) {
  inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
  inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
  char tool[4][64], argument[4][64];
  int calls = 0;
  params.thinking = INLAY_THINKING_OFF;
  check(inlay_chat_answer(chat, &params));
  for (inlay_status status = INLAY_OK; status != INLAY_END;) {
    check(status = inlay_chat_next(chat, INLAY_NO_BUDGET, &event));
    switch (event.kind) {
      case INLAY_CHAT_ANSWER: fwrite(event.text, 1, event.text_bytes, stdout); break;
      case INLAY_CHAT_CALL_BEGIN:
        if (calls == 4) exit(1);
        snprintf(tool[calls], sizeof tool[calls], "%s", event.text);
        argument[calls++][0] = 0;
        printf("[%s", event.text);
        break;
      case INLAY_CHAT_ARGUMENT: printf(" %s=", event.text); break;
      case INLAY_CHAT_ARGUMENT_TEXT:
        strncat(argument[calls - 1], event.text, sizeof argument[0] - strlen(argument[calls - 1]) - 1);
        printf("%s", event.text);
        break;
      case INLAY_CHAT_CALL_END: printf("]"); break;
      default: break;
    }
  }
  printf("\n");
  for (int i = 0; i < calls; ++i) {
    const char* result = call(tool[i], argument[i]);
    check(inlay_chat_add(chat, "tool", result, strlen(result)));
  }
  return calls;
}

int main(int argc, char** argv) {
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_sampler_params greedy = INLAY_SAMPLER_PARAMS_INIT;
  inlay_generator_params generator = INLAY_GENERATOR_PARAMS_INIT;
  inlay_chat_params params = INLAY_CHAT_PARAMS_INIT;
  inlay_runtime* runtime;
  inlay_model* model;
  inlay_session* session;

  source.path = argc > 1 ? argv[1] : "examples/model/tavern.gguf";
  check(inlay_runtime_create(NULL, &runtime));
  check(inlay_model_open(runtime, &source, NULL, &model));
  check(inlay_session_create(model, NULL, &session));
  generator.sampler = &greedy;
  params.generator = &generator;
  params.tools = tools;
  params.tools_bytes = strlen(tools);
  check(inlay_chat_create(session, &params, &chat));
  for (int i = 0; i < 2; ++i) {
    printf("> %s\n", questions[i]);
    check(inlay_chat_add(chat, "user", questions[i], strlen(questions[i])));
    while (answer() > 0) continue;
  }
  inlay_chat_destroy(chat);
  inlay_session_destroy(session);
  inlay_model_destroy(model);
  inlay_runtime_destroy(runtime);
  return 0;
}

// A 60 Hz host without a screen: so many frames, each of which gives Inlay its budget, and how long Inlay
// took. Fails where a frame takes longer than its budget and the longest slice, where the text is not that
// of a run without budgets, or, on one thread, where one frame in twenty has computed a quarter of a
// millisecond more than its budget (the longest slice may be one that the system interrupted).
//
// With a history the question comes at the end of a long prompt: itself, so many times before.
//
//   frames [--device cpu|cuda] [--history TIMES] MODEL FRAMES THREADS BUDGET_US...

#include <inlay/inlay.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

/// What this thread has computed: time that the system gave to others does not count.
double cpu_us() {
#ifdef CLOCK_THREAD_CPUTIME_ID
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
#else
  return std::chrono::duration<double, std::micro>(Clock::now().time_since_epoch()).count();
#endif
}

/// How long this thread has waited for a processor so far, as Linux says it; 0 elsewhere.
double waited_us() {
  std::ifstream file("/proc/thread-self/schedstat");
  double ran = 0, waited = 0;
  return file >> ran >> waited ? waited * 1e-3 : 0;
}

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "frames: %s\n", what);
  std::exit(1);
}

void need(inlay_status status, const char* what) {
  if (status < INLAY_OK) give_up((std::string(what) + ": " + inlay_status_name(status)).c_str());
}

constexpr uint64_t kAnswer = 120;  // tokens
constexpr double kLateUs = 250;
const char kPrompt[] =
    "Good evening! The road was long, the rain was cold, and I have not eaten since the morning. What is "
    "there in the kitchen, and what would a bed for the night cost me?";

/// One character, with drafts where the model has a head for them, that never stops talking.
struct Character {
  inlay_session* session = nullptr;
  inlay_generator* generator = nullptr;
  std::string prompt;

  Character(inlay_model* model, int history) {
    for (int i = 0; i <= history; ++i) prompt += kPrompt;
    inlay_model_info info = INLAY_MODEL_INFO_INIT;
    inlay_model_get_info(model, &info);
    inlay_session_params session_params = INLAY_SESSION_PARAMS_INIT;
    session_params.context_length = 1024 + static_cast<uint32_t>(prompt.size());  // a byte is a token at most
    session_params.mtp = info.mtp_layers > 0;
    need(inlay_session_create(model, &session_params, &session), "session");
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    sampler.temperature = 0.8f;
    sampler.top_p = 0.95f;
    sampler.repeat_penalty = 1.05f;
    sampler.seed = 7;
    inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
    params.sampler = &sampler;
    params.draft = info.mtp_layers > 0 ? INLAY_DRAFT_MTP : INLAY_DRAFT_LOOKUP;
    params.max_tokens = kAnswer;
    params.ignore_end = 1;
    need(inlay_generator_create(session, &params, &generator), "generator");
  }
  ~Character() {
    inlay_generator_destroy(generator);
    inlay_session_destroy(session);
  }
  void ask() {
    need(inlay_session_reset(session), "reset");
    need(inlay_generator_prompt_text(generator, prompt.data(), prompt.size(), 0), "prompt");
  }
  double longest_us() const {
    inlay_progress progress = INLAY_PROGRESS_INIT;
    inlay_generator_get_progress(generator, &progress);
    return static_cast<double>(progress.longest_slice_ns) * 1e-3;
  }
};

std::string unhurried(inlay_model* model, int history) {
  Character character(model, history);
  character.ask();
  std::string text;
  for (;;) {
    inlay_output output = INLAY_OUTPUT_INIT;
    const inlay_status status = inlay_generator_next(character.generator, INLAY_NO_BUDGET, &output);
    need(status, "next");
    text.append(output.text, output.text_bytes);
    if (status == INLAY_END) return text;
  }
}

struct Overshoots {
  std::vector<double> us;  // over the budget, negative where it was kept
  uint64_t beyond = 0;     // frames that took longer than the budget and the longest slice
  uint64_t late = 0;       // frames that were over their budget by more than kLateUs
  uint64_t answers = 0;
  uint64_t wrong = 0;  // answers with other words
  double longest_us = 0;
  double longest_waited_us = 0;  // of the frame with the longest slice
};

Overshoots run(inlay_model* model, int history, const std::string& expected, int frames, uint64_t budget_us,
               bool by_cpu) {
  Character character(model, history);
  character.ask();
  Overshoots result;
  std::string text;
  double waited_before = waited_us();
  for (int frame = 0; frame < frames; ++frame) {
    const Clock::time_point begin = Clock::now();
    const double cpu_begin = cpu_us();
    inlay_status status = INLAY_OK;
    // What is left of the budget after a round may do for a part of the next.
    while (status == INLAY_OK) {
      const double used = us_since(begin);
      if (used >= static_cast<double>(budget_us)) break;
      inlay_output output = INLAY_OUTPUT_INIT;
      status = inlay_generator_next(character.generator, budget_us - static_cast<uint64_t>(used), &output);
      need(status, "next");
      text.append(output.text, output.text_bytes);
    }
    const double wall = us_since(begin);
    const double took = by_cpu ? std::min(wall, cpu_us() - cpu_begin) : wall;
    const double waited = waited_us();
    if (character.longest_us() > result.longest_us) {
      result.longest_us = character.longest_us();
      result.longest_waited_us = waited - waited_before;
    }
    waited_before = waited;
    result.us.push_back(wall - static_cast<double>(budget_us));
    result.beyond += took > static_cast<double>(budget_us) + character.longest_us() + 1 ? 1 : 0;
    result.late += took > static_cast<double>(budget_us) + kLateUs ? 1 : 0;
    if (status == INLAY_END) {
      ++result.answers;
      result.wrong += text != expected ? 1 : 0;
      text.clear();
      character.ask();
    }
  }
  return result;
}

void print(uint64_t budget_us, Overshoots& result) {
  std::sort(result.us.begin(), result.us.end());
  const auto quantile = [&](double q) {
    return result.us[static_cast<size_t>(q * static_cast<double>(result.us.size() - 1))];
  };
  constexpr double kEdges[] = {0, 50, 100, 200, 400, 800, 1600};
  std::printf(
      "budget %5llu us, %zu frames, %llu answers: over by (us) p50 %.0f, p99 %.0f, most %.0f; longest slice "
      "%.0f, in a frame that waited %.0f for a processor\n",
      static_cast<unsigned long long>(budget_us), result.us.size(),
      static_cast<unsigned long long>(result.answers), quantile(0.5), quantile(0.99), result.us.back(),
      result.longest_us, result.longest_waited_us);
  auto from = result.us.begin();
  for (const double edge : kEdges) {
    const auto to = std::lower_bound(from, result.us.end(), edge + 1e-9);
    std::printf("  <= %4.0f us over: %zd\n", edge, to - from);
    from = to;
  }
  std::printf("  more: %zd; beyond the longest slice: %llu; late: %llu; answers with other words: %llu\n",
              result.us.end() - from, static_cast<unsigned long long>(result.beyond),
              static_cast<unsigned long long>(result.late), static_cast<unsigned long long>(result.wrong));
}

}  // namespace

int main(int argc, char** argv) {
  inlay_runtime_params runtime_params = INLAY_RUNTIME_PARAMS_INIT;
  if (argc > 2 && std::string_view(argv[1]) == "--device") {
    const std::string_view device = argv[2];
    if (device != "cpu" && device != "cuda") give_up("a device is cpu or cuda");
    runtime_params.device = device == "cuda" ? INLAY_DEVICE_CUDA : INLAY_DEVICE_CPU;
    argc -= 2;
    argv += 2;
  }
  int history = 0;
  if (argc > 2 && std::string_view(argv[1]) == "--history") {
    history = std::atoi(argv[2]);
    argc -= 2;
    argv += 2;
  }
  if (argc < 5) {
    give_up("usage: frames [--device cpu|cuda] [--history TIMES] MODEL FRAMES THREADS BUDGET_US...");
  }
  runtime_params.threads = static_cast<uint32_t>(std::atoi(argv[3]));
  inlay_runtime* runtime = nullptr;
  inlay_model* model = nullptr;
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = argv[1];
  inlay_model_params model_params = INLAY_MODEL_PARAMS_INIT;
  model_params.read_ahead = 1;
  need(inlay_runtime_create(&runtime_params, &runtime), "runtime");
  need(inlay_model_open(runtime, &source, &model_params, &model), "model");
  const std::string expected = unhurried(model, history);
  bool good = !expected.empty();
  // Where one thread does all of the work, its own time says what was Inlay's.
  const bool by_cpu = runtime_params.device == INLAY_DEVICE_CPU && runtime_params.threads == 1;
  for (int i = 4; i < argc; ++i) {
    const auto budget_us = static_cast<uint64_t>(std::atoll(argv[i]));
    Overshoots result = run(model, history, expected, std::atoi(argv[2]), budget_us, by_cpu);
    print(budget_us, result);
    good =
        good && result.beyond == 0 && result.wrong == 0 && (!by_cpu || result.late * 20 <= result.us.size());
  }
  inlay_model_destroy(model);
  inlay_runtime_destroy(runtime);
  std::puts(good ? "kept" : "BROKEN");
  return good ? 0 : 1;
}

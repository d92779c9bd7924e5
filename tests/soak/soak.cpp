// Random characters on many threads: models and sessions opened, forked, stepped within budgets, saved,
// loaded, cancelled from other threads and destroyed, for as long as asked. Fails where a text is not that of
// a fresh, undisturbed run, where a call gives an error, or where memory is not flat to the byte from round
// to round.
//
//   soak MODEL SECONDS THREADS

#include <inlay/inlay.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr uint32_t kScenarios = 12;
constexpr uint32_t kContext = 512;

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "soak: %s\n", what.c_str());
  std::_Exit(1);
}

void need(inlay_status status, const char* what) {
  if (status < INLAY_OK) give_up(std::string(what) + ": " + inlay_status_name(status));
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint32_t below(uint32_t bound) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state_ >> 33) % bound);
  }

 private:
  uint64_t state_;
};

struct Host {
  inlay_runtime* runtime = nullptr;
  inlay_source source = INLAY_SOURCE_INIT;
  inlay_model* model = nullptr;
  inlay_pool* pool = nullptr;
  bool mtp = false;
  std::vector<std::string> texts;  // of each scenario, undisturbed
};

std::string prompt_of(uint32_t scenario) {
  std::string prompt = "Innkeeper, a word. ";
  for (uint32_t i = 0; i <= scenario; ++i) prompt += "I have come a long way, and it rained all day. ";
  return prompt + "What do you have?";
}

inlay_generator* make_generator(const Host& host, inlay_session* session, uint32_t scenario) {
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  sampler.temperature = scenario % 3 == 0 ? 0.0f : 0.9f;
  sampler.top_k = 40;
  sampler.repeat_penalty = scenario % 2 == 0 ? 1.1f : 0.0f;
  sampler.seed = scenario;
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  params.sampler = &sampler;
  params.draft = host.mtp && scenario % 2 == 1 ? INLAY_DRAFT_LOOKUP_MTP : INLAY_DRAFT_LOOKUP;
  params.max_tokens = 40 + 5 * scenario;
  params.ignore_end = 1;
  inlay_generator* generator = nullptr;
  need(inlay_generator_create(session, &params, &generator), "generator");
  return generator;
}

inlay_session* make_session(const Host& host, bool pooled) {
  inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
  params.context_length = kContext;
  params.mtp = host.mtp ? 1 : 0;
  params.prefill_chunk = 32;
  params.pool = pooled ? host.pool : nullptr;
  inlay_session* session = nullptr;
  need(inlay_session_create(host.model, &params, &session), "session");
  return session;
}

std::string undisturbed(const Host& host, uint32_t scenario) {
  inlay_session* session = make_session(host, false);
  inlay_generator* generator = make_generator(host, session, scenario);
  const std::string prompt = prompt_of(scenario);
  need(inlay_generator_prompt_text(generator, prompt.data(), prompt.size(), 0), "prompt");
  std::string text;
  inlay_status status = INLAY_OK;
  while (status != INLAY_END) {
    inlay_output output = INLAY_OUTPUT_INIT;
    status = inlay_generator_next(generator, INLAY_NO_BUDGET, &output);
    need(status, "next");
    text.append(output.text, output.text_bytes);
  }
  inlay_generator_destroy(generator);
  inlay_session_destroy(session);
  return text;
}

/// One scenario with everything in its way.
void disturbed(const Host& host, Random& random) {
  const uint32_t scenario = random.below(kScenarios);
  inlay_session* session = make_session(host, random.below(2) == 0);
  inlay_generator* generator = make_generator(host, session, scenario);
  const std::string prompt = prompt_of(scenario);
  need(inlay_generator_prompt_text(generator, prompt.data(), prompt.size(), 0), "prompt");
  std::string text;
  std::vector<unsigned char> saved;
  inlay_status status = INLAY_OK;
  while (status != INLAY_END) {
    inlay_output output = INLAY_OUTPUT_INIT;
    const uint64_t budget = random.below(4) == 0 ? INLAY_NO_BUDGET : 1 + random.below(300);
    // A cancel from another thread stops the round; the next call begins it again.
    std::thread other;
    if (random.below(40) == 0) other = std::thread([session] { inlay_session_cancel(session); });
    status = inlay_generator_next(generator, budget, &output);
    if (other.joinable()) other.join();
    if (status == INLAY_ERROR_CANCELLED) continue;
    need(status, "next");
    text.append(output.text, output.text_bytes);
    if (status == INLAY_END) break;
    switch (random.below(60)) {
      case 0: {  // goes on in another session, on another place in memory
        saved.resize(inlay_generator_save_bytes(generator));
        uint64_t bytes = 0;
        need(inlay_generator_save_memory(generator, saved.data(), saved.size(), &bytes), "save");
        inlay_generator_destroy(generator);
        inlay_session_destroy(session);
        session = make_session(host, random.below(2) == 0);
        generator = make_generator(host, session, scenario);
        need(inlay_generator_load_memory(generator, saved.data(), bytes), "load");
        break;
      }
      case 1: {  // a fork goes its own way; what it does is nothing to this one
        inlay_session* fork = nullptr;
        const inlay_status forked = inlay_session_fork(session, &fork);
        if (forked == INLAY_ERROR_WRONG_STATE || forked == INLAY_ERROR_MEMORY_LIMIT) break;
        need(forked, "fork");
        for (int32_t token = 0; token < 5; ++token) {
          const inlay_status stepped = inlay_session_step(fork, token);
          if (stepped != INLAY_ERROR_MEMORY_LIMIT && stepped != INLAY_ERROR_CONTEXT_FULL)
            need(stepped, "step");
        }
        inlay_session_destroy(fork);
        break;
      }
      case 2: {  // the model opened once more, beside the others, and its parents destroyed first
        inlay_model* model = nullptr;
        inlay_session* own = nullptr;
        inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
        params.context_length = 64;
        need(inlay_model_open(host.runtime, &host.source, nullptr, &model), "open");
        need(inlay_session_create(model, &params, &own), "session");
        inlay_model_destroy(model);
        need(inlay_session_step(own, 1), "step");
        inlay_session_destroy(own);
        break;
      }
      default: break;
    }
  }
  if (text != host.texts[scenario]) give_up("scenario " + std::to_string(scenario) + " has other words");
  inlay_generator_destroy(generator);
  inlay_session_destroy(session);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) give_up("usage: soak MODEL SECONDS THREADS");
  const int seconds = std::atoi(argv[2]);
  const auto threads = static_cast<uint32_t>(std::atoi(argv[3]));
  inlay_runtime_params runtime_params = INLAY_RUNTIME_PARAMS_INIT;
  runtime_params.threads = 2;
  Host host;
  need(inlay_runtime_create(&runtime_params, &host.runtime), "runtime");
  inlay_runtime* const runtime = host.runtime;
  host.source.path = argv[1];
  need(inlay_model_open(runtime, &host.source, nullptr, &host.model), "model");
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  need(inlay_model_get_info(host.model, &info), "info");
  host.mtp = info.mtp_layers > 0;
  inlay_pool_params pool_params = INLAY_POOL_PARAMS_INIT;
  pool_params.tokens = uint64_t{threads} * 3 * kContext;
  pool_params.mtp = host.mtp ? 1 : 0;
  need(inlay_pool_create(host.model, &pool_params, &host.pool), "pool");
  const uint64_t free_pages = inlay_pool_free_pages(host.pool);
  for (uint32_t scenario = 0; scenario < kScenarios; ++scenario) {
    host.texts.push_back(undisturbed(host, scenario));
  }
  inlay_memory_use base = INLAY_MEMORY_USE_INIT, use = INLAY_MEMORY_USE_INIT;
  need(inlay_runtime_memory(runtime, 1, &base), "memory");

  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::atomic<uint64_t> done{0};
  uint64_t rounds = 0;
  for (; std::chrono::steady_clock::now() < end || rounds < 2; ++rounds) {
    std::vector<std::thread> workers;
    for (uint32_t worker = 0; worker < threads; ++worker) {
      workers.emplace_back([&, seed = rounds * threads + worker] {
        Random random(seed);
        for (int i = 0; i < 4; ++i, ++done) disturbed(host, random);
      });
    }
    for (std::thread& worker : workers) worker.join();
    need(inlay_runtime_memory(runtime, 0, &use), "memory");
    if (use.now != base.now)
      give_up("memory went from " + std::to_string(base.now) + " to " + std::to_string(use.now));
    if (inlay_pool_free_pages(host.pool) != free_pages) give_up("pages of the pool are lost");
  }
  std::printf(
      "%llu characters in %llu rounds on %u threads: texts equal, memory flat at %llu bytes (at most %llu)\n",
      static_cast<unsigned long long>(done.load()), static_cast<unsigned long long>(rounds), threads,
      static_cast<unsigned long long>(use.now), static_cast<unsigned long long>(use.high_water));
  inlay_pool_destroy(host.pool);
  inlay_model_destroy(host.model);
  inlay_runtime_destroy(runtime);
  return 0;
}

// What taking drafts back costs: a verify of 4 tokens after which 1, 2, 3 or all 4 are kept. The next verify
// then replays as many in the DeltaNet state. On the bundled model, or the one that INLAY_BENCHMARK_MODEL
// names.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "inlay/inlay.h"

namespace {

constexpr uint32_t kContext = 2048;
constexpr int32_t kDrafts[] = {300, 301, 302, 303};

struct Objects {
  inlay_runtime* runtime = nullptr;
  inlay_model* model = nullptr;
  inlay_session* session = nullptr;

  Objects() {
    const char* named = std::getenv("INLAY_BENCHMARK_MODEL");
    inlay_source source = INLAY_SOURCE_INIT;
    source.path = named != nullptr ? named : INLAY_BUNDLED_MODEL;
    inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
    params.context_length = kContext;
    if (inlay_runtime_create(nullptr, &runtime) == INLAY_OK &&
        inlay_model_open(runtime, &source, nullptr, &model) == INLAY_OK) {
      inlay_session_create(model, &params, &session);
    }
  }
  Objects(const Objects&) = delete;
  Objects& operator=(const Objects&) = delete;
  ~Objects() {
    inlay_session_destroy(session);
    inlay_model_destroy(model);
    inlay_runtime_destroy(runtime);
  }
};

void verify_4_and_keep(benchmark::State& state) {
  static const Objects objects;
  inlay_session* session = objects.session;
  if (session == nullptr) {
    state.SkipWithError("no model");
    return;
  }
  const auto kept = static_cast<size_t>(state.range(0));
  inlay_session_reset(session);
  inlay_session_prefill(session, kDrafts, 4);
  uint32_t position = 4;
  for (auto _ : state) {
    inlay_session_verify(session, kDrafts, 4);
    inlay_session_commit(session, kept);
    position += static_cast<uint32_t>(kept);
    if (position + 8 > kContext / 4) {
      state.PauseTiming();
      inlay_session_reset(session);
      inlay_session_prefill(session, kDrafts, 4);
      position = 4;
      state.ResumeTiming();
    }
  }
}
BENCHMARK(verify_4_and_keep)->DenseRange(1, 4)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace

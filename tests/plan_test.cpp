#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

// What a plan says and what is then taken, to the byte.

namespace {

inlay_memory_plan plan_of(const inlay_file* file, const inlay_session_params& params) {
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_file_plan(file, &params, &plan) == INLAY_OK);
  return plan;
}

std::vector<uint64_t> numbers_of(const inlay_memory_plan& plan) {
  return {plan.weights_mapped,  plan.model_host,   plan.model_device,   plan.session_host,
          plan.session_device,  plan.scratch_host, plan.scratch_device, plan.kv_cache,
          plan.delta_net_state, plan.window};
}

/// All that a session's parameters decide, for one model.
std::vector<inlay_session_params> many_params(bool mtp) {
  std::vector<inlay_session_params> all;
  for (const int32_t kv_type : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
    for (const uint32_t context : {0u, 1u, 255u, 256u, 257u, 4096u, 5000u}) {
      for (const uint32_t chunk : {0u, 1u, 7u, 64u, 1000u}) {
        all.push_back(session_params(context, false, kv_type, chunk));
        if (mtp) all.push_back(session_params(context, true, kv_type, chunk));
      }
    }
  }
  return all;
}

struct PoolWish {
  inlay_pool_params params;
  uint64_t pages;
};

std::vector<PoolWish> many_pools(bool mtp) {
  std::vector<PoolWish> all;
  for (const int32_t kv_type : {INLAY_KV_DEFAULT, INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
    for (const uint64_t tokens : {1u, 256u, 257u, 5000u}) {
      inlay_pool_params params = INLAY_POOL_PARAMS_INIT;
      params.tokens = tokens;
      params.kv_type = kv_type;
      for (params.mtp = 0; params.mtp <= (mtp ? 1 : 0); ++params.mtp) {
        all.push_back({params, (tokens + 255) / 256});
      }
    }
  }
  return all;
}

void check_sessions(const std::filesystem::path& path, uint32_t threads) {
  CountingAllocator allocator;
  {
    const Handle<inlay_runtime> runtime = make_runtime({.threads = threads, .allocator = &allocator});
    const Handle<inlay_file> file = open_file(runtime.get(), path);
    inlay_model_info info = INLAY_MODEL_INFO_INIT;
    REQUIRE(inlay_file_get_info(file.get(), &info) == INLAY_OK);
    uint64_t before = memory_of(runtime.get());
    CHECK(before == allocator.live_bytes());
    const inlay_memory_plan model_plan = plan_of(file.get(), session_params(0));
    CHECK(memory_of(runtime.get()) == before);
    inlay_model* made = nullptr;
    REQUIRE(inlay_model_create(file.get(), nullptr, &made) == INLAY_OK);
    const Handle<inlay_model> model(made);
    CHECK(memory_of(runtime.get()) - before == model_plan.model_host);
    before += model_plan.model_host;
    for (const inlay_session_params& params : many_params(info.mtp_layers > 0)) {
      CAPTURE(params.context_length);
      CAPTURE(params.kv_type);
      CAPTURE(params.mtp);
      CAPTURE(params.prefill_chunk);
      const inlay_memory_plan plan = plan_of(file.get(), params);
      REQUIRE(memory_of(runtime.get()) == before);
      inlay_memory_plan again = INLAY_MEMORY_PLAN_INIT;
      REQUIRE(inlay_model_plan(model.get(), &params, &again) == INLAY_OK);
      REQUIRE(numbers_of(plan) == numbers_of(again));
      REQUIRE(plan.model_host == model_plan.model_host);
      REQUIRE(plan.model_device + plan.session_device + plan.scratch_device == 0);
      REQUIRE(plan.kv_cache + plan.delta_net_state + plan.window < plan.session_host);
      inlay_session* session = nullptr;
      REQUIRE(inlay_session_create(model.get(), &params, &session) == INLAY_OK);
      REQUIRE(memory_of(runtime.get()) - before == plan.session_host + plan.scratch_host);
      inlay_session_destroy(session);
      REQUIRE(memory_of(runtime.get()) == before);
    }
  }
  CHECK(allocator.live_bytes() == 0);
  CHECK(allocator.mistakes() == 0);
}

void check_parts(const inlay_memory_plan& plan, const inlay_model_info& info, uint64_t tokens) {
  const uint64_t context = ((tokens == 0 ? 4096 : tokens) + 255) / 256 * 256;
  // What a pool spares a session is its pages; it has a table of them instead.
  const uint64_t table = (context / 256 * sizeof(uint32_t) + 63) / 64 * 64;
  REQUIRE(plan.kv_cache == plan.session_host - plan.pooled_session_host + table);
  const uint64_t delta_layers = info.layers - info.layers / info.attention_interval;
  const uint64_t length = info.delta_net_state_length;
  const uint64_t token = info.delta_net_key_heads * length + info.delta_net_value_heads * (length + 2);
  REQUIRE(plan.window == delta_layers * 2 * INLAY_MAX_WIDTH * token * sizeof(float));
  // Beside them are tokens, places of pages, hidden states, and little else.
  const uint64_t hidden = (3 * INLAY_MAX_WIDTH + 2) * info.embedding_length;
  const uint64_t known = (context + context / 256 + hidden) * 4;
  REQUIRE(plan.session_host - plan.kv_cache - plan.delta_net_state - plan.window - known < 4096);
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Arena = std::unique_ptr<std::byte, Free>;

Arena make_arena(uint64_t bytes) {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64));
  std::memset(memory, 0xFF, bytes + 64);  // NaN, and integers out of every range, where it is read as it is
  return Arena(memory);
}

}  // namespace

TEST_CASE("what is taken is what was planned") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    check_sessions(path, path == own_models().front() ? 3 : 1);
  }
}

TEST_CASE("a limit of exactly the plan suffices, one byte less is an error that takes nothing") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    uint64_t opened = 0, model_bytes = 0, session_bytes = 0;
    const inlay_session_params params = session_params(300, false, INLAY_KV_Q8);
    {
      const Handle<inlay_runtime> runtime = make_runtime();
      const Handle<inlay_file> file = open_file(runtime.get(), path);
      opened = memory_of(runtime.get());
      const inlay_memory_plan plan = plan_of(file.get(), params);
      model_bytes = plan.model_host;
      session_bytes = plan.session_host + plan.scratch_host;
    }
    for (const uint64_t missing : {0u, 1u}) {
      CAPTURE(missing);
      const Handle<inlay_runtime> runtime = make_runtime({.memory_limit = opened + model_bytes - missing});
      const Handle<inlay_file> file = open_file(runtime.get(), path);
      inlay_model* model = nullptr;
      CHECK(inlay_model_create(file.get(), nullptr, &model) ==
            (missing == 0 ? INLAY_OK : INLAY_ERROR_MEMORY_LIMIT));
      CHECK((model == nullptr) == (missing == 1));
      if (missing == 1) {
        CHECK(message_of(runtime.get()).find("memory limit") != std::string::npos);
        CHECK(memory_of(runtime.get()) == opened);
      }
      inlay_model_destroy(model);
    }
    for (const uint64_t missing : {0u, 1u}) {
      CAPTURE(missing);
      const OpenModel model(path, {.memory_limit = opened + model_bytes + session_bytes - missing});
      inlay_session* session = nullptr;
      const inlay_status status = inlay_session_create(model.get(), &params, &session);
      CHECK(status == (missing == 0 ? INLAY_OK : INLAY_ERROR_MEMORY_LIMIT));
      CHECK(memory_of(model.runtime()) == opened + model_bytes + (missing == 0 ? session_bytes : 0));
      inlay_session_destroy(session);
    }
  }
}

TEST_CASE("the parts that a plan names are those of the session") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const Handle<inlay_runtime> runtime = make_runtime();
    const Handle<inlay_file> file = open_file(runtime.get(), path);
    inlay_model_info info = INLAY_MODEL_INFO_INIT;
    REQUIRE(inlay_file_get_info(file.get(), &info) == INLAY_OK);
    for (const inlay_session_params& params : many_params(info.mtp_layers > 0)) {
      CAPTURE(params.context_length);
      CAPTURE(params.kv_type);
      CAPTURE(params.mtp);
      check_parts(plan_of(file.get(), params), info, params.context_length);
    }
  }
}

TEST_CASE("a pool takes what was planned, a byte less is refused") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path);
    const uint64_t before = memory_of(model.runtime());
    for (const PoolWish& wish : many_pools(model.mtp())) {
      CAPTURE(wish.params.tokens);
      CAPTURE(wish.params.kv_type);
      CAPTURE(wish.params.mtp);
      inlay_pool_params params = wish.params;
      inlay_pool_plan plan = INLAY_POOL_PLAN_INIT;
      REQUIRE(inlay_file_plan_pool(model.file(), &params, &plan) == INLAY_OK);
      REQUIRE(plan.pages == wish.pages);
      REQUIRE(plan.device == 0);
      REQUIRE(memory_of(model.runtime()) == before);
      inlay_pool* pool = nullptr;
      REQUIRE(inlay_pool_create(model.get(), &params, &pool) == INLAY_OK);
      REQUIRE(memory_of(model.runtime()) - before == plan.host);
      inlay_pool_destroy(pool);
      REQUIRE(memory_of(model.runtime()) == before);
      for (const uint64_t missing : {0u, 1u}) {
        const OpenModel limited(path, {.memory_limit = before + plan.host - missing});
        const inlay_status wanted = missing == 0 ? INLAY_OK : INLAY_ERROR_MEMORY_LIMIT;
        REQUIRE(inlay_pool_create(limited.get(), &params, &pool) == wanted);
        REQUIRE(memory_of(limited.runtime()) == before + (missing == 0 ? plan.host : 0));
        inlay_pool_destroy(pool);
      }
    }
  }
}

TEST_CASE("a pool in the host's arena, exactly as planned, gives the same bits") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, {.threads = 2});
    inlay_pool_params pool_params = INLAY_POOL_PARAMS_INIT;
    pool_params.tokens = 512;
    pool_params.mtp = model.mtp() ? 1 : 0;
    inlay_pool_plan plan = INLAY_POOL_PLAN_INIT;
    REQUIRE(inlay_file_plan_pool(model.file(), &pool_params, &plan) == INLAY_OK);
    const Arena arena = make_arena(plan.host);
    pool_params.arena = arena.get();
    pool_params.arena_bytes = plan.host - 1;
    const uint64_t before = memory_of(model.runtime());
    inlay_pool* made = nullptr;
    CHECK(inlay_pool_create(model.get(), &pool_params, &made) == INLAY_ERROR_MEMORY_LIMIT);
    pool_params.arena_bytes = plan.host;
    REQUIRE(inlay_pool_create(model.get(), &pool_params, &made) == INLAY_OK);
    const Handle<inlay_pool> pool(made);
    CHECK(memory_of(model.runtime()) == before);
    inlay_session_params params = session_params(512, model.mtp(), INLAY_KV_DEFAULT);
    const Handle<inlay_session> plain = model.session(params);
    params.pool = made;
    const Handle<inlay_session> session = model.session(params);
    const std::vector<int32_t> tokens = random_tokens(8, 511, model.vocabulary());
    CHECK(same_bits(prefill(session.get(), tokens, model.vocabulary()),
                    prefill(plain.get(), tokens, model.vocabulary())));
    CHECK(same_bits(step(session.get(), 3, model.vocabulary()), step(plain.get(), 3, model.vocabulary())));
    CHECK(inlay_pool_free_pages(made) == 0);
    for (uint64_t i = 0; i < 64; ++i) CHECK(arena.get()[plan.host + i] == std::byte{0xFF});
  }
}

TEST_CASE("every smaller limit fails cleanly") {
  const std::filesystem::path path = own_data("blocks32.gguf");
  uint64_t whole = 0;
  {
    const OpenModel model(path);
    const Handle<inlay_session> session = model.session(session_params(256, true));
    whole = memory_of(model.runtime());
  }
  for (uint64_t limit = 1; limit < whole; limit += limit / 16 + 1) {
    CAPTURE(limit);
    CountingAllocator allocator;
    const inlay_allocator table = allocator.table();
    inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
    params.threads = 2;
    params.allocator = &table;
    params.memory_limit = limit;
    inlay_runtime* runtime = nullptr;
    inlay_model* model = nullptr;
    inlay_session* session = nullptr;
    const std::string name = path.string();
    inlay_source source = INLAY_SOURCE_INIT;
    source.path = name.c_str();
    const inlay_session_params wish = session_params(256, true);
    inlay_status status = inlay_runtime_create(&params, &runtime);
    if (status == INLAY_OK) status = inlay_model_open(runtime, &source, nullptr, &model);
    if (status == INLAY_OK) status = inlay_session_create(model, &wish, &session);
    REQUIRE(status == INLAY_ERROR_MEMORY_LIMIT);
    inlay_memory_use use = INLAY_MEMORY_USE_INIT;
    if (runtime != nullptr) REQUIRE(inlay_runtime_memory(runtime, 0, &use) == INLAY_OK);
    REQUIRE(use.high_water <= limit);
    inlay_session_destroy(session);
    inlay_model_destroy(model);
    inlay_runtime_destroy(runtime);
    REQUIRE(allocator.live_blocks() == 0);
  }
}

TEST_CASE("the high water is what was held most, and starts again from now") {
  const OpenModel model(own_data("floats.gguf"));
  const uint64_t idle = memory_of(model.runtime());
  inlay_memory_use use = INLAY_MEMORY_USE_INIT;
  REQUIRE(inlay_runtime_memory(model.runtime(), 1, &use) == INLAY_OK);
  const inlay_memory_plan plan = plan_of(model.file(), session_params(256));
  model.session(session_params(256)).reset();
  REQUIRE(inlay_runtime_memory(model.runtime(), 1, &use) == INLAY_OK);
  CHECK(use.now == idle);
  CHECK(use.high_water == idle + plan.session_host + plan.scratch_host);
  REQUIRE(inlay_runtime_memory(model.runtime(), 0, &use) == INLAY_OK);
  CHECK(use.high_water == idle);
}

TEST_CASE("arenas of the host's, exactly as planned, give the same bits whatever they held") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, {.threads = 2});
    inlay_session_params params = session_params(256, model.mtp(), INLAY_KV_Q8, 16);
    const inlay_memory_plan plan = plan_of(model.file(), params);
    const std::vector<int32_t> tokens = random_tokens(3, 40, model.vocabulary());
    const Handle<inlay_session> plain = model.session(params);
    const Arena state = make_arena(plan.session_host), scratch = make_arena(plan.scratch_host);
    params.state_arena = state.get();
    params.state_arena_bytes = plan.session_host;
    params.scratch_arena = scratch.get();
    params.scratch_arena_bytes = plan.scratch_host;
    const uint64_t before = memory_of(model.runtime());
    {
      const Handle<inlay_session> session = model.session(params);
      CHECK(memory_of(model.runtime()) == before);
      CHECK(same_bits(prefill(session.get(), tokens, model.vocabulary()),
                      prefill(plain.get(), tokens, model.vocabulary())));
      for (int32_t token = 0; token < 20; ++token) {
        CHECK(same_bits(step(session.get(), token, model.vocabulary()),
                        step(plain.get(), token, model.vocabulary())));
      }
    }
    for (uint64_t i = 0; i < 64; ++i) {
      CHECK(state.get()[plan.session_host + i] == std::byte{0xFF});
      CHECK(scratch.get()[plan.scratch_host + i] == std::byte{0xFF});
    }
  }
}

TEST_CASE("arenas that are too small or not aligned are refused") {
  const OpenModel model(own_data("floats.gguf"));
  const inlay_session_params params = session_params(256);
  const inlay_memory_plan plan = plan_of(model.file(), params);
  const Arena state = make_arena(plan.session_host + 64), scratch = make_arena(plan.scratch_host + 64);
  const uint64_t before = memory_of(model.runtime());
  const auto attempt = [&](uint64_t state_at, uint64_t state_bytes, uint64_t scratch_at,
                           uint64_t scratch_bytes) {
    inlay_session_params wish = params;
    wish.state_arena = state.get() + state_at;
    wish.state_arena_bytes = state_bytes;
    wish.scratch_arena = scratch.get() + scratch_at;
    wish.scratch_arena_bytes = scratch_bytes;
    inlay_session* session = nullptr;
    const inlay_status status = inlay_session_create(model.get(), &wish, &session);
    CHECK((session == nullptr) == (status != INLAY_OK));
    inlay_session_destroy(session);
    CHECK(memory_of(model.runtime()) == before);
    return status;
  };
  CHECK(attempt(0, plan.session_host - 1, 0, plan.scratch_host) == INLAY_ERROR_MEMORY_LIMIT);
  CHECK(message_of(model.runtime()).find("state_arena") != std::string::npos);
  CHECK(attempt(0, plan.session_host, 0, plan.scratch_host - 1) == INLAY_ERROR_MEMORY_LIMIT);
  CHECK(message_of(model.runtime()).find("scratch_arena") != std::string::npos);
  CHECK(attempt(0, 0, 0, 0) == INLAY_ERROR_MEMORY_LIMIT);
  CHECK(attempt(1, plan.session_host, 0, plan.scratch_host) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(message_of(model.runtime()).find("state_arena is not aligned") != std::string::npos);
  CHECK(attempt(0, plan.session_host, 32, plan.scratch_host) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(message_of(model.runtime()).find("scratch_arena is not aligned") != std::string::npos);
  CHECK(attempt(64, plan.session_host, 64, plan.scratch_host) == INLAY_OK);
}

TEST_CASE("two sessions on one scratch arena do not disturb each other") {
  const OpenModel model(own_data("blocks32.gguf"));
  inlay_session_params params = session_params(256, true);
  const std::vector<int32_t> tokens = random_tokens(9, 60, model.vocabulary());
  const Handle<inlay_session> lone[2] = {model.session(params), model.session(params)};
  const uint64_t bytes = plan_of(model.file(), params).scratch_host;
  const Arena scratch = make_arena(bytes);
  params.scratch_arena = scratch.get();
  params.scratch_arena_bytes = bytes;
  const Handle<inlay_session> sharing[2] = {model.session(params), model.session(params)};
  for (size_t i = 0; i < 20; ++i) {
    for (size_t who = 0; who < 2; ++who) {
      const std::span<const int32_t> piece = std::span(tokens).subspan(i + 20 * who, 1 + i % 7);
      if (i % 3 == 0) {
        CHECK(same_bits(prefill(sharing[who].get(), piece, model.vocabulary()),
                        prefill(lone[who].get(), piece, model.vocabulary())));
      } else {
        const auto rows = verify(lone[who].get(), piece, model.vocabulary());
        const auto shared_rows = verify(sharing[who].get(), piece, model.vocabulary());
        for (size_t row = 0; row < rows.size(); ++row) CHECK(same_bits(rows[row], shared_rows[row]));
        commit(lone[who].get(), i % 2);
        commit(sharing[who].get(), i % 2);
      }
    }
  }
}

TEST_CASE("of sessions on one scratch arena only one has work under way") {
  const OpenModel model(own_data("floats.gguf"));
  inlay_session_params params = session_params(256);
  const uint64_t bytes = plan_of(model.file(), params).scratch_host;
  const Arena scratch = make_arena(bytes);
  params.scratch_arena = scratch.get();
  params.scratch_arena_bytes = bytes;
  Handle<inlay_session> first = model.session(params);
  const Handle<inlay_session> second = model.session(params), third = model.session(params);
  const auto refused = [&](inlay_session* session) {
    const int32_t token = 1;
    CHECK(inlay_session_step(session, token) == INLAY_ERROR_WRONG_STATE);
    CHECK(message_of(session).find("shares") != std::string::npos);
    CHECK(inlay_session_begin_prefill(session, &token, 1) == INLAY_ERROR_WRONG_STATE);
  };
  REQUIRE(inlay_session_begin_step(first.get(), 3) == INLAY_OK);
  refused(second.get());
  REQUIRE(inlay_session_advance(first.get(), INLAY_NO_BUDGET, nullptr) == INLAY_OK);
  step(second.get(), 4, model.vocabulary());
  REQUIRE(inlay_session_begin_step(second.get(), 5) == INLAY_OK);
  refused(first.get());
  inlay_session_cancel(second.get());
  REQUIRE(inlay_session_advance(second.get(), INLAY_NO_BUDGET, nullptr) == INLAY_ERROR_CANCELLED);
  REQUIRE(inlay_session_begin_step(first.get(), 5) == INLAY_OK);
  refused(third.get());
  REQUIRE(inlay_session_reset(first.get()) == INLAY_OK);
  REQUIRE(inlay_session_begin_step(first.get(), 5) == INLAY_OK);
  refused(third.get());
  first.reset();
  step(third.get(), 5, model.vocabulary());
}

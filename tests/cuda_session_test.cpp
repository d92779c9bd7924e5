#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/cuda/wide_slices.h"
#include "tests/cuda_host.h"
#include "tests/temporary_folder.h"
#include "tests/test_data.h"
#include "tests/timeline.h"

using namespace inlay::test;

// The whole ABI with the device set to CUDA. Skipped where there is no CUDA device, but for the first test.

namespace {

constexpr RuntimeWish kCuda{.device = INLAY_DEVICE_CUDA};

std::vector<std::filesystem::path> small_models() {
  std::vector<std::filesystem::path> all = own_models();
  for (const char* quantisation : {"bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k"}) {
    const auto path = shared_data(std::string("golden/gguf/micro-") + quantisation + ".gguf");
    if (path) all.push_back(*path);
  }
  return all;
}

inlay_memory_plan plan_of(const OpenModel& model, const inlay_session_params& params) {
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_file_plan(model.file(), &params, &plan) == INLAY_OK);
  return plan;
}

/// Everything that a session can be asked to run, once.
void exercise(const OpenModel& model, inlay_session* session) {
  const std::vector<int32_t> tokens = random_tokens(5, 40, model.vocabulary());
  REQUIRE(inlay_session_reset(session) == INLAY_OK);
  prefill(session, tokens, model.vocabulary());
  for (size_t width = 1; width <= INLAY_MAX_WIDTH; ++width) {
    verify(session, std::span(tokens).first(width), model.vocabulary());
    commit(session, width / 2);
  }
  REQUIRE(inlay_session_begin_prefill(session, tokens.data(), tokens.size()) == INLAY_OK);
  while (inlay_session_advance(session, 50, nullptr) == INLAY_PENDING) {
  }
  REQUIRE(inlay_session_reset(session) == INLAY_OK);
}

}  // namespace

TEST_CASE("cuda: without a device a runtime is refused, and says why") {
  int count = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  std::string message;
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  params.device = INLAY_DEVICE_CUDA;
  params.device_index = found ? static_cast<uint32_t>(count) : 0;
  params.log_user_data = &message;
  params.log = [](void* to, inlay_log_level, const char* text) { *static_cast<std::string*>(to) = text; };
  inlay_runtime* runtime = nullptr;
  CHECK(inlay_runtime_create(&params, &runtime) == INLAY_ERROR_UNSUPPORTED);
  CHECK(runtime == nullptr);
  CHECK(message.find(found ? "this machine has" : "no CUDA device") != std::string::npos);
}

TEST_CASE("cuda: what is taken of the device is the plan, and what the driver takes beside is bounded") {
  INLAY_CUDA_ONLY();
  for (const std::filesystem::path& path : small_models()) {
    CAPTURE(path.string());
    {
      // The kernels' code comes with the first use of each in a process.
      const OpenModel warm(path, kCuda);
      for (const int32_t kv : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
        exercise(warm, warm.session(session_params(512, warm.mtp(), kv, 64)).get());
      }
    }
    const uint64_t before = free_device_memory();
    const OpenModel model(path, kCuda);
    const uint64_t loaded = free_device_memory();
    uint64_t most = 0;
    for (const int32_t kv : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
      for (const uint32_t context : {1u, 300u, 5000u}) {
        for (const bool mtp : {false, true}) {
          if (mtp && !model.mtp()) continue;
          CAPTURE(kv);
          CAPTURE(context);
          CAPTURE(mtp);
          const inlay_session_params params = session_params(context, mtp, kv, 64);
          const inlay_memory_plan plan = plan_of(model, params);
          CHECK(before - loaded == plan.model_device);
          const Handle<inlay_session> session = model.session(params);
          const uint64_t taken = loaded - free_device_memory();
          REQUIRE(taken >= plan.session_device + plan.scratch_device);
          most = std::max(most, taken - plan.session_device - plan.scratch_device);
        }
      }
    }
    CHECK(free_device_memory() == loaded);
    CHECK(most <= INLAY_CUDA_GRAPH_BYTES);
    MESSAGE(path.filename().string(), ": beside the plan, the driver took at most ", most, " bytes");
  }
}

TEST_CASE("cuda: ten thousand steps leave the device's memory as create left it") {
  INLAY_CUDA_ONLY();
  CountingAllocator allocator;
  const OpenModel model(own_data("blocks32.gguf"), {.allocator = &allocator, .device = INLAY_DEVICE_CUDA});
  const Handle<inlay_session> session = model.session(session_params(512, model.mtp()));
  const uint64_t made = free_device_memory(), calls = allocator.calls();
  const auto vocabulary = static_cast<int32_t>(model.vocabulary());
  exercise(model, session.get());
  const uint64_t exercised = free_device_memory();
  int failures = 0;
  for (int32_t i = 0; i < 10000; ++i) {
    if (inlay_session_position(session.get()) == 512)
      failures += inlay_session_reset(session.get()) != INLAY_OK;
    failures += inlay_session_step(session.get(), i % vocabulary) != INLAY_OK;
    if (i % 5 == 4) failures += inlay_session_rewind(session.get(), 1) != INLAY_OK;
    const float* row = nullptr;
    if (i % 5 != 4) failures += inlay_session_logits(session.get(), 0, &row) != INLAY_OK;
  }
  CHECK(failures == 0);
  CHECK(allocator.calls() == calls);
  CHECK(exercised == made);
  CHECK(free_device_memory() == made);
}

TEST_CASE("cuda: a verify's rows are the steps' bits, at every width and depth") {
  INLAY_CUDA_ONLY();
  for (const std::filesystem::path& path : small_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, kCuda);
    for (const int32_t kv : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
      CAPTURE(kv);
      check_widths(model, session_params(4200, false, kv), std::array<size_t, 5>{1, 255, 256, 257, 4097});
    }
    check_widths(model, session_params(40100), std::array<size_t, 1>{40000});
  }
  const OpenModel deep(small_models().back(), kCuda);
  for (const int32_t kv : {INLAY_KV_FP8, INLAY_KV_Q8}) {
    CAPTURE(kv);
    check_widths(deep, session_params(40100, false, kv), std::array<size_t, 1>{40000});
  }
}

TEST_CASE("cuda: a long prompt slice by slice has the bits of one that ran as a whole") {
  INLAY_CUDA_ONLY();
  // Behind the first range of keys, with rows of several blocks, and a last chunk that is not full.
  constexpr size_t kTokens = inlay::cuda::WideSlices::kKeysOfPart + 4500;
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, kCuda);
    for (const int32_t kv : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
      CAPTURE(kv);
      const Handle<inlay_session> whole = model.session(session_params(kTokens + 8, model.mtp(), kv));
      const Handle<inlay_session> sliced = model.session(session_params(kTokens + 8, model.mtp(), kv));
      const std::vector<int32_t> tokens = random_tokens(11, kTokens, model.vocabulary());
      const std::vector<float> logits = prefill(whole.get(), tokens, model.vocabulary());
      REQUIRE(inlay_session_begin_prefill(sliced.get(), tokens.data(), tokens.size()) == INLAY_OK);
      inlay_progress progress = INLAY_PROGRESS_INIT;
      uint64_t calls = 1;
      inlay_status status = inlay_session_advance(sliced.get(), 100, &progress);
      for (; status == INLAY_PENDING; ++calls) {
        status = inlay_session_advance(sliced.get(), 100, &progress);
      }
      REQUIRE(status == INLAY_OK);
      CHECK(calls > 3);
      CHECK(same_bits(logits_of(sliced.get(), 0, model.vocabulary()), logits));
      CHECK(same_bits(step(sliced.get(), 7, model.vocabulary()), step(whole.get(), 7, model.vocabulary())));
    }
  }
}

TEST_CASE("cuda: random plays of everything a session does equal plain replays") {
  INLAY_CUDA_ONLY();
  uint64_t seed = 1;
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, kCuda);
    for (const int32_t kv : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
      CAPTURE(kv);
      check_random_play(model, session_params(300, model.mtp(), kv, 32), ++seed, 60);
    }
  }
}

TEST_CASE("cuda: sessions take turns, on scratch of their own and on one that they share") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data("blocks32.gguf"), kCuda);
  inlay_session_params params = session_params(256, model.mtp());
  const std::vector<int32_t> tokens = random_tokens(9, 60, model.vocabulary());
  const Handle<inlay_session> lone[2] = {model.session(params), model.session(params)};
  const uint64_t bytes = plan_of(model, params).scratch_host;
  const HostBlock scratch(bytes);
  params.scratch_arena = scratch.data();
  params.scratch_arena_bytes = bytes;
  const uint64_t before = free_device_memory();
  Handle<inlay_session> sharing[2] = {model.session(params), nullptr};
  const uint64_t first = before - free_device_memory();
  sharing[1] = model.session(params);
  CHECK(before - free_device_memory() == first + plan_of(model, params).session_device);
  inlay_session_params other = params;
  other.kv_type = INLAY_KV_Q8;
  inlay_session* refused = nullptr;
  CHECK(inlay_session_create(model.get(), &other, &refused) == INLAY_ERROR_WRONG_STATE);
  CHECK(message_of(model.runtime()).find("scratch_arena") != std::string::npos);
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
  sharing[0].reset();
  step(sharing[1].get(), 3, model.vocabulary());
}

TEST_CASE("cuda: the host's own stream, and one of low priority, give the same bits") {
  INLAY_CUDA_ONLY();
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    const OpenModel plain(own_data("blocks256.gguf"), kCuda);
    const OpenModel hosts(own_data("blocks256.gguf"), {.device = INLAY_DEVICE_CUDA, .cuda_stream = stream});
    const OpenModel low(own_data("blocks256.gguf"), {.device = INLAY_DEVICE_CUDA, .low_priority = true});
    const Handle<inlay_session> sessions[] = {plain.session(session_params(256)),
                                              hosts.session(session_params(256)),
                                              low.session(session_params(256))};
    const std::vector<int32_t> tokens = random_tokens(3, 30, plain.vocabulary());
    const Logits prompt = prefill(sessions[0].get(), tokens, plain.vocabulary());
    const Logits next = step(sessions[0].get(), 1, plain.vocabulary());
    for (const auto* session : {&sessions[1], &sessions[2]}) {
      CHECK(same_bits(prefill(session->get(), tokens, plain.vocabulary()), prompt));
      CHECK(same_bits(step(session->get(), 1, plain.vocabulary()), next));
    }
  }
  CHECK(cudaStreamQuery(stream) == cudaSuccess);  // it is still there
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

TEST_CASE("cuda: loading reports its progress, can be stopped, and leaves nothing then") {
  INLAY_CUDA_ONLY();
  const OpenModel open(own_data("blocks32.gguf"), kCuda);
  const uint64_t before = free_device_memory();
  struct Seen {
    uint64_t calls = 0, done = 0, total = 0, stop_at = 0;
    bool rising = true;
  };
  const auto load = [&](Seen& seen, inlay_model** out_model) {
    inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
    params.progress_user_data = &seen;
    params.progress = [](void* user_data, uint64_t done, uint64_t total) {
      auto& s = *static_cast<Seen*>(user_data);
      s.rising = s.rising && done >= s.done && done <= total;
      s.done = done, s.total = total;
      return ++s.calls == s.stop_at ? INLAY_ERROR_CANCELLED : INLAY_OK;
    };
    return inlay_model_create(open.file(), &params, out_model);
  };
  Seen whole;
  inlay_model* model = nullptr;
  REQUIRE(load(whole, &model) == INLAY_OK);
  inlay_model_destroy(model);
  CHECK(whole.calls > 1);
  CHECK(whole.rising);
  CHECK(whole.done == whole.total);
  CHECK(free_device_memory() == before);
  for (uint64_t call = 1; call <= whole.calls; ++call) {
    Seen seen;
    seen.stop_at = call;
    CHECK(load(seen, &model) == INLAY_ERROR_CANCELLED);
    CHECK(model == nullptr);
  }
  CHECK(free_device_memory() == before);
}

/// Logits of a model on both paths, and of its MTP head.
Logits play(inlay_model* model) {
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  REQUIRE(inlay_model_get_info(model, &info) == INLAY_OK);
  const uint32_t vocabulary = info.vocabulary_size;
  const inlay_session_params params = session_params(600, info.mtp_layers > 0);
  inlay_session* made = nullptr;
  REQUIRE(inlay_session_create(model, &params, &made) == INLAY_OK);
  const Handle<inlay_session> session(made);
  Logits all = prefill(session.get(), random_tokens(3, 300, vocabulary), vocabulary);
  const auto add = [&](const Logits& more) { all.insert(all.end(), more.begin(), more.end()); };
  for (const Logits& row : verify(session.get(), random_tokens(4, 8, vocabulary), vocabulary)) add(row);
  commit(session.get(), 3);
  add(step(session.get(), 1, vocabulary));
  if (info.mtp_layers == 0) return all;
  REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
  const std::vector<int32_t> tokens = random_tokens(5, 12, vocabulary);
  Logits mtp((tokens.size() - 1) * vocabulary);
  REQUIRE(inlay_session_mtp_logits(session.get(), tokens.data(), tokens.size(), mtp.data()) == INLAY_OK);
  add(mtp);
  return all;
}

Handle<inlay_model> make_model(inlay_file* file) {
  inlay_model* model = nullptr;
  REQUIRE(inlay_model_create(file, nullptr, &model) == INLAY_OK);
  return Handle<inlay_model>(model);
}

TEST_CASE("cuda: a package in the device's layout gives the file's bits, copied and in place, as planned") {
  INLAY_CUDA_ONLY();
  const TemporaryFolder folder;
  const Handle<inlay_runtime> packer = make_runtime({.threads = 2});
  for (const std::filesystem::path& path : small_models()) {
    CAPTURE(path.string());
    const std::string package = folder.file(path.stem().string() + ".inlay");
    inlay_pack_params pack_params = INLAY_PACK_PARAMS_INIT;
    pack_params.layout = "cuda";
    REQUIRE(inlay_pack(packer.get(), path.string().c_str(), package.c_str(), &pack_params) == INLAY_OK);
    const Logits of_file = play(OpenModel(path, kCuda).get());
    for (const int32_t placement : {INLAY_WEIGHTS_COPIED, INLAY_WEIGHTS_IN_PLACE}) {
      CAPTURE(placement);
      RuntimeWish wish = kCuda;
      wish.weight_placement = placement;
      const uint64_t before = free_device_memory();
      const OpenModel model(package, wish);
      const inlay_memory_plan plan = plan_of(model, session_params(600));
      CHECK(before - free_device_memory() == plan.model_device);
      if (placement == INLAY_WEIGHTS_IN_PLACE) CHECK(plan.model_device <= uint64_t{2} << 20);
      CHECK(same_bits(play(model.get()), of_file));
      // Three models of one mapping, of which the first and the second go before the last.
      const Handle<inlay_file> file = open_file(model.runtime(), package);
      Handle<inlay_model> models[3];
      for (Handle<inlay_model>& each : models) each = make_model(file.get());
      models[0].reset();
      CHECK(same_bits(play(models[1].get()), of_file));
      models[1].reset();
      CHECK(same_bits(play(models[2].get()), of_file));
    }
    // At an odd address nothing can be used in place: it is copied, as planned.
    const std::vector<std::byte> bytes = read_bytes(package);
    std::vector<std::byte> odd(bytes.size() + 1);
    std::memcpy(odd.data() + 1, bytes.data(), bytes.size());
    RuntimeWish wish = kCuda;
    wish.weight_placement = INLAY_WEIGHTS_IN_PLACE;
    const Handle<inlay_runtime> runtime = make_runtime(wish);
    inlay_source source = INLAY_SOURCE_INIT;
    source.data = odd.data() + 1;
    source.data_size = bytes.size();
    inlay_file* opened = nullptr;
    REQUIRE(inlay_file_open(runtime.get(), &source, &opened) == INLAY_OK);
    const Handle<inlay_file> file(opened);
    const uint64_t before = free_device_memory();
    const Handle<inlay_model> model = make_model(file.get());
    inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
    const inlay_session_params params = session_params(600);
    REQUIRE(inlay_file_plan(file.get(), &params, &plan) == INLAY_OK);
    CHECK(before - free_device_memory() == plan.model_device);
    CHECK(same_bits(play(model.get()), of_file));
  }
}

TEST_CASE("cuda: published checkpoints in FP8, NVFP4 and BF16, packed, give their golden logits") {
  INLAY_CUDA_ONLY();
  const TemporaryFolder folder;
  const Handle<inlay_runtime> packer = make_runtime({.threads = 2});
  for (const std::string form : {"fp8-block", "ct-mixed", "modelopt-nvfp4", "bf16"}) {
    CAPTURE(form);
    INLAY_SHARED_DATA(checkpoint, "golden/hf/" + form);
    const std::string package = folder.file(form + ".inlay");
    REQUIRE(inlay_pack(packer.get(), checkpoint.string().c_str(), package.c_str(), nullptr) == INLAY_OK);
    const Safetensors golden(checkpoint / "golden.safetensors");
    const std::vector<int32_t> tokens = golden.i32("tokens");
    const OpenModel model(package, kCuda);
    const Handle<inlay_session> session = model.session(session_params(256, model.mtp(), INLAY_KV_DEFAULT));
    Logits prompts, steps;
    for (size_t i = 0; i < tokens.size(); ++i) {
      REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
      const Logits row = prefill(session.get(), std::span(tokens).first(i + 1), model.vocabulary());
      prompts.insert(prompts.end(), row.begin(), row.end());
    }
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    for (const int32_t token : tokens) {
      const Logits row = step(session.get(), token, model.vocabulary());
      steps.insert(steps.end(), row.begin(), row.end());
    }
    const std::vector<float> exact = golden.f32("logits");
    MESSAGE(form, ": prompts ", nmse(prompts, exact), ", steps ", nmse(steps, exact));
    const double bar = form == "bf16" ? 1e-4 : 1e-3;
    CHECK(nmse(prompts, exact) <= bar);
    CHECK(nmse(steps, exact) <= bar);
  }
}

TEST_CASE("cuda: logits through the ABI are as good as llama.cpp's, on every quantisation") {
  INLAY_CUDA_ONLY();
  INLAY_SHARED_DATA(bars, "golden/gguf/micro.json");
  std::ifstream file(bars);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const std::string quantisation : {"bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k"}) {
    CAPTURE(quantisation);
    INLAY_SHARED_DATA(path, "golden/gguf/micro-" + quantisation + ".gguf");
    INLAY_SHARED_DATA(golden_path, "golden/gguf/micro-" + quantisation + ".golden.safetensors");
    const Safetensors golden(golden_path);
    const std::vector<int32_t> tokens = golden.i32("tokens");
    const std::vector<float> exact = golden.f32("logits"), exact_mtp = golden.f32("mtp_logits");
    const size_t key = text.find("\"" + quantisation + "\":");
    REQUIRE(key != std::string::npos);
    const double bar = std::stod(text.substr(text.find(':', key) + 1));
    const OpenModel model(path, kCuda);
    const Handle<inlay_session> session = model.session(session_params(256, model.mtp()));
    Logits prompts, steps;
    for (size_t i = 0; i < tokens.size(); ++i) {
      REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
      const Logits row = prefill(session.get(), std::span(tokens).first(i + 1), model.vocabulary());
      prompts.insert(prompts.end(), row.begin(), row.end());
    }
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    for (const int32_t token : tokens) {
      const Logits row = step(session.get(), token, model.vocabulary());
      steps.insert(steps.end(), row.begin(), row.end());
    }
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    Logits mtp(exact_mtp.size());
    REQUIRE(inlay_session_mtp_logits(session.get(), tokens.data(), tokens.size(), mtp.data()) == INLAY_OK);
    MESSAGE(quantisation, ": prompts ", nmse(prompts, exact), ", steps ", nmse(steps, exact), ", MTP ",
            nmse(mtp, exact_mtp), "; the bar ", bar);
    CHECK(nmse(prompts, exact) <= bar);
    CHECK(nmse(steps, exact) <= bar);
    CHECK(nmse(mtp, exact_mtp) <= bar);
  }
}

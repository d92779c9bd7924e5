#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "tests/cuda_host.h"
#include "tests/host.h"
#include "tests/interposed_cuda.h"
#include "tests/temporary_folder.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Every CUDA call fails in turn: a status, nothing held, and what was not concerned goes on. An executable of
// its own, in which the CUDA runtime's functions are replaced.

namespace {

constexpr RuntimeWish kCuda{.device = INLAY_DEVICE_CUDA};
const char* const kModel = "blocks32.gguf";

/// A package in the device's layout of the small model, and a runtime that leaves weights in place.
class PackageInPlace {
 public:
  PackageInPlace() : path_(folder_.file("tiles.inlay")) {
    inlay_pack_params params = INLAY_PACK_PARAMS_INIT;
    params.layout = "cuda";
    const Handle<inlay_runtime> packer = make_runtime();
    REQUIRE(inlay_pack(packer.get(), own_data(kModel).string().c_str(), path_.c_str(), &params) == INLAY_OK);
    RuntimeWish wish = kCuda;
    wish.weight_placement = INLAY_WEIGHTS_IN_PLACE;
    runtime_ = make_runtime(wish);
    file_ = open_file(runtime_.get(), path_);
  }
  inlay_runtime* runtime() const { return runtime_.get(); }
  inlay_file* file() const { return file_.get(); }

 private:
  TemporaryFolder folder_;
  std::string path_;
  Handle<inlay_runtime> runtime_;
  Handle<inlay_file> file_;
};

struct Parents {
  inlay_runtime* runtime;
  inlay_file* file;
  inlay_model* model;
  inlay_session* session;
  inlay_file* in_place;
};

struct Creation {
  const char* name;
  std::function<inlay_status(const Parents&)> run;  // makes it and, if that went well, destroys it
};

/// A pool, a session on its pages, a prompt over two of them, and a fork that shares the first.
inlay_status use_pool(const Parents& parents) {
  inlay_pool_params pool_params = INLAY_POOL_PARAMS_INIT;
  pool_params.tokens = 1024;
  pool_params.kv_type = INLAY_KV_F16;
  pool_params.mtp = 1;
  inlay_pool* pool = nullptr;
  inlay_status status = inlay_pool_create(parents.model, &pool_params, &pool);
  const Handle<inlay_pool> pool_handle(pool);
  if (status != INLAY_OK) return status;
  inlay_session_params params = session_params(512, true);
  params.pool = pool;
  inlay_session* session = nullptr;
  status = inlay_session_create(parents.model, &params, &session);
  const Handle<inlay_session> session_handle(session);
  const std::vector<int32_t> tokens = random_tokens(1, 300, 256);
  if (status == INLAY_OK) status = inlay_session_prefill(session, tokens.data(), tokens.size());
  if (status != INLAY_OK) return status;
  inlay_fork_params fork_params = INLAY_FORK_PARAMS_INIT;
  fork_params.share_scratch = 1;
  inlay_session* fork = nullptr;
  status = inlay_session_fork_with(session, &fork_params, &fork);
  inlay_session_destroy(fork);
  return status;
}

const Creation kCreations[] = {
    {"runtime",
     [](const Parents&) {
       inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
       params.device = INLAY_DEVICE_CUDA;
       inlay_runtime* made = nullptr;
       const inlay_status status = inlay_runtime_create(&params, &made);
       inlay_runtime_destroy(made);
       return status;
     }},
    {"bandwidth",
     [](const Parents& parents) {
       double bandwidth = 0;
       return inlay_runtime_measure_bandwidth(parents.runtime, &bandwidth);
     }},
    {"model",
     [](const Parents& parents) {
       inlay_model* made = nullptr;
       const inlay_status status = inlay_model_create(parents.file, nullptr, &made);
       inlay_model_destroy(made);
       return status;
     }},
    {"model in place",
     [](const Parents& parents) {
       inlay_model* made = nullptr;
       const inlay_status status = inlay_model_create(parents.in_place, nullptr, &made);
       inlay_model_destroy(made);
       return status;
     }},
    {"session",
     [](const Parents& parents) {
       const inlay_session_params params = session_params(300, true);
       inlay_session* made = nullptr;
       const inlay_status status = inlay_session_create(parents.model, &params, &made);
       inlay_session_destroy(made);
       return status;
     }},
    {"fork",
     [](const Parents& parents) {
       inlay_session* made = nullptr;
       const inlay_status status = inlay_session_fork(parents.session, &made);
       inlay_session_destroy(made);
       return status;
     }},
    {"pool", use_pool},
};

/// Work of a session, from nothing.
struct Feed {
  const char* name;
  std::function<inlay_status(inlay_session*)> run;
};

const Feed kFeeds[] = {
    {"reset", [](inlay_session* session) { return inlay_session_reset(session); }},
    {"step", [](inlay_session* session) { return inlay_session_step(session, 1); }},
    {"prompt",
     [](inlay_session* session) {
       const std::vector<int32_t> tokens = random_tokens(3, 40, 256);
       return inlay_session_prefill(session, tokens.data(), tokens.size());
     }},
    {"slices",
     [](inlay_session* session) {
       inlay_status status = inlay_session_begin_step(session, 2);
       while (status == INLAY_OK || status == INLAY_PENDING) {
         status = inlay_session_advance(session, 1000, nullptr);
         if (status == INLAY_OK) break;
       }
       return status;
     }},
    {"cancel",
     [](inlay_session* session) {
       const std::vector<int32_t> tokens = random_tokens(3, 40, 256);
       inlay_status status = inlay_session_begin_prefill(session, tokens.data(), tokens.size());
       if (status == INLAY_OK) status = inlay_session_advance(session, 1, nullptr);
       if (status != INLAY_PENDING) return status;
       inlay_session_cancel(session);
       status = inlay_session_advance(session, INLAY_NO_BUDGET, nullptr);
       return status == INLAY_ERROR_CANCELLED ? INLAY_OK : status;
     }},
};

bool same(const CudaUse& a, const CudaUse& b) { return a.blocks == b.blocks && a.objects == b.objects; }

/// Calls `attempt` with CUDA calls failing until none does; how many there were.
uint64_t fail_each(uint64_t stride, cudaError_t error, const std::function<inlay_status()>& attempt,
                   const std::function<void(inlay_status)>& check) {
  for (uint64_t call = 1; call < 1000000; call += stride) {
    fail_cuda_call(call, error);
    const inlay_status status = attempt();
    const bool has_failed = cuda_call_has_failed();
    const std::string name = failed_cuda_call();
    CAPTURE(call);
    CAPTURE(name);
    fail_cuda_call(0, cudaSuccess);
    if (!has_failed) {
      REQUIRE(status == INLAY_OK);
      return call - 1;
    }
    check(status);
  }
  FAIL("calls without end");
  return 0;
}

/// Those that only give something back, or look, may fail unseen.
bool may_go_unseen() {
  const std::string name = failed_cuda_call();
  return name.find("Destroy") != std::string::npos || name.find("Free") != std::string::npos ||
         name.find("Unregister") != std::string::npos;
}

}  // namespace

TEST_CASE("cuda faults: every call of a create fails once") {
  INLAY_CUDA_ONLY();
  {
    const OpenModel model(own_data(kModel), kCuda);
    const Handle<inlay_session> session = model.session(session_params(300, true));
    step(session.get(), 1, model.vocabulary());
    const PackageInPlace package;
    const Parents parents{model.runtime(), model.file(), model.get(), session.get(), package.file()};
    const CudaUse before = cuda_use();
    for (const Creation& creation : kCreations) {
      CAPTURE(std::string(creation.name));
      REQUIRE(creation.run(parents) == INLAY_OK);
      uint64_t unseen = 0;
      const uint64_t calls = fail_each(
          1, cudaErrorUnknown, [&] { return creation.run(parents); },
          [&](inlay_status status) {
            // Calls made while destroying come after a success.
            if (status == INLAY_OK) ++unseen;
            if (status != INLAY_OK)
              CHECK((status == INLAY_ERROR_DEVICE || status == INLAY_ERROR_UNSUPPORTED));
            CHECK(same(cuda_use(), before));
          });
      CHECK(calls > 3);
      MESSAGE(std::string(creation.name), ": ", calls, " calls, of which ", unseen, " while destroying");
      REQUIRE(creation.run(parents) == INLAY_OK);
    }
    step(session.get(), 2, model.vocabulary());
  }
  const CudaUse after = cuda_use();
  CHECK(after.blocks == 0);
  CHECK(after.objects == 0);
  CHECK(after.default_stream == 0);
}

TEST_CASE("cuda faults: memory that the device or the host does not give is said to be missing") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data(kModel), kCuda);
  const Handle<inlay_session> session = model.session(session_params(300, true));
  step(session.get(), 1, model.vocabulary());
  const PackageInPlace package;
  const Parents parents{model.runtime(), model.file(), model.get(), session.get(), package.file()};
  const CudaUse before = cuda_use();
  count_only_memory(true);
  for (const Creation& creation : kCreations) {
    if (std::string(creation.name) == "runtime") continue;
    CAPTURE(std::string(creation.name));
    const uint64_t calls = fail_each(
        1, cudaErrorMemoryAllocation, [&] { return creation.run(parents); },
        [&](inlay_status status) {
          CHECK(status == INLAY_ERROR_OUT_OF_MEMORY);
          const bool in_place = std::string(creation.name) == "model in place";
          const std::string message = message_of(in_place ? package.runtime() : model.runtime());
          CAPTURE(message);
          CHECK(message.find("memory for") != std::string::npos);
          CHECK((message.find("missing") != std::string::npos ||
                 message.find("not to be had") != std::string::npos ||
                 message.find("bytes are free") != std::string::npos));
          CHECK(same(cuda_use(), before));
        });
    CHECK(calls >= 1);
  }
  count_only_memory(false);
}

TEST_CASE("cuda faults: a device that is full says how much is missing, and is left as it was") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data(kModel), kCuda);
  const uint64_t free = free_device_memory();
  const uint64_t left = uint64_t{64} << 20;
  void* rest = nullptr;
  REQUIRE(cudaMalloc(&rest, free - left) == cudaSuccess);
  const uint64_t before = free_device_memory();
  inlay_session_params params = session_params(1 << 20);
  inlay_session* session = nullptr;
  CHECK(inlay_session_create(model.get(), &params, &session) == INLAY_ERROR_OUT_OF_MEMORY);
  CHECK(message_of(model.runtime()).find("are missing") != std::string::npos);
  CHECK(free_device_memory() >= before);  // the driver gives back what it kept for itself
  CHECK(cudaFree(rest) == cudaSuccess);
}

TEST_CASE("cuda faults: a call that fails in a pass poisons its session, and nothing else") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data(kModel), kCuda);
  const Handle<inlay_session> bystander = model.session(session_params(300, true));
  const Logits expected = step(bystander.get(), 1, model.vocabulary());
  const CudaUse before = cuda_use();
  for (const Feed& feed : kFeeds) {
    CAPTURE(std::string(feed.name));
    Handle<inlay_session> session = model.session(session_params(300, true));
    const CudaUse with_session = cuda_use();
    REQUIRE(feed.run(session.get()) == INLAY_OK);
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    const uint64_t calls = fail_each(
        1, cudaErrorUnknown, [&] { return feed.run(session.get()); },
        [&](inlay_status status) {
          CHECK(same(cuda_use(), with_session));
          CHECK((status == INLAY_ERROR_DEVICE || may_go_unseen()));
          // It only says so now, and can be destroyed.
          CHECK(inlay_session_step(session.get(), 1) == INLAY_ERROR_DEVICE);
          CHECK(inlay_session_reset(session.get()) == INLAY_ERROR_DEVICE);
          CHECK(message_of(session.get()).find("destroyed") != std::string::npos);
          session.reset();
          CHECK(same(cuda_use(), before));
          REQUIRE(inlay_session_reset(bystander.get()) == INLAY_OK);
          CHECK(same_bits(step(bystander.get(), 1, model.vocabulary()), expected));
          session = model.session(session_params(300, true));
        });
    MESSAGE(std::string(feed.name), ": ", calls, " calls");
    CHECK(cuda_use().taking > 0);
  }
}

TEST_CASE("cuda faults: a save that fails leaves the session as it was, a load that fails ends it") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data(kModel), kCuda);
  constexpr uint64_t kPartStride = 41;
  const inlay_session_params params = session_params(300, true, INLAY_KV_Q8);
  const Handle<inlay_session> session = model.session(params);
  prefill(session.get(), random_tokens(1, 20, model.vocabulary()), model.vocabulary());
  verify(session.get(), random_tokens(2, 8, model.vocabulary()), model.vocabulary());
  commit(session.get(), 3);
  const std::vector<std::byte> saved = save_to_memory(session.get());
  std::vector<std::byte> buffer(saved.size());
  uint64_t bytes = 0;
  const uint64_t reads = fail_each(
      kPartStride, cudaErrorUnknown,
      [&] { return inlay_session_save_memory(session.get(), buffer.data(), buffer.size(), &bytes); },
      [&](inlay_status status) {
        CHECK(status == INLAY_ERROR_DEVICE);
        CHECK(message_of(session.get()).find("device") != std::string::npos);
        CHECK(save_to_memory(session.get()) == saved);
      });
  Handle<inlay_session> target = model.session(params);
  const uint64_t writes = fail_each(
      kPartStride, cudaErrorUnknown,
      [&] { return inlay_session_load_memory(target.get(), saved.data(), saved.size()); },
      [&](inlay_status status) {
        CHECK(status == INLAY_ERROR_DEVICE);
        CHECK(inlay_session_step(target.get(), 1) == INLAY_ERROR_DEVICE);
        target = model.session(params);
      });
  CHECK(save_to_memory(target.get()) == saved);
  MESSAGE(reads, " calls of a save, ", writes, " of a load");
}

TEST_CASE("cuda faults: work takes nothing, and stays off the default stream") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data(kModel), kCuda);
  const Handle<inlay_session> session = model.session(session_params(300, true));
  const uint64_t taking = cuda_use().taking;
  for (int turn = 0; turn < 3; ++turn) {
    for (const Feed& feed : kFeeds) REQUIRE(feed.run(session.get()) == INLAY_OK);
    const std::vector<int32_t> tokens = random_tokens(turn, INLAY_MAX_WIDTH, model.vocabulary());
    verify(session.get(), tokens, model.vocabulary());
    commit(session.get(), 3);
    const float* row = nullptr;
    REQUIRE(inlay_session_hidden(session.get(), 0, &row) == INLAY_OK);
  }
  CHECK(cuda_use().taking == taking);
  CHECK(cuda_use().default_stream == 0);
}

TEST_CASE("cuda faults: of two devices, only the runtime's own is ever used, and the host's stays current") {
  INLAY_CUDA_ONLY();
  struct Pretence {
    Pretence() { pretend_two_devices(true); }
    ~Pretence() { pretend_two_devices(false); }
  } pretence;
  const uint64_t before = cuda_use().elsewhere;
  {
    RuntimeWish wish = kCuda;
    wish.device_index = 1;
    const OpenModel model(own_data(kModel), wish);
    CHECK(current_cuda_device() == 0);
    const Handle<inlay_session> session = model.session(session_params(300, true));
    CHECK(current_cuda_device() == 0);
    const Parents parents{model.runtime(), model.file(), model.get(), session.get(), model.file()};
    for (const Creation& creation : kCreations) {
      if (std::string(creation.name) == "runtime") continue;  // of the first device
      CAPTURE(std::string(creation.name));
      CHECK(creation.run(parents) == INLAY_OK);
      CHECK(current_cuda_device() == 0);
    }
    for (const Feed& feed : kFeeds) {
      CAPTURE(std::string(feed.name));
      CHECK(feed.run(session.get()) == INLAY_OK);
      CHECK(current_cuda_device() == 0);
    }
    const std::vector<std::byte> saved = save_to_memory(session.get());
    CHECK(inlay_session_load_memory(session.get(), saved.data(), saved.size()) == INLAY_OK);
    CHECK(inlay_session_begin_step(session.get(), 1) == INLAY_OK);
    while (inlay_session_poll(session.get()) == INLAY_PENDING) {
    }
    CHECK(inlay_session_finish(session.get()) == INLAY_OK);
    const float* row = nullptr;
    CHECK(inlay_session_hidden(session.get(), 0, &row) == INLAY_OK);
    CHECK(current_cuda_device() == 0);
    CHECK(cuda_use().elsewhere == before);
    // Calls that fail leave it as well.
    for (uint64_t call = 1;; ++call) {
      fail_cuda_call(call, cudaErrorUnknown);
      const inlay_status status = kCreations[2].run(parents);
      const bool has_failed = cuda_call_has_failed();
      const bool of_device = std::string(failed_cuda_call()) == "cudaSetDevice";
      fail_cuda_call(0, cudaSuccess);
      // Where putting it back is what fails, it is not back.
      if (of_device) CHECK(cudaSetDevice(0) == cudaSuccess);
      CHECK(current_cuda_device() == 0);
      if (!has_failed) {
        CHECK(status == INLAY_OK);
        break;
      }
    }
  }
  CHECK(current_cuda_device() == 0);
}

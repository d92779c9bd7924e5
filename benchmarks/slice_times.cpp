// What single slices take: passes of every kind, at several depths of the context, slice by slice.
// A slice during which one of the process's threads waited for a processor (Linux: run_delay of schedstat)
// was interrupted: such slices are counted apart.
//
//   inlay_slice_times [--device cuda] MODEL THREADS SECONDS_A_PASS DEPTH...

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_objects.h"
#include "kernels/cuda/wide_slices.h"
#include "kernels/device.h"
#include "runtime/file.h"
#include "runtime/model.h"
#include "runtime/platform.h"
#include "runtime/runtime.h"
#include "runtime/sampler.h"

namespace {

using namespace inlay;

constexpr const char* kOps[] = {"embed",
                                "mixer norm",
                                "mixer in",
                                "conv",
                                "delta",
                                "delta gate",
                                "rope",
                                "attend",
                                "attend combine",
                                "mixer out",
                                "feed forward norm",
                                "gate up",
                                "swiglu",
                                "down",
                                "final norm",
                                "head",
                                "mtp in",
                                "mtp project",
                                "mtp head norm",
                                "mtp head",
                                "mtp guess"};
// A CUDA device's kinds: a narrow pass's, then each operation of a prompt by its rows.
constexpr const char* kCudaKinds[] = {"embed", "DeltaNet", "attention", "feed forward", "head", "mtp"};
constexpr const char* kCudaOps[] = {"embed",        "DeltaNet in", "DeltaNet",      "DeltaNet out",
                                    "attention in", "attention",   "attention out", "gate up",
                                    "down",         "head",        "mtp in",        "mtp KV"};

static_assert(std::size(kCudaOps) == cuda::kWideOps);

std::string kind_name(const Device& device, uint32_t kind) {
  if (!device.asynchronous()) return kind < 96 ? kOps[kind % 24] : "none";
  if (kind < std::size(kCudaKinds)) return kCudaKinds[kind];
  const size_t at = kind - std::size(kCudaKinds);
  if (at >= cuda::WideSlices::kKinds) return "none";
  return std::string(kCudaOps[at / cuda::WideSlices::kClasses]) + ", " +
         std::to_string(cuda::WideSlices::kRowsOfTile << at % cuda::WideSlices::kClasses);
}

/// What the threads of this process have waited for a processor, in all.
class Waiting {
 public:
  Waiting() {
    DIR* tasks = ::opendir("/proc/self/task");
    if (tasks == nullptr) return;
    while (const dirent* task = ::readdir(tasks)) {
      if (task->d_name[0] == '.') continue;
      const std::string path = std::string("/proc/self/task/") + task->d_name + "/schedstat";
      const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (handle >= 0) handles_.push_back(handle);
    }
    ::closedir(tasks);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    for (const int handle : handles_) ::close(handle);
  }
  double us() const {
    double sum = 0;
    for (const int handle : handles_) {
      char text[96] = {};
      if (::pread(handle, text, sizeof text - 1, 0) <= 0) continue;
      const char* space = std::strchr(text, ' ');
      if (space != nullptr) sum += std::strtod(space, nullptr) * 1e-3;
    }
    return sum;
  }

 private:
  std::vector<int> handles_;
};

constexpr double kInterruptedUs = 30;  // waking a helper that slept is less
double wall_us() { return static_cast<double>(platform::monotonic_ns()) * 1e-3; }

double quantile(std::vector<double>& sorted, double q) {
  return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))];
}

struct Times {
  std::vector<double> own;  // of slices that were not interrupted
  std::vector<double> interrupted;

  void add(double us, double waited_us) { (waited_us > kInterruptedUs ? interrupted : own).push_back(us); }
  void print(const char* name) {
    if (own.empty()) return;
    std::sort(own.begin(), own.end());
    const auto over = [](const std::vector<double>& times) {
      return std::count_if(times.begin(), times.end(), [](double us) { return us > 1000; });
    };
    std::printf(
        "  %-19s %8zu  p50 %6.1f  p99 %6.1f  p99.99 %7.1f  max %7.1f us  > 1 ms: %td; interrupted %zu, > 1 "
        "ms: %td\n",
        name, own.size(), quantile(own, 0.5), quantile(own, 0.99), quantile(own, 0.9999), own.back(),
        over(own), interrupted.size(), over(interrupted));
  }
};

struct Bench {
  Model& model;
  Device& device;
  const Waiting& waiting;
  double seconds;
  DeviceState* state = nullptr;
  DeviceScratch* scratch = nullptr;
  std::vector<int32_t> tokens = std::vector<int32_t>(4096, 100);
  Times all = {};

  void set_committed(uint64_t position) {
    const std::vector<uint64_t> committed(model.shape().delta_net_layers(), position);
    StatePart part;
    part.kind = StatePart::Kind::kCommitted;
    device.write_part(*state, part, reinterpret_cast<const std::byte*>(committed.data()));
  }

  void run(const char* name, PassKind kind, uint64_t position, uint32_t rows, uint32_t drafts) {
    std::array<Times, Device::kSliceKinds> times;
    Segment segment{state, 0, rows, position, 0};
    Pass pass;
    pass.kind = kind;
    pass.tokens = tokens.data();
    pass.rows = rows;
    pass.segments = {&segment, 1};
    pass.drafts = drafts;
    const uint32_t slices = device.slice_count(*scratch, pass);
    const double end = wall_us() + seconds * 1e6;
    uint32_t passes = 0;
    double pass_us = 0;
    for (; wall_us() < end; ++passes) {
      set_committed(position);
      for (uint32_t i = 0; i < slices; ++i) {
        const uint32_t slice_kind = device.slice_kind(*scratch, pass, i);
        if (slice_kind == Device::kNoSlice) continue;
        const double waited = waiting.us(), begin = wall_us();
        device.run(*scratch, pass, i, i + 1);
        while (device.poll(*scratch) == INLAY_PENDING) {
        }
        const double us = wall_us() - begin, waited_now = waiting.us() - waited;
        pass_us += us;
        if (passes == 0) continue;  // to warm up
        times[slice_kind].add(us, waited_now);
        all.add(us, waited_now);
      }
      PassResult result;
      device.finish(*scratch, pass, &result);
    }
    std::printf("%s at %llu: %u slices, %u passes, %.2f ms each\n", name,
                static_cast<unsigned long long>(position), slices, passes, pass_us / passes * 1e-3);
    for (uint32_t i = 0; i < times.size(); ++i) times[i].print(kind_name(device, i).c_str());
  }
};

void run_sampler(Model& model, const Waiting& waiting, const char* name, const inlay_sampler_params& params,
                 bool flat) {
  const uint32_t vocabulary = model.shape().vocabulary;
  std::vector<std::byte> memory(Sampler::bytes(params, vocabulary, false));
  Sampler sampler(params, vocabulary, false, memory);
  std::vector<float> logits(vocabulary);
  uint32_t seed = 1;
  for (float& logit : logits) {
    seed = seed * 1664525u + 1013904223u;
    logit = static_cast<float>(seed >> 8) / static_cast<float>(1u << 24) * (flat ? 1.0f : 20.0f);
  }
  Times times;
  for (uint32_t i = 0; i < 400; ++i) {
    int32_t token = 0;
    inlay_status status = INLAY_PENDING;
    for (bool first = true; status == INLAY_PENDING; first = false) {
      const double waited = waiting.us(), begin = wall_us();
      status = first ? sampler.begin(logits.data(), {}, i) : sampler.advance(&token);
      if (first && status == INLAY_OK) status = INLAY_PENDING;
      if (i > 0) times.add(wall_us() - begin, waiting.us() - waited);
    }
  }
  times.print(name);
}

}  // namespace

int main(int argc, char** argv) {
  inlay_runtime_params runtime_params = INLAY_RUNTIME_PARAMS_INIT;
  if (argc > 2 && std::strcmp(argv[1], "--device") == 0) {
    runtime_params.device = std::strcmp(argv[2], "cuda") == 0 ? INLAY_DEVICE_CUDA : INLAY_DEVICE_CPU;
    argc -= 2;
    argv += 2;
  }
  if (argc < 5) {
    std::fputs("usage: inlay_slice_times [--device cuda] MODEL THREADS SECONDS_A_PASS DEPTH...\n", stderr);
    return 1;
  }
  runtime_params.threads = static_cast<uint32_t>(std::atoi(argv[2]));
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = argv[1];
  inlay_model_params model_params = INLAY_MODEL_PARAMS_INIT;
  model_params.read_ahead = 1;
  Runtime* runtime = Runtime::create(runtime_params);
  File* file = File::open(*runtime, source);
  Model* model = Model::create(*file, model_params);
  Device& device = model->device();
  uint64_t deepest = 0;
  for (int i = 4; i < argc; ++i)
    deepest = std::max<uint64_t>(deepest, static_cast<uint64_t>(std::atoll(argv[i])));
  inlay_session_params session_params = INLAY_SESSION_PARAMS_INIT;
  session_params.context_length = static_cast<uint32_t>(deepest + 4096);
  session_params.mtp = model->shape().mtp;
  const SessionShape shape = session_shape_of(session_params, model->shape(), model->info(), device);
  std::vector<std::byte> state(device.plan_state(model->shape(), shape).host + 64);
  std::vector<std::byte> scratch(device.plan_scratch(model->weights(), shape).host + 64);
  const auto aligned = [](std::vector<std::byte>& block) {
    return block.data() + (64 - reinterpret_cast<uintptr_t>(block.data()) % 64);
  };
  const Waiting waiting;
  Bench bench{*model, device, waiting, std::atof(argv[3])};
  bench.state = device.create_state(model->device_weights(), shape, aligned(state));
  bench.scratch = device.create_scratch(model->device_weights(), shape, aligned(scratch));
  for (int i = 4; i < argc; ++i) {
    const auto depth = static_cast<uint64_t>(std::atoll(argv[i]));
    bench.run("step", PassKind::kNarrow, depth, 1, 0);
    bench.run("verify of 8", PassKind::kNarrow, depth, 8, 0);
    if (shape.mtp) bench.run("draft of 3", PassKind::kDraft, depth + 1, 1, 3);
    bench.run("prompt", PassKind::kWide, depth, shape.prefill_chunk, 0);
  }
  std::puts("all");
  bench.all.print("slices");
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  run_sampler(*model, waiting, "greedy", sampler, true);
  sampler.temperature = 1.0f;
  run_sampler(*model, waiting, "temperature", sampler, true);
  sampler.top_p = 0.95f;
  run_sampler(*model, waiting, "top-p, flat", sampler, true);
  run_sampler(*model, waiting, "top-p, peaked", sampler, false);
  sampler.repeat_penalty = 1.1f;
  run_sampler(*model, waiting, "top-p, penalty", sampler, true);
  sampler.top_p = 0;
  sampler.min_p = 0.05f;
  run_sampler(*model, waiting, "min-p, flat", sampler, true);
  sampler.top_k = 100000;
  run_sampler(*model, waiting, "top-k 100000", sampler, true);
  device.release(bench.scratch);
  device.release(bench.state);
  model->release();
  file->release();
  runtime->release();
  return 0;
}

#include "kernels/cpu/matmul.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "runtime/platform.h"
#include "tests/random_weights.h"

// The narrow products read weights that no cache holds, so their figure is bytes of weights a second, to be
// held against `read`, a plain sum over the same memory in the same run. The wide products' figure is
// multiply-adds a second. Arguments: rows of X; threads share the outputs between them.

namespace {

using namespace inlay;
using cpu::MatmulArguments;
using cpu::MatmulKernels;

constexpr size_t kStreamBytes = size_t{256} << 20;
constexpr size_t kCacheLine = 64;

struct AlignedDelete {
  void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{kCacheLine}); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;

AlignedBytes allocate(size_t bytes) {
  return AlignedBytes(new (std::align_val_t{kCacheLine}) std::byte[bytes]);
}

/// Rows of a matrix that fills kStreamBytes.
uint32_t stream_rows(TensorType type, uint32_t columns) {
  const uint64_t count = kStreamBytes / row_bytes(type, columns);
  return static_cast<uint32_t>(count / cpu::kWideOutputGranule * cpu::kWideOutputGranule);
}

/// One matrix at a time, shared by the threads of a benchmark and by successive benchmarks of one type.
struct SharedWeights {
  std::mutex mutex;
  AlignedBytes bytes = allocate(kStreamBytes);
  int type = -1;
  uint32_t columns = 0;

  void fill(TensorType wanted, uint32_t wanted_columns) {
    const std::lock_guard lock(mutex);
    if (type == static_cast<int>(wanted) && columns == wanted_columns) return;
    type = static_cast<int>(wanted);
    columns = wanted_columns;
    constexpr uint32_t kDistinctRows = 64;
    const uint64_t stride = row_bytes(wanted, columns);
    std::mt19937 random(1);
    for (uint32_t row = 0; row < kDistinctRows; ++row) {
      test::fill_random_weights(wanted, columns, random, bytes.get() + row * stride);
    }
    for (uint32_t row = kDistinctRows; row < stream_rows(wanted, columns); ++row) {
      std::memcpy(bytes.get() + row * stride, bytes.get() + row % kDistinctRows * stride, stride);
    }
  }
};

SharedWeights& shared_weights() {
  static SharedWeights weights;
  return weights;
}

void read(benchmark::State& state) {
  SharedWeights& weights = shared_weights();
  if (state.thread_index() == 0) weights.fill(TensorType::F32, 1024);
  const size_t share = kStreamBytes / static_cast<size_t>(state.threads());
  const std::byte* begin = weights.bytes.get() + static_cast<size_t>(state.thread_index()) * share;
  for (auto _ : state) {
    uint64_t sums[64] = {};
    for (size_t i = 0; i < share; i += sizeof(sums)) {
      uint64_t words[64];
      std::memcpy(words, begin + i, sizeof(words));
      for (int j = 0; j < 64; ++j) sums[j] += words[j];
    }
    benchmark::DoNotOptimize(sums);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(share));
}

/// Threads divide W's rows.
void multiply(benchmark::State& state, const MatmulKernels* kernels, TensorType type, bool wide,
              uint32_t columns, uint32_t outputs) {
  SharedWeights& weights = shared_weights();
  weights.fill(type, columns);
  const uint32_t rows = static_cast<uint32_t>(state.range(0));
  const uint32_t threads = static_cast<uint32_t>(state.threads());
  const uint32_t index = static_cast<uint32_t>(state.thread_index());
  const uint32_t granules = outputs / cpu::kWideOutputGranule;

  std::vector<float> x(static_cast<size_t>(rows) * columns);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  const AlignedBytes prepared = allocate(cpu::activation_bytes(rows, columns));
  (wide ? kernels->prepare_wide : kernels->prepare_narrow)(x.data(), columns, 0, rows, columns,
                                                           prepared.get());
  const AlignedBytes scratch = allocate(std::max<size_t>(kernels->wide_scratch_bytes, 1));
  std::vector<float> out(static_cast<size_t>(rows) * outputs);

  const MatmulArguments arguments = {.weights = {weights.bytes.get(), type, outputs, columns, 1.0f},
                                     .n_begin = granules * index / threads * cpu::kWideOutputGranule,
                                     .n_end = granules * (index + 1) / threads * cpu::kWideOutputGranule,
                                     .x = x.data(),
                                     .x_stride = columns,
                                     .prepared = prepared.get(),
                                     .rows = rows,
                                     .out = out.data(),
                                     .out_stride = outputs,
                                     .scratch = scratch.get()};
  for (auto _ : state) {
    (wide ? kernels->wide : kernels->narrow)(arguments);
    benchmark::ClobberMemory();
  }
  const double done = static_cast<double>(state.iterations()) * (arguments.n_end - arguments.n_begin);
  if (wide) {
    state.counters["MAC/s"] = benchmark::Counter(done * columns * rows, benchmark::Counter::kIsRate);
  } else {
    state.SetBytesProcessed(static_cast<int64_t>(done * static_cast<double>(row_bytes(type, columns))));
  }
}

bool register_all() {
  constexpr uint32_t kColumns = 3584;
  constexpr uint32_t kWideOutputs = 3584;
  benchmark::RegisterBenchmark("read", read)->Threads(1)->Threads(2)->UseRealTime();
  cpu::CpuFeatures features = cpu::detect_cpu_features();
  features.amx_bf16 = features.amx_bf16 && platform::request_amx();
  for (const MatmulKernels* kernels : cpu::available_kernels(features)) {
    for (int i = 0; i < kTensorTypeCount; ++i) {
      const TensorType type = static_cast<TensorType>(i);
      const uint32_t stream_outputs = stream_rows(type, kColumns);
      const std::string suffix = "/" + std::string(kernels->name) + "/" + std::string(traits(type).name);
      benchmark::RegisterBenchmark(("narrow" + suffix).c_str(), multiply, kernels, type, false, kColumns,
                                   stream_outputs)
          ->ArgName("rows")
          ->Arg(1)
          ->Arg(2)
          ->Arg(4)
          ->Arg(8)
          ->Threads(1)
          ->Threads(2)
          ->UseRealTime();
      benchmark::RegisterBenchmark(("wide" + suffix).c_str(), multiply, kernels, type, true, kColumns,
                                   kWideOutputs)
          ->ArgName("rows")
          ->Arg(16)
          ->Arg(128)
          ->Arg(512)
          ->Threads(1)
          ->Threads(2)
          ->UseRealTime();
    }
  }
  return true;
}

[[maybe_unused]] const bool registered = register_all();

}  // namespace

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/matvec.h"
#include "tests/random_weights.h"

// Matrix times 1 to 8 rows on a CUDA device, timed in graphs over more weights than the L2 cache holds: each
// type alone, then all matrices of a 27B (mixes Q4_K_M and Q2_K) in order. Beside them a plain read.
//   cuda_matvec_benchmark [types|chain|all|profile|name of a type] [shared bytes of a block]

namespace {

using inlay::TensorType;
using namespace inlay::cuda;

void check(cudaError_t error, int line) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "line %d: %s\n", line, cudaGetErrorString(error));
  std::exit(1);
}
#define CHECK_CUDA(call) check(call, __LINE__)

constexpr uint32_t kPoolRows = 256;
constexpr int kWarmups = 4;

/// Random rows of one type and width, in the file's form, on the device.
struct Pool {
  TensorType type;
  uint32_t columns;
  void* blocks;
};

void* random_pool(TensorType type, uint32_t columns) {
  static std::vector<Pool> pools;
  for (const Pool& pool : pools) {
    if (pool.type == type && pool.columns == columns) return pool.blocks;
  }
  std::mt19937 random(static_cast<uint32_t>(type) + columns);
  const uint64_t stride = inlay::row_bytes(type, columns);
  std::vector<std::byte> host(kPoolRows * stride);
  for (uint32_t r = 0; r < kPoolRows; ++r) {
    inlay::test::fill_random_weights(type, columns, random, host.data() + r * stride);
  }
  void* blocks = nullptr;
  CHECK_CUDA(cudaMalloc(&blocks, host.size()));
  CHECK_CUDA(cudaMemcpy(blocks, host.data(), host.size(), cudaMemcpyHostToDevice));
  pools.push_back({type, columns, blocks});
  return blocks;
}

/// All weights lie in one allocation, as a model's do.
struct Arena {
  char* begin = nullptr;
  uint64_t bytes = 0, used = 0;

  void* take(uint64_t count) {
    if (begin == nullptr) CHECK_CUDA(cudaMalloc(reinterpret_cast<void**>(&begin), bytes));
    if (used + count > bytes) check(cudaErrorMemoryAllocation, __LINE__);
    void* result = begin + used;
    used += (count + 255) / 256 * 256;
    return result;
  }
};
Arena arena = {nullptr, uint64_t{18} << 30, 0};

PackedMatrix make_matrix(TensorType type, uint32_t rows, uint32_t columns) {
  void* blocks = random_pool(type, columns);
  void* data = arena.take(bytes_in_tiles(type, rows, columns));
  for (uint32_t r = 0; r < rows; r += kPoolRows) {
    CHECK_CUDA(repack(type, blocks, r, std::min(kPoolRows, rows - r), rows, columns, data, nullptr));
  }
  return {data, type, rows, columns, 1e-3f};
}

uint64_t bytes_of(const PackedMatrix& m) { return bytes_in_tiles(m.type, m.rows, m.columns); }

struct Buffers {
  __half* activations;
  __half* hidden;
  float* out;
};

/// Launches recorded once, replayed and timed.
class Timed {
 public:
  template <typename Record>
  Timed(cudaStream_t stream, Record record) : stream_(stream) {
    cudaGraph_t graph;
    CHECK_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    record();
    CHECK_CUDA(cudaStreamEndCapture(stream, &graph));
    CHECK_CUDA(cudaGraphInstantiate(&graph_, graph, 0));
    CHECK_CUDA(cudaGraphDestroy(graph));
    CHECK_CUDA(cudaEventCreate(&begin_));
    CHECK_CUDA(cudaEventCreate(&end_));
  }
  ~Timed() {
    cudaGraphExecDestroy(graph_);
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  /// Median microseconds of a replay.
  double microseconds(int repeats) {
    std::vector<float> times;
    for (int i = 0; i < repeats + kWarmups; ++i) {
      CHECK_CUDA(cudaEventRecord(begin_, stream_));
      CHECK_CUDA(cudaGraphLaunch(graph_, stream_));
      CHECK_CUDA(cudaEventRecord(end_, stream_));
      CHECK_CUDA(cudaEventSynchronize(end_));
      float ms = 0;
      CHECK_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
      if (i >= kWarmups) times.push_back(ms);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2] * 1e3;
  }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_;
  cudaEvent_t begin_, end_;
};

MatvecLaunch make_launch(std::vector<PackedMatrix> matrices, Epilogue epilogue, const Buffers& buffers) {
  MatvecLaunch launch;
  launch.count = static_cast<uint32_t>(matrices.size());
  launch.epilogue = epilogue;
  launch.activations = buffers.activations;
  launch.activation_output = buffers.hidden;
  launch.programmatic = true;
  float* out = buffers.out;
  for (uint32_t m = 0; m < launch.count; ++m) {
    launch.matrices[m] = matrices[m];
    launch.outputs[m] = out;
    launch.output_strides[m] = matrices[m].rows;
    if (epilogue != Epilogue::kSwiGlu) out += uint64_t{kMatvecMaxRows} * matrices[m].rows;
  }
  return launch;
}

uint64_t bytes_of(const MatvecLaunch& launch) {
  uint64_t bytes = 0;
  for (uint32_t m = 0; m < launch.count; ++m) bytes += bytes_of(launch.matrices[m]);
  return bytes;
}

double time_launches(const MatvecDevice& device, cudaStream_t stream, std::vector<MatvecLaunch>& launches,
                     uint32_t rows, int repeats) {
  for (MatvecLaunch& launch : launches) launch.rows = rows;
  CHECK_CUDA(cudaDeviceSynchronize());  // the weights are packed on another stream
  Timed timed(stream, [&] {
    for (const MatvecLaunch& launch : launches) CHECK_CUDA(matvec(device, launch, stream));
  });
  return timed.microseconds(repeats);
}

struct Shape {
  uint32_t rows, columns;
  Epilogue epilogue;
};

void bench_type(const MatvecDevice& device, cudaStream_t stream, const Buffers& buffers, TensorType type,
                const std::vector<Shape>& shapes) {
  for (const Shape& shape : shapes) {
    const bool paired = shape.epilogue == Epilogue::kSwiGlu;
    const uint64_t each = bytes_in_tiles(type, shape.rows, shape.columns) * (paired ? 2 : 1);
    const uint32_t copies = static_cast<uint32_t>(std::clamp<uint64_t>((300ull << 20) / each, 2, 64));
    std::vector<MatvecLaunch> distinct;
    for (uint32_t i = 0; i < copies; ++i) {
      std::vector<PackedMatrix> matrices(paired ? 2 : 1);
      for (PackedMatrix& matrix : matrices) matrix = make_matrix(type, shape.rows, shape.columns);
      distinct.push_back(make_launch(matrices, shape.epilogue, buffers));
    }
    std::vector<MatvecLaunch> launches;
    while (launches.size() < 48) launches.insert(launches.end(), distinct.begin(), distinct.end());
    std::printf("%-7s %6u x %-5u%s %6.1f MB:", std::string(inlay::traits(type).name).c_str(), shape.rows,
                shape.columns, paired ? " x2" : "   ", static_cast<double>(each) * 1e-6);
    for (const uint32_t rows : {1u, 2u, 4u, 8u}) {
      const double us =
          time_launches(device, stream, launches, rows, 7) / static_cast<double>(launches.size());
      std::printf("  %7.2f us %5.0f GB/s", us, static_cast<double>(each) / us * 1e-3);
    }
    std::printf("\n");
    std::fflush(stdout);
    arena.used = 0;
  }
}

struct Mix {
  const char* name;
  TensorType base, more, qkv;
  bool always_more;
};

void bench_chain(const MatvecDevice& device, cudaStream_t stream, const Buffers& buffers, const Mix& mix) {
  arena.used = 0;
  std::vector<MatvecLaunch> launches;
  const auto add = [&](std::vector<PackedMatrix> matrices, Epilogue epilogue) {
    launches.push_back(make_launch(std::move(matrices), epilogue, buffers));
  };
  uint32_t matrices = 0;
  for (uint32_t layer = 0; layer < 64; ++layer) {
    const bool more = mix.always_more || layer < 8 || layer >= 56 || (layer - 8) % 3 == 2;
    const TensorType better = more ? mix.more : mix.base;
    if (layer % 4 == 3) {
      add({make_matrix(mix.base, 12288, 5120), make_matrix(mix.base, 1024, 5120),
           make_matrix(better, 1024, 5120)},
          Epilogue::kStore);
      matrices += 3;
    } else {
      add({make_matrix(mix.qkv, 10240, 5120), make_matrix(mix.base, 6144, 5120),
           make_matrix(mix.base, 48, 5120), make_matrix(mix.base, 48, 5120)},
          Epilogue::kStore);
      matrices += 4;
    }
    add({make_matrix(mix.base, 5120, 6144)}, Epilogue::kAdd);
    add({make_matrix(mix.base, 17408, 5120), make_matrix(mix.base, 17408, 5120)}, Epilogue::kSwiGlu);
    add({make_matrix(better, 5120, 17408)}, Epilogue::kAdd);
    matrices += 4;
  }
  add({make_matrix(TensorType::Q6_K, 248320, 5120)}, Epilogue::kStore);
  uint64_t bytes = 0;
  for (const MatvecLaunch& launch : launches) bytes += bytes_of(launch);
  std::printf("27B chain, mix %s: %u matrices in %zu launches, %.2f GB\n", mix.name, matrices + 1,
              launches.size(), static_cast<double>(bytes) * 1e-9);
  double first = 0;
  for (const uint32_t rows : {1u, 2u, 4u, 8u}) {
    const double us = time_launches(device, stream, launches, rows, 9);
    if (rows == 1) first = us;
    std::printf("  width %u: %8.1f us  %5.0f GB/s  %.3f of width 1\n", rows, us,
                static_cast<double>(bytes) / us * 1e-3, us / first);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "all";
  MatvecDevice device;
  CHECK_CUDA(prepare_matvec(&device));
  cudaStream_t stream;
  CHECK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Buffers buffers = {};
  const size_t hidden = kMatvecMaxRows * size_t{17408};
  CHECK_CUDA(cudaMalloc(reinterpret_cast<void**>(&buffers.activations), hidden * sizeof(__half)));
  CHECK_CUDA(cudaMalloc(reinterpret_cast<void**>(&buffers.hidden), hidden * sizeof(__half)));
  CHECK_CUDA(
      cudaMalloc(reinterpret_cast<void**>(&buffers.out), kMatvecMaxRows * size_t{260000} * sizeof(float)));
  std::vector<float> x(hidden);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  CHECK_CUDA(cudaMemcpy(buffers.out, x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice));
  CHECK_CUDA(quantise_rows(buffers.out, 17408, 17408, kMatvecMaxRows, buffers.activations, false, nullptr));
  CHECK_CUDA(cudaDeviceSynchronize());

  void* streamed = nullptr;
  const size_t streamed_bytes = size_t{4} << 30;
  CHECK_CUDA(cudaMalloc(&streamed, streamed_bytes));
  CHECK_CUDA(cudaMemset(streamed, 0x5A, streamed_bytes));
  {
    Timed timed(stream, [&] { CHECK_CUDA(read_memory(streamed, streamed_bytes, buffers.out, stream)); });
    std::printf("plain read: %.0f GB/s\n",
                static_cast<double>(streamed_bytes) / timed.microseconds(9) * 1e-3);
  }
  CHECK_CUDA(cudaFree(streamed));

  if (argc > 2 && what != "profile") device.shared_bytes = static_cast<uint32_t>(std::atoi(argv[2]));
#define INLAY_BENCH(name, number, elements, bytes)        \
  if (what == #name) {                                    \
    bench_type(device, stream, buffers, TensorType::name, \
               {{17408, 5120, Epilogue::kSwiGlu},         \
                {5120, 17408, Epilogue::kAdd},            \
                {10240, 5120, Epilogue::kStore},          \
                {5120, 6144, Epilogue::kAdd},             \
                {1024, 5120, Epilogue::kStore},           \
                {248320, 5120, Epilogue::kStore}});       \
    return 0;                                             \
  }
  INLAY_FOR_EACH_TENSOR_TYPE(INLAY_BENCH)
#undef INLAY_BENCH
  if (what == "profile") {
    std::vector<MatvecLaunch> launches;
    const auto add = [&](std::vector<PackedMatrix> matrices, Epilogue epilogue) {
      launches.push_back(make_launch(std::move(matrices), epilogue, buffers));
    };
    add({make_matrix(TensorType::Q4_K, 17408, 5120), make_matrix(TensorType::Q4_K, 17408, 5120)},
        Epilogue::kSwiGlu);
    add({make_matrix(TensorType::Q6_K, 5120, 17408)}, Epilogue::kAdd);
    add({make_matrix(TensorType::Q4_K, 5120, 6144)}, Epilogue::kAdd);
    add({make_matrix(TensorType::Q5_K, 10240, 5120), make_matrix(TensorType::Q4_K, 6144, 5120),
         make_matrix(TensorType::Q4_K, 48, 5120), make_matrix(TensorType::Q4_K, 48, 5120)},
        Epilogue::kStore);
    add({make_matrix(TensorType::Q2_K, 17408, 5120), make_matrix(TensorType::Q2_K, 17408, 5120)},
        Epilogue::kSwiGlu);
    add({make_matrix(TensorType::Q3_K, 5120, 17408)}, Epilogue::kAdd);
    add({make_matrix(TensorType::Q2_K, 5120, 6144)}, Epilogue::kAdd);
    for (const uint32_t rows : {1u, 8u}) {
      for (MatvecLaunch& launch : launches) {
        launch.rows = rows;
        CHECK_CUDA(matvec(device, launch, stream));
      }
    }
    CHECK_CUDA(cudaDeviceSynchronize());
    return 0;
  }
  if (what != "chain") {
    const Shape down = {5120, 17408, Epilogue::kAdd}, gate_up = {17408, 5120, Epilogue::kSwiGlu};
    bench_type(device, stream, buffers, TensorType::Q4_K,
               {gate_up,
                down,
                {10240, 5120, Epilogue::kStore},
                {6144, 5120, Epilogue::kStore},
                {5120, 6144, Epilogue::kAdd},
                {12288, 5120, Epilogue::kStore},
                {1024, 5120, Epilogue::kStore},
                {248320, 5120, Epilogue::kStore}});
#define INLAY_BENCH(name, number, elements, bytes) \
  if (TensorType::name != TensorType::Q4_K)        \
    bench_type(device, stream, buffers, TensorType::name, {gate_up, down});
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_BENCH)
#undef INLAY_BENCH
  }
  if (what != "types") {
    bench_chain(device, stream, buffers,
                {"Q4_K_M", TensorType::Q4_K, TensorType::Q6_K, TensorType::Q5_K, false});
    bench_chain(device, stream, buffers,
                {"Q2_K", TensorType::Q2_K, TensorType::Q3_K, TensorType::Q3_K, true});
  }
  return 0;
}

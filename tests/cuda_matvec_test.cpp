#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "formats/dequantize.h"
#include "kernels/cuda/matvec.h"
#include "tests/random_weights.h"
#include "tests/test_data.h"

// Packed matrices times rows of activations, against sums in double over the dequantised weights. Skipped
// where there is no CUDA device.

namespace inlay::cuda {
namespace {

bool no_device() {
  int count = 0;
  return cudaGetDeviceCount(&count) != cudaSuccess || count == 0;
}

#define INLAY_NEED_CUDA() \
  if (no_device()) INLAY_SKIP("no CUDA device")

#define INLAY_CUDA(call) REQUIRE(cudaGetErrorString(call) == std::string(cudaGetErrorString(cudaSuccess)))

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    INLAY_CUDA(cudaMalloc(&data_, count * sizeof(T)));
    INLAY_CUDA(cudaMemset(data_, 0xFF, count * sizeof(T)));  // NaN where floats are not written
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) {
    INLAY_CUDA(cudaMemcpy(data_, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* get() const { return static_cast<T*>(data_); }
  std::vector<T> read() const {
    std::vector<T> host(count_);
    INLAY_CUDA(cudaMemcpy(host.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  void* data_ = nullptr;
  size_t count_ = 0;
};

constexpr TensorType kTypes[] = {
#define INLAY_TYPE(name, number, elements, bytes) TensorType::name,
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_TYPE) INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_TYPE)
#undef INLAY_TYPE
};

/// A random matrix in a file's form, packed on the device. `distinct` rows are drawn and then repeated.
struct Matrix {
  Matrix(TensorType type, uint32_t rows, uint32_t columns, uint32_t seed, uint32_t distinct = 64)
      : weights(std::min(rows, distinct) * size_t{columns}), period(std::min(rows, distinct)), rows(rows) {
    std::mt19937 random(seed);
    const uint64_t stride = row_bytes(type, columns);
    std::vector<std::byte> file(rows * stride + 1);
    for (uint32_t r = 0; r < period; ++r) {
      std::byte* row = file.data() + 1 + r * stride;
      test::fill_random_weights(type, columns, random, row);
      dequantize_row(type, row, columns, weights.data() + size_t{r} * columns);
    }
    for (uint32_t r = period; r < rows; ++r) {
      std::memcpy(file.data() + 1 + r * stride, file.data() + 1 + r % period * stride, stride);
    }
    const DeviceArray<std::byte> blocks(file);  // at an odd address
    INLAY_CUDA(cudaMalloc(&data, bytes_in_tiles(type, rows, columns)));
    const uint32_t cut = rows / 2 / 8 * 8;  // in two chunks, as an upload does it
    if (cut != 0) INLAY_CUDA(repack(type, blocks.get() + 1, 0, cut, rows, columns, data, nullptr));
    INLAY_CUDA(repack(type, blocks.get() + 1 + cut * stride, cut, rows - cut, rows, columns, data, nullptr));
    INLAY_CUDA(cudaDeviceSynchronize());
    check_tiles(type, file.data() + 1, columns);
    packed = {data, type, rows, columns, 0.5f};
  }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;
  ~Matrix() { cudaFree(data); }

  double weight(uint32_t row, uint32_t k) const {
    return 0.5 * weights[size_t{row % period} * packed.columns + k];
  }
  double dot(uint32_t row, const float* x) const {
    double sum = 0;
    for (uint32_t k = 0; k < packed.columns; ++k) sum += weight(row, k) * x[k];
    return sum;
  }

  /// The device packs what the host does.
  void check_tiles(TensorType type, const std::byte* blocks, uint32_t columns) const {
    const uint64_t tiles = uint64_t{(rows + 7) / 8} * ((columns + 255) / 256) * tile_bytes(type);
    std::vector<std::byte> expected(bytes_in_tiles(type, rows, columns)), found(tiles);
    pack_tiles(type, blocks, 0, rows, rows, columns, expected.data());
    INLAY_CUDA(cudaMemcpy(found.data(), data, tiles, cudaMemcpyDeviceToHost));
    CHECK(std::memcmp(found.data(), expected.data(), tiles) == 0);
  }

  void* data = nullptr;
  std::vector<float> weights;
  uint32_t period;
  uint32_t rows;
  PackedMatrix packed;
};

std::vector<float> random_rows(uint32_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(size_t{kMatvecMaxRows} * columns);
  for (float& value : x) value = normal(random);
  return x;
}

struct Inputs {
  explicit Inputs(uint32_t columns, uint32_t seed = 7)
      : host(random_rows(columns, seed)), activations(kMatvecMaxRows * size_t{activation_stride(columns)}) {
    const DeviceArray<float> x(host);
    INLAY_CUDA(quantise_rows(x.get(), columns, columns, kMatvecMaxRows, activations.get(), false, nullptr));
    INLAY_CUDA(cudaDeviceSynchronize());
  }
  std::vector<float> host;
  DeviceArray<__half> activations;
};

struct NormalisedError {
  double error = 0, reference = 0;
  void add(double value, double exact) {
    error += (value - exact) * (value - exact);
    reference += exact * exact;
  }
  double value() const { return error / reference; }
};

MatvecDevice device() {
  MatvecDevice device;
  INLAY_CUDA(prepare_matvec(&device));
  return device;
}

std::vector<float> product(const MatvecDevice& device, const Matrix& matrix, const __half* activations,
                           uint32_t rows) {
  const DeviceArray<float> out(size_t{rows} * matrix.rows);
  MatvecLaunch launch;
  launch.matrices[0] = matrix.packed;
  launch.count = 1;
  launch.activations = activations;
  launch.rows = rows;
  launch.outputs[0] = out.get();
  launch.output_strides[0] = matrix.rows;
  INLAY_CUDA(matvec(device, launch, nullptr));
  INLAY_CUDA(cudaDeviceSynchronize());
  return out.read();
}

void check_matrix(TensorType type, uint32_t rows, uint32_t columns) {
  CAPTURE(traits(type).name);
  CAPTURE(rows);
  CAPTURE(columns);
  const MatvecDevice gpu = device();
  const Matrix matrix(type, rows, columns, rows + columns);
  const Inputs inputs(columns);
  const std::vector<float> wide = product(gpu, matrix, inputs.activations.get(), kMatvecMaxRows);

  NormalisedError error;
  const uint32_t sampled = std::min(rows, 64u);
  for (uint32_t r = 0; r < kMatvecMaxRows; ++r) {
    for (uint32_t i = 0; i < sampled; ++i) {
      const uint32_t row = i < sampled / 2 ? i : rows - 1 - (i - sampled / 2);
      error.add(wide[size_t{r} * rows + row], matrix.dot(row, inputs.host.data() + size_t{r} * columns));
    }
  }
  CHECK(error.value() < 4e-7);

  // Every width, and every place in it, gives a row's bits.
  const uint32_t stride = activation_stride(columns);
  for (uint32_t width = 1; width < kMatvecMaxRows; ++width) {
    CAPTURE(width);
    const uint32_t first = (width * 5) % (kMatvecMaxRows - width + 1);
    const std::vector<float> narrow =
        product(gpu, matrix, inputs.activations.get() + size_t{first} * stride, width);
    CHECK(std::memcmp(narrow.data(), wide.data() + size_t{first} * rows, narrow.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("a matrix of every type times one to eight rows") {
  INLAY_NEED_CUDA();
  for (const TensorType type : kTypes) {
    check_matrix(type, 48, 256);
    check_matrix(type, 6, 768);
    check_matrix(type, 1029, 5120);
    if (traits(type).block_elements <= 64) check_matrix(type, 40, 1024 + 64);
    if (traits(type).block_elements <= 32) check_matrix(type, 40, 1024 + 32);
  }
}

TEST_CASE("the shapes of the 27B, its columns above all") {
  INLAY_NEED_CUDA();
  for (const TensorType type : {TensorType::Q4_K, TensorType::Q6_K, TensorType::Q8_0, TensorType::F16,
                                TensorType::Q2_K, TensorType::Q3_K}) {
    check_matrix(type, 5120, 6144);
    check_matrix(type, 5120, 17408);
    check_matrix(type, 520, 10240);
    check_matrix(type, 300, 3584);
    check_matrix(type, 300, 21 * 256);
    check_matrix(type, 300, 53 * 256);
  }
  check_matrix(TensorType::Q6_K, 248320, 256);
}

TEST_CASE("a block with less shared memory gives the same bits") {
  INLAY_NEED_CUDA();
  const MatvecDevice gpu = device();
  for (const TensorType type : kTypes) {
    CAPTURE(traits(type).name);
    for (const uint32_t columns : {5120u, 17408u}) {
      CAPTURE(columns);
      const Matrix matrix(type, 200, columns, columns);
      const Inputs inputs(columns);
      for (const uint32_t width : {1u, 8u}) {
        CAPTURE(width);
        const std::vector<float> expected = product(gpu, matrix, inputs.activations.get(), width);
        for (const uint32_t kilobytes : {163u, 99u}) {  // compute capability 8.0; 8.6, 8.9 and 12.0
          CAPTURE(kilobytes);
          MatvecDevice smaller = gpu;
          smaller.shared_bytes = std::min(gpu.shared_bytes, kilobytes * 1024);
          smaller.multiprocessors = 20;
          const std::vector<float> got = product(smaller, matrix, inputs.activations.get(), width);
          CHECK(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST_CASE("dequantised rows are the file's weights") {
  INLAY_NEED_CUDA();
  for (const TensorType type : kTypes) {
    CAPTURE(traits(type).name);
    const uint32_t rows = 20, columns = traits(type).block_elements <= 64 ? 1024 + 64 : 1280;
    const Matrix matrix(type, rows, columns, 3);
    const DeviceArray<__half> halves(size_t{rows} * columns);
    INLAY_CUDA(dequantise(matrix.packed, 8, rows - 8, halves.get(), nullptr));
    const DeviceArray<int32_t> ids(std::vector<int32_t>{19, 0, 7});
    const DeviceArray<float> floats(size_t{3} * columns);
    INLAY_CUDA(dequantise_rows(matrix.packed, ids.get(), 3, floats.get(), columns, nullptr));
    INLAY_CUDA(cudaDeviceSynchronize());

    const std::vector<float> single = floats.read();
    const std::vector<__half> half = halves.read();
    NormalisedError rows_error, halves_error;
    const uint32_t id_list[] = {19, 0, 7};
    for (uint32_t k = 0; k < columns; ++k) {
      for (uint32_t i = 0; i < 3; ++i) rows_error.add(single[i * columns + k], matrix.weight(id_list[i], k));
      for (uint32_t r = 8; r < rows; ++r) {
        halves_error.add(__half2float(half[size_t{r - 8} * columns + k]), matrix.weight(r, k));
      }
    }
    CHECK(rows_error.value() < (type == TensorType::FP8 ? 1e-6 : 1e-12));  // FP8 is held in F16
    CHECK(halves_error.value() < 1e-6);
  }
}

TEST_CASE("several matrices of one input, of different types, stored and added") {
  INLAY_NEED_CUDA();
  const MatvecDevice gpu = device();
  const uint32_t columns = 5120, rows[] = {1024, 48, 6, 520};
  const TensorType types[] = {TensorType::Q3_K, TensorType::Q4_K, TensorType::Q2_K, TensorType::Q6_K};
  const Inputs inputs(columns);
  for (const Epilogue epilogue : {Epilogue::kStore, Epilogue::kAdd}) {
    for (const uint32_t width : {1u, 3u, 8u}) {
      CAPTURE(width);
      std::vector<std::unique_ptr<Matrix>> matrices;
      std::vector<std::unique_ptr<DeviceArray<float>>> outs;
      MatvecLaunch launch;
      launch.activations = inputs.activations.get();
      launch.rows = width;
      launch.epilogue = epilogue;
      launch.programmatic = true;
      for (uint32_t m = 0; m < 4; ++m) {
        matrices.push_back(std::make_unique<Matrix>(types[m], rows[m], columns, m));
        outs.push_back(
            std::make_unique<DeviceArray<float>>(std::vector<float>(size_t{width} * (rows[m] + 3), 2.0f)));
        launch.matrices[m] = matrices[m]->packed;
        launch.outputs[m] = outs[m]->get();
        launch.output_strides[m] = rows[m] + 3;
      }
      launch.count = 4;
      INLAY_CUDA(matvec(gpu, launch, nullptr));
      INLAY_CUDA(cudaDeviceSynchronize());
      for (uint32_t m = 0; m < 4; ++m) {
        const std::vector<float> alone = product(gpu, *matrices[m], inputs.activations.get(), width);
        const std::vector<float> together = outs[m]->read();
        bool same = true, untouched = true;
        for (uint32_t r = 0; r < width; ++r) {
          for (uint32_t i = 0; i < rows[m]; ++i) {
            const float expected =
                alone[size_t{r} * rows[m] + i] + (epilogue == Epilogue::kAdd ? 2.0f : 0.0f);
            same = same && together[size_t{r} * (rows[m] + 3) + i] == expected;
          }
          for (uint32_t i = 0; i < 3; ++i) {
            untouched = untouched && together[size_t{r} * (rows[m] + 3) + rows[m] + i] == 2.0f;
          }
        }
        CHECK(same);
        CHECK(untouched);
      }
    }
  }
}

TEST_CASE("SwiGLU of gate and up becomes the next matrix's input") {
  INLAY_NEED_CUDA();
  const MatvecDevice gpu = device();
  const uint32_t columns = 5120, inner = 1056;
  const Inputs inputs(columns);
  for (const TensorType type : {TensorType::Q4_K, TensorType::Q8_0, TensorType::BF16, TensorType::Q2_K}) {
    const Matrix gate(type, inner, columns, 1), up(type, inner, columns, 2);
    const Matrix down(TensorType::F32, 64, inner, 3);
    std::vector<__half> widest;
    for (const uint32_t width : {8u, 5u, 1u}) {
      CAPTURE(width);
      const DeviceArray<__half> activations(size_t{width} * activation_stride(inner));
      MatvecLaunch launch;
      launch.matrices[0] = gate.packed;
      launch.matrices[1] = up.packed;
      launch.matrices[0].scale = launch.matrices[1].scale = 0.01f;
      launch.count = 2;
      launch.activations = inputs.activations.get();
      launch.rows = width;
      launch.epilogue = Epilogue::kSwiGlu;
      launch.activation_output = activations.get();
      INLAY_CUDA(matvec(gpu, launch, nullptr));
      INLAY_CUDA(cudaDeviceSynchronize());
      const std::vector<__half> got = activations.read();
      if (widest.empty()) widest = got;
      CHECK(std::memcmp(got.data(), widest.data(), got.size() * sizeof(__half)) == 0);

      NormalisedError error;
      const std::vector<float> out = product(gpu, down, activations.get(), width);
      for (uint32_t r = 0; r < width; ++r) {
        std::vector<float> hidden(inner);
        for (uint32_t i = 0; i < inner; ++i) {
          const float* x = inputs.host.data() + size_t{r} * columns;
          const double g = gate.dot(i, x) * 0.02, u = up.dot(i, x) * 0.02;
          hidden[i] = static_cast<float>(g / (1 + std::exp(-g)) * u);
        }
        for (uint32_t i = 0; i < 64; ++i) error.add(out[r * 64 + i], down.dot(i, hidden.data()));
      }
      CHECK(error.value() < 4e-6);
    }
  }
}

TEST_CASE("launches that cannot be are refused") {
  INLAY_NEED_CUDA();
  const MatvecDevice gpu = device();
  const Inputs inputs(256);
  const Matrix matrix(TensorType::Q4_K, 16, 256, 1);
  const DeviceArray<float> out(16 * 8);
  MatvecLaunch launch;
  launch.matrices[0] = matrix.packed;
  launch.activations = inputs.activations.get();
  launch.outputs[0] = out.get();
  launch.output_strides[0] = 16;
  launch.rows = 1;
  CHECK(matvec(gpu, launch, nullptr) == cudaErrorInvalidValue);
  launch.count = 1;
  launch.rows = 9;
  CHECK(matvec(gpu, launch, nullptr) == cudaErrorInvalidValue);
  launch.rows = 8;
  CHECK(matvec(gpu, launch, nullptr) == cudaSuccess);
  INLAY_CUDA(cudaDeviceSynchronize());
}

}  // namespace
}  // namespace inlay::cuda

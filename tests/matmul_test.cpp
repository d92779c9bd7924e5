#include "kernels/cpu/matmul.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "formats/dequantize.h"
#include "random_weights.h"
#include "runtime/platform.h"

namespace {

using namespace inlay;
using cpu::MatmulArguments;
using cpu::MatmulKernels;

constexpr TensorType kTypes[] = {
#define INLAY_LIST(name, number, elements, bytes) TensorType::name,
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_LIST) INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_LIST)
#undef INLAY_LIST
};

bool is_float(TensorType type) { return traits(type).block_elements == 1; }

std::span<const MatmulKernels* const> kernels() {
  cpu::CpuFeatures features = cpu::detect_cpu_features();
  features.amx_bf16 = features.amx_bf16 && platform::request_amx();
  return cpu::available_kernels(features);
}

/// Memory aligned to a cache line, as the kernels ask for.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : storage_(bytes + 64) {}
  std::byte* data() {
    const size_t past = reinterpret_cast<uintptr_t>(storage_.data()) % 64;
    return storage_.data() + (past == 0 ? 0 : 64 - past);
  }

 private:
  std::vector<std::byte> storage_;
};

struct Range {
  uint32_t begin;
  uint32_t end;
};

/// A product to compute: W, of `n` rows, at an odd address with nothing behind it; X with a gap between rows.
struct Problem {
  TensorType type;
  uint32_t n;
  uint32_t k;
  uint32_t rows;
  float scale = 1.0f;
  std::vector<std::byte> storage;
  std::vector<float> x;

  Problem(TensorType type_, uint32_t n_, uint32_t k_, uint32_t rows_, uint32_t seed)
      : type(type_),
        n(n_),
        k(k_),
        rows(rows_),
        storage(row_bytes(type_, k_) * n_ + 1),
        x(rows_ * x_stride()) {
    std::mt19937 random(seed);
    for (uint32_t row = 0; row < n; ++row) {
      test::fill_random_weights(type, k, random, storage.data() + 1 + row * row_bytes(type, k));
    }
    std::normal_distribution<float> normal;
    for (float& value : x) value = normal(random);
  }

  size_t x_stride() const { return k + 3; }
  const std::byte* weights() const { return storage.data() + 1; }

  /// The product of rows [row_begin, row_end), each n range in a call of its own.
  std::vector<float> multiply(const MatmulKernels& kernels, bool wide, uint32_t row_begin, uint32_t row_end,
                              const std::vector<Range>& ranges) const {
    const uint32_t count = row_end - row_begin;
    Buffer prepared(cpu::activation_bytes(count, k));
    Buffer scratch(kernels.wide_scratch_bytes);
    const size_t out_stride = n + 5;
    std::vector<float> out(count * out_stride, -77.0f);
    const float* x_begin = x.data() + row_begin * x_stride();
    const auto prepare = wide ? kernels.prepare_wide : kernels.prepare_narrow;
    prepare(x_begin, x_stride(), count / 2, count, k, prepared.data());
    prepare(x_begin, x_stride(), 0, count / 2, k, prepared.data());
    for (const Range& range : ranges) {
      const MatmulArguments arguments = {.weights = {weights(), type, n, k, scale},
                                         .n_begin = range.begin,
                                         .n_end = range.end,
                                         .x = x_begin,
                                         .x_stride = x_stride(),
                                         .prepared = prepared.data(),
                                         .rows = count,
                                         .out = out.data(),
                                         .out_stride = out_stride,
                                         .scratch = scratch.data()};
      (wide ? kernels.wide : kernels.narrow)(arguments);
    }
    for (uint32_t row = 0; row < count; ++row) {
      for (size_t i = n; i < out_stride; ++i) REQUIRE(out[row * out_stride + i] == -77.0f);
      std::copy_n(out.begin() + row * out_stride, n, out.begin() + row * n);
    }
    out.resize(count * n);
    return out;
  }

  std::vector<float> multiply(const MatmulKernels& kernels, bool wide) const {
    return multiply(kernels, wide, 0, rows, {{0, n}});
  }

  struct Exact {
    std::vector<double> out;
    double power = 0;  // the sum of the squares of all products, before any cancels another
  };

  Exact exact() const {
    Exact result = {.out = std::vector<double>(static_cast<size_t>(rows) * n)};
    std::vector<float> w(k);
    for (uint32_t i = 0; i < n; ++i) {
      dequantize_row(type, weights() + i * row_bytes(type, k), k, w.data());
      for (uint32_t row = 0; row < rows; ++row) {
        double sum = 0;
        for (uint32_t j = 0; j < k; ++j) {
          const double product = static_cast<double>(w[j]) * x[row * x_stride() + j] * scale;
          sum += product;
          result.power += product * product;
        }
        result.out[row * n + i] = sum;
      }
    }
    return result;
  }
};

double normalised_error(const std::vector<float>& got, const Problem::Exact& exact) {
  double error = 0;
  for (size_t i = 0; i < got.size(); ++i) error += (got[i] - exact.out[i]) * (got[i] - exact.out[i]);
  return error / exact.power;
}

/// Float weights are multiplied in float. Narrow activations have 16 bits below the largest of 256. Wide
/// products may round both sides to bfloat16, by 2^-8 at most: about 5e-6 in the mean square, more by chance
/// where few activations are shared by all outputs. 8-bit activations would have 1.7e-5 and more.
double tolerance(TensorType type, bool wide) { return is_float(type) ? 1e-11 : wide ? 1.6e-5 : 4e-9; }

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::string label(const MatmulKernels& kernels, const Problem& problem, bool wide) {
  return std::string(kernels.name) + (wide ? " wide " : " narrow ") + std::string(traits(problem.type).name) +
         " rows " + std::to_string(problem.rows) + " n " + std::to_string(problem.n) + " k " +
         std::to_string(problem.k);
}

void check_accuracy(const Problem& problem, bool wide) {
  const Problem::Exact exact = problem.exact();
  for (const MatmulKernels* kernel : kernels()) {
    INFO(label(*kernel, problem, wide));
    CHECK(normalised_error(problem.multiply(*kernel, wide), exact) < tolerance(problem.type, wide));
  }
}

TEST_CASE("matmul: narrow products are right for every type and number of rows") {
  for (const TensorType type : kTypes) {
    const uint32_t block = traits(type).block_elements;
    for (uint32_t rows = 1; rows <= cpu::kMaxNarrowRows; ++rows) {
      check_accuracy(Problem(type, 21, std::max(block, 32u), rows, rows), false);
      check_accuracy(Problem(type, 37, 1280, rows, 100 + rows), false);
    }
    if (block <= 64) check_accuracy(Problem(type, 19, 64 * 9, 3, 5), false);
    if (block <= 32) check_accuracy(Problem(type, 19, 32 * 11, 2, 6), false);
    if (block == 1) check_accuracy(Problem(type, 19, 77, 2, 7), false);
    check_accuracy(Problem(type, 5, 17408, 2, 8), false);
  }
}

TEST_CASE("matmul: wide products are right for every type") {
  for (const TensorType type : kTypes) {
    const uint32_t block = traits(type).block_elements;
    for (const uint32_t rows : {1u, 9u, 10u, 11u, 12u, 31u, 70u}) {
      check_accuracy(Problem(type, 133, std::max(block, 32u), rows, rows), true);
    }
    for (const uint32_t n : {16u, 21u, 37u, 55u, 128u}) check_accuracy(Problem(type, n, 768, 17, n), true);
    if (block <= 64) check_accuracy(Problem(type, 19, 64 * 9, 13, 5), true);
    if (block <= 32) check_accuracy(Problem(type, 19, 32 * 11, 14, 6), true);
    if (block == 1) check_accuracy(Problem(type, 19, 77, 15, 7), true);
    check_accuracy(Problem(type, 18, 17408, 9, 8), true);
  }
}

/// Row by row, and in ranges of n, the bits are those of the whole.
void check_independence(const Problem& problem, bool wide, const std::vector<Range>& row_groups) {
  std::vector<Range> granules;
  for (uint32_t n = 0; n < problem.n; n += cpu::kOutputGranule) {
    granules.push_back({n, std::min(n + cpu::kOutputGranule, problem.n)});
  }
  std::reverse(granules.begin(), granules.end());
  const std::vector<Range> halves = {{48, problem.n}, {0, 48}};
  for (const MatmulKernels* kernel : kernels()) {
    INFO(label(*kernel, problem, wide));
    const std::vector<float> whole = problem.multiply(*kernel, wide);
    CHECK(same_bits(whole, problem.multiply(*kernel, wide, 0, problem.rows, granules)));
    CHECK(same_bits(whole, problem.multiply(*kernel, wide, 0, problem.rows, halves)));
    for (const Range& group : row_groups) {
      const std::vector<float> part =
          problem.multiply(*kernel, wide, group.begin, group.end, {{0, problem.n}});
      CHECK(same_bits(std::span(whole).subspan(group.begin * problem.n, part.size()), part));
    }
  }
}

TEST_CASE("matmul: a narrow row's bits depend on that row alone") {
  std::vector<Range> groups;
  for (uint32_t begin = 0; begin < 8; ++begin) {
    for (uint32_t end = begin + 1; end <= 8; ++end) groups.push_back({begin, end});
  }
  for (const TensorType type : kTypes) {
    check_independence(Problem(type, 101, 512, 8, 3), false, groups);
    if (traits(type).block_elements <= 32) check_independence(Problem(type, 101, 288, 8, 4), false, groups);
  }
}

TEST_CASE("matmul: a wide row's bits depend on that row alone") {
  const std::vector<Range> groups = {{0, 1}, {28, 29}, {0, 9}, {5, 23}, {7, 29}};
  for (const TensorType type : kTypes) {
    check_independence(Problem(type, 101, 768, 29, 3), true, groups);
    if (traits(type).block_elements <= 32) check_independence(Problem(type, 101, 288, 29, 4), true, groups);
  }
}

TEST_CASE("matmul: the matrix's scale multiplies every output") {
  for (const bool wide : {false, true}) {
    Problem problem(TensorType::NVFP4, 40, 512, 8, 9);
    problem.scale = 0.375f;
    check_accuracy(problem, wide);
  }
}

TEST_CASE("matmul: zeros, huge outliers and non-finite activations") {
  for (const TensorType type : kTypes) {
    for (const bool wide : {false, true}) {
      Problem problem(type, 33, 512, 8, 11);
      float* x = problem.x.data();
      std::fill_n(x, problem.k, 0.0f);
      x[problem.x_stride() + 300] = std::numeric_limits<float>::infinity();
      x[2 * problem.x_stride() + 7] = std::numeric_limits<float>::quiet_NaN();
      std::fill_n(x + 3 * problem.x_stride(), problem.k, std::numeric_limits<float>::denorm_min());
      for (const MatmulKernels* kernel : kernels()) {
        INFO(label(*kernel, problem, wide));
        const std::vector<float> out = problem.multiply(*kernel, wide);
        for (uint32_t i = 0; i < problem.n; ++i) {
          CHECK(out[i] == 0.0f);
          CHECK_FALSE(std::isfinite(out[2 * problem.n + i]));
          CHECK(std::abs(out[3 * problem.n + i]) < 1e-30f);
        }
        CHECK(same_bits(std::span(out).subspan(4 * problem.n),
                        problem.multiply(*kernel, wide, 4, 8, {{0, 33}})));
      }
    }
  }
}

}  // namespace

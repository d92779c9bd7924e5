#include "kernels/cpu/ops.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_features.h"
#include "tests/host.h"

using namespace inlay;
using namespace inlay::cpu;
using inlay::test::Random;
using inlay::test::same_bits;

// The operations between the matrix products: every instruction set's table gives the same bits, and they are
// right by a plain computation in double.

namespace {

std::vector<const Ops*> tables() {
  std::vector<const Ops*> all = {&kBaselineOps};
#if defined(__x86_64__) || defined(_M_X64)
  const CpuFeatures features = detect_cpu_features();
  if (features.avx2) all.push_back(&kAvx2Ops);
  if (features.avx512) all.push_back(&kAvx512Ops);
#endif
  return all;
}

std::vector<float> random_floats(Random& random, size_t count, float scale = 1.0f) {
  std::vector<float> values(count);
  for (float& value : values) value = random.real() * scale;
  return values;
}

/// Runs the operation with every table: its outputs are the same bits, and close to `expected`.
void check(const std::function<std::vector<float>(const Ops&)>& run, const std::vector<double>& expected,
           double tolerance = 2e-6) {
  std::vector<float> first;
  for (const Ops* ops : tables()) {
    CAPTURE(std::string(ops->name));
    const std::vector<float> out = run(*ops);
    if (first.empty()) first = out;
    REQUIRE(same_bits(out, first));
    REQUIRE(out.size() == expected.size());
    double error = 0, size = 1e-30;
    for (size_t i = 0; i < out.size(); ++i) {
      error = std::max(error, std::abs(out[i] - expected[i]));
      size = std::max(size, std::abs(expected[i]));
    }
    CHECK(error <= tolerance * size);
  }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// IEEE binary16 by its definition.
double half_value(uint16_t code) {
  const int exponent = code >> 10 & 31;
  const double fraction = code & 1023;
  const double magnitude = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return code & 0x8000 ? -magnitude : magnitude;
}

/// OCP FP8 E4M3 by its definition.
double fp8_value(uint8_t code) {
  const int exponent = code >> 3 & 15;
  const double fraction = code & 7;
  if (exponent == 15 && fraction == 7) return NAN;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
  return code & 0x80 ? -magnitude : magnitude;
}

/// To the nearest of a format with `bits` of fraction and this least exponent, ties to even, saturating.
double nearest(double x, int bits, int least_exponent, double largest) {
  if (x == 0) return x;
  const int exponent = std::max(std::ilogb(x), least_exponent) - bits;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -exponent)), exponent);
  return std::clamp(rounded, -largest, largest);
}

std::vector<float> stored_and_loaded(const Ops& ops, KvType type, const std::vector<float>& x) {
  const auto n = static_cast<uint32_t>(x.size());
  std::vector<std::byte> bytes(kv_bytes(type, n));
  ops.kv_store(type, x.data(), n, bytes.data());
  std::vector<float> out(n);
  ops.kv_load(type, bytes.data(), n, out.data());
  return out;
}

}  // namespace

TEST_CASE("norms") {
  Random random(1);
  for (const uint32_t n : {16u, 32u, 48u, 256u, 1040u, 5120u}) {
    const std::vector<float> x = random_floats(random, n, 3), weight = random_floats(random, n);
    double squares = 0;
    for (const float value : x) squares += double{value} * value;
    std::vector<double> expected(n);
    for (uint32_t i = 0; i < n; ++i) expected[i] = x[i] / std::sqrt(squares / n + 1e-6) * weight[i];
    check(
        [&](const Ops& ops) {
          std::vector<float> out(n);
          ops.rms_norm(x.data(), weight.data(), n, 1e-6f, out.data());
          return out;
        },
        expected);
    for (uint32_t i = 0; i < n; ++i) expected[i] = x[i] * 0.25 / std::sqrt(squares + 1e-6);
    check(
        [&](const Ops& ops) {
          std::vector<float> out = x;
          ops.l2_norm(out.data(), n, 1e-6f, 0.25f);
          return out;
        },
        expected);
  }
}

TEST_CASE("element by element") {
  Random random(2);
  const uint32_t n = 2048;
  std::vector<float> x = random_floats(random, n, 30);
  const std::vector<float> y = random_floats(random, n, 3);
  x[0] = 0;
  x[1] = 120;  // beyond what exp has a float for
  x[2] = -120;
  std::vector<double> sum(n), silu(n), gated(n);
  for (uint32_t i = 0; i < n; ++i) {
    sum[i] = double{x[i]} + y[i];
    silu[i] = x[i] * sigmoid(x[i]) * y[i];
    gated[i] = y[i] * sigmoid(x[i]);
  }
  check(
      [&](const Ops& ops) {
        std::vector<float> out = x;
        ops.add(out.data(), y.data(), n);
        return out;
      },
      sum);
  check(
      [&](const Ops& ops) {
        std::vector<float> out(n);
        ops.silu_multiply(x.data(), y.data(), n, out.data());
        return out;
      },
      silu);
  check(
      [&](const Ops& ops) {
        std::vector<float> out = y;
        ops.sigmoid_multiply(out.data(), x.data(), n);
        return out;
      },
      gated);
}

TEST_CASE("the causal convolution") {
  Random random(3);
  for (const uint32_t kernel : {2u, 4u, 8u}) {
    for (const uint32_t present : {1u, kernel - 1, kernel}) {  // before the first token there are zeros
      const uint32_t n = 128, stride = 384;
      const std::vector<float> taps = random_floats(random, size_t{kernel} * stride);
      const std::vector<float> inputs = random_floats(random, size_t{kernel} * n, 2);
      std::vector<const float*> columns(kernel);
      for (uint32_t t = kernel - present; t < kernel; ++t) columns[t] = inputs.data() + t * n;
      std::vector<double> expected(n);
      for (uint32_t i = 0; i < n; ++i) {
        for (uint32_t t = kernel - present; t < kernel; ++t)
          expected[i] += double{taps[t * stride + i]} * columns[t][i];
        expected[i] *= sigmoid(expected[i]);
      }
      check(
          [&](const Ops& ops) {
            std::vector<float> out(n);
            ops.conv_silu(columns.data(), taps.data(), stride, kernel, n, out.data());
            return out;
          },
          expected);
    }
  }
}

TEST_CASE("the gated delta rule") {
  Random random(4);
  for (const uint32_t n : {16u, 64u, 128u, 256u}) {
    const std::vector<float> state = random_floats(random, n * kDeltaTile),
                             key = random_floats(random, n, 0.2f);
    const std::vector<float> query = random_floats(random, n, 0.2f),
                             value = random_floats(random, kDeltaTile);
    const double beta = 0.7f, decay = 0.9f;
    double key_query = 0;
    for (uint32_t k = 0; k < n; ++k) key_query += double{key[k]} * double{query[k]};
    check([&](const Ops& ops) { return std::vector<float>{ops.dot(key.data(), query.data(), n)}; },
          std::vector<double>{key_query});
    std::vector<double> expected_state(state.size()), expected_out(kDeltaTile);
    for (uint32_t v = 0; v < kDeltaTile; ++v) {
      double read = 0;
      for (uint32_t k = 0; k < n; ++k) read += decay * state[k * kDeltaTile + v] * key[k];
      for (uint32_t k = 0; k < n; ++k) {
        const double s = decay * state[k * kDeltaTile + v] + key[k] * beta * (value[v] - read);
        expected_state[k * kDeltaTile + v] = s;
        expected_out[v] += s * query[k];
      }
    }
    for (const bool in_place : {false, true}) {
      std::vector<float> out(kDeltaTile);
      check(
          [&](const Ops& ops) {
            std::vector<float> from = state, to(state.size());
            const DeltaToken token{query.data(), key.data(), value.data(),
                                   0.7f,         0.9f,       static_cast<float>(key_query),
                                   out.data()};
            ops.delta_step(from.data(), in_place ? from.data() : to.data(), n, token);
            return in_place ? from : to;
          },
          expected_state);
      check(
          [&](const Ops& ops) {
            const DeltaToken token{query.data(), key.data(), value.data(),
                                   0.7f,         0.9f,       static_cast<float>(key_query),
                                   out.data()};
            ops.delta_step(state.data(), nullptr, n, token);
            return out;
          },
          expected_out);
      // A replay, which wants no output, leaves the same state.
      check(
          [&](const Ops& ops) {
            std::vector<float> to(state.size());
            const DeltaToken token{nullptr, key.data(), value.data(), 0.7f, 0.9f, 0.0f, nullptr};
            ops.delta_step(state.data(), to.data(), n, token);
            return to;
          },
          expected_state);
    }
  }
}

TEST_CASE("rotary embedding") {
  Random random(5);
  for (const uint32_t length : {2u, 10u, 64u}) {
    const std::vector<float> x = random_floats(random, 64);
    const std::vector<float> cosine = random_floats(random, length / 2),
                             sine = random_floats(random, length / 2);
    std::vector<double> expected(x.begin(), x.end());
    for (uint32_t i = 0; i < length / 2; ++i) {
      const double a = x[i], b = x[i + length / 2];
      expected[i] = a * cosine[i] - b * sine[i];
      expected[i + length / 2] = b * cosine[i] + a * sine[i];
    }
    check(
        [&](const Ops& ops) {
          std::vector<float> out = x;
          ops.rope(out.data(), cosine.data(), sine.data(), length);
          return out;
        },
        expected);
  }
}

TEST_CASE("F16 keys and values: every code") {
  for (const Ops* ops : tables()) {
    CAPTURE(std::string(ops->name));
    for (uint32_t begin = 0; begin < 65536; begin += 32) {
      uint16_t codes[32];
      float loaded[32];
      for (uint32_t i = 0; i < 32; ++i) codes[i] = static_cast<uint16_t>(begin + i);
      ops->kv_load(KvType::kF16, reinterpret_cast<const std::byte*>(codes), 32, loaded);
      if ((begin & 0x7C00) == 0x7C00) continue;  // infinities and NaN are never stored
      for (uint32_t i = 0; i < 32; ++i) REQUIRE(double{loaded[i]} == half_value(codes[i]));
      uint16_t stored[32];
      ops->kv_store(KvType::kF16, loaded, 32, reinterpret_cast<std::byte*>(stored));
      REQUIRE(std::memcmp(stored, codes, sizeof codes) == 0);
    }
  }
}

TEST_CASE("FP8 keys and values: every code") {
  for (const Ops* ops : tables()) {
    CAPTURE(std::string(ops->name));
    uint8_t codes[256], stored[256];
    float loaded[256];
    for (uint32_t i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>((i & 0x7F) == 0x7F ? i - 1 : i);
    ops->kv_load(KvType::kFp8, reinterpret_cast<const std::byte*>(codes), 256, loaded);
    for (uint32_t i = 0; i < 256; ++i) REQUIRE(double{loaded[i]} == fp8_value(codes[i]));
    ops->kv_store(KvType::kFp8, loaded, 256, reinterpret_cast<std::byte*>(stored));
    REQUIRE(std::memcmp(stored, codes, sizeof codes) == 0);
  }
}

TEST_CASE("keys and values are rounded to the nearest") {
  Random random(6);
  for (int round = 0; round < 400; ++round) {
    std::vector<float> x = random_floats(random, 256, std::ldexp(1.0f, round % 44 - 30));
    if (round % 3 == 0) {  // exactly between two: to even
      for (float& value : x) value = static_cast<float>(nearest(value, 4, -6, 1e30));
    }
    std::vector<double> halves(x.size()), fp8s(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      halves[i] = nearest(x[i], 10, -14, 65504);
      fp8s[i] = nearest(x[i], 3, -6, 448);
    }
    check([&](const Ops& ops) { return stored_and_loaded(ops, KvType::kF16, x); }, halves, 0);
    check([&](const Ops& ops) { return stored_and_loaded(ops, KvType::kFp8, x); }, fp8s, 0);
  }
  // What is too large saturates.
  std::vector<float> odd(32, 1e30f);
  for (size_t i = 0; i < odd.size(); i += 2) odd[i] = -odd[i];
  for (const Ops* ops : tables()) {
    CHECK(stored_and_loaded(*ops, KvType::kF16, odd)[1] == 65504);
    CHECK(stored_and_loaded(*ops, KvType::kFp8, odd)[0] == -448);
  }
}

TEST_CASE("Q8 keys and values") {
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> x = random_floats(random, 128, std::ldexp(1.0f, round % 20 - 10));
    if (round == 0) std::fill(x.begin(), x.end(), 0.0f);
    std::vector<double> expected(x.size());
    for (size_t block = 0; block < x.size(); block += 32) {
      float largest = 0;
      for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::abs(x[block + i]));
      const double scale = nearest(largest / 127.0f, 10, -14, 65504);
      const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
      for (size_t i = 0; i < 32; ++i) {
        expected[block + i] = std::clamp(std::nearbyint(x[block + i] * inverse), -127.0f, 127.0f) * scale;
      }
    }
    check([&](const Ops& ops) { return stored_and_loaded(ops, KvType::kQ8, x); }, expected, 1e-7);
  }
}

TEST_CASE("attention over any number of keys, in one run or more") {
  Random random(8);
  for (const KvType type : {KvType::kF16, KvType::kFp8, KvType::kQ8}) {
    for (const uint32_t n : {32u, 64u, 96u, 256u}) {
      for (const uint32_t count : {1u, 2u, 15u, 16u, 17u, 255u, 256u}) {
        CAPTURE(n);
        CAPTURE(count);
        const uint32_t bytes = kv_bytes(type, n);
        const std::vector<float> query = random_floats(random, n, 4);
        std::vector<std::byte> keys(size_t{count} * bytes), values(keys.size());
        std::vector<std::vector<float>> k(count, std::vector<float>(n)), v = k;
        for (uint32_t i = 0; i < count; ++i) {
          kBaselineOps.kv_store(type, random_floats(random, n, 2).data(), n, keys.data() + size_t{i} * bytes);
          kBaselineOps.kv_store(type, random_floats(random, n, 2).data(), n,
                                values.data() + size_t{i} * bytes);
          kBaselineOps.kv_load(type, keys.data() + size_t{i} * bytes, n, k[i].data());
          kBaselineOps.kv_load(type, values.data() + size_t{i} * bytes, n, v[i].data());
        }
        std::vector<double> scores(count), expected(n);
        double sum = 0;
        for (uint32_t i = 0; i < count; ++i) {
          for (uint32_t j = 0; j < n; ++j) scores[i] += 0.125 * query[j] * k[i][j];
        }
        check(
            [&](const Ops& ops) {
              std::vector<float> out(count);
              ops.attention_scores(type, query.data(), keys.data(), bytes, n, count, 0.125f, out.data());
              return out;
            },
            scores);
        const double maximum = *std::max_element(scores.begin(), scores.end());
        for (uint32_t i = 0; i < count; ++i) {
          sum += std::exp(scores[i] - maximum);
          for (uint32_t j = 0; j < n; ++j) expected[j] += std::exp(scores[i] - maximum) * v[i][j];
        }
        for (double& value : expected) value /= sum;
        for (const uint32_t cut : {0u, count / 2, count - 1}) {
          // Keys before the cut are one run, in two pieces, and those behind it another.
          check(
              [&](const Ops& ops) {
                std::vector<AttentionPartial> partials;
                std::vector<float> outs, weights(count), out(n);
                for (const auto& [begin, end] : {std::pair{0u, cut}, std::pair{cut, count}}) {
                  if (begin == end) continue;
                  AttentionPartial partial{-INFINITY, 0};
                  std::vector<float> run(n);
                  const uint32_t middle = (begin + end) / 2;
                  for (const auto& [from, to] : {std::pair{begin, middle}, std::pair{middle, end}}) {
                    if (from == to) continue;
                    ops.attention_scores(type, query.data(), keys.data() + size_t{from} * bytes, bytes, n,
                                         to - from, 0.125f, weights.data());
                    ops.attention_values(type, weights.data(), values.data() + size_t{from} * bytes, bytes, n,
                                         to - from, &partial, run.data());
                  }
                  partials.push_back(partial);
                  outs.insert(outs.end(), run.begin(), run.end());
                }
                ops.attention_combine(partials.data(), outs.data(), static_cast<uint32_t>(partials.size()), n,
                                      out.data());
                return out;
              },
              expected, 2e-5);
        }
      }
    }
  }
}

TEST_CASE("the likeliest token is the lowest of the largest") {
  Random random(9);
  for (const uint32_t n : {2u, 15u, 16u, 33u, 512u, 1000u}) {
    std::vector<float> logits = random_floats(random, n, 5);
    const uint32_t likeliest = random.below(n);
    logits[likeliest] = 9;
    if (likeliest + 1 < n) logits[likeliest + 1 + random.below(n - likeliest - 1)] = 9;
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double{logit} - 9);
    check(
        [&](const Ops& ops) {
          float probability = 0;
          CHECK(ops.argmax(logits.data(), n, &probability) == static_cast<int32_t>(likeliest));
          return std::vector<float>{probability};
        },
        {1 / sum});
  }
}

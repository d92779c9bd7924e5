#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/delta_net.h"
#include "tests/cuda_host.h"
#include "tests/cuda_memory.h"
#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay;
using namespace inlay::test;

// DeltaNet over a prompt's tokens, in chunks, against the same token by token in double.

namespace {

constexpr uint32_t kKeyHeads = 2, kValueHeads = 6, kLength = 128, kTaps = 4, kLayers = 2, kLayer = 1;
constexpr uint32_t kChannels = (2 * kKeyHeads + kValueHeads) * kLength;
constexpr uint32_t kStride = kChannels + 2 * kValueHeads;
constexpr uint64_t kPosition = 21, kCommitted = 18;  // so that three logged tokens come first
constexpr double kEpsilon = 1e-6;

/// What makes a value head hard: how its state fades, how alike its keys are, how large its values.
struct HeadKind {
  float a, dt_bias, beta;  // the latter two: middles of what the gates see
  float key_offset;        // of its key head's keys and queries
  float value_gain;
};
constexpr HeadKind kHeads[kValueHeads] = {
    {-0.002f, -6.0f, 2.0f, 0.0f, 1.0f},   // fades hardly, learns nearly all
    {-1.0f, -2.0f, 0.0f, 2.0f, 1.0f},     // keys alike
    {-16.0f, 3.0f, 0.0f, 0.0f, 1e5f},     // forgets at once; large values
    {-0.001f, -8.0f, 6.0f, 2.0f, 1e-5f},  // keys alike, nothing forgotten, small values
    {-4.0f, -1.0f, -4.0f, 0.0f, 1.0f},    // learns little
    {-0.5f, 0.0f, 1.0f, 2.0f, 30.0f},
};

std::vector<float> random_floats(Random& random, size_t count, float middle, float spread) {
  std::vector<float> values(count);
  for (float& value : values) value = middle + spread * (random.real() + random.real() + random.real());
  return values;
}

/// A layer of a model and a session's state before a prompt, in the host's memory.
struct Problem {
  uint32_t rows;
  std::vector<float> inputs, conv, dt_bias, a;  // [rows][kStride]: q, k, v, beta, alpha
  std::vector<float> delta, log_conv, log_key, log_value, log_gate;
  std::vector<uint64_t> committed;

  explicit Problem(uint32_t row_count) : rows(row_count) {
    Random random(row_count);
    inputs = random_floats(random, size_t{rows} * kStride, 0.0f, 1.0f);
    conv = random_floats(random, size_t{kTaps} * kChannels, 0.0f, 0.5f);
    delta = random_floats(random, size_t{kLayers} * kValueHeads * kLength * kLength, 0.0f, 0.1f);
    log_conv = random_floats(random, size_t{kLayers} * kLogSlots * kChannels, 0.0f, 1.0f);
    log_key = random_floats(random, size_t{kLayers} * kLogSlots * kKeyHeads * kLength, 0.0f, 0.05f);
    log_value = random_floats(random, size_t{kLayers} * kLogSlots * kValueHeads * kLength, 0.0f, 1.0f);
    log_gate = random_floats(random, size_t{kLayers} * kLogSlots * kValueHeads * 2, 0.5f, 0.1f);
    committed.assign(size_t{kLayers} * kValueHeads * cuda::kDeltaSlices, kCommitted);
    for (uint32_t h = 0; h < kValueHeads; ++h) {
      a.push_back(kHeads[h].a);
      dt_bias.push_back(kHeads[h].dt_bias);
    }
    shape_inputs();
  }

  static uint32_t value_channel(uint32_t head) { return (2 * kKeyHeads + head) * kLength; }
  static uint32_t key_channel(uint32_t head) { return (kKeyHeads + head % kKeyHeads) * kLength; }
  float* logged(std::vector<float>& log, uint64_t position, uint32_t width) {
    return log.data() + (kLayer * kLogSlots + position % kLogSlots) * width;
  }

 private:
  void shape_inputs() {
    for (uint32_t at = 0; at < kTaps * kChannels; ++at) {
      const uint32_t head = at % kChannels / kLength;
      if (head < 2 * kKeyHeads) {
        conv[at] = std::abs(conv[at]);
      } else {
        conv[at] *= kHeads[head - 2 * kKeyHeads].value_gain;
      }
    }
    for (uint32_t row = 0; row < rows; ++row) {
      float* input = inputs.data() + size_t{row} * kStride;
      for (uint32_t i = 0; i < 2 * kKeyHeads * kLength; ++i) {
        input[i] += kHeads[i / kLength % kKeyHeads].key_offset;
      }
      for (uint32_t h = 0; h < kValueHeads; ++h) input[kChannels + h] += kHeads[h].beta;
    }
  }
};

struct Answer {
  std::vector<float> out, state;  // [rows][value length], [value head][value element][key element]
};

/// The token-by-token recurrence in double.
class Reference {
 public:
  explicit Reference(Problem& problem) : p_(problem) {}

  Answer run() {
    Answer answer;
    answer.out.resize(size_t{p_.rows} * kValueHeads * kLength);
    for (uint32_t head = 0; head < kValueHeads; ++head) {
      const float* from = p_.delta.data() + size_t{kLayer * kValueHeads + head} * kLength * kLength;
      state_.assign(from, from + kLength * kLength);
      replay(head);
      for (uint32_t row = 0; row < p_.rows; ++row) {
        step(head, row, answer.out.data() + (size_t{row} * kValueHeads + head) * kLength);
      }
      answer.state.insert(answer.state.end(), state_.begin(), state_.end());
    }
    return answer;
  }

 private:
  void replay(uint32_t head) {
    for (uint64_t position = kCommitted; position < kPosition; ++position) {
      const float* key = p_.logged(p_.log_key, position, kKeyHeads * kLength) + head % kKeyHeads * kLength;
      const float* value = p_.logged(p_.log_value, position, kValueHeads * kLength) + head * kLength;
      const float* gate = p_.logged(p_.log_gate, position, kValueHeads * 2) + head * 2;
      advance({key, key + kLength}, {value, value + kLength}, gate[0], gate[1]);
    }
  }

  void step(uint32_t head, uint32_t row, float* out) {
    const float* inputs = p_.inputs.data() + size_t{row} * kStride;
    const double x = double{inputs[kChannels + kValueHeads + head]} + p_.dt_bias[head];
    const double decay = std::exp(std::log1p(std::exp(x)) * p_.a[head]);
    const double beta = 1 / (1 + std::exp(-double{inputs[kChannels + head]}));
    advance(normalised(Problem::key_channel(head), row), convolved(Problem::value_channel(head), row), decay,
            beta);
    const std::vector<double> query = normalised(head % kKeyHeads * kLength, row);
    for (uint32_t column = 0; column < kLength; ++column) {
      out[column] = static_cast<float>(dot(column, query) / std::sqrt(double{kLength}));
    }
  }

  std::vector<double> convolved(uint32_t channel, uint32_t row) {
    std::vector<double> values(kLength);
    for (uint32_t i = 0; i < kLength; ++i) {
      double sum = 0;
      for (uint32_t tap = 0; tap < kTaps; ++tap) {
        const int64_t at = int64_t{row} + tap - (kTaps - 1);
        const float* inputs = at < 0
                                  ? p_.logged(p_.log_conv, kPosition + static_cast<uint64_t>(at), kChannels)
                                  : p_.inputs.data() + static_cast<size_t>(at) * kStride;
        sum += double{inputs[channel + i]} * p_.conv[tap * kChannels + channel + i];
      }
      values[i] = sum / (1 + std::exp(-sum));
    }
    return values;
  }

  std::vector<double> normalised(uint32_t channel, uint32_t row) {
    std::vector<double> values = convolved(channel, row);
    double square = kEpsilon;
    for (const double value : values) square += value * value;
    for (double& value : values) value /= std::sqrt(square);
    return values;
  }

  double dot(uint32_t column, const std::vector<double>& key) const {
    double sum = 0;
    for (uint32_t i = 0; i < kLength; ++i) sum += state_[column * kLength + i] * key[i];
    return sum;
  }

  void advance(const std::vector<double>& key, const std::vector<double>& value, double decay, double beta) {
    for (double& element : state_) element *= decay;
    for (uint32_t column = 0; column < kLength; ++column) {
      const double d = beta * (value[column] - dot(column, key));
      for (uint32_t i = 0; i < kLength; ++i) state_[column * kLength + i] += key[i] * d;
    }
  }

  Problem& p_;
  std::vector<double> state_;
};

/// The same on the device, where a block may have `shared_bytes` of shared memory.
Answer run_on_device(const Problem& p, uint32_t shared_bytes) {
  using cuda::DeltaNetWide;
  const DeviceCopy<float> inputs(p.inputs), conv(p.conv), dt_bias(p.dt_bias), decays(p.a), delta(p.delta),
      log_conv(p.log_conv), log_key(p.log_key), log_value(p.log_value), log_gate(p.log_gate);
  const DeviceCopy<uint64_t> committed(p.committed);
  const uint32_t rows = p.rows, chunks = DeltaNetWide::chunks(rows);
  const DeviceCopy<float> out(std::vector<float>(size_t{rows} * kValueHeads * kLength));
  const DeviceCopy<__half> keys(
      std::vector<__half>(size_t{chunks} * DeltaNetWide::kChunk * 2 * kKeyHeads * kLength));
  const DeviceCopy<float> values(
      std::vector<float>(size_t{chunks} * DeltaNetWide::kChunk * kValueHeads * kLength)),
      peaks(std::vector<float>(size_t{DeltaNetWide::groups(rows)} * kValueHeads)),
      chunk_gates(std::vector<float>(size_t{chunks} * kValueHeads * 3 * DeltaNetWide::kChunk)),
      undo(std::vector<float>(p.delta.size())),
      tail(std::vector<float>(size_t{kLayers} * DeltaNetWide::kTail * kChannels));
  const DeviceCopy<float2> gates(std::vector<float2>(size_t{rows} * kValueHeads));
  const DeviceCopy<std::byte> products(
      std::vector<std::byte>(size_t{chunks} * kValueHeads * DeltaNetWide::kProductBytes));
  cuda::DeltaNetArguments a;
  a.state = {nullptr,        nullptr,       delta.get(),     committed.get(),
             log_conv.get(), log_key.get(), log_value.get(), log_gate.get()};
  a.position = kPosition;
  a.qkv = inputs.get();
  a.beta = inputs.get() + kChannels;
  a.alpha = a.beta + kValueHeads;
  a.qkv_stride = a.gate_stride = kStride;
  a.conv = conv.get(), a.dt_bias = dt_bias.get(), a.a = decays.get();
  a.out = out.get();
  a.key_heads = kKeyHeads, a.value_heads = kValueHeads;
  a.layer = kLayer;
  a.epsilon = static_cast<float>(kEpsilon);
  const DeltaNetWide wide = {keys.get(),     values.get(),      peaks.get(), gates.get(),
                             products.get(), chunk_gates.get(), undo.get(),  tail.get()};
  cuda::Queue queue;
  cuda::launch_delta_net_wide(queue, a, wide, rows, shared_bytes);
  REQUIRE(queue.error == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  const size_t layer = size_t{kValueHeads} * kLength * kLength;
  const std::vector<float> before = undo.read(), after = delta.read();
  CHECK(std::equal(before.begin() + layer, before.end(), p.delta.begin() + layer));
  CHECK(std::equal(after.begin(), after.begin() + layer, p.delta.begin()));
  return {out.read(), {after.begin() + layer, after.end()}};
}

/// The elements of one value head.
std::vector<float> of_head(const std::vector<float>& all, uint32_t head, size_t group) {
  std::vector<float> part;
  for (size_t at = head * group; at < all.size(); at += kValueHeads * group) {
    part.insert(part.end(), all.begin() + at, all.begin() + at + group);
  }
  return part;
}

}  // namespace

TEST_CASE("cuda: DeltaNet in chunks is the recurrence token by token") {
  INLAY_CUDA_ONLY();
  for (const uint32_t rows : {1u, 2u, 15u, 63u, 64u, 65u, 200u, 2048u}) {
    CAPTURE(rows);
    Problem problem(rows);
    const Answer exact = Reference(problem).run();
    const Answer chunked = run_on_device(problem, 227 * 1024);
    double worst_out = 0, worst_state = 0;
    for (uint32_t head = 0; head < kValueHeads; ++head) {
      CAPTURE(head);
      const double of_out = nmse(of_head(chunked.out, head, kLength), of_head(exact.out, head, kLength));
      const double of_state = nmse(of_head(chunked.state, head, kLength * kLength),
                                   of_head(exact.state, head, kLength * kLength));
      CHECK(of_out < 1e-6);
      CHECK(of_state < 1e-6);
      worst_out = std::max(worst_out, of_out);
      worst_state = std::max(worst_state, of_state);
    }
    MESSAGE(rows, " rows: NMSE of a head's outputs up to ", worst_out, ", of its state up to ", worst_state);
    const Answer again = run_on_device(problem, 99 * 1024);
    CHECK(again.out == chunked.out);
    CHECK(again.state == chunked.state);
  }
}

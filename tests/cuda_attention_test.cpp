#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "kernels/cuda/attention.h"
#include "tests/cuda_host.h"
#include "tests/cuda_memory.h"
#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay;
using namespace inlay::test;

// A prompt's attention as no small model's prompt meets it.

namespace {

/// Attention of one prompt's pass: rows from `position` on over random pages.
class PromptAttention {
 public:
  PromptAttention(uint32_t rows, uint64_t position, uint32_t length, KvType type, uint32_t pages)
      : rows_(rows),
        out_count_(size_t{rows} * kHeads * length),
        kv_{1, kKvHeads, length, type},
        pages_(random_bytes(pages * kv_.page_bytes())),
        table_(turned_round(pages)),
        query_(random_halves(2, out_count_)),
        gate_(random_floats(3, 2 * out_count_)),
        sums_(std::vector<float>(out_count_)),
        running_(std::vector<float2>(size_t{rows} * kHeads * cuda::RunningAttention::kLanes)) {
    a_.state.kv = pages_.get();
    a_.state.page_table = table_.get();
    a_.position = position;
    a_.query_gate = gate_.get();
    a_.query_stride = kHeads * 2 * length;
    a_.query = query_.get();
    a_.pages = pages;
    a_.heads = kHeads;
    a_.kv = kv_;
  }

  std::vector<float> attend(const std::vector<cuda::AttentionRange>& ranges,
                            uint32_t shared_bytes = 227 * 1024) const {
    const DeviceCopy<__half> out{std::vector<__half>(out_count_)};
    cuda::Queue queue;
    for (const cuda::AttentionRange& range : ranges) {
      cuda::launch_attention_wide(queue, a_, out.get(), {sums_.get(), running_.get()}, range, rows_,
                                  shared_bytes);
    }
    REQUIRE(queue.error == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    std::vector<float> floats;
    for (const __half x : out.read()) floats.push_back(__half2float(x));
    CHECK(floats != std::vector<float>(floats.size()));
    return floats;
  }

 private:
  static constexpr uint32_t kHeads = 4, kKvHeads = 2;

  /// Pages of F16 numbers of moderate size, which in every other type are numbers as well.
  static std::vector<std::byte> random_bytes(size_t count) {
    const std::vector<__half> halves = random_halves(1, count / 2);
    std::vector<std::byte> bytes(count);
    std::memcpy(bytes.data(), halves.data(), count / 2 * sizeof(__half));
    return bytes;
  }
  static std::vector<float> random_floats(uint64_t seed, size_t count) {
    Random random(seed);
    std::vector<float> values(count);
    for (float& value : values) value = random.real();
    return values;
  }
  static std::vector<uint32_t> turned_round(uint32_t pages) {
    std::vector<uint32_t> table(pages);
    for (uint32_t i = 0; i < pages; ++i) table[i] = pages - 1 - i;
    return table;
  }

  uint32_t rows_;
  size_t out_count_;
  cuda::KvLayout kv_;
  DeviceCopy<std::byte> pages_;
  DeviceCopy<uint32_t> table_;
  DeviceCopy<__half> query_;
  DeviceCopy<float> gate_;
  DeviceCopy<float> sums_;
  DeviceCopy<float2> running_;
  cuda::AttentionArguments a_;
};

}  // namespace

TEST_CASE("cuda: attention of a prompt where a block has 99 KB of shared memory") {
  INLAY_CUDA_ONLY();
  const PromptAttention attention(150, 400, 256, KvType::kF16, 3);
  CHECK(nmse(attention.attend({{{0, 150}}}, 99 * 1024), attention.attend({{{0, 150}}})) < 1e-6);
}

TEST_CASE("cuda: attention of a prompt has the same bits in however many ranges its rows and keys come") {
  INLAY_CUDA_ONLY();
  constexpr uint64_t kKeys = cuda::WideSlices::kKeysOfPart;
  constexpr uint32_t kRows = 300, kHalfRows = 128;
  // The first block of rows has all of its keys in the first range, the others a few in the second.
  constexpr uint64_t kPosition = kKeys - kHalfRows;
  const struct {
    uint32_t length;
    KvType type;
    uint32_t shared_bytes;
  } kinds[] = {
      {64, KvType::kF16, 227 * 1024}, {256, KvType::kF16, 227 * 1024}, {256, KvType::kQ8, 99 * 1024}};
  for (const auto& kind : kinds) {
    CAPTURE(kind.length);
    CAPTURE(static_cast<int>(kind.type));
    const PromptAttention attention(kRows, kPosition, kind.length, kind.type,
                                    (kPosition + kRows + kPageTokens - 1) / kPageTokens);
    const std::vector<float> whole = attention.attend({{{0, kRows}}}, kind.shared_bytes);
    CHECK(attention.attend({{{0, kRows}, 0, kKeys}, {{0, kRows}, kKeys, 2 * kKeys}}, kind.shared_bytes) ==
          whole);
    CHECK(attention.attend({{{0, kHalfRows}, 0, kKeys},
                            {{kHalfRows, kRows}, 0, kKeys},
                            {{kHalfRows, kRows}, kKeys, 2 * kKeys}},
                           kind.shared_bytes) == whole);
  }
}

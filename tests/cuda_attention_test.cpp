#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda/attention.h"
#include "tests/cuda_host.h"
#include "tests/cuda_memory.h"
#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay;
using namespace inlay::test;

// Kernels of attention that only other devices than this one choose.

namespace {

std::vector<__half> random_halves(uint64_t seed, size_t count) {
  Random random(seed);
  std::vector<__half> values(count);
  for (__half& value : values) value = __float2half(random.real());
  return values;
}

}  // namespace

TEST_CASE("cuda: attention of a prompt where a block has 99 KB of shared memory") {
  INLAY_CUDA_ONLY();
  constexpr uint32_t kHeads = 4, kKvHeads = 2, kLength = 256, kRows = 150, kPages = 3;
  constexpr uint64_t kPosition = 400;
  const cuda::KvLayout kv{1, kKvHeads, kLength, KvType::kF16};
  const DeviceCopy<__half> pages(random_halves(1, kPages * kv.page_bytes() / 2));
  const DeviceCopy<uint32_t> table({2, 0, 1});
  const DeviceCopy<__half> query(random_halves(2, size_t{kRows} * kHeads * kLength));
  Random random(3);
  std::vector<float> gates(size_t{kRows} * kHeads * 2 * kLength);
  for (float& gate : gates) gate = random.real();
  const DeviceCopy<float> gate(gates);
  cuda::AttentionArguments a;
  a.state.kv = reinterpret_cast<std::byte*>(pages.get());
  a.state.page_table = table.get();
  a.position = kPosition;
  a.query_gate = gate.get();
  a.query_stride = kHeads * 2 * kLength;
  a.query = query.get();
  a.pages = kPages;
  a.heads = kHeads;
  a.kv = kv;
  std::vector<std::vector<float>> results;
  for (const uint32_t shared_bytes : {227u * 1024, 99u * 1024}) {
    const DeviceCopy<__half> out(std::vector<__half>(size_t{kRows} * kHeads * kLength));
    cuda::Queue queue;
    cuda::launch_attention_wide(queue, a, out.get(), kRows, shared_bytes);
    REQUIRE(queue.error == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    std::vector<float> floats;
    for (const __half x : out.read()) floats.push_back(__half2float(x));
    results.push_back(floats);
  }
  CHECK(results[0] != std::vector<float>(results[0].size()));
  CHECK(nmse(results[1], results[0]) < 1e-6);
}

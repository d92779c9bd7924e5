#include "kernels/cuda/wide_slices.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <vector>

using namespace inlay;
using namespace inlay::cuda;

// How a prompt's pass is cut on a CUDA device: arithmetic that needs no device.

namespace {

ModelShape shape_27b() {
  ModelShape shape;
  shape.layers = 64;
  shape.embedding = 5120;
  shape.feed_forward = 17408;
  shape.vocabulary = 248320;
  shape.heads = 24;
  shape.kv_heads = 4;
  shape.head_length = 256;
  shape.key_heads = 16;
  shape.value_heads = 48;
  shape.state_length = 128;
  return shape;
}

constexpr uint32_t kMultiprocessors = 132;

/// Rows and keys that attention's parts of one layer have met, part by part.
void check_attention(const WideSlices& slices, uint32_t parts, uint32_t rows, uint64_t position,
                     const ModelShape& shape) {
  RowRange now{0, 0};
  uint64_t keys = 0;  // that the rows of `now` have met
  for (uint32_t part = 0; part < parts; ++part) {
    const AttentionRange range = slices.attention(part);
    if (range.first_key == 0) {
      CHECK(keys >= (part == 0 ? 0 : position + now.end));
      CHECK(range.rows.begin == now.end);
      CHECK(range.rows.begin % WideSlices::kQueriesOfBlock == 0);
      now = range.rows;
      const uint32_t blocks =
          (now.count() + WideSlices::kQueriesOfBlock - 1) / WideSlices::kQueriesOfBlock * shape.heads;
      CHECK(blocks <= std::max(kMultiprocessors, shape.heads));
    } else {
      CHECK(range.first_key == keys);
      CHECK(range.first_key < position + now.end);
      CHECK(range.rows.begin == now.begin);
      CHECK(range.rows.end == now.end);
    }
    CHECK(range.end_key - range.first_key == WideSlices::kKeysOfPart);
    keys = range.end_key;
  }
  CHECK(now.end == rows);
  CHECK(keys >= position + rows);
}

void check_slices(const ModelShape& shape, bool mtp, uint32_t rows, uint64_t position) {
  CAPTURE(rows);
  CAPTURE(position);
  const WideSlices slices(shape, mtp, rows, position, kMultiprocessors);
  std::array<uint64_t, WideSlices::kKinds> counts{}, expected{};
  slices.count_kinds(counts);
  for (uint32_t i = 0; i < slices.count(); ++i) ++expected[slices.kind_of(slices.at(i))];
  CHECK(counts == expected);
  std::vector<WideSlice> operations;
  for (uint32_t i = 0; i < slices.count();) {
    const WideSlice first = slices.at(i);
    operations.push_back(first);
    REQUIRE(first.part == 0);
    REQUIRE(first.parts > 0);
    uint32_t done = 0;
    for (uint32_t part = 0; part < first.parts; ++part, ++i) {
      const WideSlice at = slices.at(i);
      REQUIRE(at.op == first.op);
      REQUIRE(at.layer == first.layer);
      REQUIRE(at.part == part);
      if (at.op == WideOp::kAttention) continue;
      const RowRange range = slices.rows(at, 1);
      CHECK(range.begin == done);
      CHECK(range.end > range.begin);
      CHECK(range.begin % WideSlices::kRowsOfTile == 0);
      done = range.end;
    }
    if (first.op == WideOp::kAttention) {
      check_attention(slices, first.parts, rows, position, shape);
    } else {
      CHECK(done == rows);
      CHECK(slices.rows(first, first.parts).end == rows);
    }
  }
  uint32_t layers = 0;
  for (uint32_t i = 0; i < slices.count(); i = slices.end_of_layer(i), ++layers) {
    REQUIRE(slices.end_of_layer(i) > i);
    CHECK(slices.at(std::max(i, 1u)).layer == layers % shape.layers);
    CHECK(slices.at(i).part == 0);
  }
  CHECK(layers == shape.layers + 1);
  REQUIRE(operations.size() == 1 + 5 * shape.layers + 1 + (mtp ? 2 : 0));
  CHECK(operations.front().op == WideOp::kEmbed);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const WideSlice* of_layer = &operations[1 + 5 * layer];
    for (uint32_t i = 0; i < 5; ++i) CHECK(of_layer[i].layer == layer);
    CHECK(of_layer[1].op == (shape.is_attention(layer) ? WideOp::kAttention : WideOp::kDeltaNet));
    CHECK(of_layer[4].op == WideOp::kDown);
  }
  CHECK(operations[1 + 5 * shape.layers].op == WideOp::kHead);
}

}  // namespace

TEST_CASE("a prompt's slices are every operation of every layer, each row and key once") {
  ModelShape shape = shape_27b();
  for (const uint32_t rows : {1u, 127u, 128u, 300u, 4095u, 4096u, 65536u}) {
    for (const uint64_t position : {uint64_t{0}, uint64_t{8191}, uint64_t{8192}, uint64_t{196608}}) {
      check_slices(shape, rows % 2 == 0, rows, position);
    }
  }
  shape.layers = 7;  // the last group has no attention
  check_slices(shape, true, 4096, 5000);
  shape.attention_interval = 1;
  check_slices(shape, true, 4096, 5000);
}

TEST_CASE("a product's parts have a bounded amount of work, however many rows there are") {
  const ModelShape shape = shape_27b();
  const uint64_t outputs = 2 * uint64_t{shape.feed_forward};
  for (const uint32_t rows : {256u, 4096u, 65536u}) {
    const WideSlices slices(shape, false, rows, 0, kMultiprocessors);
    for (uint32_t i = 0; i < slices.count(); ++i) {
      const WideSlice at = slices.at(i);
      if (at.op != WideOp::kGateUp) continue;
      const uint64_t work = 2 * slices.rows(at, 1).count() * outputs * shape.embedding;
      CHECK(work <= WideSlices::kWorkOfPart * kMultiprocessors);
    }
  }
}

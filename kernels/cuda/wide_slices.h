#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "kernels/model_weights.h"

// How a wide pass is cut into slices: into its operations, and those into parts of so many rows that a slice
// takes some hundred microseconds, however long the prompt and deep the context are. Attention is cut by keys
// as well. No cut changes a bit.

namespace inlay::cuda {

/// Operations of a wide pass. Each product goes with what makes its input and dequantises its weights, which
/// is done with the first part.
enum class WideOp : uint8_t {
  kEmbed,
  kDeltaNetIn,
  kDeltaNet,
  kDeltaNetOut,
  kAttentionIn,
  kAttention,
  kAttentionOut,
  kGateUp,
  kDown,
  kHead,
  kMtpIn,
  kMtpKv,
};
inline constexpr uint32_t kWideOps = 12;

struct RowRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t count() const { return end - begin; }
};

/// Queries and the keys that they meet; of a range that does not begin with key 0, the rows' sums so far are
/// in the scratch.
struct AttentionRange {
  RowRange rows;
  uint64_t first_key = 0;
  uint64_t end_key = UINT64_MAX;
};

/// A slice: part `part` of the operation's `parts`.
struct WideSlice {
  WideOp op = WideOp::kEmbed;
  uint32_t layer = 0;
  uint32_t part = 0;
  uint32_t parts = 1;
};

/// The slices of one pass: embed, each layer's, the head, and, where the session has the MTP head, its KV.
class WideSlices {
 public:
  /// Rows of a block of the attention kernel, and those that a tile of a product has at most.
  static constexpr uint32_t kQueriesOfBlock = 128;
  static constexpr uint32_t kRowsOfTile = 256;
  static constexpr uint64_t kKeysOfPart = 8192;
  /// Of a product, for each multiprocessor: 0.3 ms on an H200.
  static constexpr uint64_t kWorkOfPart = 1'500'000'000;

  WideSlices(const ModelShape& shape, bool mtp, uint32_t rows, uint64_t position, uint32_t multiprocessors)
      : shape_(&shape), mtp_(mtp), rows_(rows), position_(position) {
    const uint64_t embedding = shape.embedding;
    rows_of_part_.fill(rows);
    const auto cut = [&](WideOp op, uint64_t outputs, uint64_t columns) {
      const uint64_t fit = kWorkOfPart * multiprocessors / (2 * outputs * columns) / kRowsOfTile;
      rows_of_part_[index(op)] =
          static_cast<uint32_t>(std::clamp<uint64_t>(fit, 1, UINT16_MAX) * kRowsOfTile);
    };
    cut(WideOp::kDeltaNetIn, shape.conv_channels() + shape.value_length() + 2 * shape.value_heads, embedding);
    cut(WideOp::kDeltaNetOut, embedding, shape.value_length());
    cut(WideOp::kAttentionIn, 2 * (shape.query_length() + shape.kv_length()), embedding);
    cut(WideOp::kAttentionOut, embedding, shape.query_length());
    cut(WideOp::kGateUp, 2 * uint64_t{shape.feed_forward}, embedding);
    cut(WideOp::kDown, embedding, shape.feed_forward);
    cut(WideOp::kMtpIn, embedding, 2 * embedding);
    // One block a multiprocessor.
    rows_of_part_[index(WideOp::kAttention)] =
        std::max(1u, multiprocessors / std::max(1u, shape.heads)) * kQueriesOfBlock;
    attention_parts_ = 0;
    for (uint32_t row = 0; row < rows; row += rows_of_part(WideOp::kAttention)) attention_parts_ += runs(row);
    feed_forward_ = parts(WideOp::kGateUp) + parts(WideOp::kDown);
    delta_net_layer_ = parts(WideOp::kDeltaNetIn) + 1 + parts(WideOp::kDeltaNetOut) + feed_forward_;
    attention_layer_ =
        parts(WideOp::kAttentionIn) + attention_parts_ + parts(WideOp::kAttentionOut) + feed_forward_;
    layers_ = shape.delta_net_layers() * delta_net_layer_ + shape.attention_layers() * attention_layer_;
    count_ = 1 + layers_ + 1 + (mtp ? parts(WideOp::kMtpIn) + 1 : 0);
  }

  uint32_t count() const { return count_; }

  WideSlice at(uint32_t slice) const {
    if (slice == 0) return {WideOp::kEmbed};
    if (slice > layers_) {
      const uint32_t rest = slice - 1 - layers_, ins = parts(WideOp::kMtpIn);
      if (rest == 0) return {WideOp::kHead};
      return rest <= ins ? WideSlice{WideOp::kMtpIn, 0, rest - 1, ins} : WideSlice{WideOp::kMtpKv};
    }
    const LayerSlices of_layer = layer_of(slice);
    const uint32_t layer = of_layer.layer;
    uint32_t rest = slice - of_layer.begin;
    constexpr WideOp kDeltaNet[] = {WideOp::kDeltaNetIn, WideOp::kDeltaNet, WideOp::kDeltaNetOut,
                                    WideOp::kGateUp, WideOp::kDown};
    constexpr WideOp kAttention[] = {WideOp::kAttentionIn, WideOp::kAttention, WideOp::kAttentionOut,
                                     WideOp::kGateUp, WideOp::kDown};
    for (const WideOp op : shape_->is_attention(layer) ? kAttention : kDeltaNet) {
      if (rest < parts(op)) return {op, layer, rest, parts(op)};
      rest -= parts(op);
    }
    return {};  // not reached
  }

  /// The end of the layer that the slice is of; embed goes with the first layer, and what comes after the
  /// last one together.
  uint32_t end_of_layer(uint32_t slice) const {
    return slice > layers_ ? count_ : layer_of(std::max(slice, 1u)).end;
  }

  /// The rows of `count` parts from the slice's on; not of kAttention.
  RowRange rows(const WideSlice& at, uint32_t count) const {
    const uint32_t each = rows_of_part(at.op);
    return {at.part * each, std::min(rows_, (at.part + count) * each)};
  }

  /// What a part of kAttention works on.
  AttentionRange attention(uint32_t part) const {
    uint32_t row = 0;
    while (part >= runs(row)) {
      part -= runs(row);
      row += rows_of_part(WideOp::kAttention);
    }
    const uint32_t end = std::min(rows_, row + rows_of_part(WideOp::kAttention));
    return {{row, end}, part * kKeysOfPart, (part + 1) * kKeysOfPart};
  }

  /// Slices of one kind take about the same time: those of an operation and class of rows. A class has at
  /// most twice the rows of the one before it.
  static constexpr uint32_t kClasses = 8;
  static constexpr uint32_t kKinds = kWideOps * kClasses;
  uint32_t kind_of(const WideSlice& at) const { return index(at.op) * kClasses + class_of(at); }

  /// Adds how many slices of each kind there are.
  void count_kinds(std::span<uint64_t, kKinds> counts) const {
    const auto add = [&](WideOp op, uint64_t times) {
      const uint32_t all = parts(op);
      for (uint32_t part = 0; part < all && times > 0; ++part) counts[kind_of({op, 0, part, all})] += times;
    };
    const uint32_t delta_net = shape_->delta_net_layers(), attention = shape_->attention_layers();
    for (const WideOp op : {WideOp::kDeltaNetIn, WideOp::kDeltaNet, WideOp::kDeltaNetOut}) add(op, delta_net);
    for (const WideOp op : {WideOp::kAttentionIn, WideOp::kAttention, WideOp::kAttentionOut})
      add(op, attention);
    for (const WideOp op : {WideOp::kGateUp, WideOp::kDown}) add(op, shape_->layers);
    for (const WideOp op : {WideOp::kEmbed, WideOp::kHead}) add(op, 1);
    for (const WideOp op : {WideOp::kMtpIn, WideOp::kMtpKv}) add(op, mtp_ ? 1 : 0);
  }

 private:
  struct LayerSlices {
    uint32_t layer;
    uint32_t begin;
    uint32_t end;
  };
  /// Of each group of layers the last is attention.
  LayerSlices layer_of(uint32_t slice) const {
    const uint32_t before = shape_->attention_interval - 1;
    const uint32_t group = before * delta_net_layer_ + attention_layer_, groups = (slice - 1) / group;
    const uint32_t in_group = std::min((slice - 1) % group / delta_net_layer_, before);
    const uint32_t begin = 1 + groups * group + in_group * delta_net_layer_;
    return {groups * shape_->attention_interval + in_group, begin,
            begin + (in_group == before ? attention_layer_ : delta_net_layer_)};
  }

  static constexpr uint32_t index(WideOp op) { return static_cast<uint32_t>(op); }
  uint32_t class_of(const WideSlice& at) const {
    uint32_t count = rows_;
    if (at.op == WideOp::kAttention) {
      count = attention(at.part).rows.count();
    } else if (at.parts > 1) {
      count = rows(at, 1).count();
    }
    return std::min(static_cast<uint32_t>(std::bit_width((count - 1) / kRowsOfTile)), kClasses - 1);
  }

  uint32_t rows_of_part(WideOp op) const { return rows_of_part_[index(op)]; }
  uint32_t parts(WideOp op) const {
    if (op == WideOp::kAttention) return attention_parts_;
    return (rows_ + rows_of_part(op) - 1) / rows_of_part(op);
  }
  /// Runs of keys that the part's rows from `row` on meet.
  uint32_t runs(uint32_t row) const {
    const uint64_t keys = position_ + std::min(rows_, row + rows_of_part(WideOp::kAttention));
    return static_cast<uint32_t>((keys + kKeysOfPart - 1) / kKeysOfPart);
  }

  const ModelShape* shape_;
  bool mtp_;
  uint32_t rows_;
  uint64_t position_;
  std::array<uint32_t, kWideOps> rows_of_part_{};
  uint32_t attention_parts_ = 0;
  uint32_t feed_forward_ = 0;  // slices
  uint32_t delta_net_layer_ = 0;
  uint32_t attention_layer_ = 0;
  uint32_t layers_ = 0;
  uint32_t count_ = 0;
};

}  // namespace inlay::cuda

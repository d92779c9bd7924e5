#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/device.h"

// What changes from one narrow pass to the next. Kernels are recorded into graphs once; they find this in
// device memory, where the first node of every pass copies it.

namespace inlay::cuda {

inline constexpr uint32_t kMaxRows = 16;  // of all segments of a narrow pass
inline constexpr uint32_t kMaxSegments = kMaxRows;
inline constexpr uint32_t kDeltaSlices = 4;  // of the value columns of a DeltaNet head, a block each

/// A session's state in device memory.
struct StateView {
  std::byte* kv = nullptr;               // [page][layer][K, V][kv head] slabs; see KvLayout
  const uint32_t* page_table = nullptr;  // [pages]
  float* delta = nullptr;                // [layer][value head][value column][key element]
  uint64_t* committed =
      nullptr;  // [layer][value head][kDeltaSlices]: tokens that this part of `delta` stands for
  float* log_conv = nullptr;   // [layer][kLogSlots][conv channels]: inputs of the convolution
  float* log_key = nullptr;    // [layer][kLogSlots][key length]: normalised
  float* log_value = nullptr;  // [layer][kLogSlots][value length]
  float* log_gate = nullptr;   // [layer][kLogSlots][value heads][2]: decay, beta
};

struct SegmentParams {
  StateView state;
  uint64_t position = 0;  // of the first row
  uint32_t row_begin = 0;
  uint32_t rows = 0;
  const float* hidden_in = nullptr;  // [rows or 1][embedding]; row 0 belongs to position - 1
  float* hidden_out = nullptr;       // [rows + 1][embedding]; null where the pass turns no hidden
};

struct PassParams {
  uint32_t rows = 0;
  uint32_t segments = 0;
  uint32_t draft_step = 0;  // of a chain of drafts
  uint32_t reserved = 0;
  int32_t tokens[kMaxRows] = {};
  uint32_t row_segment[kMaxRows] = {};
  uint64_t row_position[kMaxRows] = {};
  SegmentParams segment[kMaxSegments];
};

/// Where keys and values lie: of a page and layer, for K and then V, a slab a kv head. A slab is kPageTokens
/// rows of head_length elements; for Q8 the rows of int8 are followed by rows of F16 scales, one for
/// every 32.
struct KvLayout {
  uint32_t layers = 0;  // attention layers, the MTP head's last
  uint32_t kv_heads = 0;
  uint32_t head_length = 0;
  KvType type = KvType::kF16;

  constexpr uint64_t slab_bytes() const {
    const uint64_t elements = uint64_t{kPageTokens} * head_length;
    if (type == KvType::kF16) return elements * 2;
    return type == KvType::kFp8 ? elements : elements + elements / 32 * 2;
  }
  constexpr uint64_t page_bytes() const { return slab_bytes() * kv_heads * 2 * layers; }
  constexpr uint64_t slab_offset(uint64_t page, uint32_t layer, uint32_t value, uint32_t head) const {
    return page * page_bytes() + ((uint64_t{layer} * 2 + value) * kv_heads + head) * slab_bytes();
  }
};

}  // namespace inlay::cuda

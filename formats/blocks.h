#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "formats/small_floats.h"
#include "formats/tensor_type.h"

// The bytes of a block of each quantised type, as a GGUF file stores them. All members are bytes, so a block
// may lie at any address. In every comment q is the stored code and w the weight that it stands for.

namespace inlay {

/// A little-endian binary16 at any address.
struct StoredHalf {
  uint8_t bytes[2];
  constexpr uint16_t bits() const { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }
  float value() const { return half_to_float(bits()); }
};

/// 32 weights: w = d (q - 8). The low nibbles are weights 0..15, the high ones 16..31.
struct BlockQ4_0 {
  StoredHalf d;
  uint8_t qs[16];
};

/// 32 weights: w = d q + m.
struct BlockQ4_1 {
  StoredHalf d;
  StoredHalf m;
  uint8_t qs[16];
};

/// 32 weights: w = d (q - 16). Bit i of `qh` is the fifth bit of weight i.
struct BlockQ5_0 {
  StoredHalf d;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// 32 weights: w = d q + m.
struct BlockQ5_1 {
  StoredHalf d;
  StoredHalf m;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// 32 weights: w = d q.
struct BlockQ8_0 {
  StoredHalf d;
  int8_t qs[32];
};

/// 256 weights in groups of 16: w = d s q - dmin m. A byte of `scales` holds s low and m high. Byte i of each
/// 32 of `qs` holds the weights i, 32 + i, 64 + i and 96 + i of its half of the block, two bits each.
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  StoredHalf d;
  StoredHalf dmin;
};

/// 256 weights in groups of 16: w = d (s - 32) (q - 4). `qs` as in Q2_K; bit j of `hmask`'s byte i is the
/// third bit of weight 32 j + i. `scales`: 16 low nibbles in 8 bytes, then 16 upper bit pairs in 4.
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  StoredHalf d;
};

/// 256 weights in groups of 32: w = d s q - dmin m. Each 32 bytes of `qs` hold two groups, low and high
/// nibbles. `scales` packs eight six-bit s and eight six-bit m.
struct BlockQ4_K {
  StoredHalf d;
  StoredHalf dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

/// As Q4_K; bit j of `qh`'s byte i is the fifth bit of weight 32 j + i.
struct BlockQ5_K {
  StoredHalf d;
  StoredHalf dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

/// 256 weights in groups of 16: w = d s (q - 32). In each half of the block, weights 32 j + i (j < 4, i < 32)
/// take their low nibble from byte 32 (j % 2) + i of 64 bytes of `ql`, their upper bits from bit pair j of
/// byte i of 32 bytes of `qh`.
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  StoredHalf d;
};

/// 32 weights: w = d table[q]; nibbles as in Q4_0.
struct BlockIQ4_NL {
  StoredHalf d;
  uint8_t qs[16];
};

/// 256 weights in groups of 32: w = d (s - 32) table[q]; each 16 bytes of `qs` are a group, nibbles as in
/// Q4_0. s takes four bits from a nibble of `scales_l` and two from `scales_h`.
struct BlockIQ4_XS {
  StoredHalf d;
  uint8_t scales_h[2];
  uint8_t scales_l[4];
  uint8_t qs[128];
};

/// 32 weights: w = 2^(e - 127) e2m1(q) (OCP Microscaling 1.0); nibbles as in Q4_0.
struct BlockMXFP4 {
  uint8_t e;
  uint8_t qs[16];
};

/// 64 weights in groups of 16: w = e4m3(d) e2m1(q). Each 8 bytes of `qs` are a group: low nibbles its weights
/// 0..7, high nibbles 8..15.
struct BlockNVFP4 {
  uint8_t d[4];
  uint8_t qs[32];
};

/// 128 weights: w = d e4m3(q). Of packages alone: a block of a row of FP8 checkpoints, whose scale, one of
/// 128 x 128 weights or one of the row, is repeated.
struct BlockFP8 {
  uint8_t d[4];  // a little-endian binary32
  uint8_t qs[128];

  float scale() const {
    return std::bit_cast<float>(static_cast<uint32_t>(d[0]) | static_cast<uint32_t>(d[1]) << 8 |
                                static_cast<uint32_t>(d[2]) << 16 | static_cast<uint32_t>(d[3]) << 24);
  }
};
static_assert(sizeof(BlockFP8) == traits(TensorType::FP8).block_bytes && alignof(BlockFP8) == 1);

#define INLAY_FOR_EACH_BLOCK_TYPE(X) \
  X(Q4_0)                            \
  X(Q4_1)                            \
  X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_NL) X(IQ4_XS) X(MXFP4) X(NVFP4)

#define INLAY_CHECK_BLOCK(name) \
  static_assert(sizeof(Block##name) == traits(TensorType::name).block_bytes && alignof(Block##name) == 1);
INLAY_FOR_EACH_BLOCK_TYPE(INLAY_CHECK_BLOCK)
#undef INLAY_CHECK_BLOCK

/// What the codes of IQ4_NL and IQ4_XS stand for.
inline constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/// E2M1, doubled so that every value is whole; the scales above are halved to match.
inline constexpr int8_t kDoubledE2M1Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace inlay

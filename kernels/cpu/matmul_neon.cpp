#include "kernels/cpu/matmul_neon_narrow.h"

// The products with the NEON that every aarch64 processor has.

namespace inlay::cpu {
namespace {

/// Codes widened to 16 bits, multiplied with codes of 16 bits in order.
struct MultiplyAdds {
  struct Operand {
    int16x8_t parts[4];
  };
  INLAY_INLINE static Operand operand(const Codes& codes) {
    return {{vmovl_s8(vget_low_s8(codes.first)), vmovl_high_s8(codes.first),
             vmovl_s8(vget_low_s8(codes.second)), vmovl_high_s8(codes.second)}};
  }
  INLAY_INLINE static int32x4_t add(int32x4_t sum, int16x8_t w, const int16_t* x) {
    const int16x8_t activations = vld1q_s16(x);
    return vmlal_high_s16(vmlal_s16(sum, vget_low_s16(w), vget_low_s16(activations)), w, activations);
  }
  INLAY_INLINE static int32x4_t first(const Operand& w, const int16_t* x, uint32_t step) {
    return add(add(vdupq_n_s32(0), w.parts[0], x + 32 * step), w.parts[1], x + 32 * step + 8);
  }
  INLAY_INLINE static int32x4_t second(const Operand& w, const int16_t* x, uint32_t step) {
    return add(add(vdupq_n_s32(0), w.parts[2], x + 32 * step + 16), w.parts[3], x + 32 * step + 24);
  }
  INLAY_INLINE static int32x4_t both(const Operand& w, const int16_t* x, uint32_t step) {
    return vaddq_s32(first(w, x, step), second(w, x, step));
  }
  static void store(const int16x8_t (&codes)[4], int16_t* x, uint32_t step) {
    for (int i = 0; i < 4; ++i) vst1q_s16(x + 32 * step + 8 * i, codes[i]);
  }
};

void narrow_neon(const MatmulArguments& a) {
  if (a.weights.type == TensorType::FP8) return multiply_fp8_neon(a);
  kNarrow<MultiplyAdds>[static_cast<int>(a.weights.type)][a.rows - 1](a);
}

constexpr uint32_t kPanelRows = 16;
constexpr uint32_t kPanelVectors = kPanelRows / 4;
constexpr uint32_t kTileRows = 6;  // of X: 24 sums and 4 weights stay in registers

/// A step's 32 weights as floats, in order.
template <int S, typename Weights>
INLAY_INLINE void decode_step(const Weights& weights, float* out) {
  const MultiplyAdds::Operand codes = MultiplyAdds::operand(weights.template codes<S>());
  INLAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int group = Weights::kGroup == 16 ? 2 * S + i / 2 : S;
    float32x4_t minimum = vdupq_n_f32(0.0f);
    if constexpr (Weights::kMinimums) minimum = vdupq_n_f32(-weights.minimums[group]);
    const float32x4_t low = vcvtq_f32_s32(vmovl_s16(vget_low_s16(codes.parts[i])));
    const float32x4_t high = vcvtq_f32_s32(vmovl_high_s16(codes.parts[i]));
    vst1q_f32(out + 8 * i, vfmaq_n_f32(minimum, low, weights.scales[group]));
    vst1q_f32(out + 8 * i + 4, vfmaq_n_f32(minimum, high, weights.scales[group]));
  }
}

/// `columns` columns of the row at `from`; zeros behind them.
template <TensorType T>
void decode_part(const std::byte* from, uint32_t columns, float* out) {
  // A short row's last blocks are copied so that nothing behind the row is read.
  std::byte copy[kChunkBytes<T>];
  if (columns < kChunkColumns) {
    std::memset(copy, 0, sizeof(copy));
    std::memcpy(copy, from, columns / traits(T).block_elements * traits(T).block_bytes);
    from = copy;
  }
  if constexpr (is_float(T)) {
    for (uint32_t k = 0; k < kChunkColumns; k += 4) {
      vst1q_f32(out + k, load_floats<T>(from + k * traits(T).block_bytes));
    }
  } else {
    const Unpack<T> weights(from);
    decode_step<0>(weights, out);
    decode_step<1>(weights, out + 32);
    decode_step<2>(weights, out + 64);
    decode_step<3>(weights, out + 96);
    decode_step<4>(weights, out + 128);
    decode_step<5>(weights, out + 160);
    decode_step<6>(weights, out + 192);
    decode_step<7>(weights, out + 224);
  }
}

/// Decodes `columns` columns of up to 16 rows of W into `panel`, [column][row]; absent rows become zeros.
template <TensorType T>
void decode_panel(const std::byte* w, size_t w_stride, uint32_t rows, uint32_t columns, float* panel) {
  for (uint32_t first = 0; first < kPanelRows; first += 4) {
    float decoded[4][kChunkColumns];
    for (uint32_t i = 0; i < 4; ++i) {
      if (first + i < rows) {
        decode_part<T>(w + (first + i) * w_stride, columns, decoded[i]);
      } else {
        std::memset(decoded[i], 0, sizeof(decoded[i]));
      }
    }
    for (uint32_t k = 0; k < columns; k += 4) {
      const float32x4x2_t a = vtrnq_f32(vld1q_f32(decoded[0] + k), vld1q_f32(decoded[1] + k));
      const float32x4x2_t b = vtrnq_f32(vld1q_f32(decoded[2] + k), vld1q_f32(decoded[3] + k));
      float* to = panel + k * kPanelRows + first;
      vst1q_f32(to, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
      vst1q_f32(to + kPanelRows, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
      vst1q_f32(to + 2 * kPanelRows, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
      vst1q_f32(to + 3 * kPanelRows, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
    }
  }
}

struct Tile {
  const float* x;  // rows of activations, at the panel's first column
  size_t x_stride;
  const float* panel;
  uint32_t columns;
  float* out;
  size_t out_stride;
  uint32_t n;   // outputs, at most 16
  bool first;   // panel of columns: `out` holds nothing yet
  float scale;  // 1 but for the last panel
};

/// Outputs [0, n) of a tile's row, or 16 through a copy where there are fewer.
INLAY_INLINE void load_outputs(const Tile& tile, uint32_t row, float32x4_t (&sums)[kPanelVectors]) {
  const float* from = tile.out + row * tile.out_stride;
  float copy[kPanelRows] = {};
  if (tile.n < kPanelRows) {
    std::memcpy(copy, from, tile.n * sizeof(float));
    from = copy;
  }
  INLAY_UNROLL
  for (uint32_t v = 0; v < kPanelVectors; ++v) sums[v] = vld1q_f32(from + 4 * v);
}

INLAY_INLINE void store_outputs(const Tile& tile, uint32_t row, const float32x4_t (&sums)[kPanelVectors]) {
  float* to = tile.out + row * tile.out_stride;
  float copy[kPanelRows];
  float* target = tile.n < kPanelRows ? copy : to;
  INLAY_UNROLL
  for (uint32_t v = 0; v < kPanelVectors; ++v) vst1q_f32(target + 4 * v, vmulq_n_f32(sums[v], tile.scale));
  if (tile.n < kPanelRows) std::memcpy(to, copy, tile.n * sizeof(float));
}

template <uint32_t kRows>
void multiply_tile(const Tile& tile) {
  float32x4_t sums[kRows][kPanelVectors];
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) {
    INLAY_UNROLL
    for (uint32_t v = 0; v < kPanelVectors; ++v) sums[row][v] = vdupq_n_f32(0.0f);
  }
  if (!tile.first) {
    INLAY_UNROLL
    for (uint32_t row = 0; row < kRows; ++row) load_outputs(tile, row, sums[row]);
  }
  for (uint32_t k = 0; k < tile.columns; ++k) {
    float32x4_t weights[kPanelVectors];
    INLAY_UNROLL
    for (uint32_t v = 0; v < kPanelVectors; ++v) weights[v] = vld1q_f32(tile.panel + k * kPanelRows + 4 * v);
    INLAY_UNROLL
    for (uint32_t row = 0; row < kRows; ++row) {
      const float32x4_t x = vld1q_dup_f32(tile.x + row * tile.x_stride + k);
      INLAY_UNROLL
      for (uint32_t v = 0; v < kPanelVectors; ++v) sums[row][v] = vfmaq_f32(sums[row][v], x, weights[v]);
    }
  }
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) store_outputs(tile, row, sums[row]);
}

void multiply_panel(Tile tile, uint32_t rows) {
  for (; rows >= kTileRows; rows -= kTileRows) {
    multiply_tile<kTileRows>(tile);
    tile.x += kTileRows * tile.x_stride;
    tile.out += kTileRows * tile.out_stride;
  }
  switch (rows) {
    case 1: return multiply_tile<1>(tile);
    case 2: return multiply_tile<2>(tile);
    case 3: return multiply_tile<3>(tile);
    case 4: return multiply_tile<4>(tile);
    case 5: return multiply_tile<5>(tile);
    default: return;
  }
}

template <TensorType T>
void wide(const MatmulArguments& a) {
  constexpr TensorTypeTraits kType = traits(T);
  const size_t w_stride = static_cast<size_t>(a.weights.columns / kType.block_elements) * kType.block_bytes;
  float* panel = reinterpret_cast<float*>(a.scratch);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kPanelRows) {
    const uint32_t count = a.n_end - n < kPanelRows ? a.n_end - n : kPanelRows;
    for (uint32_t k = 0; k < a.weights.columns; k += kChunkColumns) {
      const uint32_t left = a.weights.columns - k;
      const uint32_t columns = left < kChunkColumns ? left : kChunkColumns;
      const std::byte* w = a.weights.data + n * w_stride + k / kType.block_elements * kType.block_bytes;
      decode_panel<T>(w, w_stride, count, columns, panel);
      multiply_panel({.x = a.x + k,
                      .x_stride = a.x_stride,
                      .panel = panel,
                      .columns = columns,
                      .out = a.out + n,
                      .out_stride = a.out_stride,
                      .n = count,
                      .first = k == 0,
                      .scale = columns == left ? a.weights.scale : 1.0f},
                     a.rows);
    }
  }
}

}  // namespace

static_assert(kWideScratchBytesNeon >= sizeof(float) * kPanelRows * kChunkColumns);

void prepare_wide_neon(const float*, size_t, uint32_t, uint32_t, uint32_t, void*) {}

void wide_neon(const MatmulArguments& a) {
  switch (a.weights.type) {
#define INLAY_WIDE(name, number, elements, bytes) \
  case TensorType::name: return wide<TensorType::name>(a);
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_WIDE)
#undef INLAY_WIDE
    case TensorType::FP8: return multiply_fp8_neon(a);
  }
}

const MatmulKernels kNeonMatmul = {"neon",    prepare_rows<MultiplyAdds>, prepare_wide_neon, narrow_neon,
                                   wide_neon, kWideScratchBytesNeon};

}  // namespace inlay::cpu

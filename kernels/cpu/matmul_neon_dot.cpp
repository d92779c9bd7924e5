#include "kernels/cpu/matmul_neon_narrow.h"

// The narrow products with SDOT. An activation's code is kept as two signed bytes, a plane of upper and a
// plane of lower ones: two SDOT do what takes four multiply-adds of 16 bits.

namespace inlay::cpu {
namespace {

struct DotProducts {
  using Operand = Codes;
  static Operand operand(const Codes& codes) { return codes; }

  INLAY_INLINE static int32x4_t both(const Codes& w, const int16_t* x, uint32_t step) {
    const int8_t* upper = reinterpret_cast<const int8_t*>(x) + 32 * step;
    const int8_t* lower = upper + kChunkColumns;
    int32x4_t dots = vdotq_s32(vdupq_n_s32(0), w.first, vld1q_s8(upper));
    dots = vshlq_n_s32(vdotq_s32(dots, w.second, vld1q_s8(upper + 16)), 8);
    dots = vdotq_s32(dots, w.first, vld1q_s8(lower));
    return vdotq_s32(dots, w.second, vld1q_s8(lower + 16));
  }
  INLAY_INLINE static int32x4_t sixteen(int8x16_t w, const int8_t* upper) {
    const int32x4_t dots = vshlq_n_s32(vdotq_s32(vdupq_n_s32(0), w, vld1q_s8(upper)), 8);
    return vdotq_s32(dots, w, vld1q_s8(upper + kChunkColumns));
  }
  INLAY_INLINE static int32x4_t first(const Codes& w, const int16_t* x, uint32_t step) {
    return sixteen(w.first, reinterpret_cast<const int8_t*>(x) + 32 * step);
  }
  INLAY_INLINE static int32x4_t second(const Codes& w, const int16_t* x, uint32_t step) {
    return sixteen(w.second, reinterpret_cast<const int8_t*>(x) + 32 * step + 16);
  }

  /// code = 256 upper + lower, both signed.
  static void store(const int16x8_t (&codes)[4], int16_t* x, uint32_t step) {
    int8_t* upper = reinterpret_cast<int8_t*>(x) + 32 * step;
    for (int i = 0; i < 4; ++i) {
      const int8x8_t low = vmovn_s16(codes[i]);
      vst1_s8(upper + 8 * i, vshrn_n_s16(vsubw_s8(codes[i], low), 8));
      vst1_s8(upper + kChunkColumns + 8 * i, low);
    }
  }
};

void narrow_dot(const MatmulArguments& a) {
  if (a.weights.type == TensorType::FP8) return multiply_fp8_neon(a);
  kNarrow<DotProducts>[static_cast<int>(a.weights.type)][a.rows - 1](a);
}

}  // namespace

const MatmulKernels kNeonDotMatmul = {"neon-dot", prepare_rows<DotProducts>, prepare_wide_neon, narrow_dot,
                                      wide_neon,  kWideScratchBytesNeon};

}  // namespace inlay::cpu

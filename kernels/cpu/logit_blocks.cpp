#include "kernels/cpu/logit_blocks.h"

#include "kernels/cpu/cpu_features.h"

#if defined(__GNUC__)
#define INLAY_INLINE inline __attribute__((always_inline))
#else
#define INLAY_INLINE inline
#endif

namespace inlay::cpu {
namespace {

constexpr uint32_t kLanes = 16;  // partial results of a block; fixed, whatever the length of a vector
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Written so that not-a-number in `a` loses.
INLAY_INLINE float larger(float a, float b) { return a > b ? a : b; }

INLAY_INLINE void maxima_of(const float* logits, uint32_t count, float* maxima) {
  for (; count >= kLogitBlock; count -= kLogitBlock, logits += kLogitBlock) {
    float lanes[kLanes];
    for (uint32_t lane = 0; lane < kLanes; ++lane) lanes[lane] = larger(logits[lane], -kInfinity);
    for (uint32_t i = kLanes; i < kLogitBlock; i += kLanes) {
      for (uint32_t lane = 0; lane < kLanes; ++lane) lanes[lane] = larger(logits[i + lane], lanes[lane]);
    }
    for (uint32_t half = kLanes / 2; half > 0; half /= 2) {
      for (uint32_t lane = 0; lane < half; ++lane) lanes[lane] = larger(lanes[lane + half], lanes[lane]);
    }
    *maxima++ = lanes[0];
  }
  if (count > 0) {
    *maxima = -kInfinity;
    for (uint32_t i = 0; i < count; ++i) *maxima = larger(logits[i], *maxima);
  }
}

INLAY_INLINE float sum_of(const float* weights) {
  float lanes[kLanes];
  for (uint32_t lane = 0; lane < kLanes; ++lane) lanes[lane] = weights[lane];
  for (uint32_t i = kLanes; i < kLogitBlock; i += kLanes) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[i + lane];
  }
  for (uint32_t half = kLanes / 2; half > 0; half /= 2) {
    for (uint32_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

INLAY_INLINE void sums_of(const float* logits, uint32_t count, float maximum, float scale, float* sums) {
  float weights[kLogitBlock];
  for (; count >= kLogitBlock; count -= kLogitBlock, logits += kLogitBlock) {
    for (uint32_t i = 0; i < kLogitBlock; ++i) weights[i] = logit_weight(logits[i], maximum, scale);
    *sums++ = sum_of(weights);
  }
  if (count > 0) {
    for (uint32_t i = 0; i < kLogitBlock; ++i) {
      weights[i] = i < count ? logit_weight(logits[i], maximum, scale) : 0.0f;
    }
    *sums = sum_of(weights);
  }
}

void maxima_baseline(const float* logits, uint32_t count, float* maxima) { maxima_of(logits, count, maxima); }
void sums_baseline(const float* logits, uint32_t count, float maximum, float scale, float* sums) {
  sums_of(logits, count, maximum, scale, sums);
}

#if defined(__GNUC__) && defined(__x86_64__)
__attribute__((target("avx2"))) void maxima_avx2(const float* logits, uint32_t count, float* maxima) {
  maxima_of(logits, count, maxima);
}
__attribute__((target("avx2"))) void sums_avx2(const float* logits, uint32_t count, float maximum,
                                               float scale, float* sums) {
  sums_of(logits, count, maximum, scale, sums);
}
#endif

}  // namespace

LogitBlockOps logit_block_ops() {
#if defined(__GNUC__) && defined(__x86_64__)
  if (detect_cpu_features().avx2) return {maxima_avx2, sums_avx2};
#endif
  return {maxima_baseline, sums_baseline};
}

}  // namespace inlay::cpu

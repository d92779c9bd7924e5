#pragma once

#include "formats/blocks.h"

namespace inlay {

// A super-block of 256 weights at `x`, with the importance of each or null; the float is not used.
void quantize(const float* x, const float* importance, float, BlockQ2_K& block);
void quantize(const float* x, const float* importance, float, BlockQ3_K& block);
void quantize(const float* x, const float* importance, float, BlockQ4_K& block);
void quantize(const float* x, const float* importance, float, BlockQ5_K& block);
void quantize(const float* x, const float* importance, float, BlockQ6_K& block);

}  // namespace inlay

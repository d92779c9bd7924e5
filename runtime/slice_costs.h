#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/device.h"

namespace inlay {

/// What slices of each kind have cost lately, in nanoseconds: the longest, by which a budget is kept, and
/// mean and variance, by which work is estimated. One thread at a time.
class SliceCosts {
 public:
  void add(uint32_t kind, uint64_t ns) {
    Kind& k = kinds_[kind];
    // By a slice during which the system gave the core to someone else no budget is kept: it says nothing of
    // those to come. What work takes, it does.
    const auto sample = static_cast<double>(ns);
    const double own = k.samples < 4 ? sample : std::min(sample, kOutlier * k.mean);
    k.longest = std::max(static_cast<uint64_t>(own), k.longest - k.longest / 16);
    ++k.samples;
    const double weight = 1.0 / static_cast<double>(std::min(k.samples, kMemory));
    const double difference = sample - k.mean;
    k.mean += weight * difference;
    k.variance = (1 - weight) * (k.variance + weight * difference * difference);
  }
  /// An estimate that a slow slice has spoilt must not stop the work for good.
  void relax(uint32_t kind) { kinds_[kind].longest -= kinds_[kind].longest / 4; }

  uint64_t longest(uint32_t kind) const { return kinds_[kind].longest; }
  double mean(uint32_t kind) const { return kinds_[kind].mean; }
  double variance(uint32_t kind) const { return kinds_[kind].variance; }

 private:
  static constexpr uint64_t kMemory = 1024;  // samples that a mean goes back
  static constexpr double kOutlier = 4;      // times the mean, and more is not the slice's own
  struct Kind {
    uint64_t longest = 0;
    uint64_t samples = 0;
    double mean = 0;
    double variance = 0;
  };
  std::array<Kind, Device::kSliceKinds> kinds_{};
};

/// How many slices of each kind some work has.
using SliceCounts = std::array<uint64_t, Device::kSliceKinds>;

/// Mean and variance of the time of some work.
struct WorkCost {
  double mean = 0;
  double variance = 0;

  void add(const SliceCosts& costs, const SliceCounts& counts, double times = 1) {
    for (uint32_t kind = 0; kind < counts.size(); ++kind) {
      mean += times * static_cast<double>(counts[kind]) * costs.mean(kind);
      variance += times * static_cast<double>(counts[kind]) * costs.variance(kind);
    }
  }
  void add_ns(double ns) { mean += ns; }
  uint64_t expected_ns() const { return static_cast<uint64_t>(mean); }
  /// The 99th percentile of a normal distribution: slices vary one by one, and a machine's speed varies by
  /// some tenth for all of them together.
  uint64_t p99_ns() const {
    constexpr double kQuantile = 2.326;
    constexpr double kCommonShare = 0.1;
    const double common = kCommonShare * mean;
    return static_cast<uint64_t>(mean + kQuantile * std::sqrt(variance + common * common));
  }
};

}  // namespace inlay

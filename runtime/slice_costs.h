#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/device.h"

namespace inlay {

/// What slices of one kind have cost lately, in nanoseconds: the longest, by which a budget is kept, and mean
/// and variance, by which work is estimated. One thread at a time.
class SliceCost {
 public:
  void add(uint64_t ns) {
    // By a slice during which the system gave the core to someone else no budget is kept: it says nothing of
    // those to come. What work takes, it does.
    const auto sample = static_cast<double>(ns);
    const double own = samples_ < 4 ? sample : std::min(sample, kOutlier * mean_);
    longest_ = std::max(static_cast<uint64_t>(own), longest_ - longest_ / 16);
    ++samples_;
    const double weight = 1.0 / static_cast<double>(std::min(samples_, kMemory));
    const double difference = sample - mean_;
    mean_ += weight * difference;
    variance_ = (1 - weight) * (variance_ + weight * difference * difference);
  }
  /// An estimate that a slow slice has spoilt must not stop the work for good.
  void relax() { longest_ -= longest_ / 4; }

  uint64_t longest() const { return longest_; }
  double mean() const { return mean_; }
  double variance() const { return variance_; }

 private:
  static constexpr uint64_t kMemory = 1024;  // samples that a mean goes back
  static constexpr double kOutlier = 4;      // times the mean, and more is not the slice's own

  uint64_t longest_ = 0;
  uint64_t samples_ = 0;
  double mean_ = 0;
  double variance_ = 0;
};

/// The same for each kind of a device's slices.
class SliceCosts {
 public:
  void add(uint32_t kind, uint64_t ns) { kinds_[kind].add(ns); }
  void relax(uint32_t kind) { kinds_[kind].relax(); }

  uint64_t longest(uint32_t kind) const { return kinds_[kind].longest(); }
  double mean(uint32_t kind) const { return kinds_[kind].mean(); }
  double variance(uint32_t kind) const { return kinds_[kind].variance(); }

 private:
  std::array<SliceCost, Device::kSliceKinds> kinds_{};
};

/// How many slices of each kind some work has.
using SliceCounts = Device::SliceCounts;

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

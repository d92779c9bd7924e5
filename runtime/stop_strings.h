#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace inlay {

/// The strings that end an answer. Plain memory: copied and saved as it is.
class StopStrings {
 public:
  static constexpr size_t kMost = 16;
  static constexpr size_t kLongest = 64;  // bytes of one

  /// False where they are too many or too long, or one is empty; then there are none.
  bool set(std::span<const std::string_view> strings);

  bool empty() const { return count_ == 0; }
  /// Whether text could go on to become one of them.
  bool may_become(std::string_view text) const;
  /// Bytes of the string that the text ends with, the longest; 0 where it ends with none.
  size_t ends(std::string_view text) const;

 private:
  std::string_view at(size_t i) const { return {bytes_[i].data(), sizes_[i]}; }

  std::array<std::array<char, kLongest>, kMost> bytes_{};
  std::array<uint8_t, kMost> sizes_{};
  uint8_t count_ = 0;
};

/// Looks for stop strings in text that streams, and holds back what may become one. A value.
class StopWatch {
 public:
  /// The next text, whole characters. give(std::string_view) gets what no stop string can begin in; true once
  /// one has come: what follows is swallowed.
  template <typename Give>
  bool push(const StopStrings& strings, std::string_view text, Give&& give) {
    if (strings.empty()) {
      if (!text.empty()) give(text);
      return false;
    }
    while (!text.empty() && !stopped_) {
      const size_t bytes = add(text);
      text.remove_prefix(bytes);
      const size_t found = strings.ends(held());
      stopped_ = found > 0;
      size_t certain = held_count_ - found;
      if (!stopped_) {
        certain = 0;
        while (certain < held_count_ && !strings.may_become(held().substr(certain))) {
          certain += character(certain);
        }
      }
      if (certain > 0) give(held().substr(0, certain));
      drop(stopped_ ? held_count_ : certain);
    }
    return stopped_;
  }
  /// The end: what was held back.
  template <typename Give>
  void finish(Give&& give) {
    if (held_count_ > 0) give(held());
    drop(held_count_);
  }

  bool stopped() const { return stopped_; }
  bool operator==(const StopWatch&) const = default;

 private:
  std::string_view held() const { return {held_.data(), held_count_}; }
  size_t add(std::string_view text);
  size_t character(size_t at) const;
  void drop(size_t bytes);

  std::array<char, StopStrings::kLongest + 4> held_{};
  uint8_t held_count_ = 0;
  bool stopped_ = false;
};

static_assert(std::is_trivially_copyable_v<StopStrings> && std::is_trivially_copyable_v<StopWatch>);

}  // namespace inlay

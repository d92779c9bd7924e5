#include "runtime/stop_strings.h"

#include <algorithm>

#include "runtime/utf8.h"

namespace inlay {

bool StopStrings::set(std::span<const std::string_view> strings) {
  *this = {};
  if (strings.size() > kMost) return false;
  for (const std::string_view string : strings) {
    if (string.empty() || string.size() > kLongest) {
      *this = {};
      return false;
    }
    string.copy(bytes_[count_].data(), kLongest);
    sizes_[count_++] = static_cast<uint8_t>(string.size());
  }
  return true;
}

bool StopStrings::may_become(std::string_view text) const {
  for (size_t i = 0; i < count_; ++i) {
    if (at(i).starts_with(text)) return true;
  }
  return false;
}

size_t StopStrings::ends(std::string_view text) const {
  size_t longest = 0;
  for (size_t i = 0; i < count_; ++i) {
    if (text.ends_with(at(i))) longest = std::max(longest, at(i).size());
  }
  return longest;
}

/// Takes the first character of the text, and returns its bytes. There is room: what is held is the beginning
/// of a stop string.
size_t StopWatch::add(std::string_view text) {
  const size_t bytes = read_utf8(text).length;
  text.copy(held_.data() + held_count_, bytes);
  held_count_ = static_cast<uint8_t>(held_count_ + bytes);
  return bytes;
}

size_t StopWatch::character(size_t at) const { return read_utf8(held().substr(at)).length; }

void StopWatch::drop(size_t bytes) {
  std::copy(held_.begin() + static_cast<std::ptrdiff_t>(bytes), held_.begin() + held_count_, held_.begin());
  held_count_ = static_cast<uint8_t>(held_count_ - bytes);
  std::fill(held_.begin() + held_count_, held_.end(), '\0');
}

}  // namespace inlay

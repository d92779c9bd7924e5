#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace inlay {

/// Turns the bytes of tokens, as they come, into text that is UTF-8 at every moment. A character whose bytes
/// are spread over tokens is held back until it is whole; bytes that can't become one come out as U+FFFD, one
/// for each maximal subpart of a broken sequence (The Unicode Standard, section 3.9). What comes out in all
/// does not depend on how the bytes were cut. The state is these few bytes: it is copied and saved as a
/// value. Nothing here allocates or throws.
class TextStream {
 public:
  /// Most bytes that a push of so many can give: what is held back and each byte alone may become a U+FFFD.
  static constexpr size_t most_bytes(size_t pushed) { return (pushed + kMostHeld) * 3; }

  /// Takes the next bytes and writes the text that is certain now to the front of `out`; returns its size.
  /// Where that is more than `out` holds, `out` has nothing of use and the stream stays as it was.
  size_t push(std::string_view bytes, std::span<char> out);

  /// The end of the text: an unfinished character becomes one U+FFFD. Returns 0 or 3, as `push` does.
  size_t flush(std::span<char> out);

  /// Bytes held back, at most 3.
  size_t held() const { return held_count_; }
  void reset() { *this = {}; }
  /// Whether this is a state that a stream can be in: to be asked of one that comes from a file.
  bool is_valid() const;

  bool operator==(const TextStream&) const = default;

 private:
  static constexpr size_t kMostHeld = 3;

  std::array<uint8_t, kMostHeld> held_{};
  uint8_t held_count_ = 0;
};

static_assert(std::is_trivially_copyable_v<TextStream> && sizeof(TextStream) == 4);

}  // namespace inlay

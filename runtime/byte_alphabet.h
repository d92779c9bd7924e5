#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/utf8.h"

namespace inlay {

/// GPT-2's printable alphabet, in which vocabularies write bytes: a printable character of Latin-1 stands for
/// its own byte, and the 68 bytes without one are written as U+0100, U+0101, ... in order.
inline constexpr size_t kByteAlphabetSize = 256 + 68;

/// By code point, the byte that it stands for, or -1.
inline constexpr std::array<int16_t, kByteAlphabetSize> kBytesOfAlphabet = [] {
  std::array<int16_t, kByteAlphabetSize> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  size_t next = 256;
  for (int16_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    bytes[printable ? static_cast<size_t>(byte) : next++] = byte;
  }
  return bytes;
}();

/// Takes the first character off `encoded`, which is not empty, and returns its byte; -1 where it is none of
/// the alphabet's.
inline int take_byte(std::string_view& encoded) {
  const Utf8Step step = read_utf8(encoded);
  if (step.state != Utf8State::kValid || step.code_point >= kByteAlphabetSize) return -1;
  encoded.remove_prefix(step.length);
  return kBytesOfAlphabet[step.code_point];
}

}  // namespace inlay

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace inlay {

enum class Utf8State : uint8_t {
  kValid,      // a whole character
  kTruncated,  // the text ends inside what could still become a character
  kInvalid,    // these bytes are not part of any character
};

/// What stands at the front of a text.
struct Utf8Step {
  char32_t code_point;  // U+FFFD unless valid
  uint8_t length;       // bytes it takes, at least 1; of an invalid sequence, its maximal subpart
  Utf8State state;
};

/// Reads one character of a text that is not empty. Overlong forms, surrogates and values past U+10FFFF are
/// invalid (The Unicode Standard, table 3-7); a broken sequence is cut as the standard's section 3.9
/// recommends, so that one U+FFFD stands for each of its maximal subparts.
inline Utf8Step read_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, Utf8State::kValid};
  if (lead < 0xC2 || lead > 0xF4) return {U'\uFFFD', 1, Utf8State::kInvalid};
  const uint8_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint8_t low = 0x80, high = 0xBF;  // the range of the second byte
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  char32_t value = lead & (0x7Fu >> length);
  for (uint8_t i = 1; i < length; ++i) {
    if (i == text.size()) return {U'\uFFFD', i, Utf8State::kTruncated};
    if (byte(i) < low || byte(i) > high) return {U'\uFFFD', i, Utf8State::kInvalid};
    value = value << 6 | (byte(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {value, length, Utf8State::kValid};
}

/// Writes a character, 1 to 4 bytes, and returns how many.
inline size_t write_utf8(char32_t code_point, char* out) {
  const auto put = [&](size_t i, char32_t bits) { out[i] = static_cast<char>(bits); };
  if (code_point < 0x80) {
    put(0, code_point);
    return 1;
  }
  if (code_point < 0x800) {
    put(0, 0xC0 | code_point >> 6);
    put(1, 0x80 | (code_point & 0x3F));
    return 2;
  }
  if (code_point < 0x10000) {
    put(0, 0xE0 | code_point >> 12);
    put(1, 0x80 | (code_point >> 6 & 0x3F));
    put(2, 0x80 | (code_point & 0x3F));
    return 3;
  }
  put(0, 0xF0 | code_point >> 18);
  put(1, 0x80 | (code_point >> 12 & 0x3F));
  put(2, 0x80 | (code_point >> 6 & 0x3F));
  put(3, 0x80 | (code_point & 0x3F));
  return 4;
}

}  // namespace inlay

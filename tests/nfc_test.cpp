#include "runtime/nfc.h"

#include <doctest/doctest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <random>
#include <string>

#include "runtime/utf8.h"

namespace inlay {
namespace {

std::string nfc(std::string_view text) {
  std::pmr::string storage;
  return std::string(normalize_nfc(text, storage));
}

std::string utf8(std::u32string_view code_points) {
  std::string text;
  for (const char32_t code_point : code_points) {
    char bytes[4];
    text.append(bytes, write_utf8(code_point, bytes));
  }
  return text;
}

/// utf8proc's own normalisation, which is quadratic in the length of a run of marks.
std::string reference_nfc(const std::string& text) {
  utf8proc_uint8_t* const bytes = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  std::string normal = reinterpret_cast<const char*>(bytes);
  std::free(bytes);
  return normal;
}

}  // namespace

TEST_CASE("text in normal form is returned as it lies") {
  for (const std::u32string_view text :
       {U"", U"plain", U"na\u00EFve \uAC00 \u0928\u0947 q\u0323\u0301 \u304C", U"\U0001F600"}) {
    const std::string bytes = utf8(text);
    std::pmr::string storage(std::pmr::null_memory_resource());
    CHECK(normalize_nfc(bytes, storage).data() == bytes.data());
  }
}

TEST_CASE("what composes is composed") {
  CHECK(nfc(utf8(U"e\u0301")) == utf8(U"\u00E9"));
  CHECK(nfc(utf8(U"x e\u0301 y o\u0308")) == utf8(U"x \u00E9 y \u00F6"));
  CHECK(nfc(utf8(U"a\u0323\u0302")) == utf8(U"\u1EAD"));
  CHECK(nfc(utf8(U"\u1100\u1161\u11A8")) == utf8(U"\uAC01"));
  CHECK(nfc(utf8(U"\uAC00\u11A8")) == utf8(U"\uAC01"));
  CHECK(nfc(utf8(U"\uAC00\u11A7")) == utf8(U"\uAC00\u11A7"));
  CHECK(nfc(utf8(U"\u304B\u3099")) == utf8(U"\u304C"));
  CHECK(nfc(utf8(U"\u0301e")) == utf8(U"\u0301e"));
}

TEST_CASE("marks are put into order, equal ones stay as they stood") {
  CHECK(nfc(utf8(U"q\u0301\u0323")) == utf8(U"q\u0323\u0301"));
  CHECK(nfc(utf8(U"q\u0302\u0301")) == utf8(U"q\u0302\u0301"));
}

TEST_CASE("characters that stand for others are replaced, excluded compositions taken apart") {
  CHECK(nfc(utf8(U"\u212B \u2126 \uF900 \u0387")) == utf8(U"\u00C5 \u03A9 \u8C48 \u00B7"));
  CHECK(nfc(utf8(U"\u0958")) == utf8(U"\u0915\u093C"));
  CHECK(nfc(utf8(U"\uFB1D")) == utf8(U"\u05D9\u05B4"));
}

TEST_CASE("nothing composes across bytes that are not UTF-8, which stay") {
  CHECK(nfc("e\xFF\xCC\x81") == "e\xFF\xCC\x81");
  CHECK(nfc("\xC3"
            "e\xCC\x81\xE2\x82") == "\xC3\xC3\xA9\xE2\x82");
}

TEST_CASE("random text agrees with utf8proc") {
  std::mt19937 random(11);
  const std::pair<char32_t, char32_t> ranges[] = {{0x20, 0x7E},     {0xC0, 0x24F},    {0x300, 0x36F},
                                                  {0x591, 0x5C7},   {0x900, 0xD7F},   {0x1100, 0x11A6},
                                                  {0x11A8, 0x11FF}, {0x1E00, 0x1FFF}, {0x3040, 0x30FF},
                                                  {0xAC00, 0xD7A3}, {0xF900, 0xFAFF}, {0x1D15E, 0x1D1C0}};
  for (int round = 0; round < 20000; ++round) {
    std::u32string text;
    for (size_t i = 1 + random() % 10; i != 0; --i) {
      const auto [first, last] = ranges[random() % std::size(ranges)];
      text += static_cast<char32_t>(first + random() % (last - first + 1));
    }
    const std::string bytes = utf8(text);
    REQUIRE(nfc(bytes) == reference_nfc(bytes));
  }
}

TEST_CASE("a very long run of marks is sorted, and fast") {
  std::u32string text = U"q", sorted = U"q";
  constexpr int kMarks = 300000;
  for (int i = 0; i < kMarks; ++i) text += U"\u0301\u0323";
  sorted.append(kMarks, U'\u0323').append(kMarks, U'\u0301');
  CHECK(nfc(utf8(text)) == utf8(sorted));
}

}  // namespace inlay

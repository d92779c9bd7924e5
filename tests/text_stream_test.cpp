#include "runtime/text_stream.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "runtime/utf8.h"

namespace inlay {
namespace {

std::string push(TextStream& stream, std::string_view bytes) {
  std::string out(TextStream::most_bytes(bytes.size()), '\0');
  out.resize(stream.push(bytes, out));
  return out;
}

std::string flush(TextStream& stream) {
  std::string out(3, '\0');
  out.resize(stream.flush(out));
  return out;
}

std::string whole(std::string_view bytes) {
  TextStream stream;
  const std::string out = push(stream, bytes);
  return out + flush(stream);
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = read_utf8(text);
    if (step.state != Utf8State::kValid) return false;
    text.remove_prefix(step.length);
  }
  return true;
}

}  // namespace

TEST_CASE("a character spread over tokens comes out when it is whole") {
  TextStream stream;
  CHECK(push(stream, "a\xF0") == "a");
  CHECK(stream.held() == 1);
  CHECK(push(stream, "\x9F") == "");
  CHECK(push(stream, "\x98") == "");
  CHECK(stream.held() == 3);
  CHECK(push(stream, "\x80!\xC3") == "\xF0\x9F\x98\x80!");
  CHECK(push(stream, "") == "");
  CHECK(stream.push({}, {}) == 0);
  CHECK(push(stream, "\xA9") == "\xC3\xA9");
  CHECK(flush(stream) == "");
}

TEST_CASE("an unfinished character at the end is one replacement character") {
  for (const char* bytes : {"\xC3", "\xE2\x82", "\xF0\x9F\x98"}) {
    TextStream stream;
    CHECK(push(stream, bytes) == "");
    CHECK(flush(stream) == "\xEF\xBF\xBD");
    CHECK(flush(stream) == "");
    CHECK(stream == TextStream());
  }
}

TEST_CASE("bytes that are not UTF-8 become a replacement character for each maximal subpart") {
  const std::string r = "\xEF\xBF\xBD";
  CHECK(whole("\x80") == r);
  CHECK(whole("\xC0\xAF") == r + r);                  // overlong
  CHECK(whole("\xED\xA0\x80") == r + r + r);          // a surrogate
  CHECK(whole("\xF4\x90\x80\x80") == r + r + r + r);  // past U+10FFFF
  CHECK(whole("\xE2\x82"
              "A") == r + "A");
  CHECK(whole("\xF0\x9F\xF0\x9F\x98\x80") == r + "\xF0\x9F\x98\x80");
  // The Unicode Standard, table 3-8.
  CHECK(whole("a\xF1\x80\x80\xE1\x80\xC2"
              "b\x80"
              "c\x80\xBF"
              "d") == "a" + r + r + r + "b" + r + "c" + r + r + "d");
}

TEST_CASE("what comes out does not depend on how the bytes were cut, and is always UTF-8") {
  std::mt19937 random(7);
  const std::string pieces[] = {"a",    "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF0\x9F", "\x80",
                                "\xE2", "\xED\xA0", "\xFF"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (size_t i = random() % 12; i != 0; --i) bytes += pieces[random() % std::size(pieces)];
    TextStream stream;
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      const size_t length = 1 + random() % 4;
      const std::string out = push(stream, std::string_view(bytes).substr(at, length));
      CHECK(is_utf8(out));
      text += out;
      at += length;
    }
    text += flush(stream);
    CHECK(text == whole(bytes));
  }
}

TEST_CASE("a buffer that is too small changes nothing and tells the size") {
  TextStream stream;
  push(stream, "\xE2\x82");
  const TextStream before = stream;
  char out[4];
  CHECK(stream.push("\xAC"
                    "ab",
                    std::span(out, 4)) == 5);
  CHECK(stream == before);
  CHECK(stream.flush(std::span(out, 2)) == 3);
  CHECK(stream == before);
  CHECK(push(stream,
             "\xAC"
             "ab") ==
        "\xE2\x82\xAC"
        "ab");
}

TEST_CASE("the most bytes of a push are never passed") {
  TextStream stream;
  push(stream, "\xF0\x9F\x98");
  CHECK(push(stream, std::string(10, '\xFF')).size() == 33);
  CHECK(TextStream::most_bytes(10) >= 33);
}

TEST_CASE("a stream is saved and restored as bytes") {
  TextStream stream;
  push(stream, "\xF0\x9F");
  unsigned char saved[sizeof stream];
  std::memcpy(saved, &stream, sizeof stream);
  TextStream restored;
  std::memcpy(&restored, saved, sizeof restored);
  CHECK(restored.is_valid());
  CHECK(push(restored, "\x98\x80") == "\xF0\x9F\x98\x80");

  const auto loaded = [](const char* held, char count) {
    const char bytes[] = {held[0], held[1], held[2], count};
    TextStream stream;
    static_assert(sizeof bytes == sizeof stream);
    std::memcpy(static_cast<void*>(&stream), bytes, sizeof stream);
    return stream.is_valid();
  };
  CHECK(loaded("...", 0));
  CHECK(loaded("\xF0\x9F.", 2));
  CHECK(!loaded("\xF0\x9F\x98", 4));
  CHECK(!loaded("\xFF..", 1));
  CHECK(!loaded("a..", 1));
  CHECK(!loaded("\xE2\x82\xAC", 3));
  CHECK(!loaded("\xC3..", 2));
}

}  // namespace inlay

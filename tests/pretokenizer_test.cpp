#include "runtime/pretokenizer.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace inlay {
namespace {

std::string split(std::string_view text, PreTokenizer rule = PreTokenizer::kQwen35) {
  std::string pieces;
  for (size_t at = 0; at < text.size();) {
    const size_t end = next_piece(rule, text, at);
    REQUIRE(end > at);
    REQUIRE(end <= text.size());
    pieces += at == 0 ? "" : "|";
    pieces += text.substr(at, end - at);
    at = end;
  }
  return pieces;
}

}  // namespace

TEST_CASE("words take one character before them that is no letter, digit or line break") {
  CHECK(split("hello world") == "hello| world");
  CHECK(split("a.b,c_d") == "a|.b|,c|_d");
  CHECK(split("\tx\nx") == "\tx|\n|x");
  CHECK(split("((x") == "((|x");
  CHECK(split("\"(x") == "\"(|x");
  CHECK(split(" (x") == " (|x");
  CHECK(split("1a") == "1|a");
  CHECK(split("\xC2\xA0x") == "\xC2\xA0x");
}

TEST_CASE("contractions stand alone, in either case") {
  CHECK(split("it's I'LL we'Ve don't'm") == "it|'s| I|'LL| we|'Ve| don|'t|'m");
  CHECK(split("'sail") == "'s|ail");
  CHECK(split("'\xC5\xBFx") == "'\xC5\xBF|x");
  CHECK(split("'r 'l 'v") == "'r| '|l| '|v");
  CHECK(split("x'") == "x|'");
}

TEST_CASE("digits stand alone") {
  CHECK(split("12 3") == "1|2| |3");
  CHECK(split("\xC2\xBD\xD9\xA3") == "\xC2\xBD|\xD9\xA3");
}

TEST_CASE("symbols run on, with a space before and line breaks after") {
  CHECK(split("a += b;\r\n}\n") == "a| +=| b|;\r\n|}\n");
  CHECK(split("  !!") == " | !!");
  CHECK(split("\t!!") == "\t|!!");
  CHECK(split("\xF0\x9F\x98\x80\xE2\x80\x8D!") == "\xF0\x9F\x98\x80\xE2\x80\x8D!");
}

TEST_CASE("white space ends with its last line break, or leaves its last character to the word") {
  CHECK(split("a  \n  \n   b") == "a|  \n  \n|  | b");
  CHECK(split("   1") == "  | |1");
  CHECK(split("  ") == "  ");
  CHECK(split("\n\n") == "\n\n");
  CHECK(split("\n \r") == "\n \r");
  CHECK(split("\xC2\x85 x") == "\xC2\x85| x");
  CHECK(split("\xE3\x80\x80\xE2\x80\xA8 1") == "\xE3\x80\x80\xE2\x80\xA8| |1");
  CHECK(split("\x1C\x1C") == "\x1C\x1C");
}

TEST_CASE("marks belong to words for qwen35 and are symbols for qwen2") {
  const std::string text = "\xE0\xA4\xA8\xE0\xA5\x87\xE0\xA4\xA8";  // a letter, a vowel sign, a letter
  CHECK(split(text) == text);
  CHECK(split(text, PreTokenizer::kQwen2) == "\xE0\xA4\xA8|\xE0\xA5\x87\xE0\xA4\xA8");
  CHECK(split("!\xCC\x81") == "!\xCC\x81");
  CHECK(split(" \xCC\x81\xCC\x81!", PreTokenizer::kQwen2) == " \xCC\x81\xCC\x81!");
}

TEST_CASE("bytes that are not UTF-8 are symbols") {
  CHECK(split("a\xFFz") == "a|\xFFz");
  CHECK(split("a\xFF\xC3 b") == "a|\xFF\xC3| b");
  CHECK(split(" \xE2\x82") == " \xE2\x82");
}

TEST_CASE("pre-tokenizers go by GGUF's names") {
  CHECK(pre_tokenizer_of("qwen35") == PreTokenizer::kQwen35);
  CHECK(pre_tokenizer_of("qwen2") == PreTokenizer::kQwen2);
  CHECK(!pre_tokenizer_of("llama-bpe"));
  CHECK(!pre_tokenizer_of(""));
}

}  // namespace inlay

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "runtime/tokenizer.h"
#include "runtime/utf8.h"
#include "small_vocabulary.h"
#include "test_data.h"

namespace inlay {
namespace {

struct Case {
  std::string text;
  std::vector<int32_t> tokens;
};

/// Reads `[{"text": "...", "ids": [1, 2]}, ...]`, which is all the JSON that the golden file has.
class CaseReader {
 public:
  explicit CaseReader(std::string json) : json_(std::move(json)) {}

  std::vector<Case> read() {
    std::vector<Case> cases;
    expect('[');
    while (!take(']')) {
      Case next;
      expect('{');
      while (!take('}')) {
        const std::string key = string();
        expect(':');
        if (key == "text") {
          next.text = string();
        } else {
          next.tokens = numbers();
        }
        take(',');
      }
      cases.push_back(std::move(next));
      take(',');
    }
    return cases;
  }

 private:
  bool take(char wanted) {
    at_ = json_.find_first_not_of(" \t\r\n", at_);
    if (at_ == std::string::npos || json_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    INFO("at byte " << at_);
    REQUIRE(take(wanted));
  }
  std::vector<int32_t> numbers() {
    std::vector<int32_t> numbers;
    expect('[');
    while (!take(']')) {
      size_t length = 0;
      numbers.push_back(std::stoi(json_.substr(at_, 16), &length));
      at_ += length;
      take(',');
    }
    return numbers;
  }
  std::string string() {
    std::string text;
    expect('"');
    for (char c = json_.at(at_++); c != '"'; c = json_.at(at_++)) {
      if (c != '\\') {
        text += c;
        continue;
      }
      constexpr std::string_view kNames = "bfnrt", kControls = "\b\f\n\r\t";
      c = json_.at(at_++);
      const size_t control = kNames.find(c);
      if (c == 'u') {
        char utf8[4];
        text.append(utf8, write_utf8(escaped_code_point(), utf8));
      } else {
        text += control == std::string_view::npos ? c : kControls[control];
      }
    }
    return text;
  }
  char32_t escaped_code_point() {
    const auto unit = [&] {
      at_ += 4;
      return static_cast<char32_t>(std::stoul(json_.substr(at_ - 4, 4), nullptr, 16));
    };
    const char32_t first = unit();
    if (first < 0xD800 || first > 0xDBFF) return first;
    at_ += 2;
    return 0x10000 + ((first - 0xD800) << 10) + (unit() - 0xDC00);
  }

  std::string json_;
  size_t at_ = 0;
};

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("the published tokenizer's tokens, exactly") {
  INLAY_SHARED_DATA(vocabulary_path, "text/qwen35-vocab.gguf");
  INLAY_SHARED_DATA(cases_path, "text/tokenizer.json");
  std::pmr::memory_resource* const memory = std::pmr::new_delete_resource();
  const GgufFile file = GgufFile::open(vocabulary_path.string(), memory);
  const std::optional<Vocabulary> vocabulary = read_vocabulary(file);
  REQUIRE(vocabulary);
  const test::OwnedTokenizer tokenizer(*vocabulary);
  CHECK(tokenizer->size() == 151936);
  CHECK(tokenizer->end_of_text() == tokenizer->find("<|im_end|>"));

  const std::vector<Case> cases = CaseReader(content(cases_path)).read();
  CHECK(cases.size() > 1000);
  for (const Case& golden : cases) {
    CAPTURE(golden.text);
    CHECK(tokenizer.encode(golden.text) == golden.tokens);
    CHECK(tokenizer.encode(tokenizer.decode(golden.tokens)) == golden.tokens);
  }
}

TEST_CASE("a megabyte of mixed text takes less than half a second") {
  INLAY_SHARED_DATA(vocabulary_path, "text/qwen35-vocab.gguf");
  INLAY_SHARED_DATA(cases_path, "text/tokenizer.json");
  std::pmr::memory_resource* const memory = std::pmr::new_delete_resource();
  const GgufFile file = GgufFile::open(vocabulary_path.string(), memory);
  const test::OwnedTokenizer tokenizer(*read_vocabulary(file));
  const std::vector<Case> cases = CaseReader(content(cases_path)).read();
  std::string text;
  while (text.size() < 1'000'000) {
    for (const Case& golden : cases) text += golden.text;
  }
  double best = 1e9;  // of a few, for the machine may be busy
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    tokenizer->encode(text, true, {}, memory);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  if (test::full_speed()) {
    CHECK(best < 0.5);
  } else {
    MESSAGE("not at full speed: " << best << " s");
  }
}

}  // namespace inlay

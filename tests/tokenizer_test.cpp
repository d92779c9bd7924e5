#include "runtime/tokenizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/error.h"
#include "runtime/nfc.h"
#include "small_vocabulary.h"

namespace inlay {
namespace {

using test::OwnedTokenizer;
using test::SmallVocabulary;

using Tokens = std::vector<int32_t>;

constexpr std::string_view kTale =
    "the keeper of the tavern asked the other traveller whether there was weather enough to gather together, "
    "and the traveller answered that neither thunder nor the river had bothered their mother";

/// Letters that merge often, and special tokens of both kinds.
SmallVocabulary tavern() {
  SmallVocabulary vocabulary;
  vocabulary.train(std::string(kTale) + " " + std::string(kTale), 60);
  vocabulary.merge("\xC3", "\xA9");
  vocabulary.add("<|im_start|>", TokenType::kControl);
  vocabulary.add("<|im_end|>", TokenType::kControl);
  vocabulary.add("<|im_end|>!", TokenType::kControl);
  vocabulary.add("<|endoftext|>", TokenType::kControl);
  vocabulary.add("<think>", TokenType::kUserDefined);
  vocabulary.add("[PAD]", TokenType::kUnused);
  return vocabulary;
}

class CountingResource : public std::pmr::memory_resource {
 public:
  size_t allocations = 0;
  size_t held = 0;

 private:
  void* do_allocate(size_t bytes, size_t alignment) override {
    ++allocations;
    held += bytes;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* p, size_t bytes, size_t alignment) override {
    held -= bytes;
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

std::string random_word(std::mt19937& random, size_t length) {
  std::string word;
  while (word.size() < length) word += "aehrtnov"[random() % 8];
  return word;
}

inlay_status status_of(const Vocabulary& vocabulary) {
  try {
    OwnedTokenizer tokenizer(vocabulary);
    return INLAY_OK;
  } catch (const Error& error) {
    CHECK(std::strlen(error.what()) > 20);
    return error.status();
  }
}

}  // namespace

TEST_CASE("merging is what its definition says, for short words and long ones") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  std::mt19937 random(3);
  for (size_t length = 1; length < 400; length += 1 + length / 8) {
    for (int round = 0; round < 20; ++round) {
      const std::string word = random_word(random, length);
      REQUIRE(tokenizer.encode(word) == vocabulary.merged_by_definition(word));
    }
  }
  for (const size_t length : {127, 128, 129, 130}) {
    const std::string same(length, 't');
    CHECK(tokenizer.encode(same) == vocabulary.merged_by_definition(same));
  }
}

TEST_CASE("any text and any bytes come back") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  std::mt19937 random(5);
  const std::string_view pieces[] = {"the ",
                                     "\xC3\xA9",
                                     "e\xCC\x81",
                                     "\xE2\x82\xAC",
                                     "\xF0\x9F\x98\x80",
                                     "\xFF",
                                     "\xC3",
                                     "<|im_end|>",
                                     "<think>",
                                     "\n\n",
                                     "  ",
                                     "12",
                                     "\xE0\xA4\xA8\xE0\xA5\x87",
                                     "other",
                                     "'s"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t i = random() % 20; i != 0; --i) text += pieces[random() % std::size(pieces)];
    std::pmr::string storage;
    const std::string normal(normalize_nfc(text, storage));
    REQUIRE(tokenizer.decode(tokenizer.encode(text)) == normal);
  }
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    std::pmr::string storage;
    const std::string normal(normalize_nfc(bytes, storage));
    REQUIRE(tokenizer.decode(tokenizer.encode(bytes)) == normal);
  }
}

TEST_CASE("control tokens are found where they are asked for, the longest first") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  const int32_t end = tokenizer->find("<|im_end|>"), end_mark = tokenizer->find("<|im_end|>!");
  REQUIRE(end >= 256);
  REQUIRE(end_mark >= 256);
  const Tokens the = tokenizer.encode("the");

  CHECK(tokenizer.encode("<|im_end|>", true) == Tokens{end});
  CHECK(tokenizer.encode("<|im_end|>!<|im_end|>", true) == Tokens{end_mark, end});
  Tokens expected = the;
  expected.push_back(end);
  expected.insert(expected.end(), the.begin(), the.end());
  CHECK(tokenizer.encode("the<|im_end|>the", true) == expected);
  CHECK(tokenizer.encode("<|im_end|", true) == tokenizer.encode("<|im_end|", false));
  CHECK(tokenizer.encode("<<|im_end|>", true) == Tokens{'<', end});
  for (const int32_t token : tokenizer.encode("the<|im_end|>the", false)) CHECK(token != end);
}

TEST_CASE("user-defined tokens are found in any text, unused ones in none") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  const int32_t think = tokenizer->find("<think>");
  CHECK(tokenizer.encode("<think>", false) == Tokens{think});
  CHECK(tokenizer.encode("<think>", true) == Tokens{think});
  CHECK(tokenizer.encode("[PAD]", true).size() == 5);
}

TEST_CASE("normalisation and merging stop at special tokens") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  const int32_t think = tokenizer->find("<think>"), accented = tokenizer->find("\xC3\xA9");
  CHECK(tokenizer.encode("e\xCC\x81") == Tokens{accented});
  CHECK(tokenizer.encode("e<think>\xCC\x81") == Tokens{'e', think, 0xCC, 0x81});
  // '>' and U+0338 would compose to U+226F.
  CHECK(tokenizer.encode("<think>\xCC\xB8") == Tokens{think, 0xCC, 0xB8});
}

TEST_CASE("a short buffer gets the first tokens, and the count of all") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  const Tokens all = tokenizer.encode("other weather<think>");
  REQUIRE(all.size() >= 3);
  Tokens two(3, -7);
  CHECK(tokenizer->encode("other weather<think>", false, std::span(two).first(2),
                          std::pmr::new_delete_resource()) == all.size());
  CHECK(two == Tokens{all[0], all[1], -7});
  CHECK(tokenizer->encode("", true, {}, std::pmr::null_memory_resource()) == 0);

  std::string text(4, '.');
  CHECK(tokenizer->decode(all, true, std::span(text).first(3)) == 20);
  CHECK(text == "oth.");
}

TEST_CASE("hidden tokens are left out of text") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  const Tokens tokens = {'a', tokenizer->find("<|im_end|>"), tokenizer->find("<think>"),
                         tokenizer->find("[PAD]")};
  CHECK(tokenizer.decode(tokens, true) == "a<|im_end|><think>[PAD]");
  CHECK(tokenizer.decode(tokens, false) == "a<think>");
  for (const int32_t token : {-1, static_cast<int32_t>(tokenizer->size()), INT32_MAX}) {
    try {
      tokenizer->decode(Tokens{token}, true, {});
      FAIL("a token outside the vocabulary was taken");
    } catch (const Error& error) {
      CHECK(error.status() == INLAY_ERROR_INVALID_ARGUMENT);
    }
  }
}

TEST_CASE("tokens are found by their bytes") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  CHECK(tokenizer->find("a") == 'a');
  CHECK(tokenizer->find(std::string_view("\0", 1)) == 0);
  CHECK(tokenizer->find("\xFF") == 255);
  CHECK(tokenizer->find("") == -1);
  CHECK(tokenizer->find("<|im_sart|>") == -1);
  for (int32_t token = 0; token < static_cast<int32_t>(tokenizer->size()); ++token) {
    CHECK(tokenizer->find(tokenizer->token_bytes(token)) == token);
  }
  CHECK(tokenizer->longest_token() >= 13);
}

TEST_CASE("generation ends at the file's tokens and at the family's") {
  const SmallVocabulary small = tavern();
  Vocabulary vocabulary = small.view();
  vocabulary.end_of_text = 290;
  vocabulary.padding = 7;
  vocabulary.add_begin_of_text = true;  // of a token that the file does not name
  const OwnedTokenizer tokenizer(vocabulary);
  CHECK(tokenizer->end_of_text() == 290);
  CHECK(tokenizer->end_of_turn() == -1);
  CHECK(tokenizer->padding() == 7);
  CHECK(!tokenizer->add_begin_of_text());
  CHECK(tokenizer->is_end_of_generation(290));
  CHECK(tokenizer->is_end_of_generation(tokenizer->find("<|im_end|>")));
  CHECK(tokenizer->is_end_of_generation(tokenizer->find("<|endoftext|>")));
  CHECK(!tokenizer->is_end_of_generation(tokenizer->find("<|im_start|>")));
  CHECK(!tokenizer->is_end_of_generation(-1));
  CHECK(tokenizer->is_control(tokenizer->find("<|im_start|>")));
  CHECK(!tokenizer->is_control(tokenizer->find("<think>")));
}

TEST_CASE("the memory taken is the memory planned, and a byte less is refused") {
  const SmallVocabulary small = tavern();
  const Vocabulary vocabulary = small.view();
  const Tokenizer::Counts counts = Tokenizer::count(vocabulary);
  const uint64_t bytes = Tokenizer::bytes(counts);
  CHECK(bytes % kCacheLine == 0);
  constexpr auto kUntouched = std::byte{0xA5};
  std::vector<std::byte> buffer(bytes + 2 * kCacheLine, kUntouched);
  void* aligned = buffer.data();
  size_t space = buffer.size();
  std::align(kCacheLine, bytes, aligned, space);
  const std::span<std::byte> memory(static_cast<std::byte*>(aligned), bytes);

  CHECK_THROWS_AS(Tokenizer(vocabulary, counts, memory.first(bytes - 1)), Error);
  CHECK(std::all_of(buffer.begin(), buffer.end(), [&](std::byte byte) { return byte == kUntouched; }));
  const Tokenizer tokenizer(vocabulary, counts, memory);
  CHECK(tokenizer.find(" the") >= 256);
  CHECK(memory.data()[bytes] == kUntouched);
  CHECK(std::all_of(buffer.data(), memory.data(), [&](std::byte byte) { return byte == kUntouched; }));
}

TEST_CASE("plain text needs no memory, and what other text takes is given back") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  CountingResource scratch;
  const std::string plain = std::string(kTale) + " na\xC3\xAFve \xE4\xBD\xA0\xE5\xA5\xBD<think>";
  CHECK(tokenizer->encode(plain, true, {}, &scratch) > 0);
  CHECK(scratch.allocations == 0);
  CHECK(tokenizer->encode(std::string(5000, 'a') + " e\xCC\x81", true, {}, &scratch) > 0);
  CHECK(scratch.allocations > 0);
  CHECK(scratch.held == 0);
  CHECK_THROWS_AS(tokenizer->encode(std::string(5000, 'a'), true, {}, std::pmr::null_memory_resource()),
                  std::bad_alloc);
}

TEST_CASE("pathological text takes no more than n log n") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  std::mt19937 random(9);
  constexpr size_t kSize = 1 << 20;
  std::string marks = "q", openers;
  while (marks.size() < kSize) marks += "\xCC\x81\xCC\xA3";
  while (openers.size() < kSize) openers += "<|im_";
  const std::string letters = random_word(random, kSize);
  for (const std::string& text :
       {letters, std::string(kSize, 't'), std::string(kSize, ' '), std::string(kSize, '\n'),
        std::string(kSize, '<'), std::string(kSize, '\''), openers, marks}) {
    CHECK(tokenizer.decode(tokenizer.encode(text, true)).size() == text.size());
  }
}

TEST_CASE("threads share a tokenizer") {
  const SmallVocabulary vocabulary = tavern();
  const OwnedTokenizer tokenizer(vocabulary.view());
  const std::string text = std::string(kTale) + std::string(300, 'e') + "<|im_end|>e\xCC\x81";
  const Tokens expected = tokenizer.encode(text, true);
  std::vector<Tokens> results(4);
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (Tokens& result : results) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) result = tokenizer.encode(text, true);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Tokens& result : results) CHECK(result == expected);
}

TEST_CASE("a vocabulary that contradicts itself is refused") {
  CHECK(status_of(tavern().view()) == INLAY_OK);
  const auto broken_by = [](auto change) {
    SmallVocabulary vocabulary = tavern();
    change(vocabulary);
    return status_of(vocabulary.view());
  };
  CHECK(broken_by([](SmallVocabulary& v) { v.set_type(300, 0); }) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(broken_by([](SmallVocabulary& v) { v.set_type(300, 7); }) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(broken_by([](SmallVocabulary& v) { v.set_type('x', 5); }) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(broken_by([](SmallVocabulary& v) { v.add_stored("a b", 1); }) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(broken_by([](SmallVocabulary& v) { v.add_stored("\xC3", 1); }) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(broken_by([](SmallVocabulary& v) { v.add_stored("\xE4\xBD\xA0", 1); }) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(broken_by([](SmallVocabulary& v) { v.add_stored("\xE4\xBD\xA0 b\xFF", 4); }) == INLAY_OK);
  for (const char* merge : {"", " ", "ab", "a ", " b", "a b c", "Q Q", "a \xE4\xBD\xA0", "a zzz", "\xFF a"}) {
    CAPTURE(merge);
    CHECK(broken_by([&](SmallVocabulary& v) { v.add_stored_merge(merge); }) == INLAY_ERROR_CORRUPT_FILE);
  }
}

TEST_CASE("what a vocabulary names has to be in it") {
  const SmallVocabulary small = tavern();
  Vocabulary vocabulary = small.view();
  vocabulary.pre_tokenizer = "llama-bpe";
  CHECK(status_of(vocabulary) == INLAY_ERROR_UNSUPPORTED);
  vocabulary = small.view();
  vocabulary.end_of_text = static_cast<int32_t>(vocabulary.tokens.size());
  CHECK(status_of(vocabulary) == INLAY_ERROR_CORRUPT_FILE);
  vocabulary = small.view();
  vocabulary.types = GgufNumbers(GgufType::Int32, 3, nullptr);
  CHECK(status_of(vocabulary) == INLAY_ERROR_CORRUPT_FILE);
  vocabulary = small.view();
  vocabulary.types.reset();
  CHECK(status_of(vocabulary) == INLAY_OK);
}

TEST_CASE("of tokens and merges that stand twice the first holds") {
  SmallVocabulary small;
  small.merge("a", "b");
  small.merge("b", "c");
  small.add("ab", TokenType::kNormal);
  small.add_stored_merge("a b");
  const OwnedTokenizer tokenizer(small.view());
  CHECK(tokenizer->find("ab") == 256);
  CHECK(tokenizer.encode("abc") == Tokens{256, 'c'});
}

}  // namespace inlay

// Building and encoding with a vocabulary of a model's size that is trained here, so that no file is needed.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "../tests/small_vocabulary.h"
#include "runtime/tokenizer.h"

namespace inlay {
namespace {

constexpr size_t kTextBytes = 1 << 20;

std::string random_letters(std::mt19937& random, size_t length) {
  std::string letters;
  while (letters.size() < length) letters += static_cast<char>('a' + random() % 26);
  return letters;
}

/// 248,320 tokens of up to ten letters: each merge adds a letter to an earlier token.
const test::SmallVocabulary& large_vocabulary() {
  static const test::SmallVocabulary vocabulary = [] {
    test::SmallVocabulary built;
    std::mt19937 random(1);
    std::vector<std::string> made = {" "};
    for (char letter = 'a'; letter <= 'z'; ++letter) made.emplace_back(1, letter);
    for (size_t merges = 0; merges < 247'587;) {
      const std::string& left = made[random() % made.size()];
      const std::string right(1, static_cast<char>('a' + random() % 26));
      if (left.size() >= 10 || !built.merge(left, right)) continue;
      made.push_back(left + right);
      ++merges;
    }
    for (int i = 0; i < 477; ++i) built.add("<|special_" + std::to_string(i) + "|>", TokenType::kControl);
    return built;
  }();
  return vocabulary;
}

const test::OwnedTokenizer& large_tokenizer() {
  static const test::OwnedTokenizer tokenizer(large_vocabulary().view());
  return tokenizer;
}

void encode(benchmark::State& state, const std::string& text) {
  const test::OwnedTokenizer& tokenizer = large_tokenizer();
  std::vector<int32_t> tokens(text.size());
  for (auto _ : state) {
    benchmark::DoNotOptimize(tokenizer->encode(text, true, tokens, std::pmr::new_delete_resource()));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void tokenizer_build(benchmark::State& state) {
  const Vocabulary vocabulary = large_vocabulary().view();
  for (auto _ : state) {
    const test::OwnedTokenizer tokenizer(vocabulary);
    benchmark::DoNotOptimize(tokenizer->size());
  }
}
BENCHMARK(tokenizer_build)->Unit(benchmark::kMillisecond);

void tokenizer_encode_words(benchmark::State& state) {
  std::mt19937 random(2);
  std::string text;
  while (text.size() < kTextBytes)
    text += random_letters(random, 2 + random() % 8) + (random() % 12 == 0 ? ".\n" : " ");
  encode(state, text);
}
BENCHMARK(tokenizer_encode_words)->Unit(benchmark::kMillisecond);

void tokenizer_encode_one_word(benchmark::State& state) {
  std::mt19937 random(3);
  encode(state, random_letters(random, kTextBytes));
}
BENCHMARK(tokenizer_encode_one_word)->Unit(benchmark::kMillisecond);

void tokenizer_encode_decomposed(benchmark::State& state) {
  std::string text;
  while (text.size() < kTextBytes) text += "nai\xCC\x88ve cafe\xCC\x81 re\xCC\x81sume\xCC\x81 ";
  encode(state, text);
}
BENCHMARK(tokenizer_encode_decomposed)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace inlay

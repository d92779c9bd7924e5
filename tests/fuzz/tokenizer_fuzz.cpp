// Any bytes, encoded and decoded, are their normal form; a text stream turns them into UTF-8, however they
// are cut.
#include <utf8proc.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "../small_vocabulary.h"
#include "runtime/text_stream.h"
#include "runtime/utf8.h"

namespace inlay {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const test::OwnedTokenizer& tokenizer() {
  static const test::OwnedTokenizer built = [] {
    test::SmallVocabulary vocabulary;
    vocabulary.train(
        "the quick brown fox jumps over the lazy dog;   it's the other fox's den\n\n\xC3\xA9t\xC3\xA9 "
        "\xC3\xA9",
        40);
    vocabulary.add("<|im_end|>", TokenType::kControl);
    vocabulary.add("<|im", TokenType::kControl);
    vocabulary.add("<<<", TokenType::kControl);
    return test::OwnedTokenizer(vocabulary.view());
  }();
  return built;
}

/// NFC by utf8proc's own loop, stretch by stretch of valid UTF-8.
std::string reference_nfc(std::string_view text) {
  std::string normal;
  while (!text.empty()) {
    size_t valid = 0;
    Utf8Step step{};
    while (valid < text.size()) {
      step = read_utf8(text.substr(valid));
      if (step.state != Utf8State::kValid) break;
      valid += step.length;
    }
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t size = utf8proc_map(
        reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(valid), &mapped,
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    require(size >= 0);
    normal.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
    std::free(mapped);
    if (valid < text.size()) normal += text.substr(valid, step.length);
    text.remove_prefix(valid < text.size() ? valid + step.length : valid);
  }
  return normal;
}

std::string streamed(std::string_view bytes, size_t cut) {
  TextStream stream;
  std::string text;
  std::vector<char> out(TextStream::most_bytes(cut));
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, cut);
    text.append(out.data(), stream.push(part, out));
    bytes.remove_prefix(part.size());
  }
  text.append(out.data(), stream.flush(out));
  return text;
}

}  // namespace
}  // namespace inlay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace inlay;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string decoded = tokenizer().decode(tokenizer().encode(text));
  // utf8proc takes U+11A7 for a trailing consonant of Hangul, and drops it.
  if (text.find("\xE1\x86\xA7") == std::string_view::npos) require(decoded == reference_nfc(text));
  // What is normal stays so, and a count without a buffer is the same count.
  require(tokenizer().decode(tokenizer().encode(decoded)) == decoded);
  const std::vector<int32_t> tokens = tokenizer().encode(text, true);
  require(tokenizer()->encode(text, true, {}, std::pmr::new_delete_resource()) == tokens.size());

  const std::string whole = streamed(text, size + 1);
  require(whole == streamed(text, 1) && whole == streamed(text, 3));
  require(streamed(whole, 2) == whole);
  return 0;
}

// Any tokens, tags and broken UTF-8 among them: all of their text comes out of the stream's parser once and
// in order, in whole characters, and the same parts come whatever the tokens' borders.
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/chat_stream.h"
#include "runtime/text_stream.h"
#include "runtime/utf8.h"

namespace inlay {
namespace {

constexpr std::string_view kTokens[] = {
    "<think>",     "</think>",     "<tool_call>", "</tool_call>", "<function=",   "</function>",
    "<parameter=", "</parameter>", ">\n",         "\n",           "\n\n",         " ",
    "<",           "</",           "a",           "value",        "\xE9\x85\x92", "\xE9",
    "\x85\x92",    "\xFF",         "{\"name\": ", "get_weather",  "\r",           "<tool",
    "_call>",      "=f>"};

void require(bool holds) {
  if (!holds) std::abort();
}

struct Taken {
  std::string all;
  std::string parts;
};

Taken take(const std::vector<std::string_view>& tokens, uint8_t mode, size_t cut) {
  ChatStream stream((mode & 1) != 0, (mode & 2) != 0);
  TextStream text;
  Taken taken;
  ChatPart last = ChatPart::kMarkup;
  const auto give = [&](ChatPart part, std::string_view piece) {
    taken.all += piece;
    if (part == ChatPart::kMarkup) return;
    const bool is_text =
        part == ChatPart::kReasoning || part == ChatPart::kAnswer || part == ChatPart::kArgumentText;
    if (part != last || !is_text)
      taken.parts += std::string("\1") + static_cast<char>('0' + static_cast<int>(part));
    taken.parts += piece;
    last = part;
    for (std::string_view rest = piece; !rest.empty();) {
      const Utf8Step step = read_utf8(rest);
      require(step.state == Utf8State::kValid);
      rest.remove_prefix(step.length);
    }
  };
  const auto push = [&](std::string_view bytes) {
    std::vector<char> out(TextStream::most_bytes(bytes.size()));
    stream.push({out.data(), text.push(bytes, out)}, give);
    require(stream.held() <= ChatStream::kMostHeld);
  };
  for (std::string_view token : tokens) {
    for (; cut != 0 && token.size() > cut; token.remove_prefix(cut)) push(token.substr(0, cut));
    push(token);
  }
  char end[3];
  stream.push({end, text.flush(end)}, give);
  stream.finish(give);
  require(stream.held() == 0);
  return taken;
}

}  // namespace
}  // namespace inlay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace inlay;
  if (size < 1) return 0;
  std::vector<std::string_view> tokens;
  std::string whole;
  for (size_t i = 1; i < size; ++i) {
    // The upper codes are tokens of one byte each.
    const std::string_view token = data[i] >= 128
                                       ? std::string_view(reinterpret_cast<const char*>(data) + i, 1)
                                       : kTokens[data[i] % std::size(kTokens)];
    tokens.push_back(token);
    whole += token;
  }
  std::vector<char> text(TextStream::most_bytes(whole.size()));
  TextStream stream;
  size_t bytes = stream.push(whole, text);
  bytes += stream.flush(std::span(text).subspan(bytes));
  const Taken taken = take(tokens, data[0], 0);
  require(taken.all == std::string_view(text.data(), bytes));
  require(take(tokens, data[0], 1).parts == taken.parts);
  require(take({whole}, data[0], 0).parts == taken.parts);
  return 0;
}

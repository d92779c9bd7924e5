#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runtime/chat_stream.h"
#include "tests/host.h"

using namespace inlay;

namespace {

constexpr char kNames[] = "RAMBaveX";  // by ChatPart

/// "R:text A:text …": what came, pieces of one part joined, without markup.
struct Taken {
  std::string parts;
  std::string all;
};

Taken take(const std::string& text, size_t cut, bool thinks, bool calls_anywhere = true) {
  ChatStream stream(thinks, calls_anywhere);
  Taken taken;
  char last = 0;
  const auto give = [&](ChatPart part, std::string_view piece) {
    taken.all += piece;
    const char name = kNames[static_cast<size_t>(part)];
    if (part == ChatPart::kMarkup) return;
    const bool continues = name == last && (name == 'R' || name == 'A' || name == 'v');
    if (!continues) taken.parts += std::string(taken.parts.empty() ? "" : " ") + name + ":";
    taken.parts += piece;
    last = name;
  };
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(at + cut, text.size());
    while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
    stream.push(std::string_view(text).substr(at, end - at), give);
    at = end;
  }
  stream.finish(give);
  CHECK(stream.held() == 0);
  return taken;
}

void expect(const std::string& text, bool thinks, const std::string& parts, bool calls_anywhere = true) {
  CAPTURE(text);
  for (const size_t cut : {size_t{1}, size_t{2}, size_t{5}, size_t{13}, size_t{1000}}) {
    const Taken taken = take(text, cut, thinks, calls_anywhere);
    CHECK(taken.all == text);
    CHECK(taken.parts == parts);
  }
}

}  // namespace

TEST_CASE("reasoning, answer and calls come apart, however they are cut") {
  expect("hm, hm\n</think>\n\nHello!\nYou.", true, "R:hm, hm A:Hello!\nYou.");
  expect("Hello", false, "A:Hello");
  expect("<think>\nx\n</think>\n\ny", false, "R:x A:y");
  expect("\n</think>\n\ny", true, "A:y");
  expect("</think>y", false, "A:y");
  expect(
      "Let me see.\n\n<tool_call>\n<function=look>\n<parameter=item>\nale\n</parameter>\n"
      "<parameter=n>\n3\n\n4\n</parameter>\n</function>\n</tool_call>\n"
      "<tool_call>\n<function=roll>\n</function>\n</tool_call>",
      false, "A:Let me see. B:look a:item v:ale a:n v:3\n\n4 e: B:roll e:");
  expect("x < y << z <b>bold</b> </thin", false, "A:x < y << z <b>bold</b> </thin");
  expect("a\n\n\n\nb\n", false, "A:a\n\n\n\nb\n");
  expect("酒\n</think>\n\n酒", true, "R:酒 A:酒");
  expect("a</think>b", false, "A:a</think>b");
}

TEST_CASE("what models get wrong is taken as well as it can be") {
  // The thought is not closed: by a call, by the end.
  expect("I look.\n<tool_call>\n<function=f>\n</function>\n</tool_call>", true, "R:I look. B:f e:");
  expect("I look", true, "R:I look");
  // No call at all.
  expect("<tool_call>\n{\"name\": 1}\n</tool_call>", false, "X: A:<tool_call>\n{\"name\": 1}\n</tool_call>");
  expect("<tool_call>", false, "X: A:<tool_call>");
  expect("I write <tool_call> there.</think>b", true, "R:I write  X: R:<tool_call> there. A:b");
  const std::string name(300, 'n');
  expect("<tool_call><function=" + name + ">", false, "X: A:<tool_call><function=" + name + ">");
  // Closing tags are missing.
  expect("<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</tool_call>b", false,
         "B:f a:a v:1 e: A:b");
  expect("<tool_call>\n<function=f>\n</function>\nb", false, "B:f e: A:b");
  expect("<tool_call>\n<function=f>\n</function>", false, "B:f e:");
  expect("<tool_call>\n<function=f>\n<parameter=a>\nx\n</para", false, "B:f a:a v:x\n</para X:");
  expect("<tool_call>\n<function=f>\nwords\n</function>", false, "B:f X: A:words\n</function>");
  expect("<tool_call>\n<function=f>\n<para", false, "B:f X: A:<para");
  // Tight.
  expect("<tool_call><function=f><parameter=a>1</parameter></function></tool_call>", false, "B:f a:a v:1 e:");
  expect("<tool_call><function=f><parameter=a>\n\n</parameter></function></tool_call>", false, "B:f a:a e:");
}

TEST_CASE("under a grammar an answer's own text is no call") {
  expect("{\"a\": \"<tool_call>\"}", false, "A:{\"a\": \"<tool_call>\"}", false);
  expect("<tool_call>\n<function=f>\n</function>\n</tool_call>", false, "B:f e:", false);
}

TEST_CASE("random pieces of markup lose nothing") {
  const std::vector<std::string> pieces = {"<think>",    "</think>",    "<tool_call>", "</tool_call>",
                                           "<function=", "</function>", "<parameter=", "</parameter>",
                                           ">",          "<",           "\n",          "\n\n",
                                           " ",          "name",        "é",           "酒",
                                           "</",         "thi",         "nk>",         std::string(150, 'x')};
  test::Random random(11);
  for (int run = 0; run < 3000; ++run) {
    std::string text;
    for (uint32_t i = random.below(14); i > 0; --i)
      text += pieces[random.below(static_cast<uint32_t>(pieces.size()))];
    const bool thinks = random.below(2) == 0;
    const Taken whole = take(text, 10000, thinks);
    CHECK(whole.all == text);
    for (const size_t cut : {size_t{1}, size_t{3}, size_t{50}}) {
      const Taken cut_up = take(text, cut, thinks);
      CHECK(cut_up.all == text);
      CHECK(cut_up.parts == whole.parts);
    }
  }
}

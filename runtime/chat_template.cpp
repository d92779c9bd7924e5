#include "runtime/chat_template.h"

#include <array>

#include "runtime/token_hash.h"

namespace inlay {
namespace {

/// Two spellings of one place in the published templates. Both are written as canonical() leaves them.
struct Variant {
  std::string_view found;
  std::string_view usual;
};

constexpr Variant kOffByDefault = {
    R"({%- if enable_thinking is defined and enable_thinking is true %}{{- '<think>\n' }}{%- else %}{{- '<think>\n\n</think>\n\n' }}{%- endif %})",
    R"({%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- else %}{{- '<think>\n' }}{%- endif %})"};

constexpr std::string_view kDropsReasoning = "{%- if loop.index0 > ns.last_query_index %}";
constexpr Variant kMayKeepReasoning = {
    "{%- if (preserve_thinking is defined and preserve_thinking is true) or (loop.index0 > "
    "ns.last_query_index) %}",
    kDropsReasoning};
constexpr Variant kKeepsReasoning = {
    "{%- if preserve_thinking is undefined or preserve_thinking is true or loop.index0 > "
    "ns.last_query_index %}",
    kDropsReasoning};

constexpr Variant kJsonArguments = {
    "{%- set args_value = args_value | string if args_value is string else args_value | tojson | safe %}",
    "{%- set args_value = args_value | tojson | safe if args_value is mapping or (args_value is sequence and "
    "args_value is not string) else args_value | string %}"};

// Of canonical() of the published Qwen3.5 template, and of the bundled model's.
constexpr uint64_t kQwenHash = 0x5E4462FDD4960D86;
constexpr uint64_t kTavernHash = 0x0E7248FA6A9A94A5;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/// The template without its comments, and without the white space that "{%-" and "{{-" strip before them and
/// "-%}" and "-}}" after them.
std::pmr::string canonical(std::string_view text, std::pmr::memory_resource* memory) {
  std::pmr::string out(memory);
  out.reserve(text.size());
  const auto drop_space = [&out] {
    while (!out.empty() && is_space(out.back())) out.pop_back();
  };
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("{#")) {
      const size_t end = rest.find("#}");
      if (rest.starts_with("{#-")) drop_space();
      if (end == std::string_view::npos) break;
      const bool strips = rest[end - 1] == '-';
      at += end + 2;
      while (strips && at < text.size() && is_space(text[at])) ++at;
    } else if (rest.starts_with("{%-") || rest.starts_with("{{-")) {
      drop_space();
      out += rest.substr(0, 3);
      at += 3;
    } else if (rest.starts_with("-%}") || rest.starts_with("-}}")) {
      out += rest.substr(0, 3);
      at += 3;
      while (at < text.size() && is_space(text[at])) ++at;
    } else {
      if (rest[0] != '\r') out += rest[0];
      ++at;
    }
  }
  drop_space();
  return out;
}

/// Puts the usual spelling where the other one stands; whether it did.
bool make_usual(const Variant& variant, std::pmr::string& text) {
  const size_t at = text.find(variant.found);
  if (at == std::pmr::string::npos) return false;
  text.replace(at, variant.found.size(), variant.usual);
  return true;
}

}  // namespace

ChatTemplate recognise_chat_template(std::string_view text, std::pmr::memory_resource* memory) {
  constexpr size_t kLongest = 1 << 20;
  if (text.empty() || text.size() > kLongest) return {};
  std::pmr::string plain = canonical(text, memory);
  ChatTemplate known;
  if (hash_of(plain) == kTavernHash) {
    known.name = "tavern";
    known.opens_first_tool = true;
    return known;
  }
  known.thinks_by_default = !make_usual(kOffByDefault, plain);
  known.may_keep_reasoning = make_usual(kMayKeepReasoning, plain);
  known.keeps_reasoning = !known.may_keep_reasoning && make_usual(kKeepsReasoning, plain);
  known.may_keep_reasoning |= known.keeps_reasoning;
  known.json_arguments = make_usual(kJsonArguments, plain);
  if (hash_of(plain) != kQwenHash) return {};
  known.name = known.may_keep_reasoning || known.json_arguments ? "qwen3.6" : "qwen3.5";
  return known;
}

void ChatText::literal(std::string_view words) {
  if (!literals.empty() && literals.back().end == text.size()) {
    literals.back().end += words.size();
  } else {
    literals.push_back({text.size(), text.size() + words.size()});
  }
  text += words;
}

}  // namespace inlay

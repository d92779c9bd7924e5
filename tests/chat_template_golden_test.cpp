#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <memory_resource>

#include "formats/json.h"
#include "runtime/chat_template.h"
#include "runtime/error.h"
#include "tests/test_data.h"

using namespace inlay;

namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("the published template's chats, byte for byte") {
  INLAY_SHARED_DATA(chats, "text/chat.json");
  INLAY_SHARED_DATA(published, "text/qwen3.5-chat.jinja");
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
  const ChatTemplate known = recognise_chat_template(read_file(published), memory);
  REQUIRE(std::string(known.name) == "qwen3.5");
  CHECK(known.thinks_by_default);
  const JsonDocument document(read_file(chats), "chat.json", memory);
  size_t seen = 0;
  size_t refused = 0;
  for (auto chat = document.root().first(); chat; chat = chat.next()) {
    ChatText text(memory);
    std::string error;
    try {
      render_chat(known, ChatScript(chat, memory), 0, text);
    } catch (const Error& refusal) {
      error = refusal.what();
    }
    CAPTURE(seen);
    if (const auto expected = chat["error"].text()) {
      CHECK(error == *expected);
      ++refused;
    } else {
      CHECK(error.empty());
      CHECK(std::string_view(text.text) == *chat["rendered"].text());
    }
    ++seen;
  }
  CHECK(seen == 79);
  CHECK(refused == 4);
}

TEST_CASE("published templates are known by what differs between them") {
  INLAY_SHARED_DATA(published, "text/qwen3.5-chat.jinja");
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
  const std::string qwen35 = read_file(published);
  std::string off = qwen35;
  replace(off,
          "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
          "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- else %}\n        {{- '<think>\\n' }}\n",
          "    {%- if enable_thinking is defined and enable_thinking is true %}\n"
          "        {{- '<think>\\n' }}\n    {%- else %}\n        {{- '<think>\\n\\n</think>\\n\\n' }}\n");
  const ChatTemplate small = recognise_chat_template(off, memory);
  CHECK(std::string(small.name) == "qwen3.5");
  CHECK_FALSE(small.thinks_by_default);
  CHECK_FALSE(small.may_keep_reasoning);

  std::string qwen36 = qwen35;
  replace(qwen36, "{%- if loop.index0 > ns.last_query_index %}",
          "{%- if (preserve_thinking is defined and preserve_thinking is true) or (loop.index0 > "
          "ns.last_query_index) %}");
  replace(qwen36,
          "args_value | tojson | safe if args_value is mapping or (args_value is sequence and args_value is "
          "not string) else args_value | string",
          "args_value | string if args_value is string else args_value | tojson | safe");
  const ChatTemplate newer = recognise_chat_template(qwen36, memory);
  CHECK(std::string(newer.name) == "qwen3.6");
  CHECK(newer.thinks_by_default);
  CHECK(newer.may_keep_reasoning);
  CHECK_FALSE(newer.keeps_reasoning);
  CHECK(newer.json_arguments);

  std::string changed = qwen35;
  replace(changed, "# Tools", "# Tool");
  CHECK_FALSE(recognise_chat_template(changed, memory).known());
}

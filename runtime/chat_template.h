#pragma once

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "inlay/inlay.h"
#include "runtime/tokenizer.h"

namespace inlay {

/// What is known of a file's chat template.
struct ChatTemplate {
  const char* name = "";            // of the family; "" for a template that is not known
  bool thinks_by_default = true;    // what a missing enable_thinking means
  bool think_marks = false;         // <|think_on|> and <|think_off|> in the system message are switches
  bool json_arguments = false;      // true rather than True in a tool call's arguments (Qwen3.6)
  bool may_keep_reasoning = false;  // knows preserve_thinking (Qwen3.6)
  bool keeps_reasoning = false;     // what a missing preserve_thinking means
  bool opens_first_tool = false;    // a tool's answer may open a conversation (the bundled model's)

  bool known() const { return name[0] != '\0'; }
};

/// Recognises the published Qwen3.5 and Qwen3.6 templates and that of the bundled model by their content:
/// white space that Jinja drops does not count, and each place in which published files differ may read
/// either way. Takes memory in proportion to the text.
ChatTemplate recognise_chat_template(std::string_view text, std::pmr::memory_resource* memory);

/// A rendered chat. Special tokens are those in the stretches that the template itself wrote; what users,
/// tools and models said is text, whatever it looks like.
struct ChatText {
  explicit ChatText(std::pmr::memory_resource* memory) : text(memory), literals(memory) {}

  std::pmr::string text;
  std::pmr::vector<Tokenizer::Range> literals;  // in order, apart from each other
  bool thinks = false;                          // the generation prompt opens a thought

  void literal(std::string_view words);
  void content(std::string_view words) { text += words; }
};

/// A chat as it is rendered: its messages, each an object as the template knows them, and the switches.
struct ChatScript {
  explicit ChatScript(std::pmr::memory_resource* memory) : messages(memory) {}
  /// Of an object with "messages", and where wanted "tools", "enable_thinking", "add_generation_prompt",
  /// "preserve_thinking" and "add_vision_id". Throws as render_chat does.
  ChatScript(JsonDocument::Value chat, std::pmr::memory_resource* memory);

  std::pmr::vector<JsonDocument::Value> messages;
  JsonDocument::Value tools;
  std::optional<bool> thinks;           // enable_thinking; else the template's default
  std::optional<bool> keeps_reasoning;  // preserve_thinking
  bool add_generation_prompt = false;
  bool add_vision_id = false;

  /// The index of the last thing that a person said, after which reasoning is shown; -1 where there is none.
  int64_t last_query(std::pmr::memory_resource* memory) const;
};

/// Renders the messages from number `from` on, byte for byte as the template gives them in such a chat; with
/// `from` 0 what stands before them too. Throws INLAY_ERROR_INVALID_ARGUMENT with the template's own words
/// where it raises an exception, and with words of ours for what it would trip over. O(size of the chat).
void render_chat(const ChatTemplate& chat_template, const ChatScript& script, size_t from, ChatText& out);

}  // namespace inlay

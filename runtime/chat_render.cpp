#include <string>

#include "runtime/chat_template.h"
#include "runtime/error.h"
#include "runtime/python_text.h"

namespace inlay {
namespace {

using Value = JsonDocument::Value;
using Type = JsonDocument::Type;

constexpr std::string_view kTools =
    "<|im_start|>system\n# Tools\n\nYou have access to the following functions:\n\n<tools>";
// The published instructions, word for word: models were trained on them.
constexpr std::string_view kCallHelp =
    "\n</tools>\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
    "<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple "
    "lines\n</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n- Function calls MUST follow "
    "the specified format: an inner <function=...></function> block must be nested within "
    "<tool_call></tool_call> XML tags\n- Required parameters MUST be specified\n- You may provide optional "
    "reasoning for your function call in natural language BEFORE the function call, but NOT after\n- If "
    "there is no function call available, answer the question like normal with your current knowledge and "
    "do not tell the user about function calls\n</IMPORTANT>";

[[noreturn]] void refuse(std::string words) { throw Error(INLAY_ERROR_INVALID_ARGUMENT, std::move(words)); }

/// Whether Jinja takes the value for true.
bool is_true(Value value) {
  switch (value.type()) {
    case Type::kNull: return false;
    case Type::kBool: return *value.truth();
    case Type::kNumber: return *value.real() != 0.0;
    case Type::kString: return !value.text()->empty();
    case Type::kArray:
    case Type::kObject: return static_cast<bool>(value.first());
  }
  return false;
}

bool is(Value value, std::string_view text) { return value.text() && *value.text() == text; }

/// The last part of a text that is split at a word, or all of it.
std::string_view after_last(std::string_view text, std::string_view word) {
  const size_t at = text.rfind(word);
  return at == std::string_view::npos ? text : text.substr(at + word.size());
}

class ChatRenderer {
 public:
  ChatRenderer(const ChatTemplate& chat_template, const ChatScript& script, ChatText& out)
      : template_(chat_template), script_(script), out_(out), stripped_(out.text.get_allocator()) {}

  void render(size_t from) {
    if (script_.messages.empty()) refuse("No messages provided.");
    render_head();
    if (from > 0) {
      out_.text.clear();
      out_.literals.clear();
    }
    find_last_query();
    if (last_query_ < 0) refuse("No user query found in messages.");
    for (size_t i = from; i < script_.messages.size(); ++i) {
      const Value previous = i > 0 ? script_.messages[i - 1] : Value();
      const Value next = i + 1 < script_.messages.size() ? script_.messages[i + 1] : Value();
      render_message(static_cast<int64_t>(i), script_.messages[i], previous, next);
    }
    if (script_.add_generation_prompt) render_generation_prompt();
  }

  /// Reasoning is shown only after the last thing that a person said.
  int64_t find_last_query() {
    last_query_ = -1;
    for (size_t i = 0; i < script_.messages.size(); ++i) {
      if (!is(script_.messages[i]["role"], "user")) continue;
      const std::string_view words = plain_content(script_.messages[i]["content"], false, false);
      if (words.starts_with("<tool_response>") && words.ends_with("</tool_response>")) continue;
      last_query_ = static_cast<int64_t>(i);
    }
    return last_query_;
  }

 private:
  /// A piece of content as it goes into the text: words, or a picture's or video's place.
  std::string_view plain_content(Value content, bool count_vision, bool is_system) {
    stripped_.clear();
    switch (content.type()) {
      case Type::kString: return python_strip(*content.text());
      case Type::kNull: return {};
      case Type::kArray: break;
      default: refuse("Unexpected content type.");
    }
    for (Value item = content.first(); item; item = item.next()) {
      add_item(item, count_vision, is_system);
    }
    return python_strip(stripped_);
  }

  void add_item(Value item, bool count_vision, bool is_system) {
    const bool plain = item.type() == Type::kString;
    const auto has = [&](std::string_view name) {
      return plain ? item.text()->find(name) != std::string_view::npos : static_cast<bool>(item[name]);
    };
    if (has("image") || has("image_url") || is(item["type"], "image")) {
      if (is_system) refuse("System message cannot contain images.");
      images_ += count_vision;
      if (script_.add_vision_id) stripped_ += "Picture " + std::to_string(images_) + ": ";
      stripped_ += "<|vision_start|><|image_pad|><|vision_end|>";
    } else if (has("video") || is(item["type"], "video")) {
      if (is_system) refuse("System message cannot contain videos.");
      videos_ += count_vision;
      if (script_.add_vision_id) stripped_ += "Video " + std::to_string(videos_) + ": ";
      stripped_ += "<|vision_start|><|video_pad|><|vision_end|>";
    } else if (has("text")) {
      const Value text = item["text"];
      if (text.is_array() || text.is_object()) refuse("chat: the text of a piece of content is not a string");
      if (!plain) append_python_str(text, stripped_);
    } else {
      refuse("Unexpected item type in content.");
    }
  }

  /// The system message, and the tools before it.
  void render_head() {
    const Value first = script_.messages.front();
    const bool has_system = is(first["role"], "system");
    std::pmr::string told(out_.text.get_allocator());
    if (has_system) {
      told = plain_content(first["content"], false, true);
      if (template_.think_marks) take_think_marks(told);
    }
    const Value tools = script_.tools;
    if (is_true(tools) && !tools.is_array() && !tools.is_object()) refuse("chat: tools is not an array");
    if (is_true(tools) && tools.is_array()) {
      out_.literal(kTools);
      for (Value tool = tools.first(); tool; tool = tool.next()) {
        out_.literal("\n");
        append_python_json(tool, out_.text);
      }
      out_.literal(kCallHelp);
      if (!told.empty()) {
        out_.literal("\n\n");
        out_.content(told);
      }
      out_.literal("<|im_end|>\n");
    } else if (has_system) {
      out_.literal("<|im_start|>system\n");
      out_.content(told);
      out_.literal("<|im_end|>\n");
    }
  }

  /// The marks are switches of the template's, not words for the model.
  void take_think_marks(std::pmr::string& told) {
    for (const bool on : {true, false}) {
      const std::string_view mark = on ? "<|think_on|>" : "<|think_off|>";
      for (size_t at; (at = told.find(mark)) != std::pmr::string::npos;) {
        told.erase(at, mark.size());
        marked_ = on ? 1 : 0;
      }
    }
    const std::pmr::string kept(python_strip(told), told.get_allocator());
    told = kept;
  }

  void render_message(int64_t index, Value message, Value previous, Value next) {
    const std::string_view words = plain_content(message["content"], true, false);
    const Value role = message["role"];
    if (is(role, "system")) {
      if (index != 0) refuse("System message must be at the beginning.");
    } else if (is(role, "user")) {
      out_.literal("<|im_start|>user\n");
      out_.content(words);
      out_.literal("<|im_end|>\n");
    } else if (is(role, "assistant")) {
      render_assistant(index, message, words);
    } else if (is(role, "tool")) {
      const bool opens = previous ? !is(previous["role"], "tool") : template_.opens_first_tool;
      if (opens) out_.literal("<|im_start|>user");
      out_.literal("\n<tool_response>\n");
      out_.content(words);
      out_.literal("\n</tool_response>");
      if (!next || !is(next["role"], "tool")) out_.literal("<|im_end|>\n");
    } else {
      refuse("Unexpected message role.");
    }
  }

  void render_assistant(int64_t index, Value message, std::string_view words) {
    std::string_view reasoning;
    if (const auto given = message["reasoning_content"].text()) {
      reasoning = *given;
    } else if (const size_t close = words.find("</think>"); close != std::string_view::npos) {
      reasoning = strip_front(after_last(strip_back(words.substr(0, close), '\n'), "<think>"), '\n');
      words = strip_front(after_last(words, "</think>"), '\n');
    }
    bool keeps = template_.keeps_reasoning;
    if (template_.may_keep_reasoning) keeps = script_.keeps_reasoning.value_or(keeps);
    out_.literal("<|im_start|>assistant\n");
    if (keeps || index > last_query_) {
      out_.literal("<think>\n");
      out_.content(python_strip(reasoning));
      out_.literal("\n</think>\n\n");
    }
    out_.content(words);
    const Value calls = message["tool_calls"];
    if (is_true(calls) && calls.is_array()) {
      const char* before = python_strip(words).empty() ? "" : "\n\n";
      for (Value call = calls.first(); call; call = call.next()) {
        const Value function = call["function"];
        out_.literal(before);
        render_call(function ? function : call);
        before = "\n";
      }
    }
    out_.literal("<|im_end|>\n");
  }

  void render_call(Value call) {
    const auto name = call["name"].text();
    if (!name) refuse("chat: a tool call has no name");
    out_.literal("<tool_call>\n<function=");
    out_.content(*name);
    out_.literal(">\n");
    if (const Value arguments = call["arguments"]) {
      if (!arguments.is_object()) refuse("Can only get item pairs from a mapping.");
      for (Value member = first_member(arguments); member; member = next_member(arguments, member)) {
        out_.literal("<parameter=");
        out_.content(member.key());
        out_.literal(">\n");
        render_argument(arguments[member.key()]);
        out_.literal("\n</parameter>\n");
      }
    }
    out_.literal("</function>\n</tool_call>");
  }

  void render_argument(Value value) {
    const bool is_string = value.type() == Type::kString;
    if (value.is_array() || value.is_object() || (template_.json_arguments && !is_string)) {
      append_python_json(value, out_.text);
    } else {
      append_python_str(value, out_.text);
    }
  }

  void render_generation_prompt() {
    out_.thinks = script_.thinks.value_or(template_.thinks_by_default);
    if (marked_ >= 0) out_.thinks = marked_ == 1;
    out_.literal("<|im_start|>assistant\n<think>\n");
    if (!out_.thinks) out_.literal("\n</think>\n\n");
  }

  const ChatTemplate template_;
  const ChatScript& script_;
  ChatText& out_;
  std::pmr::string stripped_;  // a content that is made of pieces
  int marked_ = -1;            // what a mark says about thinking: -1 where there is none
  uint64_t images_ = 0;
  uint64_t videos_ = 0;
  int64_t last_query_ = -1;
};

}  // namespace

ChatScript::ChatScript(JsonDocument::Value chat, std::pmr::memory_resource* memory) : ChatScript(memory) {
  if (!chat.is_object()) refuse("chat: not a JSON object");
  const Value list = chat["messages"];
  if (!is_true(list)) refuse("No messages provided.");
  if (!list.is_array()) refuse("chat: messages is not an array");
  for (Value message = list.first(); message; message = message.next()) messages.push_back(message);
  tools = chat["tools"];
  thinks = chat["enable_thinking"].truth();
  // Anything but true is no; what is not there is the template's to decide.
  if (const Value wish = chat["preserve_thinking"]) keeps_reasoning = wish.truth().value_or(false);
  add_generation_prompt = is_true(chat["add_generation_prompt"]);
  add_vision_id = is_true(chat["add_vision_id"]);
}

int64_t ChatScript::last_query(std::pmr::memory_resource* memory) const {
  ChatText text(memory);
  return ChatRenderer({}, *this, text).find_last_query();
}

void render_chat(const ChatTemplate& chat_template, const ChatScript& script, size_t from, ChatText& out) {
  ChatRenderer(chat_template, script, out).render(from);
}

}  // namespace inlay

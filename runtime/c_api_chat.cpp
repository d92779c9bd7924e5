#include "runtime/c_api.h"
#include "runtime/chat_template.h"

// The C ABI's chats.

using namespace inlay;
using namespace inlay::abi;

namespace {

inlay_chat_format format_of(const ChatTemplate& known) {
  inlay_chat_format format = INLAY_CHAT_FORMAT_INIT;
  format.name = known.name;
  format.thinks_by_default = known.thinks_by_default;
  format.json_arguments = known.json_arguments;
  format.may_keep_reasoning = known.may_keep_reasoning;
  format.keeps_reasoning = known.keeps_reasoning;
  format.opens_first_tool = known.opens_first_tool;
  format.think_marks = known.think_marks;
  return format;
}

ChatTemplate template_of(const inlay_chat_format* given) {
  if (given == nullptr) refuse_null("format");
  const inlay_chat_format format = read_struct(given, "inlay_chat_format");
  ChatTemplate known;
  known.name = "given";
  known.thinks_by_default = format.thinks_by_default != 0;
  known.json_arguments = format.json_arguments != 0;
  known.may_keep_reasoning = format.may_keep_reasoning != 0;
  known.keeps_reasoning = format.keeps_reasoning != 0;
  known.opens_first_tool = format.opens_first_tool != 0;
  known.think_marks = format.think_marks != 0;
  return known;
}

/// Renders, and hands the text to what writes it out.
template <typename Write>
inlay_status render(inlay_runtime* runtime, const inlay_chat_format* format, const char* json,
                    size_t json_bytes, size_t* out_size, Write&& write) noexcept {
  if (out_size != nullptr) *out_size = 0;
  if (runtime == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(*of(runtime), [&] {
    if (out_size == nullptr) refuse_null("the result's size");
    if (json == nullptr) refuse_null("json");
    const ChatTemplate chat_template = template_of(format);
    HostMemory* memory = of(runtime)->memory();
    ChatText text(memory);
    try {
      const JsonDocument document({json, json_bytes}, "chat", memory);
      render_chat(chat_template, document.root(), text);
    } catch (const Error& error) {
      if (error.status() != INLAY_ERROR_CORRUPT_FILE) throw;
      throw Error(INLAY_ERROR_INVALID_ARGUMENT, error.what());  // the host's text is no file
    }
    *out_size = write(text, memory);
    return INLAY_OK;
  });
}

}  // namespace

inlay_status inlay_chat_format_of(inlay_runtime* runtime, const char* chat_template, size_t template_bytes,
                                  inlay_chat_format* out_format) {
  clear_struct(out_format);
  if (runtime == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(*of(runtime), [&] {
    if (chat_template == nullptr && template_bytes > 0) refuse_null("chat_template");
    const ChatTemplate known =
        recognise_chat_template({chat_template, template_bytes}, of(runtime)->memory());
    if (!known.known()) {
      throw Error(INLAY_ERROR_CHAT_TEMPLATE,
                  template_bytes == 0 ? "chat: the file has no chat template"
                                      : "chat: the template is none that is known; render chats yourself, "
                                        "or fill in an inlay_chat_format");
    }
    return give_struct(format_of(known), out_format, "out_format");
  });
}

inlay_status inlay_chat_render(inlay_runtime* runtime, const inlay_chat_format* format, const char* json,
                               size_t json_bytes, char* text, size_t capacity, size_t* out_bytes) {
  return render(runtime, format, json, json_bytes, out_bytes, [&](const ChatText& chat, HostMemory*) {
    if (text == nullptr && capacity > 0) refuse_null("text");
    chat.text.copy(text, capacity);
    return chat.text.size();
  });
}

inlay_status inlay_chat_render_tokens(inlay_runtime* runtime, const inlay_tokenizer* tokenizer,
                                      const inlay_chat_format* format, const char* json, size_t json_bytes,
                                      int32_t* tokens, size_t capacity, size_t* out_count) {
  return render(runtime, format, json, json_bytes, out_count, [&](const ChatText& chat, HostMemory* memory) {
    if (tokenizer == nullptr) refuse_null("tokenizer");
    if (tokens == nullptr && capacity > 0) refuse_null("tokens");
    return of(tokenizer)->encode(chat.text, chat.literals, {tokens, capacity}, memory);
  });
}

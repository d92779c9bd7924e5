#include "runtime/c_api.h"
#include "runtime/chat.h"
#include "runtime/chat_template.h"
#include "runtime/snapshot.h"

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
      render_chat(chat_template, ChatScript(document.root(), memory), 0, text);
    } catch (const Error& error) {
      if (error.status() != INLAY_ERROR_CORRUPT_FILE) throw;
      throw Error(INLAY_ERROR_INVALID_ARGUMENT, error.what());  // the host's text is no file
    }
    *out_size = write(text, memory);
    return INLAY_OK;
  });
}

Chat* of(inlay_chat* handle) { return reinterpret_cast<Chat*>(handle); }
const Chat* of(const inlay_chat* handle) { return reinterpret_cast<const Chat*>(handle); }

/// One thread inside a chat and its session at a time; words of what goes wrong stay with the chat.
template <typename F>
inlay_status inside_saved(inlay_chat* handle, F&& body) noexcept {
  if (handle == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Chat& chat = *of(handle);
  const Held<Chat> held(&chat);
  return inside(reinterpret_cast<inlay_session*>(&chat.session()), [&](Session&) {
    return guard([&] { return body(chat); },
                 [&](const char* message) { chat.fail(INLAY_ERROR_INTERNAL, message); });
  });
}

/// The same where JSON comes from the host, and is no file.
template <typename F>
inlay_status inside_chat(inlay_chat* handle, F&& body) noexcept {
  const inlay_status status = inside_saved(handle, body);
  return status == INLAY_ERROR_CORRUPT_FILE ? INLAY_ERROR_INVALID_ARGUMENT : status;
}

ChatTemplate template_of_model(const Model& model, std::pmr::memory_resource* memory) {
  const ChatTemplate known = recognise_chat_template(model.info().chat_template, memory);
  if (known.known()) return known;
  throw Error(INLAY_ERROR_CHAT_TEMPLATE,
              "chat: the file's chat template is none that is known, and no format was given");
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

inlay_status inlay_sampler_preset(inlay_sampling preset, inlay_sampler_params* params) {
  if (params == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return guard(
      [&] {
        inlay_sampler_params known = read_struct(params, "inlay_sampler_params");
        switch (number_of(preset)) {
          case INLAY_SAMPLING_PRECISE:
            known.temperature = 0.6f;
            known.top_p = 0.95f;
            break;
          case INLAY_SAMPLING_LIVELY:
            known.temperature = 0.7f;
            known.top_p = 0.95f;
            known.top_k = 20;
            known.repeat_penalty = 1.1f;
            break;
          default: return INLAY_ERROR_INVALID_ARGUMENT;
        }
        return write_struct(known, params);
      },
      [](const char*) {});
}

inlay_status inlay_chat_create(inlay_session* session, const inlay_chat_params* params,
                               inlay_chat** out_chat) {
  if (out_chat != nullptr) *out_chat = nullptr;
  if (session == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  Session& parent = *abi::of(session);
  Runtime& runtime = parent.model().runtime();
  return create_under(runtime, [&] {
    if (out_chat == nullptr) refuse_null("out_chat");
    const inlay_chat_params known = read_struct(params, "inlay_chat_params");
    if (known.tools == nullptr && known.tools_bytes > 0) refuse_null("inlay_chat_params.tools");
    const ChatTemplate chat_template = known.format != nullptr
                                           ? template_of(known.format)
                                           : template_of_model(parent.model(), runtime.memory());
    GeneratorWish wish(known.generator);
    if (wish.params.sampler == nullptr) {
      wish.sampler = INLAY_SAMPLER_PARAMS_INIT;
      inlay_sampler_preset(INLAY_SAMPLING_PRECISE, &wish.sampler);
      wish.params.sampler = &wish.sampler;
    }
    *out_chat = reinterpret_cast<inlay_chat*>(Chat::create(
        parent, chat_template, {known.tools, known.tools_bytes}, wish.params, known.keep_reasoning != 0));
    return INLAY_OK;
  });
}

void inlay_chat_destroy(inlay_chat* chat) {
  if (chat != nullptr) of(chat)->release();
}

size_t inlay_chat_message(const inlay_chat* chat, char* buffer, size_t capacity) {
  if (chat == nullptr || (buffer == nullptr && capacity > 0)) return 0;
  return copy_text(of(chat)->message(), buffer, capacity);
}

inlay_status inlay_chat_add(inlay_chat* chat, const char* role, const char* content, size_t content_bytes) {
  return inside_chat(chat, [&](Chat& c) {
    if (role == nullptr) refuse_null("role");
    if (content == nullptr && content_bytes > 0) refuse_null("content");
    c.add(role, {content, content_bytes});
    return INLAY_OK;
  });
}

inlay_status inlay_chat_add_json(inlay_chat* chat, const char* json, size_t json_bytes) {
  return inside_chat(chat, [&](Chat& c) {
    if (json == nullptr) refuse_null("json");
    c.add({json, json_bytes});
    return INLAY_OK;
  });
}

inlay_status inlay_chat_answer(inlay_chat* chat, const inlay_chat_answer_params* params) {
  return inside_chat(chat,
                     [&](Chat& c) { return c.answer(read_struct(params, "inlay_chat_answer_params")); });
}

inlay_status inlay_chat_next(inlay_chat* chat, uint64_t budget_us, inlay_chat_event* out_event) {
  clear_struct(out_event);
  inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
  const inlay_status status = inside_chat(chat, [&](Chat& c) {
    if (write_struct(event, out_event) != INLAY_OK) {
      return c.fail(INLAY_ERROR_INVALID_ARGUMENT, "chat: out_event is null or was not initialised");
    }
    return c.next(budget_us, &event);
  });
  if (status >= INLAY_OK) write_struct(event, out_event);
  return status;
}

uint64_t inlay_chat_save_bytes(inlay_chat* chat) {
  uint64_t bytes = 0;
  inside_chat(chat, [&](Chat& c) {
    bytes = c.save_bytes();
    return INLAY_OK;
  });
  return bytes;
}

inlay_status inlay_chat_save(inlay_chat* chat, const inlay_writer* writer) {
  return inside_chat(chat, [&](Chat& c) { return c.save(read_writer(writer)); });
}

inlay_status inlay_chat_load(inlay_chat* chat, const inlay_reader* reader) {
  return inside_saved(chat, [&](Chat& c) { return c.load(read_reader(reader)); });
}

inlay_status inlay_chat_save_memory(inlay_chat* chat, void* buffer, uint64_t capacity, uint64_t* out_bytes) {
  if (out_bytes != nullptr) *out_bytes = 0;
  return inside_chat(chat, [&](Chat& c) {
    if (buffer == nullptr || out_bytes == nullptr) {
      return c.fail(INLAY_ERROR_INVALID_ARGUMENT, "chat: buffer or out_bytes is null");
    }
    const uint64_t bytes = c.save_bytes();
    if (bytes > capacity) {
      return c.fail(INLAY_ERROR_MEMORY_LIMIT, "chat: the buffer is smaller than save_bytes says");
    }
    SnapshotMemory memory{static_cast<std::byte*>(buffer), nullptr, capacity};
    const inlay_status status = c.save(memory.writer());
    if (status == INLAY_OK) *out_bytes = bytes;
    return status;
  });
}

inlay_status inlay_chat_load_memory(inlay_chat* chat, const void* data, uint64_t bytes) {
  return inside_saved(chat, [&](Chat& c) {
    if (data == nullptr) return c.fail(INLAY_ERROR_INVALID_ARGUMENT, "chat: data is null");
    if (Chat::is_damaged(data, bytes)) {
      return c.fail(INLAY_ERROR_CORRUPT_FILE, "chat: the saved chat is damaged");
    }
    SnapshotMemory memory{nullptr, static_cast<const std::byte*>(data), bytes};
    return c.load(memory.reader());
  });
}

inlay_status inlay_chat_stop(inlay_chat* chat) {
  return inside_chat(chat, [](Chat& c) {
    c.stop();
    return INLAY_OK;
  });
}

#include "runtime/chat.h"

#include <algorithm>
#include <cstdio>
#include <new>

#include "runtime/error.h"
#include "runtime/python_text.h"
#include "runtime/tokenizer.h"

namespace inlay {
namespace {

constexpr uint64_t kNoDeadline = UINT64_MAX;
constexpr uint32_t kRepetitionLimit = 512;
constexpr std::string_view kThink = "<think>";

uint64_t deadline_of(uint64_t budget_us) {
  const uint64_t now = Session::now_ns();
  return budget_us >= (kNoDeadline - now) / 1000 ? kNoDeadline : now + budget_us * 1000;
}

/// What is left until a deadline, a microsecond at least, so that work gets on in the end.
uint64_t budget_until(uint64_t deadline) {
  if (deadline == kNoDeadline) return INLAY_NO_BUDGET;
  const uint64_t now = Session::now_ns();
  return now + 2000 < deadline ? (deadline - now) / 1000 : 1;
}

[[noreturn]] void refuse(const char* words) { throw Error(INLAY_ERROR_INVALID_ARGUMENT, words); }

std::string_view tools_text(std::string_view tools) { return tools.empty() ? "null" : tools; }

size_t round_room(const Tokenizer& tokenizer) {
  return TextStream::most_bytes(size_t{INLAY_MAX_WIDTH} * tokenizer.longest_token()) + 1;
}

/// An assistant's message as JSON, made of what a stream gives.
class MessageWriter {
 public:
  explicit MessageWriter(std::pmr::memory_resource* memory)
      : content_(memory), reasoning_(memory), calls_(memory), call_(memory), value_(memory), raw_(memory) {}

  void add(ChatPart part, std::string_view text, const StopStrings& stops, StopWatch& watch) {
    switch (part) {
      case ChatPart::kReasoning: reasoning_ += text; break;
      case ChatPart::kAnswer:
        watch.push(stops, text, [&](std::string_view piece) { content_ += piece; });
        break;
      case ChatPart::kMarkup: break;
      case ChatPart::kCallBegin:
        watch.finish([&](std::string_view piece) { content_ += piece; });
        call_ = "{\"name\":";
        append_json_string(text, call_);
        call_ += ",\"arguments\":{";
        arguments_ = 0;
        break;
      case ChatPart::kArgument:
        end_argument();
        call_ += arguments_++ > 0 ? "," : "";
        append_json_string(text, call_);
        call_ += ':';
        in_argument_ = true;
        break;
      case ChatPart::kArgumentText: value_ += text; break;
      case ChatPart::kCallEnd:
        end_argument();
        calls_ += calls_.empty() ? "" : ",";
        calls_ += call_;
        calls_ += "}}";
        break;
      case ChatPart::kCallBroken: content_ += raw_; break;
    }
    // What a broken call was stays in the message as the text that it is.
    const bool plain = part == ChatPart::kReasoning || part == ChatPart::kAnswer ||
                       part == ChatPart::kCallEnd || part == ChatPart::kCallBroken;
    if (plain) raw_.clear();
    if (!plain) raw_ += text;
    if (part == ChatPart::kCallBroken) {
      in_argument_ = false;
      value_.clear();
    }
  }

  void write(StopWatch& watch, std::pmr::string& out) {
    watch.finish([&](std::string_view piece) { content_ += piece; });
    out += "{\"role\":\"assistant\",\"content\":";
    append_json_string(content_, out);
    out += ",\"reasoning_content\":";
    append_json_string(reasoning_, out);
    if (!calls_.empty()) {
      out += ",\"tool_calls\":[";
      out += calls_;
      out += ']';
    }
    out += '}';
  }

 private:
  void end_argument() {
    if (in_argument_) append_json_string(value_, call_);
    in_argument_ = false;
    value_.clear();
  }

  std::pmr::string content_, reasoning_, calls_, call_, value_, raw_;
  size_t arguments_ = 0;
  bool in_argument_ = false;
};

}  // namespace

Chat::Message::Message(std::string_view json, std::pmr::memory_resource* memory)
    : document(json, "message", memory) {}

// Create and destroy

Chat* Chat::create(Session& session, const ChatTemplate& chat_template, std::string_view tools,
                   const inlay_generator_params& params, bool keeps_reasoning) {
  if (session.tokenizer() == nullptr) {
    throw Error(INLAY_ERROR_UNSUPPORTED, "chat: the model has no tokenizer");
  }
  if (session.position() != 0) throw Error(INLAY_ERROR_WRONG_STATE, "chat: the session is not empty");
  std::pmr::memory_resource* memory = session.resource();
  void* place = memory->allocate(sizeof(Chat), alignof(Chat));
  try {
    return new (place) Chat(session, chat_template, tools, params, keeps_reasoning);
  } catch (...) {
    memory->deallocate(place, sizeof(Chat), alignof(Chat));
    throw;
  }
}

Chat::Chat(Session& session, const ChatTemplate& chat_template, std::string_view tools,
           const inlay_generator_params& params, bool keeps_reasoning)
    : session_(&session),
      memory_(session.resource()),
      template_(chat_template),
      keeps_reasoning_(keeps_reasoning || chat_template.keeps_reasoning),
      greedy_(params.sampler == nullptr || params.sampler->temperature == 0.0f),
      messages_(memory_),
      tools_(tools_text(tools), "tools", memory_),
      prefix_(memory_),
      prompt_(memory_),
      max_tokens_(params.max_tokens),
      closing_(memory_),
      round_(round_room(*session.tokenizer()), '\0', memory_),
      piece_(memory_),
      later_(memory_) {
  piece_.reserve(ChatStream::kMostHeld + 2 * StopStrings::kLongest + 1);
  later_.reserve(piece_.capacity());
  inlay_generator_params known = params;
  known.grammar = nullptr;  // it is of the answer alone
  if (params.grammar != nullptr) {
    default_grammar_ = Held<GrammarObject>(reinterpret_cast<GrammarObject*>(params.grammar));
  }
  generator_ = Generator::create(session, known, true);
  try {
    inlay_fork_params fork = INLAY_FORK_PARAMS_INIT;
    fork.share_scratch = 1;
    mark_ = Session::fork(session, fork);
  } catch (...) {
    generator_->release();
    throw;
  }
}

Chat::~Chat() {
  mark_->release();
  generator_->release();
}

void Chat::destroy() {
  const Held<Session> session(session_.get());
  std::pmr::memory_resource* memory = memory_;
  this->~Chat();
  memory->deallocate(this, sizeof(Chat), alignof(Chat));
}

inlay_status Chat::fail(inlay_status status, const char* message) {
  std::snprintf(message_, sizeof message_, "%s", message);
  return status;
}

// What is said

void Chat::add(std::string_view json) {
  if (phase_ != Phase::kIdle && phase_ != Phase::kEnd) {
    throw Error(INLAY_ERROR_WRONG_STATE, "chat: an answer is under way");
  }
  take_answer();
  const JsonDocument document(json, "message", memory_);
  if (document.root().is_array()) {
    std::pmr::list<Message> added = read_messages(document.root());
    messages_.splice(messages_.end(), added);
  } else if (document.root().is_object()) {
    messages_.emplace_back(json, memory_);
  } else {
    refuse("chat: a message is not an object");
  }
}

std::pmr::list<Chat::Message> Chat::read_messages(JsonDocument::Value array) const {
  for (auto message = array.first(); message; message = message.next()) {
    if (!message.is_object()) refuse("chat: a message is not an object");
  }
  std::pmr::list<Message> messages(memory_);
  std::pmr::string text(memory_);
  for (auto message = array.first(); message; message = message.next()) {
    text.clear();
    append_python_json(message, text);
    messages.emplace_back(text, memory_);
  }
  return messages;
}

void Chat::add(std::string_view role, std::string_view content) {
  std::pmr::string json("{\"role\":", memory_);
  append_json_string(role, json);
  json += ",\"content\":";
  append_json_string(content, json);
  json += '}';
  add(json);
}

/// Makes the answer that the timeline ends in a message.
void Chat::take_answer() {
  if (!answered_) return;
  ChatStream stream(thinks_, wish_.calls_anywhere);
  TextStream text;
  StopWatch watch;
  MessageWriter writer(memory_);
  const auto write = [&](ChatPart part, std::string_view piece) {
    writer.add(part, piece, wish_.stops, watch);
  };
  const Tokenizer& tokenizer = *session_->tokenizer();
  std::pmr::string room(TextStream::most_bytes(tokenizer.longest_token()), '\0', memory_);
  for (const int32_t token : generator_->timeline().subspan(answer_begin_)) {
    if (!tokenizer.contains(token) || tokenizer.is_end_of_generation(token)) continue;
    stream.push({room.data(), text.push(tokenizer.chat_bytes(token), room)}, write);
  }
  stream.push({room.data(), text.flush(room)}, write);
  stream.finish(write);
  std::pmr::string json(memory_);
  writer.write(watch, json);
  messages_.emplace_back(json, memory_);
  rendered_ = messages_.size();
  answered_ = false;
}

ChatScript Chat::script() const {
  ChatScript script(memory_);
  for (const Message& message : messages_) script.messages.push_back(message.document.root());
  script.tools = tools_.root();
  script.add_generation_prompt = true;
  script.keeps_reasoning = keeps_reasoning_;
  return script;
}

void Chat::encode(const ChatText& text, std::pmr::vector<int32_t>& tokens) const {
  const Tokenizer& tokenizer = *session_->tokenizer();
  const size_t before = tokens.size();
  tokens.resize(before + text.text.size());
  const std::span<int32_t> room = std::span(tokens).subspan(before);
  size_t count = tokenizer.encode(text.text, text.literals, room, memory_);
  if (count > room.size()) {  // normalisation can lengthen a text
    tokens.resize(before + count);
    count = tokenizer.encode(text.text, text.literals, std::span(tokens).subspan(before), memory_);
  }
  tokens.resize(before + count);
}

// Turns

/// Nothing that stands changes: what is new goes behind the last answer.
void Chat::append_turn(const ChatScript& script, Turn& turn) const {
  ChatText head(memory_);
  ChatText text(memory_);
  // The token that ended the answer is fed in front of this.
  const bool closed = generator_->timeline().back() == session_->tokenizer()->end_of_turn();
  head.literal(closed ? "\n" : "<|im_end|>\n");
  render_chat(template_, script, rendered_, text);
  encode(head, turn.prompt);
  encode(text, turn.prompt);
  turn.settled_tokens = settled_tokens_;
  turn.thinks = text.thinks;
}

/// A person has said something new: what came after the last such thing is rendered anew.
void Chat::change_turn(const ChatScript& script, Turn& turn) const {
  const auto query = static_cast<size_t>(script.last_query(memory_));
  ChatScript asked(memory_);
  asked.messages.assign(script.messages.begin(),
                        script.messages.begin() + static_cast<std::ptrdiff_t>(query) + 1);
  asked.tools = script.tools;
  asked.keeps_reasoning = script.keeps_reasoning;
  ChatText settled(memory_);
  render_chat(template_, asked, settled_, settled);
  encode(settled, turn.prefix);
  turn.settled_tokens = settled_tokens_ + turn.prefix.size();

  ChatText open(memory_);
  render_chat(template_, script, query + 1, open);
  turn.thinks = open.thinks;
  // The last part begins with a tag that is a token of its own, else it could not be tokenized apart.
  const size_t tag = open.text.rfind(kThink);
  const int32_t token = session_->tokenizer()->find(kThink);
  if (token < 0 || session_->tokenizer()->type(token) == TokenType::kNormal) {
    encode(open, turn.prompt);
    return;
  }
  ChatText front(memory_);
  front.text = open.text.substr(0, tag);
  front.literals = open.literals;
  front.literals.back().end = tag;
  ChatText back(memory_);
  back.literal(std::string_view(open.text).substr(tag));
  encode(front, turn.prefix);
  encode(back, turn.prompt);
}

GuideWish Chat::read_wish(const inlay_chat_answer_params& params, bool thinks) {
  GuideWish wish;
  wish.chat = true;
  wish.thinks = thinks;
  wish.think_budget = params.think_budget;
  wish.repetition_limit = params.repetition_limit == 0            ? kRepetitionLimit
                          : params.repetition_limit == UINT32_MAX ? 0
                                                                  : params.repetition_limit;
  std::array<std::string_view, StopStrings::kMost> strings;
  if (params.stop_string_count > strings.size()) refuse("chat: there are more than 16 stop strings");
  for (size_t i = 0; i < params.stop_string_count; ++i) {
    if (params.stop_strings == nullptr || params.stop_strings[i] == nullptr) {
      refuse("chat: a stop string is null");
    }
    strings[i] = params.stop_strings[i];
  }
  if (!wish.stops.set(std::span(strings).first(params.stop_string_count))) {
    refuse("chat: a stop string is empty or has more than 64 bytes");
  }
  GrammarObject* grammar =
      params.grammar != nullptr ? reinterpret_cast<GrammarObject*>(params.grammar) : default_grammar_.get();
  if (grammar != nullptr) {
    if (&grammar->model() != &session_->model()) refuse("chat: the grammar is of another model");
    generator_->need_matcher();
    wish.grammar = grammar;
    wish.calls_anywhere = false;
    wish.may_call = tools_.root().is_array() && tools_.root().first();
  }
  const bool has_tools = tools_.root().is_array() && tools_.root().first();
  if (params.strict_calls != 0 && has_tools) {
    if (call_grammar_.get() == nullptr) {
      call_grammar_ =
          Held<GrammarObject>::adopt(GrammarObject::create_calls(session_->model(), tools_.root()));
    }
    generator_->need_call_matcher();
    wish.calls = call_grammar_.get();
  }
  closing_.clear();
  if (params.think_budget > 0) {
    ChatText text(memory_);
    if (params.think_closing != nullptr) text.content(params.think_closing);
    text.literal("\n</think>\n\n");
    encode(text, closing_);
    if (closing_.size() > Guide::kLongestClosing) refuse("chat: think_closing has more than 60 tokens");
  }
  return wish;
}

inlay_status Chat::answer(const inlay_chat_answer_params& params) {
  if (phase_ != Phase::kIdle && phase_ != Phase::kEnd) {
    return fail(INLAY_ERROR_WRONG_STATE, "chat: an answer is under way");
  }
  if (params.thinking < INLAY_THINKING_DEFAULT || params.thinking > INLAY_THINKING_OFF) {
    refuse("chat: thinking is not one of inlay_thinking");
  }
  take_answer();
  ChatScript whole = script();
  if (params.thinking != INLAY_THINKING_DEFAULT) whole.thinks = params.thinking == INLAY_THINKING_ON;
  const int64_t query = whole.last_query(memory_);
  Turn turn(memory_);
  const bool changes =
      rendered_ == 0 || (query != last_query_ && !(keeps_reasoning_ && template_.may_keep_reasoning));
  if (changes) {
    if (query < 0) refuse("No user query found in messages.");
    change_turn(whole, turn);
  } else {
    append_turn(whole, turn);
  }
  const GuideWish wish = read_wish(params, turn.thinks);
  const uint64_t stands = changes ? settled_tokens_ : generator_->timeline().size();
  if (stands + turn.prefix.size() + turn.prompt.size() >= session_->context_length()) {
    return fail(INLAY_ERROR_CONTEXT_FULL, "chat: the conversation does not fit into the context");
  }
  counts_ = INLAY_CHAT_EVENT_INIT;
  if (changes) {
    if (const inlay_status status = go_back(turn); status != INLAY_OK) {
      return fail(status, session_->message());
    }
    settled_ = static_cast<size_t>(query) + 1;
    settled_tokens_ = turn.settled_tokens;
    last_query_ = query;
  } else {
    prefix_.clear();
    prefix_begin_ = session_->position();
  }
  counts_.reused_tokens = session_->position();
  prompt_.swap(turn.prompt);
  rendered_ = messages_.size();
  wish_ = wish;
  wish_.same_grammar = grammar_.get() == wish.grammar;
  grammar_ = wish.grammar == nullptr ? Held<GrammarObject>()
                                     : Held<GrammarObject>(const_cast<GrammarObject*>(wish.grammar));
  thinks_ = turn.thinks;
  answer_max_tokens_ = params.max_tokens > 0 ? params.max_tokens : max_tokens_;
  begin_events();
  phase_ = Phase::kPrefix;
  return INLAY_OK;
}

/// Goes back to what the session and the turn have in common, as near as it can, and says what is to be fed.
inlay_status Chat::go_back(const Turn& turn) {
  const std::span<const int32_t> stands = session_->tokens();
  const std::span<const int32_t> open = stands.subspan(std::min<size_t>(settled_tokens_, stands.size()));
  const auto differ = std::mismatch(open.begin(), open.end(), turn.prefix.begin(), turn.prefix.end());
  const uint64_t common = static_cast<uint64_t>(differ.first - stands.begin());
  prefix_.assign(stands.begin(), stands.begin() + static_cast<std::ptrdiff_t>(stands.size() - open.size()));
  prefix_.insert(prefix_.end(), turn.prefix.begin(), turn.prefix.end());
  inlay_status status = INLAY_OK;
  if (stands.size() - common <= session_->rewindable()) {
    status = session_->rewind(stands.size() - common);
  } else if (mark_->position() <= common) {
    status = session_->rewind_to(*mark_);
  } else {
    status = session_->reset();
  }
  counts_.rewound_tokens = stands.size() - session_->position();
  prefix_begin_ = 0;
  return status;
}

void Chat::begin_events() {
  stream_ = ChatStream(thinks_, wish_.calls_anywhere);
  text_.reset();
  watch_ = {};
  round_rest_ = {};
  later_kind_ = INLAY_CHAT_NONE;
  calls_ = 0;
  stop_ = INLAY_STOP_NONE;
  host_stops_ = false;
  warns_ = greedy_ && thinks_;
  prompt_ns_before_ = generator_->stats().prompt_ns;
}

inlay_status Chat::feed_prefix(uint64_t deadline) {
  const uint64_t end = prefix_begin_ + prefix_.size();
  if (!prefix_.empty() && session_->position() < end) {
    if (!session_->busy()) {
      const auto rest = std::span<const int32_t>(prefix_).subspan(session_->position() - prefix_begin_);
      if (const inlay_status status = session_->begin_prefill(rest); status != INLAY_OK) {
        return fail(status, session_->message());
      }
    }
    const uint64_t before = session_->position();
    const uint64_t begin = Session::now_ns();
    const inlay_status status = session_->advance(budget_until(deadline), nullptr);
    counts_.prompt_ns += Session::now_ns() - begin;
    counts_.prompt_tokens += session_->position() - before;
    if (status == INLAY_PENDING) return status;
    if (status != INLAY_OK) return fail(status, session_->message());
  }
  if (!prefix_.empty() && mark_->position() != end) {
    if (const inlay_status status = mark_->rewind_to(*session_); status != INLAY_OK) {
      return fail(status, mark_->message());
    }
  }
  return begin_answer();
}

inlay_status Chat::begin_answer() {
  generator_->set_max_tokens(answer_max_tokens_);
  if (const inlay_status status = generator_->prompt(prompt_); status != INLAY_OK) {
    return fail(status, generator_->message());
  }
  GuideWish wish = wish_;
  wish.closing = closing_;
  generator_->guide()->begin(wish);
  counts_.prompt_tokens += generator_->waiting().size();
  answer_begin_ = generator_->timeline().size();
  answered_ = true;
  phase_ = Phase::kAnswer;
  return INLAY_OK;
}

void Chat::stop() {
  if (phase_ == Phase::kPrefix || phase_ == Phase::kAnswer) host_stops_ = true;
}

/// One round of the generator, and its text. INLAY_END where it was the last.
inlay_status Chat::run_round(uint64_t deadline) {
  const bool thought = generator_->guide()->place() == ChatPlace::kReasoning;
  const uint64_t begin = Session::now_ns();
  GeneratorOutput output;
  const inlay_status status = generator_->next(budget_until(deadline), &output);
  const uint64_t prompt_ns = generator_->stats().prompt_ns - prompt_ns_before_;
  const uint64_t spent = Session::now_ns() - begin;
  prompt_ns_before_ += prompt_ns;
  counts_.prompt_ns += prompt_ns;
  (thought ? counts_.reasoning_ns : counts_.answer_ns) += spent - std::min(spent, prompt_ns);
  if (status < INLAY_OK) return fail(status, generator_->message());
  read_tokens(output.tokens);
  counts_.reasoning_tokens = generator_->guide()->thought_tokens();
  counts_.answer_tokens = generator_->timeline().size() - answer_begin_ - counts_.reasoning_tokens;
  counts_.thought_closed = generator_->guide()->closed_thought();
  stop_ = output.stop;
  return status;
}

// Events

void Chat::read_tokens(std::span<const int32_t> tokens) {
  const Tokenizer& tokenizer = *session_->tokenizer();
  const std::span<char> room(round_.data(), round_.size());
  size_t bytes = 0;
  for (const int32_t token : tokens) {
    if (!tokenizer.contains(token) || tokenizer.is_end_of_generation(token)) continue;
    bytes += text_.push(tokenizer.chat_bytes(token), room.subspan(bytes));
  }
  round_rest_ = {round_.data(), bytes};
}

inlay_status Chat::next(uint64_t budget_us, inlay_chat_event* event) {
  const uint64_t deadline = deadline_of(budget_us);
  for (;;) {
    switch (phase_) {
      case Phase::kIdle: return fail(INLAY_ERROR_WRONG_STATE, "chat: there is nothing to answer");
      case Phase::kPrefix:
        if (warns_) {
          warns_ = false;
          give(INLAY_CHAT_WARNING, "greedy sampling with thinking on tends to go round in loops", event);
          return INLAY_OK;
        }
        if (budget_us == 0) return INLAY_PENDING;
        if (const inlay_status status = feed_prefix(deadline); status != INLAY_OK) return status;
        break;
      case Phase::kAnswer: {
        if (take_event(false, event)) return INLAY_OK;
        if (budget_us == 0) return INLAY_PENDING;
        inlay_status status = INLAY_OK;
        if (host_stops_ && !generator_->in_round()) {
          stop_ = INLAY_STOP_HOST;
          status = INLAY_END;
        } else {
          status = run_round(deadline);
        }
        if (status == INLAY_END) phase_ = Phase::kLastText;
        if (status == INLAY_PENDING || status < INLAY_OK) return status;
        break;
      }
      case Phase::kLastText:
        if (take_event(true, event)) return INLAY_OK;
        phase_ = Phase::kEnd;
        break;
      case Phase::kEnd: give_end(event); return INLAY_END;
    }
  }
}

bool Chat::take_event(bool ends, inlay_chat_event* event) {
  if (later_kind_ != INLAY_CHAT_NONE) {
    const int32_t kind = later_kind_;
    later_kind_ = INLAY_CHAT_NONE;
    return give(kind, later_, event);
  }
  for (;;) {
    if (step_stream(false, event)) return true;
    if (round_rest_.empty()) break;
    round_rest_.remove_prefix(stream_.take(round_rest_));
  }
  if (!ends) return false;
  // A character that the end leaves unfinished.
  if (const size_t bytes = text_.flush({round_.data(), round_.size()}); bytes > 0) {
    round_rest_ = {round_.data(), bytes};
    return take_event(true, event);
  }
  if (step_stream(true, event)) return true;
  piece_.clear();
  watch_.finish([&](std::string_view text) { piece_ += text; });
  return !piece_.empty() && give(INLAY_CHAT_ANSWER, piece_, event);
}

/// Steps until there is something to show.
bool Chat::step_stream(bool ends, inlay_chat_event* event) {
  constexpr int32_t kKinds[] = {INLAY_CHAT_REASONING,  INLAY_CHAT_ANSWER,     INLAY_CHAT_NONE,
                                INLAY_CHAT_CALL_BEGIN, INLAY_CHAT_ARGUMENT,   INLAY_CHAT_ARGUMENT_TEXT,
                                INLAY_CHAT_CALL_END,   INLAY_CHAT_CALL_BROKEN};
  int32_t kind = INLAY_CHAT_NONE;
  do {
    piece_.clear();
    const bool stepped = stream_.step(ends, [&](ChatPart part, std::string_view text) {
      const auto put = [&](std::string_view piece) { piece_ += piece; };
      if (part == ChatPart::kMarkup) return;
      kind = kKinds[static_cast<size_t>(part)];
      if (part == ChatPart::kAnswer) {
        watch_.push(wish_.stops, text, put);
        if (piece_.empty()) kind = INLAY_CHAT_NONE;
        return;
      }
      watch_.finish(put);
      if (piece_.empty()) {
        piece_ = text;
      } else {
        later_ = text;
        later_kind_ = kind;
        kind = INLAY_CHAT_ANSWER;
      }
    });
    if (!stepped) return false;
  } while (kind == INLAY_CHAT_NONE);
  return give(kind, piece_, event);
}

bool Chat::give(int32_t kind, std::string_view text, inlay_chat_event* event) {
  if (text.data() != piece_.data()) piece_ = text;
  if (kind == INLAY_CHAT_CALL_BEGIN) ++calls_;
  *event = counts_;
  event->kind = kind;
  event->text = piece_.c_str();
  event->text_bytes = piece_.size();
  event->call = calls_ > 0 ? calls_ - 1 : 0;
  return true;
}

void Chat::give_end(inlay_chat_event* event) {
  give(INLAY_CHAT_END, {}, event);
  event->stop = stop_;
}

}  // namespace inlay

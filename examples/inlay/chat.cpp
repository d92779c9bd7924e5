#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "command.h"

namespace command {
namespace {

constexpr char kTools[] =
    R"([{"type": "function", "function": {"name": "look_up_price", "description": "The price of something on sale, in coppers.", "parameters": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}}}, {"type": "function", "function": {"name": "roll_dice", "description": "Roll one die.", "parameters": {"type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]}}}])";

struct Call {
  std::string name;
  std::vector<std::pair<std::string, std::string>> arguments;
};

/// The two tools: harmless, and known to nobody else.
std::string call_tool(const Call& call) {
  if (call.name == "roll_dice") {
    int sides = call.arguments.empty() ? 6 : std::atoi(call.arguments[0].second.c_str());
    if (sides < 2) sides = 6;
    std::random_device random;
    return std::to_string(1 + random() % static_cast<unsigned>(sides));
  }
  if (call.name == "look_up_price") {
    const std::string item = call.arguments.empty() ? "" : call.arguments[0].second;
    return std::to_string(2 + item.size() % 9) + " coppers";
  }
  return "error: there is no tool of that name";
}

class Conversation {
 public:
  Conversation(const Options& options, inlay_runtime* runtime, inlay_model* model)
      : options_(options),
        runtime_(runtime),
        model_(model),
        grammar_(read_grammar(options, runtime, model)),
        think_(options.text("--think", "default")) {
    set_think(think_);
    begin();
    if (options.has("--system")) {
      add("{\"role\":\"system\",\"content\":" + json_text(options.text("--system", "")) + "}");
    }
  }

  /// One line of a person: a command, or something to answer. False at the end.
  bool take(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string word = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (word == "/quit") return false;
    if (word == "/think") {
      set_think(rest.empty() ? "on" : rest);
    } else if (word == "/tokens") {
      std::printf("%llu of %u tokens; the last turn fed %llu, kept %llu, thought %llu, said %llu\n",
                  static_cast<unsigned long long>(inlay_session_position(session_.get())),
                  inlay_session_context_length(session_.get()),
                  static_cast<unsigned long long>(last_.prompt_tokens),
                  static_cast<unsigned long long>(last_.reused_tokens),
                  static_cast<unsigned long long>(last_.reasoning_tokens),
                  static_cast<unsigned long long>(last_.answer_tokens));
    } else if (word == "/save") {
      save(rest);
    } else if (word == "/load") {
      load(rest);
    } else {
      add("{\"role\":\"user\",\"content\":" + json_text(line) + "}");
      while (answer()) {
      }
    }
    return true;
  }

 private:
  void set_think(const std::string& think) {
    if (think != "on" && think != "off" && think != "default") {
      throw Failure("thinking is on or off, not \"" + think + "\"");
    }
    think_ = think;
  }

  void begin() {
    chat_.reset();
    session_.reset();
    messages_.clear();
    inlay_generator_params generator = INLAY_GENERATOR_PARAMS_INIT;
    inlay_session_params session = session_params(options_);
    session.mtp = read_draft(options_, &generator) ? 1 : 0;
    session_ = make_session(runtime_, model_, session);
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    inlay_sampler_preset(INLAY_SAMPLING_PRECISE, &sampler);
    const inlay_sampler_params given = sampler_params(options_);
    const float temperature = options_.real("--temp", sampler.temperature);
    const float top_p = options_.real("--top-p", sampler.top_p);
    sampler = given;
    sampler.temperature = temperature;
    sampler.top_p = top_p;
    generator.sampler = &sampler;
    generator.max_tokens = options_.number("-n", 0);
    generator.grammar = grammar_.get();
    inlay_chat_params params = INLAY_CHAT_PARAMS_INIT;
    params.generator = &generator;
    if (options_.has("--tools")) {
      params.tools = kTools;
      params.tools_bytes = sizeof kTools - 1;
    }
    inlay_chat* made = nullptr;
    check(inlay_chat_create(session_.get(), &params, &made), runtime_, "cannot chat");
    chat_ = Chat(made);
  }

  void add(const std::string& message) {
    check(inlay_chat_add_json(chat_.get(), message.data(), message.size()), chat_.get(), "cannot add this");
    messages_.push_back(message);
  }

  void show(const char* before, const char* text, const char* after) const {
    const bool terminal = isatty(STDOUT_FILENO) != 0;
    std::printf("%s%s%s", terminal ? before : "", text, terminal ? after : "");
  }

  /// True where tools were called, so that there is more to answer.
  bool answer() {
    inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
    params.thinking = think_ == "on"    ? INLAY_THINKING_ON
                      : think_ == "off" ? INLAY_THINKING_OFF
                                        : INLAY_THINKING_DEFAULT;
    params.think_budget = options_.number("--think-budget", 0);
    check(inlay_chat_answer(chat_.get(), &params), chat_.get(), "cannot answer");
    inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
    std::vector<Call> calls;
    std::string said;
    std::string thought;
    size_t whole = 0;
    for (inlay_status status = INLAY_OK; status != INLAY_END;) {
      status = inlay_chat_next(chat_.get(), INLAY_NO_BUDGET, &event);
      check(status, chat_.get(), "answering");
      switch (event.kind) {
        case INLAY_CHAT_REASONING:
          if (thought.empty()) show("\033[2m", isatty(STDOUT_FILENO) != 0 ? "" : "(thinks) ", "");
          show("\033[2m", event.text, "\033[0m");
          thought += event.text;
          break;
        case INLAY_CHAT_ANSWER:
          if (said.empty() && !thought.empty()) std::printf("\n");
          std::fwrite(event.text, 1, event.text_bytes, stdout);
          said += event.text;
          break;
        case INLAY_CHAT_CALL_BEGIN: calls.push_back({event.text, {}}); break;
        case INLAY_CHAT_ARGUMENT: calls.back().arguments.emplace_back(event.text, ""); break;
        case INLAY_CHAT_ARGUMENT_TEXT: calls.back().arguments.back().second += event.text; break;
        case INLAY_CHAT_CALL_END: whole = calls.size(); break;
        case INLAY_CHAT_CALL_BROKEN:
          calls.resize(whole);
          std::printf("(a broken tool call) ");
          break;
        case INLAY_CHAT_WARNING: std::fprintf(stderr, "inlay: %s\n", event.text); break;
        default: break;
      }
      std::fflush(stdout);
    }
    last_ = event;
    std::printf("\n");
    if (event.stop == INLAY_STOP_REPETITION) std::fprintf(stderr, "inlay: it went round in a loop\n");
    calls.resize(whole);
    note_answer(said, thought, calls);
    for (const Call& call : calls) {
      const std::string result = call_tool(call);
      show("\033[33m", ("[" + call.name + ": " + result + "]\n").c_str(), "\033[0m");
      add("{\"role\":\"tool\",\"content\":" + json_text(result) + "}");
    }
    return !calls.empty();
  }

  /// The chat keeps the answer itself; this is for /save.
  void note_answer(const std::string& said, const std::string& thought, const std::vector<Call>& calls) {
    std::string message = "{\"role\":\"assistant\",\"content\":" + json_text(said) +
                          ",\"reasoning_content\":" + json_text(thought) + ",\"tool_calls\":[";
    for (size_t i = 0; i < calls.size(); ++i) {
      message +=
          std::string(i == 0 ? "" : ",") + "{\"name\":" + json_text(calls[i].name) + ",\"arguments\":{";
      for (size_t k = 0; k < calls[i].arguments.size(); ++k) {
        message += std::string(k == 0 ? "" : ",") + json_text(calls[i].arguments[k].first) + ":" +
                   json_text(calls[i].arguments[k].second);
      }
      message += "}}";
    }
    messages_.push_back(message + "]}");
  }

  void save(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    file << "[";
    for (size_t i = 0; i < messages_.size(); ++i) file << (i == 0 ? "\n" : ",\n") << messages_[i];
    file << "\n]\n";
    std::printf(file.flush() ? "saved\n" : "cannot write %s\n", path.c_str());
  }

  void load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (text.empty()) {
      std::printf("cannot read %s\n", path.c_str());
      return;
    }
    begin();
    check(inlay_chat_add_json(chat_.get(), text.data(), text.size()), chat_.get(), "cannot load");
    // One message a line, as they were saved.
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      std::string line = text.substr(at, end - at);
      if (!line.empty() && line.back() == ',') line.pop_back();
      if (line.size() > 2) messages_.push_back(line);
      at = end + 1;
    }
    std::printf("loaded\n");
  }

  const Options& options_;
  inlay_runtime* runtime_;
  inlay_model* model_;
  Grammar grammar_;
  std::string think_;
  Session session_;
  Chat chat_;
  std::vector<std::string> messages_;
  inlay_chat_event last_ = INLAY_CHAT_EVENT_INIT;
};

}  // namespace

int run_chat(int count, char** words) {
  const Options options(
      count, words,
      common_options({"-n", "--think", "--think-budget", "--system", "--temp", "--top-p", "--top-k",
                      "--min-p", "--repeat-penalty", "--frequency-penalty", "--presence-penalty", "--seed",
                      "--draft", "--draft-p-min", "--schema", "--grammar"}),
      {"--tools"});
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  const Model model = make_model(runtime.get(), file.get());
  Conversation conversation(options, runtime.get(), model.get());
  const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  for (;;) {
    if (terminal) std::printf("\033[1m> \033[0m");
    std::fflush(stdout);
    std::string line;
    int c;
    while ((c = std::getchar()) != EOF && c != '\n') line += static_cast<char>(c);
    if (c == EOF && line.empty()) break;
    if (!terminal) std::printf("> %s\n", line.c_str());
    if (!line.empty() && !conversation.take(line)) break;
    if (c == EOF) break;
  }
  return 0;
}

}  // namespace command

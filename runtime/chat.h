#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "runtime/chat_stream.h"
#include "runtime/chat_template.h"
#include "runtime/counted.h"
#include "runtime/generator.h"
#include "runtime/stop_strings.h"

namespace inlay {

/// A conversation on a session: messages go in, events come out. Turns are appended as tokens; where the
/// format changes what stands already (reasoning is dropped once the person has said something new), the
/// session goes back to what both have in common and reads on from there. For that it keeps a mark, a second
/// state that stands where the last answer began: a fork that works in the session's own scratch.
///
/// Messages are kept as text, in memory of the runtime's, which add() and answer() take; next() takes none.
/// One thread at a time.
class Chat final : public Counted {
 public:
  /// Throws Error. The session must be empty.
  static Chat* create(Session& session, const ChatTemplate& chat_template, std::string_view tools,
                      const inlay_generator_params& params, bool keeps_reasoning);

  /// Each throws Error, and then the conversation is as before. A message, or an array of them.
  void add(std::string_view json);
  void add(std::string_view role, std::string_view content);
  /// Begins the answer to all that was said.
  inlay_status answer(const inlay_chat_answer_params& params);
  inlay_status next(uint64_t budget_us, inlay_chat_event* event);
  /// The answer ends with what it has.
  void stop();

  /// Between two answers; see inlay_chat_save. Each throws Error, too.
  uint64_t save_bytes();
  inlay_status save(const inlay_writer& host);
  inlay_status load(const inlay_reader& host);
  /// Whether what lies there is no whole save of a chat's.
  static bool is_damaged(const void* data, uint64_t bytes);

  Session& session() const { return *session_; }
  inlay_status fail(inlay_status status, const char* message);
  const char* message() const { return message_; }

 private:
  enum class Phase : uint8_t { kIdle, kPrefix, kAnswer, kLastText, kEnd };

  struct Message {
    Message(std::string_view json, std::pmr::memory_resource* memory);
    JsonDocument document;
  };

  Chat(Session& session, const ChatTemplate& chat_template, std::string_view tools,
       const inlay_generator_params& params, bool keeps_reasoning);
  ~Chat();
  void destroy() override;

  /// What one turn feeds: up to the mark, and after it.
  struct Turn {
    explicit Turn(std::pmr::memory_resource* memory) : prefix(memory), prompt(memory) {}
    std::pmr::vector<int32_t> prefix;
    std::pmr::vector<int32_t> prompt;
    uint64_t settled_tokens = 0;
    bool thinks = false;
  };

  void take_answer();
  struct SavedHeader;
  void check_between_answers();
  std::pmr::string describe(SavedHeader* header);
  uint64_t settings() const;
  inlay_status check_saved(const SavedHeader& header);
  std::pmr::list<Message> read_messages(JsonDocument::Value array) const;
  void forget();
  ChatScript script() const;
  void encode(const ChatText& text, std::pmr::vector<int32_t>& tokens) const;
  void append_turn(const ChatScript& script, Turn& turn) const;
  void change_turn(const ChatScript& script, Turn& turn) const;
  GuideWish read_wish(const inlay_chat_answer_params& params, bool thinks);
  inlay_status go_back(const Turn& turn);
  inlay_status feed_prefix(uint64_t deadline);
  inlay_status begin_answer();
  inlay_status run_round(uint64_t deadline);
  void begin_events();
  void read_tokens(std::span<const int32_t> tokens);
  bool take_event(bool ends, inlay_chat_event* event);
  bool step_stream(bool ends, inlay_chat_event* event);
  bool give(int32_t kind, std::string_view text, inlay_chat_event* event);
  void give_end(inlay_chat_event* event);

  Held<Session> session_;
  Generator* generator_ = nullptr;
  Session* mark_ = nullptr;
  std::pmr::memory_resource* memory_;
  ChatTemplate template_;
  bool keeps_reasoning_;
  bool greedy_;

  // What was said.
  std::pmr::list<Message> messages_;
  JsonDocument tools_;
  size_t rendered_ = 0;          // messages that the timeline has
  size_t settled_ = 0;           // of them those that no later turn changes
  uint64_t settled_tokens_ = 0;  // and the tokens that they are
  int64_t last_query_ = -1;

  // The turn under way.
  Phase phase_ = Phase::kIdle;
  bool answered_ = false;  // the timeline ends in an answer that is no message yet
  bool host_stops_ = false;
  bool thinks_ = false;
  std::pmr::vector<int32_t> prefix_;  // what the session is fed up to the mark
  uint64_t prefix_begin_ = 0;         // the position of its first
  std::pmr::vector<int32_t> prompt_;  // and after it
  uint64_t answer_begin_ = 0;         // in the generator's timeline
  uint64_t max_tokens_;               // of answers that ask for nothing else
  uint64_t answer_max_tokens_ = 0;
  GuideWish wish_;
  Held<GrammarObject> grammar_;          // of the answer
  Held<GrammarObject> default_grammar_;  // of answers that ask for nothing else
  Held<GrammarObject> call_grammar_;     // of strict calls, once an answer has asked for them
  std::pmr::vector<int32_t> closing_;
  inlay_stop stop_ = INLAY_STOP_NONE;

  // Its events.
  ChatStream stream_;
  TextStream text_;
  StopWatch watch_;
  std::pmr::string round_;       // room for a round's text
  std::string_view round_rest_;  // of it, what the stream has not taken yet
  std::pmr::string piece_;       // room for an event's text
  std::pmr::string later_;       // the same for one that has to wait for what came before it
  int32_t later_kind_ = INLAY_CHAT_NONE;
  bool warns_ = false;
  uint32_t calls_ = 0;
  uint64_t prompt_ns_before_ = 0;  // of the generator's figures
  inlay_chat_event counts_ = INLAY_CHAT_EVENT_INIT;

  char message_[256] = "";
};

}  // namespace inlay

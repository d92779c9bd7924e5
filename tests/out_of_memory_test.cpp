#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "tests/host.h"
#include "tests/interposed_malloc.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Every create and open with each of its allocations failing in turn: a clean status, nothing held, and the
// same call then succeeds. Once with the host's allocator, once with the C library's, which the C++ library
// takes from.

namespace {

/// What creates find before them.
struct Parents {
  inlay_allocator allocator = INLAY_ALLOCATOR_INIT;
  const inlay_allocator* table = nullptr;  // null: the C library's
  inlay_runtime* runtime = nullptr;
  inlay_file* file = nullptr;
  inlay_model* model = nullptr;
  inlay_session* session = nullptr;
};

struct Creation {
  const char* name;
  inlay_status (*run)(const Parents&);  // makes it and, if that went well, destroys it
};

inlay_source source() {
  static const std::string path = own_data("blocks32.gguf").string();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = path.c_str();
  return source;
}

constexpr std::string_view kSchema =
    R"({"type":"object","properties":{"a":{"type":"string"},"b":{"enum":[1,"x"]}}})";
constexpr std::string_view kTools =
    R"([{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string","pattern":"^x+$"},"b":{"type":"array"}}}}])";

/// A chat with an answer begun, or said, saved and loaded.
inlay_status talk(const Parents& parents, std::string_view tools, bool to_end) {
  static std::byte saved[4u << 20];
  inlay_chat_format format = INLAY_CHAT_FORMAT_INIT;
  inlay_generator_params generator = INLAY_GENERATOR_PARAMS_INIT;
  generator.max_tokens = 2;
  inlay_chat_params params = INLAY_CHAT_PARAMS_INIT;
  params.format = &format;
  params.generator = &generator;
  params.tools = tools.empty() ? nullptr : tools.data();
  params.tools_bytes = tools.size();
  inlay_chat_answer_params answer = INLAY_CHAT_ANSWER_PARAMS_INIT;
  answer.strict_calls = 1;
  answer.think_budget = 4;
  const inlay_session_params own = session_params(4000, false);
  inlay_session* session = nullptr;
  inlay_chat* chat = nullptr;
  inlay_status status = inlay_session_create(parents.model, &own, &session);
  if (status == INLAY_OK) status = inlay_chat_create(session, &params, &chat);
  if (status == INLAY_OK) status = inlay_chat_add(chat, "user", "hi", 2);
  if (status == INLAY_OK) status = inlay_chat_answer(chat, &answer);
  if (status == INLAY_OK && to_end) {
    inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
    while (status == INLAY_OK) status = inlay_chat_next(chat, INLAY_NO_BUDGET, &event);
    uint64_t bytes = 0;
    if (status == INLAY_END) status = inlay_chat_save_memory(chat, saved, sizeof saved, &bytes);
    if (status == INLAY_OK) status = inlay_chat_load_memory(chat, saved, bytes);
  }
  inlay_chat_destroy(chat);
  inlay_session_destroy(session);
  return status;
}

/// What a model keeps once it has had its first grammar.
void make_grammar(inlay_model* model) {
  inlay_grammar* made = nullptr;
  REQUIRE(inlay_grammar_create(model, INLAY_GRAMMAR_JSON_SCHEMA, kSchema.data(), kSchema.size(), &made) ==
          INLAY_OK);
  inlay_grammar_destroy(made);
}

const Creation kCreations[] = {
    {"runtime",
     [](const Parents& parents) {
       inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
       params.threads = 3;
       params.allocator = parents.table;
       inlay_runtime* made = nullptr;
       const inlay_status status = inlay_runtime_create(&params, &made);
       inlay_runtime_destroy(made);
       return status;
     }},
    {"file",
     [](const Parents& parents) {
       const inlay_source from = source();
       inlay_file* made = nullptr;
       const inlay_status status = inlay_file_open(parents.runtime, &from, &made);
       inlay_file_destroy(made);
       return status;
     }},
    {"plan",
     [](const Parents& parents) {
       inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
       return inlay_file_plan(parents.file, nullptr, &plan);
     }},
    {"model",
     [](const Parents& parents) {
       inlay_model* made = nullptr;
       const inlay_status status = inlay_model_create(parents.file, nullptr, &made);
       inlay_model_destroy(made);
       return status;
     }},
    {"file and model",
     [](const Parents& parents) {
       const inlay_source from = source();
       inlay_model* made = nullptr;
       const inlay_status status = inlay_model_open(parents.runtime, &from, nullptr, &made);
       inlay_model_destroy(made);
       return status;
     }},
    {"tokenizer",
     [](const Parents& parents) {
       inlay_tokenizer* made = nullptr;
       const inlay_status status = inlay_tokenizer_create(parents.file, &made);
       inlay_tokenizer_destroy(made);
       return status;
     }},
    {"encode",
     [](const Parents& parents) {
       // Not in NFC, in a long word: the two things that take memory.
       static const std::string text = std::string(1000, 'a') + "e\xCC\x81";
       size_t count = 0;
       return inlay_tokenizer_encode(inlay_model_tokenizer(parents.model), text.data(), text.size(), 0,
                                     nullptr, 0, &count);
     }},
    {"session",
     [](const Parents& parents) {
       const inlay_session_params params = session_params(300, true);
       inlay_session* made = nullptr;
       const inlay_status status = inlay_session_create(parents.model, &params, &made);
       inlay_session_destroy(made);
       return status;
     }},
    {"fork",
     [](const Parents& parents) {
       inlay_session* made = nullptr;
       const inlay_status status = inlay_session_fork(parents.session, &made);
       inlay_session_destroy(made);
       return status;
     }},
    {"pool and a session of it",
     [](const Parents& parents) {
       inlay_pool_params params = INLAY_POOL_PARAMS_INIT;
       params.tokens = 1000;
       inlay_pool* pool = nullptr;
       inlay_session* made = nullptr;
       inlay_session* forked = nullptr;
       inlay_status status = inlay_pool_create(parents.model, &params, &pool);
       inlay_session_params session = session_params(300, false, INLAY_KV_DEFAULT);
       session.pool = pool;
       if (status == INLAY_OK) status = inlay_session_create(parents.model, &session, &made);
       if (status == INLAY_OK) status = inlay_session_step(made, 1);
       if (status == INLAY_OK) status = inlay_session_fork(made, &forked);
       // Children keep what they need.
       inlay_pool_destroy(pool);
       inlay_session_destroy(made);
       inlay_session_destroy(forked);
       return status;
     }},
    {"sampler",
     [](const Parents& parents) {
       const inlay_logit_bias bias{1, 1.0f};
       inlay_sampler_params params = INLAY_SAMPLER_PARAMS_INIT;
       params.temperature = 1;
       params.biases = &bias;
       params.bias_count = 1;
       inlay_sampler* made = nullptr;
       const inlay_status status = inlay_sampler_create(parents.model, &params, &made);
       inlay_sampler_destroy(made);
       return status;
     }},
    {"generator",
     [](const Parents& parents) {
       inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
       params.draft = INLAY_DRAFT_LOOKUP_MTP;
       inlay_generator* made = nullptr;
       const inlay_status status = inlay_generator_create(parents.session, &params, &made);
       inlay_generator_destroy(made);
       return status;
     }},
    {"grammar",
     [](const Parents& parents) {
       const std::string_view schema = kSchema;
       inlay_grammar* made = nullptr;
       const inlay_status status = inlay_grammar_create(parents.model, INLAY_GRAMMAR_JSON_SCHEMA,
                                                        schema.data(), schema.size(), &made);
       inlay_grammar_destroy(made);
       return status;
     }},
    {"chat with strict calls", [](const Parents& parents) { return talk(parents, kTools, false); }},
    {"chat saved and loaded", [](const Parents& parents) { return talk(parents, {}, true); }},
};

// Chats and grammars, on the bundled model: it has the words that a chat is written in.

constexpr char kConversation[] =
    R"({"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"A room?"}],)"
    R"("add_generation_prompt":true,"tools":[{"type":"function","function":{"name":"key","parameters":{}}}]})";
constexpr char kInnTools[] = R"([{"type":"function","function":{"name":"key","parameters":{}}}])";
constexpr char kMessage[] = R"([{"role":"system","content":"Be brief."}])";
constexpr char kInnSchema[] =
    R"({"type":"object","properties":{"price":{"type":"integer","minimum":3},"note":{"type":"string"},)"
    R"("when":{"enum":["now","later"]}},"required":["price"],"additionalProperties":false})";

inlay_status make_grammar(inlay_model* model, inlay_grammar_kind kind, const char* text,
                          inlay_grammar** made) {
  return inlay_grammar_create(model, kind, text, std::strlen(text), made);
}

/// The format of the model's own template.
inlay_status format_of(const Parents& parents, inlay_chat_format* format) {
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  inlay_model_get_info(parents.model, &info);
  return inlay_chat_format_of(parents.runtime, info.chat_template, std::strlen(info.chat_template), format);
}

inlay_status converse(inlay_chat* chat, inlay_grammar* grammar) {
  static constexpr char kWords[] = "A room for the night?";
  inlay_status status = inlay_chat_add(chat, "user", kWords, sizeof kWords - 1);
  inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
  params.max_tokens = 3;
  params.grammar = grammar;
  params.thinking = INLAY_THINKING_OFF;
  if (status == INLAY_OK) status = inlay_chat_answer(chat, &params);
  while (status == INLAY_OK) {
    inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
    status = inlay_chat_next(chat, INLAY_NO_BUDGET, &event);
  }
  return status == INLAY_END ? INLAY_OK : status;
}

const Creation kChatCreations[] = {
    {"JSON Schema",
     [](const Parents& parents) {
       inlay_grammar* made = nullptr;
       const inlay_status status = make_grammar(parents.model, INLAY_GRAMMAR_JSON_SCHEMA, kInnSchema, &made);
       inlay_grammar_destroy(made);
       return status;
     }},
    {"GBNF",
     [](const Parents& parents) {
       inlay_grammar* made = nullptr;
       const inlay_status status =
           make_grammar(parents.model, INLAY_GRAMMAR_GBNF,
                        "root ::= word (\",\" word){1,3}\nword ::= [a-z]+ # any", &made);
       inlay_grammar_destroy(made);
       return status;
     }},
    {"model and its first grammar",
     [](const Parents& parents) {
       inlay_model* model = nullptr;
       inlay_grammar* made = nullptr;
       inlay_status status = inlay_model_create(parents.file, nullptr, &model);
       if (status == INLAY_OK) status = make_grammar(model, INLAY_GRAMMAR_GBNF, "root ::= \"yes\"", &made);
       inlay_model_destroy(model);
       inlay_grammar_destroy(made);
       return status;
     }},
    {"generator with a grammar",
     [](const Parents& parents) {
       inlay_grammar* grammar = nullptr;
       inlay_status status = make_grammar(parents.model, INLAY_GRAMMAR_GBNF, "root ::= \"yes\"", &grammar);
       inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
       params.grammar = grammar;
       inlay_generator* made = nullptr;
       if (status == INLAY_OK) status = inlay_generator_create(parents.session, &params, &made);
       inlay_grammar_destroy(grammar);
       inlay_generator_destroy(made);
       return status;
     }},
    {"format",
     [](const Parents& parents) {
       inlay_chat_format format = INLAY_CHAT_FORMAT_INIT;
       return format_of(parents, &format);
     }},
    {"render",
     [](const Parents& parents) {
       inlay_chat_format format = INLAY_CHAT_FORMAT_INIT;
       inlay_status status = format_of(parents, &format);
       size_t count = 0;
       if (status == INLAY_OK) {
         status = inlay_chat_render(parents.runtime, &format, kConversation, sizeof kConversation - 1,
                                    nullptr, 0, &count);
       }
       if (status == INLAY_OK) {
         status = inlay_chat_render_tokens(parents.runtime, inlay_model_tokenizer(parents.model), &format,
                                           kConversation, sizeof kConversation - 1, nullptr, 0, &count);
       }
       return status;
     }},
    {"chat",
     [](const Parents& parents) {
       inlay_session_reset(parents.session);
       inlay_chat_params params = INLAY_CHAT_PARAMS_INIT;
       params.tools = kInnTools;
       params.tools_bytes = sizeof kInnTools - 1;
       inlay_chat* made = nullptr;
       inlay_status status = inlay_chat_create(parents.session, &params, &made);
       if (status == INLAY_OK) status = inlay_chat_add_json(made, kMessage, sizeof kMessage - 1);
       if (status == INLAY_OK) status = converse(made, nullptr);
       inlay_chat_destroy(made);
       return status;
     }},
    {"chat with a grammar",
     [](const Parents& parents) {
       inlay_session_reset(parents.session);
       inlay_grammar* grammar = nullptr;
       inlay_status status = make_grammar(parents.model, INLAY_GRAMMAR_GBNF, "root ::= \"yes\"", &grammar);
       inlay_chat* made = nullptr;
       if (status == INLAY_OK) status = inlay_chat_create(parents.session, nullptr, &made);
       if (status == INLAY_OK) status = converse(made, grammar);
       inlay_grammar_destroy(grammar);
       inlay_chat_destroy(made);
       return status;
     }},
};

/// Calls `attempt` with each allocation failing in turn until none does; how many there were.
uint64_t fail_each(const char* name, const std::function<void(uint64_t)>& fail_at,
                   const std::function<bool()>& failed, const std::function<inlay_status()>& attempt,
                   const std::function<void()>& check) {
  CAPTURE(name);
  REQUIRE(attempt() == INLAY_OK);
  for (uint64_t call = 1; call < 100000; ++call) {
    CAPTURE(call);
    fail_at(call);
    const inlay_status status = attempt();
    const bool has_failed = failed();
    fail_at(0);
    check();
    if (!has_failed) {
      REQUIRE(status == INLAY_OK);
      return call - 1;
    }
    // What only makes an answer nicer may do without; a result that is there must not be an error.
    REQUIRE((status == INLAY_ERROR_OUT_OF_MEMORY || status == INLAY_OK));
    if (call % 16 == 1) REQUIRE(attempt() == INLAY_OK);
  }
  FAIL("allocations without end");
  return 0;
}

Handle<inlay_session> feed(Handle<inlay_session> session) {
  step(session.get(), 1, 256);
  return session;
}

void fail_each_of_allocator(CountingAllocator& allocator, const Parents& parents,
                            std::span<const Creation> creations) {
  for (const Creation& creation : creations) {
    CAPTURE(creation.name);
    REQUIRE(creation.run(parents) == INLAY_OK);  // what a model keeps of its first grammar is there now
    const uint64_t blocks = allocator.live_blocks(), bytes = allocator.live_bytes();
    const uint64_t calls = fail_each(
        creation.name, [&](uint64_t call) { allocator.fail_at(call); },
        [&] { return allocator.has_failed(); }, [&] { return creation.run(parents); },
        [&] {
          REQUIRE(allocator.live_blocks() == blocks);
          REQUIRE(allocator.live_bytes() == bytes);
        });
    CHECK(calls >= 1);
  }
}

}  // namespace

TEST_CASE("every allocation of the host's allocator fails once") {
  CountingAllocator allocator;
  {
    const OpenModel model(own_data("blocks32.gguf"), {.threads = 2, .allocator = &allocator});
    const Handle<inlay_session> session = feed(model.session(session_params(300, true)));
    make_grammar(model.get());
    const inlay_allocator table = allocator.table();
    const Parents parents{table, &table, model.runtime(), model.file(), model.get(), session.get()};
    fail_each_of_allocator(allocator, parents, kCreations);
  }
  CHECK(allocator.live_blocks() == 0);
  CHECK(allocator.mistakes() == 0);
}

namespace {

void fail_each_of_malloc(const OpenModel& model, inlay_session* session,
                         std::span<const Creation> creations) {
  const Parents parents{INLAY_ALLOCATOR_INIT, nullptr, model.runtime(), model.file(), model.get(), session};
  for (const Creation& creation : creations) {
    CAPTURE(creation.name);
    REQUIRE(creation.run(parents) == INLAY_OK);  // what a model keeps of its first grammar is there now
    const uint64_t bytes = memory_of(model.runtime());
    const uint64_t calls = fail_each(
        creation.name, [](uint64_t call) { fail_allocation(call); }, [] { return allocation_has_failed(); },
        [&] { return creation.run(parents); }, [&] { REQUIRE(memory_of(model.runtime()) == bytes); });
    CHECK(calls >= 1);
  }
}

}  // namespace

TEST_CASE("every allocation of the C library fails once") {
  if (!fail_allocation(0)) return;  // a sanitizer has malloc: the release build does this
  const OpenModel model(own_data("blocks32.gguf"), {.threads = 2});
  const Handle<inlay_session> session = feed(model.session(session_params(300, true)));
  fail_each_of_malloc(model, session.get(), kCreations);
}

TEST_CASE("every allocation of the C library for chats and grammars fails once") {
  const auto bundled = bundled_model();
  if (!bundled || !fail_allocation(0)) return;
  const OpenModel model(*bundled, {.threads = 2});
  const Handle<inlay_session> session = model.session(session_params(256));
  fail_each_of_malloc(model, session.get(), kChatCreations);
}

TEST_CASE("every allocation of chats and grammars fails once") {
  const auto bundled = bundled_model();
  if (!bundled) return;
  CountingAllocator allocator;
  {
    const OpenModel model(*bundled, {.threads = 2, .allocator = &allocator});
    const Handle<inlay_session> session = model.session(session_params(256));
    const inlay_allocator table = allocator.table();
    const Parents parents{table, &table, model.runtime(), model.file(), model.get(), session.get()};
    fail_each_of_allocator(allocator, parents, kChatCreations);
  }
  CHECK(allocator.live_blocks() == 0);
  CHECK(allocator.mistakes() == 0);
}

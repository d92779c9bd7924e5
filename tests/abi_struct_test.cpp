#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/host.h"
#include "tests/saved_bytes.h"
#include "tests/temporary_folder.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Structs of callers older and newer than the library.

namespace {

/// A parameter struct as a caller of another version would pass it: `size` bytes, zero beyond what is known.
/// Behind them lies what is not the struct's.
template <typename T>
class Resized {
 public:
  Resized(const T& known, size_t size) : bytes_(std::max(size, sizeof(T)) + 64, 0xEE) {
    std::memset(bytes_.data(), 0, size);
    std::memcpy(bytes_.data(), &known, std::min(size, sizeof(T)));
    const auto struct_size = static_cast<uint32_t>(size);
    std::memcpy(bytes_.data(), &struct_size, sizeof struct_size);
  }
  const T* get() const { return reinterpret_cast<const T*>(bytes_.data()); }
  void set(size_t at) { bytes_[at] = 1; }

 private:
  std::vector<uint8_t> bytes_;
};

/// Tries a struct in every size; `call` gets it and gives a status, `message` the words after a refusal, if
/// any. `oldest` are the bytes that it needs at least.
template <typename T>
void check_sizes(const T& params, const char* name, const std::function<inlay_status(const T*)>& call,
                 const std::function<std::string()>& message, size_t oldest = sizeof(uint32_t)) {
  CAPTURE(name);
  const uint32_t size = sizeof(T);
  REQUIRE(params.struct_size == size);
  CHECK(call(&params) == INLAY_OK);
  for (const uint32_t wrong : {0u, 3u, 5000u, UINT32_MAX}) {
    CAPTURE(wrong);
    T with_size = params;
    with_size.struct_size = wrong;
    CHECK(call(&with_size) == INLAY_ERROR_INVALID_ARGUMENT);
    if (!message) continue;
    CHECK(message().find(std::string(name) + ".struct_size is " + std::to_string(wrong)) !=
          std::string::npos);
  }
  // An older caller's: what it does not have is the default.
  CHECK(call(Resized<T>(params, oldest).get()) == INLAY_OK);
  // A newer caller's: no wish in what is not known here, then one.
  Resized<T> newer(params, size + 24);
  CHECK(call(newer.get()) == INLAY_OK);
  newer.set(size + 23);
  CHECK(call(newer.get()) == INLAY_ERROR_INVALID_ARGUMENT);
  if (!message) return;
  CHECK(message().find(name) != std::string::npos);
  CHECK(message().find("byte " + std::to_string(size + 23)) != std::string::npos);
}

/// A result struct is filled as far as it goes, and no further.
template <typename T>
void check_result(const char* name, const std::function<inlay_status(T*)>& call,
                  size_t first_field = sizeof(uint64_t)) {
  CAPTURE(name);
  alignas(T) uint8_t expected[sizeof(T) + 64] = {};
  auto* whole = reinterpret_cast<T*>(expected);
  whole->struct_size = sizeof(T);
  REQUIRE(call(whole) == INLAY_OK);
  CHECK(whole->struct_size == sizeof(T));
  for (uint32_t size = sizeof(uint32_t); size <= sizeof(T) + 32; size += 4) {
    CAPTURE(size);
    alignas(T) uint8_t bytes[sizeof(T) + 64];
    std::memset(bytes, 0xEE, sizeof bytes);
    std::memcpy(bytes, &size, sizeof size);
    REQUIRE(call(reinterpret_cast<T*>(bytes)) == INLAY_OK);
    uint32_t size_after = 0;
    std::memcpy(&size_after, bytes, sizeof size_after);
    CHECK(size_after == size);
    const size_t filled = std::min<size_t>(size, sizeof(T));
    // What lies before the first field is padding.
    if (filled > first_field) {
      const bool same = std::memcmp(bytes + first_field, expected + first_field, filled - first_field) == 0;
      CHECK(same);
    }
    for (size_t i = filled; i < sizeof bytes; ++i) REQUIRE(bytes[i] == 0xEE);
  }
  for (const uint32_t size : {0u, 3u}) {
    whole->struct_size = size;
    CHECK(call(whole) == INLAY_ERROR_INVALID_ARGUMENT);
  }
  CHECK(call(nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
}

struct Log {
  std::string last;
  static void write(void* self, inlay_log_level, const char* message) {
    static_cast<Log*>(self)->last = message;
  }
};

}  // namespace

TEST_CASE("parameter structs of every size: the runtime's") {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  params.threads = 1;
  const auto create = [](const inlay_runtime_params* given) {
    inlay_runtime* runtime = nullptr;
    const inlay_status status = inlay_runtime_create(given, &runtime);
    CHECK((runtime == nullptr) == (status != INLAY_OK));
    inlay_runtime_destroy(runtime);
    return status;
  };
  CHECK(create(nullptr) == INLAY_OK);
  // Of a struct that is not to be trusted there is no log to ask for words.
  check_sizes<inlay_runtime_params>(params, "inlay_runtime_params", create, nullptr);
}

TEST_CASE("parameter structs of every size") {
  const std::string path = own_data("floats.gguf").string();
  const OpenModel model(path);
  const Handle<inlay_session> session = model.session(session_params(64));
  const auto words = [&] { return message_of(model.runtime()); };

  inlay_source source = INLAY_SOURCE_INIT;
  source.path = path.c_str();
  const auto open = [&](const inlay_source* given) {
    inlay_file* file = nullptr;
    const inlay_status status = inlay_file_open(model.runtime(), given, &file);
    inlay_file_destroy(file);
    return status;
  };
  // Without its path an older struct has no source at all.
  check_sizes<inlay_source>(source, "inlay_source", open, words, offsetof(inlay_source, data));

  inlay_model_params model_params = INLAY_MODEL_PARAMS_INIT;
  check_sizes<inlay_model_params>(
      model_params, "inlay_model_params",
      [&](const inlay_model_params* given) {
        inlay_model* made = nullptr;
        const inlay_status status = inlay_model_create(model.file(), given, &made);
        inlay_model_destroy(made);
        return status;
      },
      words);

  const inlay_session_params params = session_params(32);
  check_sizes<inlay_session_params>(
      params, "inlay_session_params",
      [&](const inlay_session_params* given) {
        inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
        const inlay_status planned = inlay_file_plan(model.file(), given, &plan);
        CHECK((plan.session_host == 0) == (planned != INLAY_OK));
        CHECK(inlay_model_plan(model.get(), given, &plan) == planned);
        inlay_session* made = nullptr;
        const inlay_status status = inlay_session_create(model.get(), given, &made);
        inlay_session_destroy(made);
        CHECK(status == planned);
        return status;
      },
      words);

  inlay_sampler_params sampling = INLAY_SAMPLER_PARAMS_INIT;
  sampling.temperature = 1;
  const auto make_sampler = [&](const inlay_sampler_params* given) {
    inlay_sampler* made = nullptr;
    const inlay_status status = inlay_sampler_create(model.get(), given, &made);
    inlay_sampler_destroy(made);
    return status;
  };
  check_sizes<inlay_sampler_params>(sampling, "inlay_sampler_params", make_sampler, words);

  const auto make_generator = [&](const inlay_generator_params* given) {
    inlay_generator* made = nullptr;
    const inlay_status status = inlay_generator_create(session.get(), given, &made);
    inlay_generator_destroy(made);
    return status;
  };
  const inlay_generator_params generating = INLAY_GENERATOR_PARAMS_INIT;
  check_sizes<inlay_generator_params>(generating, "inlay_generator_params", make_generator, words);
  // The structs that parameters point to.
  check_sizes<inlay_sampler_params>(
      sampling, "inlay_sampler_params",
      [&](const inlay_sampler_params* given) {
        inlay_generator_params with = INLAY_GENERATOR_PARAMS_INIT;
        with.sampler = given;
        return make_generator(&with);
      },
      words);
}

TEST_CASE("parameter structs of every size: pools, forks and packs") {
  const std::string path = own_data("floats.gguf").string();
  const OpenModel model(path);
  const Handle<inlay_session> session = model.session(session_params(64));
  const auto words = [&] { return message_of(model.runtime()); };
  inlay_pool_params pool = INLAY_POOL_PARAMS_INIT;
  pool.tokens = 300;
  check_sizes<inlay_pool_params>(
      pool, "inlay_pool_params",
      [&](const inlay_pool_params* given) {
        inlay_pool_plan plan = INLAY_POOL_PLAN_INIT;
        const inlay_status planned = inlay_file_plan_pool(model.file(), given, &plan);
        inlay_pool* made = nullptr;
        const inlay_status status = inlay_pool_create(model.get(), given, &made);
        inlay_pool_destroy(made);
        CHECK(status == planned);
        return status;
      },
      words, offsetof(inlay_pool_params, kv_type));
  const inlay_fork_params forking = INLAY_FORK_PARAMS_INIT;
  check_sizes<inlay_fork_params>(
      forking, "inlay_fork_params",
      [&](const inlay_fork_params* given) {
        inlay_session* made = nullptr;
        const inlay_status status = inlay_session_fork_with(session.get(), given, &made);
        inlay_session_destroy(made);
        return status;
      },
      [&] { return message_of(session.get()); });
  const TemporaryFolder folder;
  const inlay_pack_params packing = INLAY_PACK_PARAMS_INIT;
  check_sizes<inlay_pack_params>(
      packing, "inlay_pack_params",
      [&](const inlay_pack_params* given) {
        return inlay_pack(model.runtime(), path.c_str(), folder.file("model.inlay").c_str(), given);
      },
      words);
}

TEST_CASE("parameter structs of every size: chats") {
  const auto path = bundled_model();
  REQUIRE(path);
  const OpenModel model(*path);
  const Handle<inlay_session> session = model.session(session_params(256));
  const auto words = [&] { return message_of(model.runtime()); };
  const auto make = [&](const inlay_chat_params* given, inlay_chat** out_chat) {
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    return inlay_chat_create(session.get(), given, out_chat);
  };
  const inlay_chat_params params = INLAY_CHAT_PARAMS_INIT;
  check_sizes<inlay_chat_params>(
      params, "inlay_chat_params",
      [&](const inlay_chat_params* given) {
        inlay_chat* made = nullptr;
        const inlay_status status = make(given, &made);
        inlay_chat_destroy(made);
        return status;
      },
      words);
  const inlay_chat_answer_params answer = INLAY_CHAT_ANSWER_PARAMS_INIT;
  std::string of_chat;
  check_sizes<inlay_chat_answer_params>(
      answer, "inlay_chat_answer_params",
      [&](const inlay_chat_answer_params* given) {
        inlay_chat* made = nullptr;
        REQUIRE(make(nullptr, &made) == INLAY_OK);
        const Handle<inlay_chat> chat(made);
        REQUIRE(inlay_chat_add(made, "user", "Ale!", 4) == INLAY_OK);
        const inlay_status status = inlay_chat_answer(made, given);
        of_chat.resize(inlay_chat_message(made, nullptr, 0) + 1);
        inlay_chat_message(made, of_chat.data(), of_chat.size());
        return status;
      },
      [&] { return of_chat; });
  const inlay_chat_format format = INLAY_CHAT_FORMAT_INIT;
  check_sizes<inlay_chat_format>(
      format, "inlay_chat_format",
      [&](const inlay_chat_format* given) {
        const std::string_view chat = R"({"messages":[{"role":"user","content":"Ale!"}]})";
        size_t bytes = 0;
        return inlay_chat_render(model.runtime(), given, chat.data(), chat.size(), nullptr, 0, &bytes);
      },
      words);
}

TEST_CASE("callback tables of every size: files, saves and masks") {
  const OpenModel model(own_data("floats.gguf"));
  const Handle<inlay_session> session = model.session(session_params(64));
  const auto words = [&] { return message_of(model.runtime()); };
  const auto of_session = [&] { return message_of(session.get()); };
  std::vector<std::byte> file = read_bytes(own_data("floats.gguf"));
  inlay_io io = INLAY_IO_INIT;
  io.user_data = &file;
  io.size = [](void* self, uint64_t* out_bytes) {
    *out_bytes = static_cast<std::vector<std::byte>*>(self)->size();
    return INLAY_OK;
  };
  io.read_at = [](void* self, uint64_t offset, void* destination, size_t bytes) {
    std::memcpy(destination, static_cast<std::vector<std::byte>*>(self)->data() + offset, bytes);
    return INLAY_OK;
  };
  check_sizes<inlay_io>(
      io, "inlay_io",
      [&](const inlay_io* given) {
        inlay_source source = INLAY_SOURCE_INIT;
        source.io = given;
        inlay_file* opened = nullptr;
        const inlay_status status = inlay_file_open(model.runtime(), &source, &opened);
        inlay_file_destroy(opened);
        return status;
      },
      words, offsetof(inlay_io, map));
  Stream saved;
  const inlay_writer writer = saved.writer();
  check_sizes<inlay_writer>(
      writer, "inlay_writer",
      [&](const inlay_writer* given) { return inlay_session_save(session.get(), given); }, of_session,
      sizeof writer);
  const inlay_reader reader = saved.reader();
  check_sizes<inlay_reader>(
      reader, "inlay_reader",
      [&](const inlay_reader* given) {
        saved.at = 0;
        return inlay_session_load(session.get(), given);
      },
      of_session, sizeof reader);
  inlay_mask mask = INLAY_MASK_INIT;
  mask.allow = [](void*, const int32_t*, size_t, uint32_t*, uint32_t) { return INLAY_OK; };
  check_sizes<inlay_mask>(
      mask, "inlay_mask",
      [&](const inlay_mask* given) {
        inlay_generator_params with = INLAY_GENERATOR_PARAMS_INIT;
        with.mask = given;
        inlay_generator* made = nullptr;
        const inlay_status status = inlay_generator_create(session.get(), &with, &made);
        inlay_generator_destroy(made);
        return status;
      },
      words, sizeof mask);
}

TEST_CASE("callback tables of every size") {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  Log log;
  params.threads = 1;
  params.log = Log::write;
  params.log_user_data = &log;
  CountingAllocator counting;
  for (const uint32_t size : {0u, 3u, 5000u}) {
    inlay_allocator allocator = counting.table();
    allocator.struct_size = size;
    params.allocator = &allocator;
    inlay_runtime* runtime = nullptr;
    CHECK(inlay_runtime_create(&params, &runtime) == INLAY_ERROR_INVALID_ARGUMENT);
    CHECK(runtime == nullptr);
    CHECK(log.last.find("inlay_allocator.struct_size is " + std::to_string(size)) != std::string::npos);
  }
  for (const bool without_release : {false, true}) {
    inlay_allocator allocator = counting.table();
    if (without_release) {
      allocator.release = nullptr;
    } else {
      allocator.allocate = nullptr;
    }
    params.allocator = &allocator;
    inlay_runtime* runtime = nullptr;
    CHECK(inlay_runtime_create(&params, &runtime) == INLAY_ERROR_INVALID_ARGUMENT);
    CHECK(log.last.find(without_release ? "release is null" : "allocate is null") != std::string::npos);
  }
  const OpenModel model(own_data("floats.gguf"));
  const Handle<inlay_session> session = model.session(session_params(64));
  inlay_drafter drafter = INLAY_DRAFTER_INIT;
  drafter.propose = [](void*, const int32_t*, size_t, size_t, int32_t*, size_t*) { return INLAY_END; };
  check_sizes<inlay_drafter>(
      drafter, "inlay_drafter",
      [&](const inlay_drafter* given) {
        inlay_generator_params with = INLAY_GENERATOR_PARAMS_INIT;
        with.drafter = given;
        with.draft = given->struct_size == sizeof(uint32_t) ? INLAY_DRAFT_NONE : INLAY_DRAFT_HOST;
        inlay_generator* made = nullptr;
        const inlay_status status = inlay_generator_create(session.get(), &with, &made);
        inlay_generator_destroy(made);
        return status;
      },
      [&] { return message_of(model.runtime()); });
}

TEST_CASE("result structs of every size") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_session> session = model.session(session_params(64));
  inlay_generator* made = nullptr;
  REQUIRE(inlay_generator_create(session.get(), nullptr, &made) == INLAY_OK);
  const Handle<inlay_generator> generator(made);
  check_result<inlay_memory_use>(
      "memory use", [&](inlay_memory_use* out) { return inlay_runtime_memory(model.runtime(), 0, out); });
  check_result<inlay_runtime_info>(
      "runtime info", [&](inlay_runtime_info* out) { return inlay_runtime_get_info(model.runtime(), out); },
      sizeof(uint32_t));
  check_result<inlay_model_info>(
      "file info", [&](inlay_model_info* out) { return inlay_file_get_info(model.file(), out); });
  check_result<inlay_tensor_info>(
      "tensor info", [&](inlay_tensor_info* out) { return inlay_file_get_tensor(model.file(), 3, out); });
  check_result<inlay_memory_plan>(
      "plan", [&](inlay_memory_plan* out) { return inlay_file_plan(model.file(), nullptr, out); });
  check_result<inlay_generator_stats>(
      "stats", [&](inlay_generator_stats* out) { return inlay_generator_get_stats(generator.get(), out); });
  inlay_tensor_info tensor = INLAY_TENSOR_INFO_INIT;
  CHECK(inlay_file_get_tensor(model.file(), inlay_file_tensor_count(model.file()), &tensor) ==
        INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(tensor.name == nullptr);
}

TEST_CASE("result structs of every size: work under way, pools and chats") {
  const auto path = bundled_model();
  REQUIRE(path);
  const OpenModel model(*path);
  const Handle<inlay_session> session = model.session(session_params(256));
  inlay_pool_params pool = INLAY_POOL_PARAMS_INIT;
  pool.tokens = 300;
  check_result<inlay_pool_plan>(
      "pool plan", [&](inlay_pool_plan* out) { return inlay_file_plan_pool(model.file(), &pool, out); });
  const std::string_view chat_template = model.info().chat_template;
  check_result<inlay_chat_format>("chat format", [&](inlay_chat_format* out) {
    return inlay_chat_format_of(model.runtime(), chat_template.data(), chat_template.size(), out);
  });
  check_result<inlay_estimate>(
      "estimate", [&](inlay_estimate* out) { return inlay_session_estimate(session.get(), 10, 2, 3, out); });
  // A budget of nothing reports, time after time, the same.
  const auto pending_is_ok = [](inlay_status status) { return status == INLAY_PENDING ? INLAY_OK : status; };
  REQUIRE(inlay_session_begin_step(session.get(), 1) == INLAY_OK);
  check_result<inlay_progress>("progress", [&](inlay_progress* out) {
    // Null is a wish for no report.
    if (out == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
    return pending_is_ok(inlay_session_advance(session.get(), 0, out));
  });
  REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
  {
    inlay_generator* made = nullptr;
    REQUIRE(inlay_generator_create(session.get(), nullptr, &made) == INLAY_OK);
    const Handle<inlay_generator> generator(made);
    REQUIRE(inlay_generator_prompt_text(made, "Ale!", 4, 0) == INLAY_OK);
    check_result<inlay_output>(
        "output", [&](inlay_output* out) { return pending_is_ok(inlay_generator_next(made, 0, out)); });
    check_result<inlay_progress>("a generator's progress", [&](inlay_progress* out) {
      return inlay_generator_get_progress(made, out);
    });
  }
  REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
  inlay_chat* made = nullptr;
  REQUIRE(inlay_chat_create(session.get(), nullptr, &made) == INLAY_OK);
  const Handle<inlay_chat> chat(made);
  REQUIRE(inlay_chat_add(made, "user", "Ale!", 4) == INLAY_OK);
  REQUIRE(inlay_chat_answer(made, nullptr) == INLAY_OK);
  check_result<inlay_chat_event>(
      "event", [&](inlay_chat_event* out) { return pending_is_ok(inlay_chat_next(made, 0, out)); },
      sizeof(uint32_t));
}

TEST_CASE("results are cleared where a call fails") {
  const OpenModel model(own_data("floats.gguf"));
  const inlay_session_params bad = session_params(32, false, 77);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_file_plan(model.file(), nullptr, &plan) == INLAY_OK);
  REQUIRE(plan.session_host > 0);
  CHECK(inlay_file_plan(model.file(), &bad, &plan) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(plan.session_host == 0);
  CHECK(plan.struct_size == sizeof plan);
}

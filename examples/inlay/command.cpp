#include "command.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace command {
namespace {

std::string message_of(size_t (*ask)(const void*, char*, size_t), const void* handle) {
  char buffer[512] = "";
  ask(handle, buffer, sizeof buffer);
  return buffer;
}

[[noreturn]] void fail(inlay_status status, const std::string& message, const char* what) {
  throw Failure(std::string(what) + ": " + (message.empty() ? inlay_status_name(status) : message));
}

inlay_status show_progress(void*, uint64_t done, uint64_t total) {
  std::fprintf(stderr, "\rreading %s of %s ", readable_bytes(done).c_str(), readable_bytes(total).c_str());
  if (done == total) std::fprintf(stderr, "\r%*s\r", 40, "");
  return INLAY_OK;
}

}  // namespace

Options::Options(int count, char** words, std::vector<std::string> with_value,
                 std::vector<std::string> flags) {
  for (int i = 0; i < count; ++i) {
    std::string word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      words_.push_back(word);
    } else if (std::find(flags.begin(), flags.end(), word) != flags.end()) {
      given_.emplace_back(word, "");
    } else if (std::find(with_value.begin(), with_value.end(), word) != with_value.end()) {
      if (i + 1 == count) throw Failure("option " + word + " needs a value");
      given_.emplace_back(word, words[++i]);
    } else {
      throw Failure("unknown option " + word + " (try `inlay help`)");
    }
  }
}

const std::string* Options::find(std::string_view name) const {
  for (auto it = given_.rbegin(); it != given_.rend(); ++it) {
    if (it->first == name) return &it->second;
  }
  return nullptr;
}

std::string Options::text(std::string_view name, const std::string& otherwise) const {
  const std::string* value = find(name);
  return value == nullptr ? otherwise : *value;
}

uint64_t Options::number(std::string_view name, uint64_t otherwise) const {
  const std::string* value = find(name);
  if (value == nullptr) return otherwise;
  char* end = nullptr;
  errno = 0;
  const unsigned long long number = std::strtoull(value->c_str(), &end, 10);
  if (value->empty() || (*value)[0] == '-' || *end != '\0' || errno != 0) {
    throw Failure("option " + std::string(name) + " takes a whole number, not \"" + *value + "\"");
  }
  return number;
}

float Options::real(std::string_view name, float otherwise) const {
  const std::string* value = find(name);
  if (value == nullptr) return otherwise;
  char* end = nullptr;
  const float number = std::strtof(value->c_str(), &end);
  if (value->empty() || *end != '\0') {
    throw Failure("option " + std::string(name) + " takes a number, not \"" + *value + "\"");
  }
  return number;
}

std::string Options::model() const {
  if (words_.size() != 1) {
    throw Failure(words_.empty() ? "which model? (a GGUF file's path is missing)"
                                 : "one model at a time, and \"" + words_[1] + "\" is one word too many");
  }
  return words_[0];
}

std::vector<std::string> common_options(std::vector<std::string> more) {
  for (const char* name : {"--device", "--threads", "--context", "--kv", "--instruction-set", "--weights"})
    more.emplace_back(name);
  return more;
}

void check(inlay_status status, const inlay_runtime* runtime, const char* what) {
  if (status >= INLAY_OK) return;
  fail(status,
       message_of([](const void* h, char* b,
                     size_t n) { return inlay_runtime_message(static_cast<const inlay_runtime*>(h), b, n); },
                  runtime),
       what);
}

void check(inlay_status status, const inlay_session* session, const char* what) {
  if (status >= INLAY_OK) return;
  fail(status,
       message_of([](const void* h, char* b,
                     size_t n) { return inlay_session_message(static_cast<const inlay_session*>(h), b, n); },
                  session),
       what);
}

void check(inlay_status status, const inlay_generator* generator, const char* what) {
  if (status >= INLAY_OK) return;
  fail(status,
       message_of(
           [](const void* h, char* b, size_t n) {
             return inlay_generator_message(static_cast<const inlay_generator*>(h), b, n);
           },
           generator),
       what);
}

void check(inlay_status status, const inlay_chat* chat, const char* what) {
  if (status >= INLAY_OK) return;
  fail(status,
       message_of([](const void* h, char* b,
                     size_t n) { return inlay_chat_message(static_cast<const inlay_chat*>(h), b, n); },
                  chat),
       what);
}

Runtime make_runtime(const Options& options) {
  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  const std::string device = options.text("--device", "cpu");
  if (device != "cpu" && device != "cuda") throw Failure("--device is cpu or cuda, not \"" + device + "\"");
  params.device = device == "cuda" ? INLAY_DEVICE_CUDA : INLAY_DEVICE_CPU;
  params.threads = static_cast<uint32_t>(std::min<uint64_t>(options.number("--threads", 0), UINT32_MAX));
  const std::string instruction_set = options.text("--instruction-set", "");
  params.instruction_set = instruction_set.empty() ? nullptr : instruction_set.c_str();
  const std::string weights = options.text("--weights", "default");
  if (weights != "default" && weights != "copied" && weights != "in-place")
    throw Failure("--weights is default, copied or in-place, not \"" + weights + "\"");
  params.weight_placement = weights == "copied"     ? INLAY_WEIGHTS_COPIED
                            : weights == "in-place" ? INLAY_WEIGHTS_IN_PLACE
                                                    : INLAY_WEIGHTS_DEFAULT;
  std::string message;
  params.log = [](void* user_data, inlay_log_level, const char* text) {
    *static_cast<std::string*>(user_data) = text;
  };
  params.log_user_data = &message;
  inlay_runtime* runtime = nullptr;
  const inlay_status status = inlay_runtime_create(&params, &runtime);
  if (status != INLAY_OK) fail(status, message, "cannot start");
  inlay_runtime_destroy(runtime);
  // Made again without the callback, whose text lives no longer than this function.
  params.log = nullptr;
  params.log_user_data = nullptr;
  check(inlay_runtime_create(&params, &runtime), static_cast<inlay_runtime*>(nullptr), "cannot start");
  return Runtime(runtime);
}

File open_file(inlay_runtime* runtime, const std::string& path) {
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = path.c_str();
  inlay_file* file = nullptr;
  check(inlay_file_open(runtime, &source, &file), runtime, "cannot open the model");
  return File(file);
}

Model make_model(inlay_runtime* runtime, inlay_file* file) {
  inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
  params.read_ahead = 1;
  constexpr uint64_t kLarge = 1u << 30;
  if (info_of(file).file_bytes > kLarge && isatty(STDERR_FILENO) != 0) params.progress = show_progress;
  inlay_model* model = nullptr;
  check(inlay_model_create(file, &params, &model), runtime, "cannot load the model");
  return Model(model);
}

Session make_session(inlay_runtime* runtime, inlay_model* model, const inlay_session_params& params) {
  inlay_session* session = nullptr;
  check(inlay_session_create(model, &params, &session), runtime, "cannot make a session");
  return Session(session);
}

inlay_model_info info_of(const inlay_file* file) {
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  inlay_file_get_info(file, &info);
  return info;
}

inlay_session_params session_params(const Options& options) {
  inlay_session_params params = INLAY_SESSION_PARAMS_INIT;
  params.context_length =
      static_cast<uint32_t>(std::min<uint64_t>(options.number("--context", 0), UINT32_MAX));
  const std::string kv = options.text("--kv", "");
  if (kv.empty()) {
    params.kv_type = INLAY_KV_DEFAULT;
  } else if (kv == "f16") {
    params.kv_type = INLAY_KV_F16;
  } else if (kv == "fp8") {
    params.kv_type = INLAY_KV_FP8;
  } else if (kv == "q8") {
    params.kv_type = INLAY_KV_Q8;
  } else {
    throw Failure("--kv is f16, fp8 or q8, not \"" + kv + "\"");
  }
  return params;
}

inlay_sampler_params sampler_params(const Options& options) {
  inlay_sampler_params params = INLAY_SAMPLER_PARAMS_INIT;
  params.temperature = options.real("--temp", 0.0f);
  params.top_p = options.real("--top-p", 0.0f);
  params.top_k = static_cast<uint32_t>(options.number("--top-k", 0));
  params.min_p = options.real("--min-p", 0.0f);
  params.repeat_penalty = options.real("--repeat-penalty", 0.0f);
  params.frequency_penalty = options.real("--frequency-penalty", 0.0f);
  params.presence_penalty = options.real("--presence-penalty", 0.0f);
  params.seed = options.number("--seed", 0);
  return params;
}

bool read_draft(const Options& options, inlay_generator_params* params) {
  const std::string draft = options.text("--draft", "none");
  const size_t colon = draft.find(':');
  const std::string kind = draft.substr(0, colon);
  if (colon != std::string::npos) {
    char* end = nullptr;
    params->draft_length = static_cast<uint32_t>(std::strtoul(draft.c_str() + colon + 1, &end, 10));
    if (*end != '\0' || end == draft.c_str() + colon + 1)
      throw Failure("--draft " + draft + ": a number follows the colon");
  }
  if (kind == "none") {
    params->draft = INLAY_DRAFT_NONE;
  } else if (kind == "mtp") {
    params->draft = INLAY_DRAFT_MTP;
  } else if (kind == "lookup") {
    params->draft = INLAY_DRAFT_LOOKUP;
  } else if (kind == "lookup+mtp") {
    params->draft = INLAY_DRAFT_LOOKUP_MTP;
  } else {
    throw Failure("--draft is none, mtp:N, lookup:N or lookup+mtp:N, not \"" + draft + "\"");
  }
  params->draft_min_probability = options.real("--draft-p-min", 0.0f);
  return params->draft == INLAY_DRAFT_MTP || params->draft == INLAY_DRAFT_LOOKUP_MTP;
}

Grammar read_grammar(const Options& options, inlay_runtime* runtime, inlay_model* model) {
  const bool schema = options.has("--schema");
  if (!schema && !options.has("--grammar")) return nullptr;
  const std::string path = options.text(schema ? "--schema" : "--grammar", "");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure("cannot read " + path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  inlay_grammar* grammar = nullptr;
  check(inlay_grammar_create(model, schema ? INLAY_GRAMMAR_JSON_SCHEMA : INLAY_GRAMMAR_GBNF, text.data(),
                             text.size(), &grammar),
        runtime, path.c_str());
  return Grammar(grammar);
}

std::vector<int32_t> tokenize(const inlay_tokenizer* tokenizer, std::string_view text, bool parse_special) {
  if (tokenizer == nullptr) throw Failure("the model has no tokenizer, it takes ids (--tokens 1,2,3)");
  std::vector<int32_t> tokens(text.size() + 16);
  size_t count = 0;
  for (;;) {
    const inlay_status status = inlay_tokenizer_encode(
        tokenizer, text.data(), text.size(), parse_special ? 1 : 0, tokens.data(), tokens.size(), &count);
    if (status != INLAY_OK) throw Failure(std::string("cannot tokenize: ") + inlay_status_name(status));
    const bool fits = count <= tokens.size();
    tokens.resize(count);
    if (fits) return tokens;
  }
}

std::string read_all(std::FILE* file) {
  std::string text;
  char buffer[1 << 16];
  for (size_t count; (count = std::fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, count);
  return text;
}

std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      json += escape;
    } else {
      json += c;
    }
  }
  return json + "\"";
}

std::string readable_bytes(uint64_t bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(units); ++unit) value /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

}  // namespace command

#include <cstdlib>

#include "command.h"

namespace command {
namespace {

std::vector<int32_t> parse_tokens(const std::string& list) {
  std::vector<int32_t> tokens;
  const char* at = list.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    tokens.push_back(static_cast<int32_t>(std::strtol(at, &end, 10)));
    if (end == at || (*end != ',' && *end != '\0'))
      throw Failure("--tokens takes ids like 1,2,3, not \"" + list + "\"");
    at = *end == ',' ? end + 1 : end;
  }
  return tokens;
}

void print_stats(const inlay_generator* generator, bool json) {
  inlay_generator_stats s = INLAY_GENERATOR_STATS_INIT;
  inlay_generator_get_stats(generator, &s);
  const double prompt_seconds = static_cast<double>(s.prompt_ns) / 1e9;
  const double seconds = static_cast<double>(s.draft_ns + s.verify_ns + s.rest_ns) / 1e9;
  const double rounds = s.rounds == 0 ? 1.0 : static_cast<double>(s.rounds);
  std::fprintf(
      stderr,
      json
          ? "{\"prompt_tokens\":%llu,\"prompt_seconds\":%.4f,\"generated_tokens\":%llu,\"seconds\":%.4f,"
            "\"tokens_a_second\":%.2f,\"rounds\":%llu,\"tokens_a_round\":%.3f,\"drafted\":%llu,"
            "\"accepted\":%llu,\"draft_seconds\":%.4f,\"verify_seconds\":%.4f,\"rest_seconds\":%.4f}\n"
          : "%llu prompt tokens in %.3f s; %llu tokens in %.3f s, %.1f a second; %llu rounds of %.2f tokens, "
            "drafted %llu, accepted %llu; draft %.3f s, verify %.3f s, rest %.3f s\n",
      static_cast<unsigned long long>(s.prompt_tokens), prompt_seconds,
      static_cast<unsigned long long>(s.generated_tokens), seconds,
      seconds > 0 ? static_cast<double>(s.generated_tokens) / seconds : 0.0,
      static_cast<unsigned long long>(s.rounds), static_cast<double>(s.generated_tokens) / rounds,
      static_cast<unsigned long long>(s.drafted), static_cast<unsigned long long>(s.accepted),
      static_cast<double>(s.draft_ns) / 1e9, static_cast<double>(s.verify_ns) / 1e9,
      static_cast<double>(s.rest_ns) / 1e9);
}

void print_output(const inlay_output& output, bool as_tokens) {
  if (as_tokens) {
    for (size_t i = 0; i < output.token_count; ++i) std::printf("%d\n", output.tokens[i]);
  } else {
    std::fwrite(output.text, 1, output.text_bytes, stdout);
  }
  std::fflush(stdout);
}

}  // namespace

int run_generate(int count, char** words) {
  const Options options(
      count, words,
      common_options({"-p", "-n", "--tokens", "--temp", "--top-p", "--top-k", "--min-p", "--repeat-penalty",
                      "--frequency-penalty", "--presence-penalty", "--seed", "--draft", "--draft-p-min",
                      "--budget-us", "--schema", "--grammar"}),
      {"--json", "--special", "--ignore-end"});
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  const Model model = make_model(runtime.get(), file.get());
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  inlay_session_params session_options = session_params(options);
  session_options.mtp = read_draft(options, &params) ? 1 : 0;
  const Session session = make_session(runtime.get(), model.get(), session_options);
  const inlay_sampler_params sampler = sampler_params(options);
  params.sampler = &sampler;
  params.max_tokens = options.number("-n", 256);
  params.show_special = options.has("--special") ? 1 : 0;
  params.ignore_end = options.has("--ignore-end") ? 1 : 0;
  const Grammar grammar = read_grammar(options, runtime.get(), model.get());
  params.grammar = grammar.get();
  inlay_generator* made = nullptr;
  check(inlay_generator_create(session.get(), &params, &made), runtime.get(), "cannot make a generator");
  const Generator generator(made);

  const bool as_tokens = inlay_model_tokenizer(model.get()) == nullptr;
  if (options.has("--tokens")) {
    const std::vector<int32_t> tokens = parse_tokens(options.text("--tokens", ""));
    check(inlay_generator_prompt_tokens(generator.get(), tokens.data(), tokens.size()), generator.get(),
          "the prompt");
  } else {
    const std::string prompt = options.has("-p") ? options.text("-p", "") : read_all(stdin);
    if (as_tokens) throw Failure("the model has no tokenizer, it takes ids (--tokens 1,2,3)");
    check(inlay_generator_prompt_text(generator.get(), prompt.data(), prompt.size(), 1), generator.get(),
          "the prompt");
  }
  const uint64_t budget = options.has("--budget-us") ? options.number("--budget-us", 0) : INLAY_NO_BUDGET;
  inlay_output output = INLAY_OUTPUT_INIT;
  inlay_status status = INLAY_OK;
  while (status != INLAY_END) {
    status = inlay_generator_next(generator.get(), budget, &output);
    check(status, generator.get(), "generating");
    print_output(output, as_tokens);
  }
  if (!as_tokens) std::printf("\n");
  print_stats(generator.get(), options.has("--json"));
  return 0;
}

int run_tokenize(int count, char** words) {
  const Options options(count, words, common_options({}), {"--special"});
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  inlay_tokenizer* made = nullptr;
  check(inlay_tokenizer_create(file.get(), &made), runtime.get(), "no tokenizer");
  const Tokenizer tokenizer(made);
  const std::string text = read_all(stdin);
  const std::vector<int32_t> tokens = tokenize(tokenizer.get(), text, options.has("--special"));
  for (size_t i = 0; i < tokens.size(); ++i) std::printf("%s%d", i == 0 ? "" : " ", tokens[i]);
  std::printf("\n");
  return 0;
}

int run_detokenize(int count, char** words) {
  const Options options(count, words, common_options({}), {});
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  inlay_tokenizer* made = nullptr;
  check(inlay_tokenizer_create(file.get(), &made), runtime.get(), "no tokenizer");
  const Tokenizer tokenizer(made);
  std::string list = read_all(stdin);
  for (char& c : list) {
    if (c == ',' || c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  std::vector<int32_t> tokens;
  for (const char* at = list.c_str();;) {
    while (*at == ' ') ++at;
    if (*at == '\0') break;
    char* end = nullptr;
    tokens.push_back(static_cast<int32_t>(std::strtol(at, &end, 10)));
    if (end == at || (*end != ' ' && *end != '\0'))
      throw Failure("stdin has something that is not an id: " + std::string(at).substr(0, 20));
    at = end;
  }
  size_t bytes = 0;
  std::string text;
  for (int pass = 0; pass < 2; ++pass) {
    if (inlay_tokenizer_decode(tokenizer.get(), tokens.data(), tokens.size(), 1, text.data(), text.size(),
                               &bytes) != INLAY_OK) {
      throw Failure("an id is outside the vocabulary of " +
                    std::to_string(inlay_tokenizer_size(tokenizer.get())) + " tokens");
    }
    text.resize(bytes);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace command

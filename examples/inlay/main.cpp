#include <cstdio>
#include <exception>
#include <string_view>

#include "command.h"

namespace {

constexpr char kHelp[] =
    "inlay: run Qwen3.5 / Qwen3.6 hybrid models\n"
    "\n"
    "  inlay info MODEL [--verify]      what the file is; a package's bytes against its checksums\n"
    "  inlay plan MODEL                 the memory it will take, from its header alone\n"
    "  inlay pack INPUT -o OUT.inlay    a package of a GGUF file or of a safetensors folder\n"
    "      [--quant q8_0|q6_k|q5_k_m|q4_k_m|q2_k|fp8|nvfp4] [--imatrix FILE]\n"
    "      [--layout cuda]              matrices as CUDA devices read them: nothing else opens it\n"
    "  inlay generate MODEL -p TEXT     text after a prompt, as it comes\n"
    "      [-n N] [--tokens 1,2,3] [--special] [--ignore-end] [--budget-us U]\n"
    "      [--temp T] [--top-p P] [--top-k K] [--min-p M] [--repeat-penalty R] [--frequency-penalty F]\n"
    "      [--presence-penalty P] [--seed S] [--draft none|mtp:N|lookup:N|lookup+mtp:N] [--draft-p-min P]\n"
    "      [--schema FILE] [--grammar FILE]   what the text is of: a JSON Schema, GBNF rules\n"
    "  inlay chat MODEL                 a conversation; /think on|off, /tokens, /save FILE, /load FILE\n"
    "      [--think on|off] [--think-budget N] [--system TEXT] [--tools] [-n N] and generate's sampling\n"
    "  inlay render MODEL [--tokens] [--lines]   a JSON chat on stdin to its prompt, to ids; one a line\n"
    "  inlay logits MODEL --tokens 1,2,3 -o OUT.safetensors [--step] [--mtp]\n"
    "  inlay tokenize MODEL [--special]   stdin to ids      inlay detokenize MODEL   and back\n"
    "  inlay bench MODEL [--prefill N] [--decode N] [--depth N] [--draft ...] [--sessions K] [--repeat R]\n"
    "\n"
    "  Every call takes --device cpu|cuda, --threads N, --context N, --kv f16|fp8|q8,\n"
    "  --instruction-set NAME and --weights default|copied|in-place (what that layout is for);\n"
    "  --json prints one JSON object a line for programs.\n";

struct Call {
  std::string_view name;
  int (*run)(int count, char** words);
};
constexpr Call kCalls[] = {
    {"info", command::run_info},         {"plan", command::run_plan},
    {"pack", command::run_pack},         {"generate", command::run_generate},
    {"chat", command::run_chat},         {"logits", command::run_logits},
    {"tokenize", command::run_tokenize}, {"detokenize", command::run_detokenize},
    {"render", command::run_render},     {"bench", command::run_bench},
};

}  // namespace

int main(int count, char** words) {
  const std::string_view name = count > 1 ? words[1] : "";
  if (name == "help" || name == "--help" || name == "-h") {
    std::fputs(kHelp, stdout);
    return 0;
  }
  if (name == "version" || name == "--version") {
    const uint32_t version = inlay_version();
    std::printf("inlay %u.%u.%u\n", version >> 16, version >> 8 & 255, version & 255);
    return 0;
  }
  for (const Call& call : kCalls) {
    if (call.name != name) continue;
    try {
      return call.run(count - 2, words + 2);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "inlay: %s\n", error.what());
      return 1;
    }
  }
  if (name.empty()) {
    std::fputs(kHelp, stderr);
  } else {
    std::fprintf(stderr, "inlay: there is no `inlay %s` (try `inlay help`)\n", words[1]);
  }
  return 1;
}

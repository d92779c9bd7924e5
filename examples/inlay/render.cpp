#include <algorithm>

#include "command.h"

namespace command {
namespace {

struct Rendered {
  inlay_status status = INLAY_OK;
  std::string text;
};

Rendered render(inlay_runtime* runtime, const inlay_chat_format& format, const std::string& chat) {
  Rendered rendered;
  size_t bytes = 0;
  for (int pass = 0; pass < 2; ++pass) {
    rendered.status = inlay_chat_render(runtime, &format, chat.data(), chat.size(), rendered.text.data(),
                                        rendered.text.size(), &bytes);
    rendered.text.resize(bytes);
  }
  return rendered;
}

std::string words_of(const inlay_runtime* runtime) {
  char words[512] = "";
  inlay_runtime_message(runtime, words, sizeof words);
  return words;
}

void print_tokens(inlay_runtime* runtime, inlay_file* file, const inlay_chat_format& format,
                  const std::string& chat) {
  inlay_tokenizer* made = nullptr;
  check(inlay_tokenizer_create(file, &made), runtime, "no tokenizer");
  const Tokenizer tokenizer(made);
  std::vector<int32_t> tokens;
  size_t count = 0;
  for (int pass = 0; pass < 2; ++pass) {
    check(inlay_chat_render_tokens(runtime, tokenizer.get(), &format, chat.data(), chat.size(), tokens.data(),
                                   tokens.size(), &count),
          runtime, "cannot render");
    tokens.resize(count);
  }
  for (size_t i = 0; i < tokens.size(); ++i) std::printf("%s%d", i == 0 ? "" : " ", tokens[i]);
  std::printf("\n");
}

}  // namespace

int run_render(int count, char** words) {
  const Options options(count, words, common_options({}), {"--tokens", "--lines"});
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  const std::string chat_template = info_of(file.get()).chat_template;
  inlay_chat_format format = INLAY_CHAT_FORMAT_INIT;
  check(inlay_chat_format_of(runtime.get(), chat_template.data(), chat_template.size(), &format),
        runtime.get(), "cannot render");
  const std::string input = read_all(stdin);
  if (options.has("--tokens")) {
    print_tokens(runtime.get(), file.get(), format, input);
    return 0;
  }
  if (!options.has("--lines")) {
    const Rendered rendered = render(runtime.get(), format, input);
    check(rendered.status, runtime.get(), "cannot render");
    std::fwrite(rendered.text.data(), 1, rendered.text.size(), stdout);
    return 0;
  }
  for (size_t at = 0; at < input.size();) {
    const size_t end = std::min(input.find('\n', at), input.size());
    const Rendered rendered = render(runtime.get(), format, input.substr(at, end - at));
    if (rendered.status == INLAY_OK) {
      std::printf("{\"rendered\":%s}\n", json_text(rendered.text).c_str());
    } else {
      std::printf("{\"error\":%s}\n", json_text(words_of(runtime.get())).c_str());
    }
    at = end + 1;
  }
  return 0;
}

}  // namespace command

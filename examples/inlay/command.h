#pragma once

#include <inlay/inlay.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// What the parts of the `inlay` command share. The command is an embedder like any other: it sees the public
// ABI alone.

namespace command {

/// Ends the command with one line on stderr and exit status 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Options by name, and what stands between them.
class Options {
 public:
  /// `flags` are options without a value. Fails on an option that is in neither list.
  Options(int count, char** words, std::vector<std::string> with_value, std::vector<std::string> flags);

  const std::vector<std::string>& words() const { return words_; }
  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::string text(std::string_view name, const std::string& otherwise) const;
  uint64_t number(std::string_view name, uint64_t otherwise) const;
  float real(std::string_view name, float otherwise) const;
  /// The one word that names the model; fails where there is none or there are more.
  std::string model() const;

 private:
  const std::string* find(std::string_view name) const;

  std::vector<std::pair<std::string, std::string>> given_;
  std::vector<std::string> words_;
};

template <typename T, void (*kDestroy)(T*)>
struct Destroyer {
  void operator()(T* handle) const { kDestroy(handle); }
};
using Runtime = std::unique_ptr<inlay_runtime, Destroyer<inlay_runtime, inlay_runtime_destroy>>;
using File = std::unique_ptr<inlay_file, Destroyer<inlay_file, inlay_file_destroy>>;
using Model = std::unique_ptr<inlay_model, Destroyer<inlay_model, inlay_model_destroy>>;
using Session = std::unique_ptr<inlay_session, Destroyer<inlay_session, inlay_session_destroy>>;
using Tokenizer = std::unique_ptr<inlay_tokenizer, Destroyer<inlay_tokenizer, inlay_tokenizer_destroy>>;
using Grammar = std::unique_ptr<inlay_grammar, Destroyer<inlay_grammar, inlay_grammar_destroy>>;
using Chat = std::unique_ptr<inlay_chat, Destroyer<inlay_chat, inlay_chat_destroy>>;
using Generator = std::unique_ptr<inlay_generator, Destroyer<inlay_generator, inlay_generator_destroy>>;

// Each of these ends the command where the call fails.
Runtime make_runtime(const Options& options);
File open_file(inlay_runtime* runtime, const std::string& path);
/// With progress on stderr where the file is large and stderr a terminal.
Model make_model(inlay_runtime* runtime, inlay_file* file);
Session make_session(inlay_runtime* runtime, inlay_model* model, const inlay_session_params& params);
void check(inlay_status status, const inlay_runtime* runtime, const char* what);
void check(inlay_status status, const inlay_session* session, const char* what);
void check(inlay_status status, const inlay_generator* generator, const char* what);
void check(inlay_status status, const inlay_chat* chat, const char* what);

inlay_model_info info_of(const inlay_file* file);
inlay_session_params session_params(const Options& options);
inlay_sampler_params sampler_params(const Options& options);
/// Fills in the kind and length of drafts from --draft none|mtp:N|lookup:N|lookup+mtp:N; true where it needs
/// mtp.
bool read_draft(const Options& options, inlay_generator_params* params);

/// Of --schema FILE or --grammar FILE; null where neither is given.
Grammar read_grammar(const Options& options, inlay_runtime* runtime, inlay_model* model);

std::vector<int32_t> tokenize(const inlay_tokenizer* tokenizer, std::string_view text, bool parse_special);
std::string read_all(std::FILE* file);
std::string json_text(std::string_view text);
/// "17.9 GB"
std::string readable_bytes(uint64_t bytes);

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Options that every call takes: --device --threads --context --kv --instruction-set --json.
std::vector<std::string> common_options(std::vector<std::string> more);

int run_info(int count, char** words);
int run_plan(int count, char** words);
int run_pack(int count, char** words);
int run_generate(int count, char** words);
int run_chat(int count, char** words);
int run_logits(int count, char** words);
int run_tokenize(int count, char** words);
int run_detokenize(int count, char** words);
int run_render(int count, char** words);
int run_bench(int count, char** words);

}  // namespace command

#include <cstdlib>
#include <cstring>

#include "command.h"

namespace command {
namespace {

struct Array {
  const char* name;
  uint64_t rows;
  uint64_t columns;
  std::vector<float> values;
};

/// Safetensors: the header's length, a JSON header, the arrays one after another.
void write_safetensors(const std::string& path, const std::vector<Array>& arrays) {
  std::string header = "{";
  uint64_t offset = 0;
  for (const Array& array : arrays) {
    const uint64_t end = offset + array.values.size() * sizeof(float);
    header += (offset == 0 ? "\"" : ",\"") + std::string(array.name) + "\":{\"dtype\":\"F32\",\"shape\":[" +
              std::to_string(array.rows) + "," + std::to_string(array.columns) + "],\"data_offsets\":[" +
              std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) throw Failure("cannot write " + path + ": " + std::strerror(errno));
  const uint64_t length = header.size();
  bool good = std::fwrite(&length, sizeof length, 1, file) == 1;
  good = std::fwrite(header.data(), 1, header.size(), file) == header.size() && good;
  for (const Array& array : arrays) {
    good =
        std::fwrite(array.values.data(), sizeof(float), array.values.size(), file) == array.values.size() &&
        good;
  }
  good = std::fclose(file) == 0 && good;
  if (!good) throw Failure("cannot write all of " + path);
}

std::vector<int32_t> parse_ids(const std::string& list) {
  std::vector<int32_t> tokens;
  for (const char* at = list.c_str(); *at != '\0';) {
    char* end = nullptr;
    tokens.push_back(static_cast<int32_t>(std::strtol(at, &end, 10)));
    if (end == at || (*end != ',' && *end != '\0'))
      throw Failure("--tokens takes ids like 1,2,3, not \"" + list + "\"");
    at = *end == ',' ? end + 1 : end;
  }
  return tokens;
}

}  // namespace

int run_logits(int count, char** words) {
  const Options options(count, words, common_options({"--tokens", "-o"}), {"--step", "--mtp"});
  if (!options.has("--tokens")) throw Failure("--tokens is missing");
  if (!options.has("-o")) throw Failure("-o OUT.safetensors is missing");
  const std::vector<int32_t> tokens = parse_ids(options.text("--tokens", ""));
  if (tokens.empty()) throw Failure("--tokens has no ids");
  const Runtime runtime = make_runtime(options);
  const File file = open_file(runtime.get(), options.model());
  const Model model = make_model(runtime.get(), file.get());
  inlay_session_params params = session_params(options);
  if (params.context_length == 0) params.context_length = static_cast<uint32_t>(tokens.size());
  params.mtp = options.has("--mtp") ? 1 : 0;
  const Session session = make_session(runtime.get(), model.get(), params);
  const uint64_t vocabulary = info_of(file.get()).vocabulary_size;

  std::vector<Array> arrays;
  if (options.has("--mtp")) {
    Array mtp{"mtp_logits", tokens.size() - 1, vocabulary,
              std::vector<float>((tokens.size() - 1) * vocabulary)};
    check(inlay_session_mtp_logits(session.get(), tokens.data(), tokens.size(), mtp.values.data()),
          session.get(), "the MTP head's logits");
    arrays.push_back(std::move(mtp));
  }
  Array logits{"logits", tokens.size(), vocabulary, std::vector<float>(tokens.size() * vocabulary)};
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (options.has("--step")) {
      check(inlay_session_step(session.get(), tokens[i]), session.get(), "a step");
    } else {
      // A prompt gives its last token's logits, so each row is a prompt of its own.
      check(inlay_session_reset(session.get()), session.get(), "emptying the session");
      check(inlay_session_prefill(session.get(), tokens.data(), i + 1), session.get(), "a prompt");
    }
    const float* row = nullptr;
    check(inlay_session_logits(session.get(), 0, &row), session.get(), "its logits");
    std::memcpy(logits.values.data() + i * vocabulary, row, vocabulary * sizeof(float));
  }
  arrays.insert(arrays.begin(), std::move(logits));
  write_safetensors(options.text("-o", ""), arrays);
  return 0;
}

}  // namespace command

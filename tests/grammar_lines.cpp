// Writes what a model says under grammars, for a validator that is not ours: reads a JSON Schema a line,
// answers each with one line, the text as a JSON string or an error.
// Usage: grammar_lines MODEL [WEIGHTS]      temperature and seed follow from the line's number; WEIGHTS, not
// 0: another model of the same shape, whose matrices are the file's with their blocks in an order drawn at
// random
#define DOCTEST_CONFIG_IMPLEMENT  // what the tests' own files ask of it; it has no tests
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory_resource>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/tensor_type.h"
#include "tests/host.h"
#include "tests/temporary_folder.h"

namespace {

using namespace inlay::test;

std::string json_text(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    const bool plain = static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
    json += plain ? std::string(1, c) : std::string(escape);
  }
  return json + "\"";
}

/// Writes the model with its matrices' blocks shuffled: weights as large as they were, and nothing learnt.
void write_random(const std::string& model, uint64_t seed, const std::string& to) {
  std::ifstream from(model, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(from), std::istreambuf_iterator<char>()};
  const inlay::GgufFile file = inlay::GgufFile::open(model, std::pmr::new_delete_resource());
  Random random(seed);
  for (const inlay::GgufTensor& tensor : file.tensors()) {
    if (tensor.dimension_count < 2) continue;
    const size_t size = inlay::traits(tensor.type).block_bytes;
    char* blocks = bytes.data() + tensor.offset;
    for (size_t left = tensor.bytes / size; left > 1; --left) {
      const size_t chosen = random.next() % left;
      std::swap_ranges(blocks + chosen * size, blocks + chosen * size + size, blocks + (left - 1) * size);
    }
  }
  std::ofstream(to, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string write(const OpenModel& model, const std::string& schema, uint64_t line) {
  inlay_grammar* made = nullptr;
  if (inlay_grammar_create(model.get(), INLAY_GRAMMAR_JSON_SCHEMA, schema.data(), schema.size(), &made) !=
      INLAY_OK) {
    return "{\"error\":" + json_text(message_of(model.runtime())) + "}";
  }
  const Handle<inlay_grammar> grammar(made);
  // The hotter, the less the weights matter.
  const float temperatures[] = {1000.0f, 3.0f, 1.0f, 0.0f};
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  sampler.temperature = temperatures[line % 4];
  sampler.seed = line;
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  params.sampler = &sampler;
  params.grammar = grammar.get();
  params.max_tokens = 160 + line % 3 * 100;
  params.draft = line % 2 == 0 ? INLAY_DRAFT_NONE : INLAY_DRAFT_MTP;
  const Handle<inlay_session> session = model.session(session_params(512, true));
  inlay_generator* generator = nullptr;
  if (inlay_generator_create(session.get(), &params, &generator) != INLAY_OK) {
    return "{\"error\":" + json_text(message_of(model.runtime())) + "}";
  }
  const Handle<inlay_generator> owner(generator);
  inlay_generator_prompt_text(generator, "The tavern was", 14, 0);
  std::string text;
  inlay_output output = INLAY_OUTPUT_INIT;
  inlay_status status = INLAY_OK;
  while (status == INLAY_OK) {
    status = inlay_generator_next(generator, INLAY_NO_BUDGET, &output);
    if (status >= INLAY_OK) text.append(output.text, output.text_bytes);
  }
  if (status != INLAY_END) return "{\"error\":" + json_text("generating: " + message_of(generator)) + "}";
  return "{\"stop\":" + std::to_string(output.stop) + ",\"text\":" + json_text(text) + "}";
}

}  // namespace

int main(int count, char** words) {
  if (count < 2 || count > 3) return 1;
  try {
    const uint64_t weights = count == 3 ? std::strtoull(words[2], nullptr, 10) : 0;
    const TemporaryFolder folder;
    std::string path = words[1];
    if (weights != 0) {
      path = folder.file("random.gguf");
      write_random(words[1], weights, path);
    }
    const OpenModel model(path);
    uint64_t number = 0;
    for (std::string line; std::getline(std::cin, line); ++number) {
      std::printf("%s\n", write(model, line, number).c_str());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}

// Writes what a model says under grammars, for a validator that is not ours: reads a JSON Schema a line,
// answers each with one line, the text as a JSON string or an error.
// Usage: grammar_lines MODEL      temperature and seed follow from the line's number
#define DOCTEST_CONFIG_IMPLEMENT  // what the tests' own files ask of it; it has no tests
#include <doctest/doctest.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "tests/host.h"

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

std::string write(const OpenModel& model, const std::string& schema, uint64_t line) {
  inlay_grammar* made = nullptr;
  if (inlay_grammar_create(model.get(), INLAY_GRAMMAR_JSON_SCHEMA, schema.data(), schema.size(), &made) !=
      INLAY_OK) {
    return "{\"error\":" + json_text(message_of(model.runtime())) + "}";
  }
  const Handle<inlay_grammar> grammar(made);
  // Nearly any weights: the hotter, the less the model's own matter.
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
  if (count != 2) return 1;
  try {
    const OpenModel model(words[1]);
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

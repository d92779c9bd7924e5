#include <doctest/doctest.h>

#include "tests/speculation.h"
#include "tests/test_data.h"

using namespace inlay::test;

TEST_CASE("no drafting changes the text: the shared golden models") {
  for (const char* name :
       {"gguf/micro-bf16.gguf", "gguf/micro-q8_0.gguf", "gguf/micro-q6_k.gguf", "gguf/micro-q5_k_m.gguf",
        "gguf/micro-q4_k_m.gguf", "gguf/micro-q2_k.gguf", "hf/bf16/converted.gguf"}) {
    CAPTURE(name);
    INLAY_SHARED_DATA(path, std::string("golden/") + name);
    compare_prompts(OpenModel(path), 2);
  }
}

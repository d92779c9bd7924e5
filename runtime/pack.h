#pragma once

#include <string>

#include "runtime/runtime.h"

namespace inlay {

struct PackWish {
  std::string_view input;         // a GGUF file, a package, a checkpoint's folder or its safetensors file
  std::string_view output;        // the package's path
  std::string_view quantisation;  // "" keeps every tensor as it is; else as quantisation_of names it
  std::string_view imatrix;       // path of an importance matrix in llama.cpp's GGUF form; "": none
  std::string_view layout;        // "": matrices lie in rows; "cuda": in tiles
  inlay_progress_fn progress = nullptr;
  void* progress_user_data = nullptr;
};

/// Writes a package from a model in any form. Memory stays below a few tens of MiB and the tokenizer's size,
/// whatever the model's size, and the largest tensor's where a layout is wanted. Works on as many threads as
/// the runtime has. Throws Error; the output is then either absent or what it was before.
void pack(Runtime& runtime, const PackWish& wish);

}  // namespace inlay

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/gguf.h"

namespace inlay {

/// What a token of the vocabulary is; the numbers are GGUF's.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// What a tokenizer is built from, where it lies in the file: views, valid as long as that is.
struct Vocabulary {
  GgufStrings tokens{0,
                     nullptr};  // normal ones in GPT-2's printable alphabet for bytes, the others as they are
  GgufStrings merges{0, nullptr};    // "left right" in that alphabet, best first
  std::optional<GgufNumbers> types;  // a TokenType for each token; nothing: all are normal
  std::string_view pre_tokenizer;    // "qwen35"
  int32_t end_of_text = -1;          // each of these -1 where there is none
  int32_t end_of_turn = -1;
  int32_t begin_of_text = -1;
  int32_t padding = -1;
  bool add_begin_of_text = false;
};

/// The file's vocabulary (its `tokenizer.ggml` keys); nothing where it has none. Throws
/// INLAY_ERROR_UNSUPPORTED for a tokenizer that is not byte-level BPE, INLAY_ERROR_CORRUPT_FILE for keys of
/// the wrong kind or lengths that do not agree.
std::optional<Vocabulary> read_vocabulary(const GgufFile& file);

}  // namespace inlay

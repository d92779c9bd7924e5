#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace inlay {

/// The rule that cuts text into the pieces inside which byte pairs are merged. Both are the pattern
///
///   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?W+ | \p{N} | ?[^\s W\p{N}]+[\r\n]* | \s*[\r\n]+ |
///   \s+(?!\S) | \s+
///
/// (spaces only for reading, but the one before `?`), where a word character W is \p{L} for qwen2 and
/// [\p{L}\p{M}] for qwen35.
enum class PreTokenizer : uint8_t { kQwen2, kQwen35 };

/// By the name that GGUF's `tokenizer.ggml.pre` gives; nothing where Inlay has no such rule.
std::optional<PreTokenizer> pre_tokenizer_of(std::string_view name);

/// The end of the piece that begins at `at`, which is less than the text's size. The text is one whole
/// stretch: the rule looks past the piece's end. A byte that is not UTF-8 counts as a symbol. Walking a text
/// from piece to piece is linear in its length.
size_t next_piece(PreTokenizer rule, std::string_view text, size_t at);

}  // namespace inlay

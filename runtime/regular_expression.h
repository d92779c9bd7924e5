#pragma once

#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/grammar.h"

namespace inlay {

/// What makes one character of a set where an expression has one.
class CharacterMaker {
 public:
  virtual GrammarBuilder::Piece make_character(std::span<const GrammarBuilder::CodePoints> set) = 0;

 protected:
  ~CharacterMaker() = default;
};

/// Makes a piece of a regular expression: literals, classes, \d \w \s and their like, ".", groups, "|", "*",
/// "+", "?", "{m,n}", "^" at the front and "$" at the end of the whole or of an outer alternative; without an
/// anchor anything may stand before or behind. Sets that a class excludes are cut to ASCII's share of them
/// where dialects differ. Throws INLAY_ERROR_UNSUPPORTED for what goes beyond that,
/// INLAY_ERROR_INVALID_ARGUMENT for what is no expression.
GrammarBuilder::Piece make_regular_expression(GrammarBuilder& builder, std::string_view expression,
                                              CharacterMaker& characters);

/// What of all characters is in none of these ranges, in order.
std::pmr::vector<GrammarBuilder::CodePoints> complement(std::pmr::vector<GrammarBuilder::CodePoints> set);

}  // namespace inlay

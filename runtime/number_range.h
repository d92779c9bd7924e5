#pragma once

#include <cstdint>

#include "runtime/grammar.h"

namespace inlay {

/// Bounds of a JSON number; infinite where there is none.
struct NumberRange {
  double least;
  double most;
  bool least_excluded = false;
  bool most_excluded = false;
};

/// Whole numbers in the range, of up to 15 digits, as JSON writes them. Throws INLAY_ERROR_INVALID_ARGUMENT
/// where there are none.
GrammarBuilder::Piece make_integer(GrammarBuilder& builder, const NumberRange& range);
/// Numbers in the range, with few decimals where it has bounds.
GrammarBuilder::Piece make_number(GrammarBuilder& builder, const NumberRange& range);

}  // namespace inlay

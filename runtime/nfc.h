#pragma once

#include <memory_resource>
#include <string>
#include <string_view>

namespace inlay {

/// Normalisation form C (Unicode Standard Annex 15). Returns `text` itself where it is in that form already,
/// as nearly all text is: then nothing is copied or allocated. Else the result is put into `storage`, and is
/// what is returned. Bytes that are not UTF-8 stay as they are, and nothing composes across them.
/// O(n log n) in the worst case (a very long run of combining marks out of order), else linear.
std::string_view normalize_nfc(std::string_view text, std::pmr::string& storage);

}  // namespace inlay

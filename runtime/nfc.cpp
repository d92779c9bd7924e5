#include "runtime/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "runtime/utf8.h"

namespace inlay {
namespace {

// A run of marks up to this length is sorted in place.
constexpr size_t kInsertionSortLimit = 32;

/// Whether nothing before this character can change what it normalises to, nor be changed by it: a starter
/// that is never the second half of a composition. Marks count as joining, for most of them do and the few
/// others only cost a look. U+11A7 stands just before the trailing consonants and is not one of them.
bool is_boundary(char32_t code_point, const utf8proc_property_t& property) {
  switch (property.category) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return false;
    default: break;
  }
  if (property.combining_class != 0) return false;
  if (code_point < 0x1161) return true;
  const bool vowel = code_point <= 0x1175;
  const bool trailing_consonant = code_point >= 0x11A8 && code_point <= 0x11C2;
  const bool kirat_rai_vowel = code_point >= 0x16D63 && code_point <= 0x16D6A;  // letters that compose
  return !vowel && !trailing_consonant && !kirat_rai_vowel;
}

/// Whether the character normalises to itself where nothing joins it, as far as is told quickly: it has no
/// canonical decomposition, or is a Latin letter, whose decompositions all compose again.
bool stays(char32_t code_point, const utf8proc_property_t& property) {
  const bool decomposes = property.decomp_seqindex != UINT16_MAX && property.decomp_type == 0;
  return !decomposes || code_point < 0x340 || (code_point >= 0x1E00 && code_point <= 0x1EFF);
}

const utf8proc_property_t& property_of(char32_t code_point) {
  return *utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point));
}

uint64_t combining_class(utf8proc_int32_t code_point) {
  return static_cast<uint64_t>(utf8proc_get_property(code_point)->combining_class);
}

/// Puts a run of marks into canonical order: by combining class, equal ones as they stood.
void order_marks(utf8proc_int32_t* marks, size_t count, std::pmr::memory_resource* scratch) {
  if (count <= kInsertionSortLimit) {
    for (size_t i = 1; i < count; ++i) {
      const utf8proc_int32_t mark = marks[i];
      const uint64_t mark_class = combining_class(mark);
      size_t j = i;
      for (; j > 0 && combining_class(marks[j - 1]) > mark_class; --j) marks[j] = marks[j - 1];
      marks[j] = mark;
    }
    return;
  }
  // One key holds class, place and character, so that an unstable sort without extra memory is stable.
  std::pmr::vector<uint64_t> keys(count, scratch);
  for (size_t i = 0; i < count; ++i) {
    keys[i] =
        combining_class(marks[i]) << 56 | static_cast<uint64_t>(i) << 21 | static_cast<uint64_t>(marks[i]);
  }
  std::sort(keys.begin(), keys.end());
  for (size_t i = 0; i < count; ++i) marks[i] = static_cast<utf8proc_int32_t>(keys[i] & 0x1FFFFF);
}

/// Appends the normal form of a stretch of valid UTF-8 between two boundaries.
void append_normalized(std::string_view section, std::pmr::string& out, std::pmr::memory_resource* scratch) {
  // utf8proc does the tables. Its own loop over a text orders marks by exchanging neighbours, in quadratic
  // time, so characters are decomposed one by one and ordered here.
  std::pmr::vector<utf8proc_int32_t> code_points(scratch);
  code_points.reserve(section.size() + 8);
  constexpr auto kDecompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
  constexpr auto kCompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  while (!section.empty()) {
    const Utf8Step step = read_utf8(section);
    section.remove_prefix(step.length);
    utf8proc_int32_t parts[8];  // the longest canonical decomposition is 4
    int last_boundclass = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.code_point),
                                                           parts, 8, kDecompose, &last_boundclass);
    code_points.insert(code_points.end(), parts, parts + count);
  }
  for (size_t i = 0; i < code_points.size();) {
    size_t end = i;
    while (end < code_points.size() && combining_class(code_points[end]) != 0) ++end;
    if (end - i > 1) order_marks(code_points.data() + i, end - i, scratch);
    i = end == i ? i + 1 : end;
  }
  const utf8proc_ssize_t composed = utf8proc_normalize_utf32(
      code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()), kCompose);
  for (utf8proc_ssize_t i = 0; i < composed; ++i) {
    char bytes[4];
    out.append(bytes, write_utf8(static_cast<char32_t>(code_points[i]), bytes));
  }
}

/// Bytes of ASCII at the front of the text.
size_t ascii_prefix(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) break;
  }
  while (i < text.size() && static_cast<uint8_t>(text[i]) < 0x80) ++i;
  return i;
}

/// The end of the stretch that begins before `at` and goes on as long as characters join what is before them.
size_t section_end(std::string_view text, size_t at) {
  while (at < text.size()) {
    const Utf8Step step = read_utf8(text.substr(at));
    if (step.state != Utf8State::kValid || is_boundary(step.code_point, property_of(step.code_point))) break;
    at += step.length;
  }
  return at;
}

}  // namespace

std::string_view normalize_nfc(std::string_view text, std::pmr::string& storage) {
  std::pmr::memory_resource* const upstream = storage.get_allocator().resource();
  std::array<std::byte, 2048> stack;
  bool changed = false;
  size_t copied = 0;   // bytes of text that storage has, in their normal form
  size_t starter = 0;  // where the last boundary is
  for (size_t at = 0; at < text.size();) {
    if (const size_t ascii = ascii_prefix(text.substr(at)); ascii != 0) {
      at += ascii;
      starter = at - 1;
      continue;
    }
    const Utf8Step step = read_utf8(text.substr(at));
    if (step.state != Utf8State::kValid) {
      starter = at += step.length;
      continue;
    }
    const utf8proc_property_t& property = property_of(step.code_point);
    const bool boundary = is_boundary(step.code_point, property);
    if (boundary) starter = at;
    at += step.length;
    if (boundary && stays(step.code_point, property)) continue;

    at = section_end(text, at);
    const std::string_view section = text.substr(starter, at - starter);
    std::pmr::monotonic_buffer_resource scratch(stack.data(), stack.size(), upstream);
    std::pmr::string normal(&scratch);
    append_normalized(section, normal, &scratch);
    if (std::string_view(normal) != section) {
      if (!changed) {
        storage.clear();
        storage.reserve(text.size() + text.size() / 8 + normal.size());
        changed = true;
      }
      storage.append(text, copied, starter - copied);
      storage.append(normal);
      copied = at;
    }
    starter = at;
  }
  if (!changed) return text;
  storage.append(text, copied, text.size() - copied);
  return storage;
}

}  // namespace inlay

#include "runtime/python_text.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "runtime/utf8.h"

namespace inlay {
namespace {

using Value = JsonDocument::Value;
using Type = JsonDocument::Type;

/// str.isspace() of one character.
bool is_python_space(char32_t c) {
  if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

void append_python_float(double value, std::pmr::string& out) {
  if (!std::isfinite(value)) {
    out += std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
    return;
  }
  // The shortest digits that read back, d.ddde[+-]xx; Python writes them plainly from 1e-4 up to 1e16.
  char buffer[40];
  char* const end =
      std::to_chars(buffer, buffer + sizeof buffer - 1, value, std::chars_format::scientific).ptr;
  *end = '\0';
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  const int exponent = std::atoi(buffer + e + 1);
  std::string_view mantissa = text.substr(0, e);
  if (mantissa.front() == '-') {
    out += '-';
    mantissa.remove_prefix(1);
  }
  char digits[32];
  size_t count = 0;
  for (const char c : mantissa) {
    if (c != '.') digits[count++] = c;
  }
  const std::string_view all(digits, count);
  if (exponent < -4 || exponent >= 16) {
    out += all.front();
    if (count > 1) {
      out += '.';
      out += all.substr(1);
    }
    out += exponent < 0 ? "e-" : "e+";
    const int magnitude = std::abs(exponent);
    if (magnitude < 10) out += '0';
    char number[8];
    out.append(number, std::to_chars(number, number + sizeof number, magnitude).ptr);
  } else if (exponent < 0) {
    out += "0.";
    out.append(static_cast<size_t>(-exponent - 1), '0');
    out += all;
  } else {
    const auto whole = static_cast<size_t>(exponent) + 1;
    out += all.substr(0, whole);
    if (count < whole) out.append(whole - count, '0');
    out += '.';
    if (count > whole) {
      out += all.substr(whole);
    } else {
      out += '0';
    }
  }
}

void append_python_number(Value value, std::pmr::string& out) {
  if (const auto integer = value.integer()) {
    char number[24];
    out.append(number, std::to_chars(number, number + sizeof number, *integer).ptr);
  } else {
    append_python_float(*value.real(), out);
  }
}

}  // namespace

std::string_view python_strip(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = read_utf8(text);
    if (step.state != Utf8State::kValid || !is_python_space(step.code_point)) break;
    text.remove_prefix(step.length);
  }
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    const Utf8Step step = read_utf8(text.substr(begin));
    if (step.state != Utf8State::kValid || !is_python_space(step.code_point)) break;
    text = text.substr(0, begin);
  }
  return text;
}

void append_json_string(std::string_view text, std::pmr::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      case '\b': out += "\\b"; continue;
      case '\f': out += "\\f"; continue;
      default: break;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string_view strip_front(std::string_view text, char byte) {
  while (!text.empty() && text.front() == byte) text.remove_prefix(1);
  return text;
}

std::string_view strip_back(std::string_view text, char byte) {
  while (!text.empty() && text.back() == byte) text.remove_suffix(1);
  return text;
}

void append_python_str(Value value, std::pmr::string& out) {
  switch (value.type()) {
    case Type::kNull: out += "None"; break;
    case Type::kBool: out += *value.truth() ? "True" : "False"; break;
    case Type::kNumber: append_python_number(value, out); break;
    case Type::kString: out += *value.text(); break;
    case Type::kArray:
    case Type::kObject: break;
  }
}

Value first_member(Value object) { return object.first(); }

Value next_member(Value object, Value member) {
  for (;;) {
    member = member.next();
    if (!member) return member;
    bool is_first = true;
    for (Value other = object.first(); is_first && !other.is_same(member); other = other.next()) {
      is_first = other.key() != member.key();
    }
    if (is_first) return member;
  }
}

void append_python_json(Value value, std::pmr::string& out) {
  const char* separator = "";
  switch (value.type()) {
    case Type::kNull: out += "null"; break;
    case Type::kBool: out += *value.truth() ? "true" : "false"; break;
    case Type::kNumber: append_python_number(value, out); break;
    case Type::kString: append_json_string(*value.text(), out); break;
    case Type::kArray:
      out += '[';
      for (Value element = value.first(); element; element = element.next()) {
        out += separator;
        separator = ", ";
        append_python_json(element, out);
      }
      out += ']';
      break;
    case Type::kObject:
      out += '{';
      for (Value member = first_member(value); member; member = next_member(value, member)) {
        out += separator;
        separator = ", ";
        append_json_string(member.key(), out);
        out += ": ";
        append_python_json(value[member.key()], out);
      }
      out += '}';
      break;
  }
}

}  // namespace inlay

#pragma once

#include <memory_resource>
#include <string>
#include <string_view>

#include "formats/json.h"

// What chat templates ask of the language that they were written for: Jinja templates run in Python, and
// their exact bytes depend on how Python strips, prints and dumps.

namespace inlay {

/// str.strip(): without white space, as Unicode has it, at both ends. The text is UTF-8.
std::string_view python_strip(std::string_view text);
/// Without the given byte at the front, or at the end.
std::string_view strip_front(std::string_view text, char byte);
std::string_view strip_back(std::string_view text, char byte);

/// A JSON string with its quotes, as json.dumps(text, ensure_ascii=False).
void append_json_string(std::string_view text, std::pmr::string& out);

/// str(value) of what is neither an object nor an array.
void append_python_str(JsonDocument::Value value, std::pmr::string& out);
/// json.dumps(value, ensure_ascii=False). Of members with one name the first gives the place and the last the
/// value, as in a dict.
void append_python_json(JsonDocument::Value value, std::pmr::string& out);

/// The member after `member` that is the first of its name; begin with first_member.
JsonDocument::Value first_member(JsonDocument::Value object);
JsonDocument::Value next_member(JsonDocument::Value object, JsonDocument::Value member);

}  // namespace inlay

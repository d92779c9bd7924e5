#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "formats/json.h"
#include "runtime/error.h"
#include "runtime/grammar.h"
#include "runtime/number_range.h"
#include "runtime/python_text.h"
#include "runtime/regular_expression.h"

namespace inlay {
namespace {

using Value = JsonDocument::Value;
using Type = JsonDocument::Type;
using Piece = GrammarBuilder::Piece;
using CodePoints = GrammarBuilder::CodePoints;

constexpr uint64_t kMostItems = 10000;
constexpr uint64_t kMostSpaces = 20;  // of an indented line

[[noreturn]] void refuse(inlay_status status, std::string words) {
  throw Error(status, "schema: " + std::move(words));
}

/// Words that narrow what a schema allows, and are not known here: to overlook one would be wrong.
constexpr std::string_view kUnknown[] = {"not",
                                         "if",
                                         "then",
                                         "else",
                                         "dependentRequired",
                                         "dependentSchemas",
                                         "dependencies",
                                         "patternProperties",
                                         "propertyNames",
                                         "minProperties",
                                         "maxProperties",
                                         "contains",
                                         "minContains",
                                         "maxContains",
                                         "multipleOf",
                                         "unevaluatedItems",
                                         "unevaluatedProperties",
                                         "$dynamicRef",
                                         "$recursiveRef",
                                         "additionalItems"};

/// What stands in a JSON string as it is.
constexpr CodePoints kPlain[] = {{0x20, '!'}, {'#', '['}, {']', 0x10FFFF}};

/// Words that belong to one type, by which a schema without one is understood.
struct TypeWord {
  std::string_view word;
  std::string_view type;
};
constexpr TypeWord kTypeWords[] = {
    {"properties", "object"}, {"required", "object"},         {"additionalProperties", "object"},
    {"items", "array"},       {"prefixItems", "array"},       {"minItems", "array"},
    {"maxItems", "array"},    {"uniqueItems", "array"},       {"pattern", "string"},
    {"minLength", "string"},  {"maxLength", "string"},        {"minimum", "number"},
    {"maximum", "number"},    {"exclusiveMinimum", "number"}, {"exclusiveMaximum", "number"}};

class SchemaCompiler final : public CharacterMaker {
 public:
  SchemaCompiler(Value root, std::pmr::memory_resource* memory)
      : root_(root), memory_(memory), builder_(memory), rules_(memory) {
    space_ = builder_.declare();
    character_ = builder_.declare();
    value_ = builder_.declare();
  }

  Grammar compile() {
    define_common();
    const uint32_t root = rule_of(root_);
    define_any_value();
    return builder_.finish(root);
  }

  Grammar compile_calls(Value tools) {
    define_common();
    bare_text_ = builder_.declare();
    define_bare_text();
    std::pmr::vector<Piece> ways({never()}, memory_);
    for (Value tool = tools.first(); tool; tool = tool.next()) {
      const Value function = tool["function"] ? tool["function"] : tool;
      const auto name = function["name"].text();
      if (!name) refuse(INLAY_ERROR_INVALID_ARGUMENT, "a tool has no name");
      root_ = function["parameters"];
      ways.push_back(call(*name, root_));
    }
    define_any_value();
    const uint32_t root = builder_.declare();
    builder_.define(root, then(then(builder_.text("\n<function="), builder_.either(ways)),
                               builder_.text("</function>\n</tool_call>")));
    return builder_.finish(root);
  }

 private:
  void define_common() {
    const Piece line = builder_.then(builder_.text("\n"),
                                     builder_.repeat([&] { return builder_.text(" "); }, 0, kMostSpaces));
    builder_.define(space_, builder_.either({builder_.nothing(), builder_.text(" "), line}));
    // Any character of a string, plain or escaped; escapes of surrogates are left out.
    const auto hex = [&] {
      return builder_.either({builder_.bytes('0', '9'), builder_.bytes('a', 'f'), builder_.bytes('A', 'F')});
    };
    const Piece below =
        builder_.either({builder_.bytes('0', '9'), builder_.bytes('a', 'c'), builder_.bytes('A', 'C'),
                         builder_.bytes('e', 'f'), builder_.bytes('E', 'F')});
    const Piece d =
        builder_.then(builder_.either({builder_.text("d"), builder_.text("D")}), builder_.bytes('0', '7'));
    const Piece four =
        builder_.then(builder_.either({builder_.then(below, hex()), d}), builder_.then(hex(), hex()));
    std::pmr::vector<Piece> escaped({builder_.then(builder_.text("u"), four)}, memory_);
    for (const char c : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'}) {
      escaped.push_back(builder_.bytes(static_cast<uint8_t>(c), static_cast<uint8_t>(c)));
    }
    builder_.define(character_,
                    builder_.either({builder_.characters(kPlain),
                                     builder_.then(builder_.text("\\"), builder_.either(escaped))}));
  }

  void define_any_value() {
    const std::string_view literals[] = {"true", "false", "null"};
    std::pmr::vector<Piece> ways({free_object(builder_.use(value_)), array(Value()),
                                  quoted(free_text(0, kAny)), make_number(builder_, {-kInfinite, kInfinite})},
                                 memory_);
    for (const std::string_view literal : literals) ways.push_back(builder_.text(literal));
    builder_.define(value_, builder_.either(ways));
  }

  Piece then(Piece a, Piece b) { return builder_.then(a, b); }
  Piece space() { return builder_.use(space_); }

  // Schemas

  /// A rule of its own for a schema, made once.
  uint32_t rule_of(Value schema) {
    for (const auto& [known, rule] : rules_) {
      if (known.is_same(schema)) return rule;
    }
    const uint32_t rule = builder_.declare();
    rules_.emplace_back(schema, rule);
    builder_.define(rule, make(schema));
    return rule;
  }

  Piece make(Value schema) {
    if (const auto truth = schema.truth()) return *truth ? builder_.use(value_) : never();
    if (!schema.is_object())
      refuse(INLAY_ERROR_INVALID_ARGUMENT, "a schema is neither an object nor a truth value");
    check_words(schema);
    if (const Value reference = schema["$ref"])
      return alone(schema, "$ref"), builder_.use(referred(reference));
    if (const Value value = schema["const"]) return alone(schema, "const"), literal(value);
    if (const Value values = schema["enum"]) return literals(schema, values);
    for (const char* word : {"anyOf", "oneOf", "allOf"}) {
      if (const Value options = schema[word]) return alone(schema, word), any_of(word, options);
    }
    return typed(schema);
  }

  void check_words(Value schema) const {
    for (Value member = schema.first(); member; member = member.next()) {
      for (const std::string_view unknown : kUnknown) {
        if (member.key() == unknown) {
          refuse(INLAY_ERROR_UNSUPPORTED, "\"" + std::string(unknown) + "\" is not known here");
        }
      }
    }
  }

  /// No other word beside this one may narrow the schema.
  void alone(Value schema, std::string_view word) const {
    const auto clashes = [&](std::string_view other) {
      if (other != word && schema[other]) {
        refuse(INLAY_ERROR_UNSUPPORTED,
               "\"" + std::string(word) + "\" together with \"" + std::string(other) + "\"");
      }
    };
    for (const std::string_view other : {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"}) clashes(other);
    for (const TypeWord& other : kTypeWords) clashes(other.word);
    if (word != "enum" && word != "const") clashes("type");
  }

  Value follow(Value reference) const {
    const auto text = reference.text();
    if (!text || text->empty() || text->front() != '#') {
      refuse(INLAY_ERROR_UNSUPPORTED, "a $ref that does not begin with #");
    }
    Value at = root_;
    std::string_view rest = text->substr(1);
    while (!rest.empty()) {
      if (rest.front() != '/') refuse(INLAY_ERROR_UNSUPPORTED, "a $ref to an anchor");
      rest.remove_prefix(1);
      const std::string_view step = rest.substr(0, rest.find('/'));
      rest.remove_prefix(step.size());
      std::pmr::string name(memory_);
      for (size_t i = 0; i < step.size(); ++i) {
        const bool escape = step[i] == '~' && i + 1 < step.size();
        name += !escape ? step[i] : step[++i] == '0' ? '~' : '/';
      }
      const bool number = !name.empty() && name.size() < 7 &&
                          std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
      at = at.is_array() && number ? at.at(static_cast<uint32_t>(std::strtoul(name.c_str(), nullptr, 10)))
                                   : at[name];
      if (!at) refuse(INLAY_ERROR_INVALID_ARGUMENT, "$ref \"" + std::string(*text) + "\" leads nowhere");
    }
    return at;
  }

  uint32_t referred(Value reference) {
    const Value at = follow(reference);
    if (++depth_ > 256) refuse(INLAY_ERROR_UNSUPPORTED, "schemas are nested too deep");
    const uint32_t rule = rule_of(at);
    --depth_;
    return rule;
  }

  Piece literal(Value value) {
    std::pmr::string text(memory_);
    append_python_json(value, text);
    return builder_.text(text);
  }

  Piece literals(Value schema, Value values) {
    alone(schema, "enum");
    if (!values.is_array()) refuse(INLAY_ERROR_INVALID_ARGUMENT, "enum is not an array");
    std::pmr::vector<Piece> ways({never()}, memory_);
    for (Value value = values.first(); value; value = value.next()) {
      if (has_type(schema["type"], value)) ways.push_back(literal(value));
    }
    return builder_.either(ways);
  }

  static bool has_type(Value types, Value value) {
    if (!types) return true;
    const auto is = [&](Value type) {
      const std::string_view name = type.text().value_or("");
      switch (value.type()) {
        case Type::kNull: return name == "null";
        case Type::kBool: return name == "boolean";
        case Type::kNumber: return name == "number" || (name == "integer" && value.integer().has_value());
        case Type::kString: return name == "string";
        case Type::kArray: return name == "array";
        case Type::kObject: return name == "object";
      }
      return false;
    };
    if (!types.is_array()) return is(types);
    for (Value type = types.first(); type; type = type.next()) {
      if (is(type)) return true;
    }
    return false;
  }

  Piece any_of(std::string_view word, Value options) {
    if (!options.is_array() || !options.first()) {
      refuse(INLAY_ERROR_INVALID_ARGUMENT, std::string(word) + " is not an array with something in it");
    }
    const bool single = !options.first().next();
    if (word == "allOf" && !single) refuse(INLAY_ERROR_UNSUPPORTED, "allOf of several schemas");
    if (word == "oneOf" && !single) check_apart(options);
    std::pmr::vector<Piece> ways(memory_);
    for (Value option = options.first(); option; option = option.next()) {
      ways.push_back(builder_.use(rule_of(option)));
    }
    return builder_.either(ways);
  }

  /// oneOf is anyOf where no value can be of two of them: each has another type, or is another constant.
  static void check_apart(Value options) {
    for (Value a = options.first(); a; a = a.next()) {
      for (Value b = a.next(); b; b = b.next()) {
        const auto ta = a["type"].text();
        const auto tb = b["type"].text();
        const bool numbers =
            ta && tb && (*ta == "number" || *ta == "integer") && (*tb == "number" || *tb == "integer");
        const auto ca = a["const"].text();
        const auto cb = b["const"].text();
        if ((ta && tb && *ta != *tb && !numbers) || (ca && cb && *ca != *cb)) continue;
        refuse(INLAY_ERROR_UNSUPPORTED, "oneOf of schemas that may overlap");
      }
    }
  }

  Piece never() { return {builder_.state(), builder_.state()}; }

  // Types

  Piece typed(Value schema) {
    const Value type = schema["type"];
    if (type.is_array()) {
      std::pmr::vector<Piece> ways({never()}, memory_);
      for (Value one = type.first(); one; one = one.next())
        ways.push_back(of_type(schema, one.text().value_or("")));
      return builder_.either(ways);
    }
    if (type) return of_type(schema, type.text().value_or(""));
    for (const TypeWord& word : kTypeWords) {
      if (schema[word.word]) return of_type(schema, word.type);
    }
    return builder_.use(value_);
  }

  Piece of_type(Value schema, std::string_view type) {
    if (type == "null") return builder_.text("null");
    if (type == "boolean") return builder_.either({builder_.text("true"), builder_.text("false")});
    if (type == "integer") return make_integer(builder_, range_of(schema));
    if (type == "number") return make_number(builder_, range_of(schema));
    if (type == "string") return string(schema);
    if (type == "array") return array(schema);
    if (type == "object") return object(schema);
    refuse(INLAY_ERROR_INVALID_ARGUMENT, "there is no type \"" + std::string(type) + "\"");
  }

  NumberRange range_of(Value schema) const {
    NumberRange range{-kInfinite, kInfinite};
    const auto bound = [&](const char* word) {
      const Value value = schema[word];
      if (value && !value.real())
        refuse(INLAY_ERROR_INVALID_ARGUMENT, std::string(word) + " is not a number");
      return value.real();
    };
    if (const auto least = bound("minimum")) range.least = *least;
    if (const auto most = bound("maximum")) range.most = *most;
    if (const auto least = bound("exclusiveMinimum"); least && *least >= range.least) {
      range.least = *least;
      range.least_excluded = true;
    }
    if (const auto most = bound("exclusiveMaximum"); most && *most <= range.most) {
      range.most = *most;
      range.most_excluded = true;
    }
    return range;
  }

  uint64_t count(Value schema, const char* word, uint64_t otherwise) const {
    const Value value = schema[word];
    if (!value) return otherwise;
    const auto number = value.unsigned_integer();
    if (!number) refuse(INLAY_ERROR_INVALID_ARGUMENT, std::string(word) + " is not a whole number");
    if (*number > kMostItems) refuse(INLAY_ERROR_UNSUPPORTED, std::string(word) + " is more than 10,000");
    return *number;
  }

  Piece quoted(Piece inside) { return then(then(builder_.text("\""), inside), builder_.text("\"")); }
  Piece free_text(uint64_t least, uint64_t most) {
    return builder_.repeat([&] { return builder_.use(character_); }, least, most);
  }

  Piece string(Value schema) {
    const uint64_t least = count(schema, "minLength", 0);
    const uint64_t most = count(schema, "maxLength", kAny);
    if (least > most) refuse(INLAY_ERROR_INVALID_ARGUMENT, "minLength is more than maxLength");
    const Value pattern = schema["pattern"];
    if (!pattern) return quoted(free_text(least, most));
    if (!pattern.text()) refuse(INLAY_ERROR_INVALID_ARGUMENT, "pattern is not a string");
    if (schema["minLength"] || schema["maxLength"]) {
      refuse(INLAY_ERROR_UNSUPPORTED, "a pattern together with minLength or maxLength");
    }
    return quoted(make_regular_expression(builder_, *pattern.text(), *this));
  }

  /// One character of the set as a JSON string has it, in its usual form.
  Piece make_character(std::span<const CodePoints> set) override {
    if (bare_) return bare_character(set);
    std::pmr::vector<CodePoints> plain(memory_);
    std::pmr::vector<Piece> ways(memory_);
    for (CodePoints range : set) {
      for (char32_t c = range.low; c <= std::min<char32_t>(range.high, 0x1F); ++c) {
        std::pmr::string text(memory_);
        const char byte = static_cast<char>(c);
        append_json_string({&byte, 1}, text);
        ways.push_back(builder_.text(std::string_view(text).substr(1, text.size() - 2)));
      }
      range.low = std::max<char32_t>(range.low, 0x20);
      for (const char32_t special : {U'"', U'\\'}) {
        if (range.low > special || range.high < special) continue;
        ways.push_back(builder_.text(special == U'"' ? "\\\"" : "\\\\"));
        if (range.low < special) plain.push_back({range.low, special - 1});
        range.low = special + 1;
      }
      if (range.low <= range.high) plain.push_back(range);
    }
    ways.push_back(builder_.characters(plain));
    return builder_.either(ways);
  }

  // Arrays and objects

  Piece array(Value schema) {
    if (schema["uniqueItems"].truth().value_or(false)) {
      refuse(INLAY_ERROR_UNSUPPORTED, "\"uniqueItems\" is not known here");
    }
    Value items = schema["items"];
    Value first = schema["prefixItems"];
    if (items.is_array()) {
      first = items;
      items = Value();
    }
    std::pmr::vector<uint32_t> rules(memory_);
    for (Value item = first.first(); item; item = item.next()) rules.push_back(rule_of(item));
    const bool closed = items.truth() && !*items.truth();
    const uint32_t rest = items && !items.truth() ? rule_of(items) : value_;
    const uint64_t least = count(schema, "minItems", 0);
    uint64_t most = count(schema, "maxItems", kAny);
    if (closed) most = std::min<uint64_t>(most, rules.size());
    if (least > most) refuse(INLAY_ERROR_INVALID_ARGUMENT, "an array has to have more items than it may");

    const Piece end = then(space(), builder_.text("]"));
    Piece list = then(builder_.text("["), space());
    const uint64_t counted = most == kAny ? std::max<uint64_t>({least, rules.size(), 1}) : most;
    for (uint64_t i = 0; i < counted; ++i) {
      if (i >= least) builder_.skip(list.out, end.in);
      list = then(list, next_item(i > 0, i < rules.size() ? rules[i] : rest));
    }
    if (most == kAny) {
      const Piece more = next_item(true, rest);
      builder_.skip(list.out, more.in);
      builder_.skip(more.out, list.out);
    }
    return then(list, end);
  }

  Piece next_item(bool comma, uint32_t rule) {
    const Piece item = builder_.use(rule);
    return comma ? then(then(builder_.text(","), space()), item) : item;
  }

  Piece member(std::string_view name, Piece value) {
    std::pmr::string key(memory_);
    append_json_string(name, key);
    key += ':';
    return then(then(builder_.text(key), space()), value);
  }

  Piece free_object(Piece value) {
    const Piece name = quoted(free_text(0, kAny));
    const Piece one = then(then(then(name, builder_.text(":")), space()), value);
    const Piece comma = then(builder_.text(","), space());
    builder_.skip(one.out, comma.in);
    builder_.skip(comma.out, one.in);
    const Piece members = builder_.maybe(Piece{one.in, one.out});
    return then(then(then(builder_.text("{"), space()), members), then(space(), builder_.text("}")));
  }

  struct Member {
    std::string_view name;
    uint32_t rule;
    bool required;
  };

  std::pmr::vector<Member> members_of(Value schema) {
    std::pmr::vector<Member> members(memory_);
    const Value properties = schema["properties"];
    const Value required = schema["required"];
    const Value other = schema["additionalProperties"];
    for (Value property = properties.is_object() ? first_member(properties) : Value(); property;
         property = next_member(properties, property)) {
      members.push_back({property.key(), rule_of(properties[property.key()]), false});
    }
    for (Value name = required.first(); name; name = name.next()) {
      const auto text = name.text();
      if (!text) refuse(INLAY_ERROR_INVALID_ARGUMENT, "required has something that is no name");
      const auto it =
          std::find_if(members.begin(), members.end(), [&](const Member& one) { return one.name == *text; });
      if (it != members.end()) {
        it->required = true;
      } else if (other && other.truth() && !*other.truth()) {
        refuse(INLAY_ERROR_INVALID_ARGUMENT, "\"" + std::string(*text) + "\" is required and not allowed");
      } else {
        members.push_back({*text, other && !other.truth() ? rule_of(other) : value_, true});
      }
    }
    return members;
  }

  /// Members come in the schema's order; those that are not required may be left out.
  Piece object(Value schema) {
    const std::pmr::vector<Member> members = members_of(schema);
    if (members.empty()) {
      const Value other = schema["additionalProperties"];
      if (other && other.truth() && !*other.truth()) {
        return then(then(builder_.text("{"), space()), builder_.text("}"));
      }
      return free_object(builder_.use(other && !other.truth() ? rule_of(other) : value_));
    }
    const Piece open = then(builder_.text("{"), space());
    const Piece close = then(space(), builder_.text("}"));
    uint32_t before = open.out;          // nothing has come yet
    uint32_t behind = builder_.state();  // something has
    for (const Member& one : members) {
      const Piece piece = member(one.name, builder_.use(one.rule));
      const Piece comma = then(builder_.text(","), space());
      builder_.skip(comma.out, piece.in);
      const uint32_t next_before = builder_.state();
      const uint32_t next_behind = builder_.state();
      builder_.skip(before, piece.in);
      builder_.skip(behind, comma.in);
      builder_.skip(piece.out, next_behind);
      if (!one.required) {
        builder_.skip(before, next_before);
        builder_.skip(behind, next_behind);
      }
      before = next_before;
      behind = next_behind;
    }
    builder_.skip(before, close.in);
    builder_.skip(behind, close.in);
    return {open.in, close.out};
  }

  // Tool calls: an argument that is a string stands bare, up to its closing tag

  /// Text without the closing tag in it.
  void define_bare_text() {
    constexpr std::string_view kEnd = "</parameter>";
    std::array<uint32_t, kEnd.size()> matched;  // by how much of the tag has just come
    for (uint32_t& state : matched) state = builder_.state();
    const uint32_t end = builder_.state();
    for (size_t i = 0; i < matched.size(); ++i) {
      const auto next = static_cast<uint8_t>(kEnd[i]);
      builder_.skip(matched[i], end);
      if (i + 1 < matched.size()) builder_.edge(matched[i], next, next, matched[i + 1]);
      if (next != '<') builder_.edge(matched[i], '<', '<', matched[1]);
      std::pmr::vector<CodePoints> others({{'\t', '\n'}, {'\r', '\r'}, {0x20, '<' - 1}}, memory_);
      if (next > '<') {
        others.push_back({'<' + 1, char32_t{next} - 1});
        others.push_back({char32_t{next} + 1, 0x10FFFF});
      } else {
        others.push_back({'<' + 1, 0x10FFFF});
        if (next != '<')
          others[2] = {0x20, char32_t{next} - 1}, others.push_back({char32_t{next} + 1, '<' - 1});
      }
      const Piece other = builder_.characters(others);
      builder_.skip(matched[i], other.in);
      builder_.skip(other.out, matched[0]);
    }
    builder_.define(bare_text_, {matched[0], end});
  }

  /// No closing tag can come of these.
  Piece bare_character(std::span<const CodePoints> set) {
    constexpr CodePoints kBare[] = {{'\t', '\n'}, {0x20, '<' - 1}, {'<' + 1, 0x10FFFF}};
    std::pmr::vector<CodePoints> some(memory_);
    for (const CodePoints& range : set) {
      for (const CodePoints& bare : kBare) {
        const CodePoints both{std::max(range.low, bare.low), std::min(range.high, bare.high)};
        if (both.low <= both.high) some.push_back(both);
      }
    }
    return builder_.characters(some);
  }

  Piece bare_string(Value schema) {
    const uint64_t least = count(schema, "minLength", 0);
    const uint64_t most = count(schema, "maxLength", kAny);
    if (least > most) refuse(INLAY_ERROR_INVALID_ARGUMENT, "minLength is more than maxLength");
    const Value pattern = schema["pattern"];
    const bool counted = schema["minLength"] || schema["maxLength"];
    if (!pattern && !counted) return builder_.use(bare_text_);
    if (pattern && (counted || !pattern.text())) {
      refuse(INLAY_ERROR_UNSUPPORTED, "a pattern together with minLength or maxLength, or no string");
    }
    constexpr CodePoints kAll[] = {{0, 0x10FFFF}};
    if (!pattern) return builder_.repeat([&] { return bare_character(kAll); }, least, most);
    bare_ = true;
    const Piece piece = make_regular_expression(builder_, *pattern.text(), *this);
    bare_ = false;
    return piece;
  }

  Piece bare_literal(Value value) {
    const auto text = value.text();
    if (!text) return literal(value);
    return text->find("</parameter>") == std::string_view::npos ? builder_.text(*text) : never();
  }

  /// An argument's value: strings bare, all else as JSON.
  Piece bare_value(Value schema, int depth = 0) {
    if (depth > 64) refuse(INLAY_ERROR_UNSUPPORTED, "schemas are nested too deep");
    if (!schema.is_object()) return make_bare(schema);
    check_words(schema);
    if (const Value reference = schema["$ref"]) {
      alone(schema, "$ref");
      return bare_value(follow(reference), depth + 1);
    }
    if (const Value value = schema["const"]) return alone(schema, "const"), bare_literal(value);
    std::pmr::vector<Piece> ways({never()}, memory_);
    if (const Value values = schema["enum"]) {
      alone(schema, "enum");
      for (Value value = values.first(); value; value = value.next()) {
        if (has_type(schema["type"], value)) ways.push_back(bare_literal(value));
      }
      return builder_.either(ways);
    }
    for (const char* word : {"anyOf", "oneOf", "allOf"}) {
      const Value options = schema[word];
      if (!options) continue;
      alone(schema, word);
      any_of(word, options);  // for what it refuses
      for (Value option = options.first(); option; option = option.next()) {
        ways.push_back(bare_value(option, depth + 1));
      }
      return builder_.either(ways);
    }
    const Value types = schema["type"];
    if (!types.is_array()) return make_bare(schema);
    for (Value type = types.first(); type; type = type.next()) {
      const std::string_view name = type.text().value_or("");
      ways.push_back(name == "string" ? bare_string(schema) : of_type(schema, name));
    }
    return builder_.either(ways);
  }

  /// Of a schema with one type, or with none.
  Piece make_bare(Value schema) {
    const auto type = schema["type"].text();
    if (type && *type == "string") return bare_string(schema);
    if (type) return builder_.use(rule_of(schema));
    for (const TypeWord& word : kTypeWords) {
      if (!schema[word.word]) continue;
      return word.type == "string" ? bare_string(schema) : builder_.use(rule_of(schema));
    }
    if (schema.truth() && !*schema.truth()) return never();
    return builder_.use(bare_text_);
  }

  Piece call(std::string_view name, Value parameters) {
    const auto line = [&](std::string_view before, std::string_view word) {
      std::pmr::string text(before, memory_);
      text += word;
      text += ">\n";
      return builder_.text(text);
    };
    Piece piece = line("", name);
    const Value required = parameters["required"];
    const auto is_required = [&](std::string_view key) {
      for (Value one = required.first(); one; one = one.next()) {
        if (one.text() && *one.text() == key) return true;
      }
      return false;
    };
    const Value properties = parameters["properties"];
    for (Value one = properties.is_object() ? first_member(properties) : Value(); one;
         one = next_member(properties, one)) {
      const Piece argument = then(then(line("<parameter=", one.key()), bare_value(properties[one.key()])),
                                  builder_.text("\n</parameter>\n"));
      piece = then(piece, is_required(one.key()) ? argument : builder_.maybe(argument));
    }
    for (Value one = required.first(); one; one = one.next()) {
      if (one.text() && !properties[*one.text()]) {
        piece = then(piece, then(then(line("<parameter=", *one.text()), builder_.use(bare_text_)),
                                 builder_.text("\n</parameter>\n")));
      }
    }
    return piece;
  }

  static constexpr uint64_t kAny = GrammarBuilder::kAnyNumber;
  static constexpr double kInfinite = std::numeric_limits<double>::infinity();

  Value root_;
  std::pmr::memory_resource* memory_;
  GrammarBuilder builder_;
  std::pmr::vector<std::pair<Value, uint32_t>> rules_;
  uint32_t space_ = 0;
  uint32_t character_ = 0;
  uint32_t value_ = 0;
  uint32_t bare_text_ = 0;
  bool bare_ = false;  // characters are of a bare string
  int depth_ = 0;
};

}  // namespace

Grammar Grammar::from_json_schema(std::string_view schema, std::pmr::memory_resource* memory) {
  const JsonDocument document(schema, "schema", memory);
  return SchemaCompiler(document.root(), memory).compile();
}

Grammar Grammar::from_tools(JsonDocument::Value tools, std::pmr::memory_resource* memory) {
  return SchemaCompiler({}, memory).compile_calls(tools);
}

}  // namespace inlay

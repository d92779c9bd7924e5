#include "formats/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "formats/json.h"
#include "runtime/error.h"

namespace inlay {
namespace {

std::string with_header(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file + header + std::string(data_bytes, '\3');
}

/// The file, opened; it refers to `bytes`.
SafetensorsFile open(const std::string& bytes) {
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
  return SafetensorsFile::open(open_memory(bytes.data(), bytes.size(), memory), memory);
}

inlay_status outcome(const std::string& bytes) {
  try {
    open(bytes);
  } catch (const Error& error) {
    return error.status();
  }
  return INLAY_OK;
}

inlay_status parse(std::string_view text) {
  try {
    JsonDocument(text, "test", std::pmr::get_default_resource());
  } catch (const Error& error) {
    return error.status();
  }
  return INLAY_OK;
}

const char kTwo[] =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
    R"("scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";

TEST_CASE("safetensors: tensors are found where they lie") {
  const std::string bytes = with_header(kTwo, 16);
  const SafetensorsFile file = open(bytes);
  REQUIRE(file.tensors().size() == 2);
  const SafetensorsTensor* b = file.find("b");
  REQUIRE(b != nullptr);
  CHECK(b->type == SafetensorsType::kBF16);
  CHECK(b->dimension_count == 2);
  CHECK(b->dimensions[0] == 2);
  CHECK(b->dimensions[1] == 3);
  CHECK(b->bytes == 12);
  CHECK(static_cast<const void*>(b->data) == bytes.data() + bytes.size() - 12);
  CHECK(file.find("scalar")->elements() == 1);
  CHECK(file.find("__metadata__") == nullptr);
}

TEST_CASE("safetensors: every truncation is refused") {
  const std::string bytes = with_header(kTwo, 16);
  for (size_t size = 0; size < bytes.size(); ++size) {
    CHECK(outcome(std::string(bytes.data(), size)) == INLAY_ERROR_CORRUPT_FILE);
  }
}

TEST_CASE("safetensors: every flipped byte opens or is refused") {
  std::string bytes = with_header(kTwo, 16);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int flip : {1, 2, 0x20, 0x80}) {
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
      CHECK(outcome(bytes) <= INLAY_OK);
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
    }
  }
}

TEST_CASE("safetensors: headers that contradict themselves are refused") {
  const auto entry = [](const std::string& fields) { return with_header("{\"t\":{" + fields + "}}", 16); };
  CHECK(outcome(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])")) == INLAY_OK);
  CHECK(outcome(entry(R"("dtype":"F99","shape":[4],"data_offsets":[0,16])")) == INLAY_ERROR_UNSUPPORTED);
  for (const char* fields : {
           R"("dtype":"F32","shape":[5],"data_offsets":[0,16])",
           R"("dtype":"F32","shape":[0],"data_offsets":[0,0])",
           R"("dtype":"F32","shape":[-4],"data_offsets":[0,16])",
           R"("dtype":"F32","shape":[4.0],"data_offsets":[0,16])",
           R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16])",
           R"("dtype":"F32","shape":[1,1,1,1,1,1,4],"data_offsets":[0,16])",
           R"("dtype":"F32","shape":[4],"data_offsets":[0,17])",
           R"("dtype":"F32","shape":[4],"data_offsets":[16,0])",
           R"("dtype":"F32","shape":[4],"data_offsets":[0,16,16])",
           R"("dtype":"F32","shape":[4],"data_offsets":[0])",
           R"("dtype":"F32","shape":4,"data_offsets":[0,16])",
           R"("dtype":4,"shape":[4],"data_offsets":[0,16])",
           R"("shape":[4],"data_offsets":[0,16])",
       }) {
    CAPTURE(std::string(fields));
    CHECK(outcome(entry(fields)) == INLAY_ERROR_CORRUPT_FILE);
  }
  CHECK(outcome(with_header(R"([1])", 0)) == INLAY_ERROR_CORRUPT_FILE);
  const std::string twice = R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                            R"("t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})";
  CHECK(outcome(with_header(twice, 2)) == INLAY_ERROR_CORRUPT_FILE);
  const std::string overlap = R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                              R"("u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})";
  CHECK(outcome(with_header(overlap, 4)) == INLAY_ERROR_CORRUPT_FILE);
}

TEST_CASE("json: values of every kind") {
  const JsonDocument json(
      R"( {"a":[1,-2,3.5,"x\u00e9\"",true,null,{}],"b":{"c":18446744073709551615},"a":7} )", "test",
      std::pmr::get_default_resource());
  const auto root = json.root();
  CHECK(root["a"].unsigned_integer() == uint64_t{7});
  const auto list = root.first();
  CHECK(list.key() == "a");
  CHECK(list.at(0).unsigned_integer() == uint64_t{1});
  CHECK(!list.at(1).unsigned_integer());
  CHECK(list.at(1).real() == -2.0);
  CHECK(list.at(2).real() == 3.5);
  CHECK(list.at(3).text() == "x\xC3\xA9\"");
  CHECK(list.at(4).truth() == true);
  CHECK(list.at(5).type() == JsonDocument::Type::kNull);
  CHECK(list.at(6).is_object());
  CHECK(!list.at(6).first());
  CHECK(!list.at(7));
  CHECK(!root["b"]["c"].unsigned_integer());
  CHECK(!root["none"]["of"]["these"].text());
}

TEST_CASE("json: what is no JSON is refused") {
  for (const char* text :
       {"", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"\\x\"", "\"\xFF\"", "[1e999]", "{\"a\":1,}"}) {
    CAPTURE(std::string(text));
    CHECK(parse(text) == INLAY_ERROR_CORRUPT_FILE);
  }
  CHECK(parse(std::string(64, '[') + std::string(64, ']')) == INLAY_OK);
  CHECK(parse(std::string(65, '[') + std::string(65, ']')) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(parse(std::string(1'000'000, '[')) == INLAY_ERROR_CORRUPT_FILE);
}

}  // namespace
}  // namespace inlay

#include "test_data.h"

#include <doctest/doctest.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>

namespace inlay::test {
namespace {

int skipped_count = 0;

std::optional<std::filesystem::path> if_present(std::filesystem::path path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  return path;
}

/// The text between the brackets that follow `"key":` in a safetensors header's entry.
std::string_view value_after(std::string_view entry, std::string_view key, char open, char close) {
  const std::string quoted = '"' + std::string(key) + '"';
  const size_t at = entry.find(quoted);
  const size_t begin = at == entry.npos ? at : entry.find(open, at + quoted.size());
  const size_t end = begin == entry.npos ? begin : entry.find(close, begin + 1);
  if (end == entry.npos) throw std::runtime_error("safetensors: no " + quoted);
  return entry.substr(begin + 1, end - begin - 1);
}

std::vector<uint64_t> numbers(std::string_view list) {
  std::vector<uint64_t> result;
  for (size_t i = 0; i < list.size();) {
    uint64_t value = 0;
    const auto [next, error] = std::from_chars(list.data() + i, list.data() + list.size(), value);
    if (error == std::errc()) {
      result.push_back(value);
      i = static_cast<size_t>(next - list.data());
    } else {
      ++i;
    }
  }
  return result;
}

template <typename T>
std::vector<T> copy_as(std::span<const char> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace

std::filesystem::path source_dir() { return INLAY_SOURCE_DIR; }

std::optional<std::filesystem::path> shared_data(std::string_view relative) {
  const char* root = std::getenv("INLAY_TEST_DATA");
  const std::filesystem::path base = root != nullptr ? root : source_dir().parent_path() / "shared";
  return if_present(base / relative);
}

std::optional<std::filesystem::path> bundled_model() {
  return if_present(source_dir() / "examples" / "model" / "tavern.gguf");
}

std::filesystem::path own_data(std::string_view relative) {
  auto path = if_present(source_dir() / "tests" / "golden" / relative);
  if (!path) throw std::runtime_error("tests/golden/" + std::string(relative) + " is missing");
  return *path;
}

bool emulated() { return INLAY_EMULATED || std::getenv("INLAY_TEST_EMULATED") != nullptr; }

bool full_speed() { return INLAY_FULL_SPEED && !emulated(); }

void report_skip(std::string_view reason) {
  ++skipped_count;
  MESSAGE("skipped: " << std::string(reason));
}

int skipped_tests() { return skipped_count; }

Safetensors::Safetensors(const std::filesystem::path& path) : path_(path.string()) {
  std::ifstream file(path, std::ios::binary);
  content_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  uint64_t header_bytes = 0;
  if (!file || content_.size() < sizeof header_bytes) throw std::runtime_error(path_ + ": can't be read");
  std::memcpy(&header_bytes, content_.data(), sizeof header_bytes);
  if (header_bytes > content_.size() - sizeof header_bytes) {
    throw std::runtime_error(path_ + ": the header ends after the file");
  }
  header_ = {content_.data() + sizeof header_bytes, header_bytes};
  data_ = std::span<const char>(content_).subspan(sizeof header_bytes + header_bytes);
}

Safetensors::Entry Safetensors::find(std::string_view name) const {
  const std::string_view object = value_after(header_, name, '{', '}');
  const std::vector<uint64_t> range = numbers(value_after(object, "data_offsets", '[', ']'));
  if (range.size() != 2 || range[0] > range[1] || range[1] > data_.size()) {
    throw std::runtime_error(path_ + ": " + std::string(name) + " lies outside the file");
  }
  const size_t dtype_at = object.find("\"dtype\"");
  if (dtype_at == object.npos) throw std::runtime_error(path_ + ": " + std::string(name) + " has no dtype");
  const std::string_view after_key = object.substr(dtype_at + std::strlen("\"dtype\""));
  const size_t open = after_key.find('"');
  const std::string_view dtype = after_key.substr(open + 1, after_key.find('"', open + 1) - open - 1);
  return {std::string(dtype), numbers(value_after(object, "shape", '[', ']')),
          data_.subspan(range[0], range[1] - range[0])};
}

std::vector<uint64_t> Safetensors::shape(std::string_view name) const { return find(name).shape; }

std::vector<float> Safetensors::f32(std::string_view name) const {
  const Entry entry = find(name);
  if (entry.dtype != "F32") throw std::runtime_error(path_ + ": " + std::string(name) + " is " + entry.dtype);
  return copy_as<float>(entry.bytes);
}

std::vector<int32_t> Safetensors::i32(std::string_view name) const {
  const Entry entry = find(name);
  if (entry.dtype != "I32") throw std::runtime_error(path_ + ": " + std::string(name) + " is " + entry.dtype);
  return copy_as<int32_t>(entry.bytes);
}

double nmse(std::span<const float> output, std::span<const float> reference) {
  if (output.size() != reference.size()) return std::numeric_limits<double>::infinity();
  double error = 0;
  double power = 0;
  for (size_t i = 0; i < output.size(); ++i) {
    if (!std::isfinite(output[i])) return std::numeric_limits<double>::infinity();
    const double difference = static_cast<double>(output[i]) - reference[i];
    error += difference * difference;
    power += static_cast<double>(reference[i]) * reference[i];
  }
  return error / power;
}

}  // namespace inlay::test

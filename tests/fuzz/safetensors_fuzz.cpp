// Any bytes either open as a safetensors file, all of which can then be used, or are refused with a status;
// and as JSON, whose values can then be walked.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/json.h"
#include "formats/safetensors.h"
#include "runtime/checkpoint_config.h"
#include "runtime/error.h"

namespace {

size_t walk(inlay::JsonDocument::Value value) {
  size_t sum = value.text().value_or("").size() + value.key().size() + (value.real().value_or(0) > 1 ? 1 : 0);
  for (auto child = value.first(); child; child = child.next()) sum += walk(child);
  return sum + (value["a"] ? 1 : 0);
}

void parse(std::string_view text) {
  try {
    const inlay::JsonDocument json(text, "fuzz", std::pmr::get_default_resource());
    if (walk(json.root()) > text.size() * 8 + 1000) std::abort();
    inlay::read_checkpoint_config(json.root(), "fuzz");
  } catch (const inlay::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
  try {
    const auto file = inlay::SafetensorsFile::open(inlay::open_memory(data, size, memory), memory);
    uint64_t sum = 0;
    for (const inlay::SafetensorsTensor& tensor : file.tensors()) {
      if (file.find(tensor.name) != &tensor) std::abort();
      for (uint64_t i = 0; i < tensor.bytes; ++i) sum += static_cast<uint64_t>(tensor.data[i]);
    }
    if (sum > size * size * 255) std::abort();
  } catch (const inlay::Error&) {
  }
  parse({reinterpret_cast<const char*>(data), size});
  if (size > 8) parse({reinterpret_cast<const char*>(data) + 8, size - 8});
  return 0;
}

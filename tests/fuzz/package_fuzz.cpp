// Any bytes either open as a package, all of which can then be used, or are refused with a status. The
// preamble's sizes and the header's checksum are made to fit, or nothing would come past them.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "formats/checksum.h"
#include "formats/package.h"
#include "runtime/error.h"
#include "runtime/package_model.h"
#include "runtime/tokenizer_plan.h"

namespace {

void use(const inlay::ModelSource& model) {
  for (const inlay::StoredTensor& tensor : model.tensors()) {
    std::vector<std::byte> bytes(tensor.bytes);
    model.read(tensor, bytes.data());
    if (model.find_tensor(tensor.name) != &tensor) std::abort();
  }
  const std::string text = std::string(model.name()) + std::string(model.chat_template());
  const auto plan = inlay::TokenizerPlan::of(model);
  if (!plan) return;
  std::vector<std::byte> memory(plan->bytes() + 64);
  void* at = memory.data();
  size_t room = memory.size();
  auto* block = static_cast<std::byte*>(std::align(64, plan->bytes(), at, room));
  alignas(inlay::Tokenizer) std::byte place[sizeof(inlay::Tokenizer)];
  inlay::Tokenizer* tokenizer = plan->make(place, {block, static_cast<size_t>(plan->bytes())});
  std::vector<int32_t> tokens(300);
  const size_t count = tokenizer->encode("the quick\n brown <think>fox " + text.substr(0, 64), true, tokens,
                                         std::pmr::get_default_resource());
  tokens.resize(std::min(tokens.size(), count));
  std::vector<char> back(4096);
  tokenizer->decode(tokens, true, back);
  tokenizer->~Tokenizer();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using inlay::PackagePreamble;
  std::vector<uint64_t> aligned(size / 8 + 1);
  auto* bytes = reinterpret_cast<std::byte*>(aligned.data());
  if (size > 0) std::memcpy(bytes, data, size);
  if (size >= sizeof(PackagePreamble)) {
    PackagePreamble preamble;
    std::memcpy(&preamble, bytes, sizeof preamble);
    preamble.file_bytes = size;
    if (preamble.header_bytes <= size - sizeof preamble) {
      preamble.header_checksum = inlay::checksum_of(bytes + sizeof preamble, preamble.header_bytes);
    }
    std::memcpy(bytes, &preamble, sizeof preamble);
  }
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
  try {
    const inlay::PackageModel model(
        inlay::PackageFile::open(inlay::open_memory(bytes, size, memory), memory));
    use(model);
    model.file().verify(nullptr, nullptr, memory);
  } catch (const inlay::Error&) {
  }
  return 0;
}

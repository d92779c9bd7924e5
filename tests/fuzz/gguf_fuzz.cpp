// Any bytes either open as a GGUF file, all of which can then be used, or are refused with a status; both
// ways, mapped and read, alike.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "../gguf_visit.h"
#include "../gguf_writer.h"
#include "formats/gguf.h"
#include "runtime/error.h"

namespace {

inlay_status outcome(const inlay::ByteSourcePointer& source) {
  try {
    (void)inlay::test::visit(inlay::GgufFile::open(source, std::pmr::get_default_resource()));
  } catch (const inlay::Error& error) {
    return error.status();
  }
  return INLAY_OK;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
  inlay::test::HostFile host(std::as_bytes(std::span(data, size)));
  if (outcome(inlay::open_memory(data, size, memory)) != outcome(inlay::open_io(host.table(false), memory))) {
    std::abort();
  }
  return 0;
}

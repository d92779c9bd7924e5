#include "runtime/model_source.h"

#include <cstring>
#include <string>

#include "runtime/error.h"
#include "runtime/gguf_model.h"
#include "runtime/package_model.h"

namespace inlay {
namespace {

bool is_package(const ByteSource& source) {
  char magic[sizeof PackagePreamble::magic] = {};
  if (source.size() < sizeof magic) return false;
  source.read(0, magic, sizeof magic);
  return std::memcmp(magic, PackagePreamble::kMagic, sizeof magic) == 0;
}

ByteSourcePointer open_bytes(const inlay_source& source, std::pmr::memory_resource* memory) {
  const int given = (source.path != nullptr) + (source.data != nullptr) + (source.io != nullptr);
  if (given != 1) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                "a source needs exactly one of path, data and io, and has " + std::to_string(given));
  }
  if (source.path != nullptr) return open_path(source.path, memory);
  if (source.data != nullptr) return open_memory(source.data, source.data_size, memory);
  return open_io(*source.io, memory);
}

template <typename T, typename... Arguments>
ModelSourcePointer make_model(std::pmr::memory_resource* memory, Arguments&&... arguments) {
  return std::allocate_shared<T>(std::pmr::polymorphic_allocator<>(memory),
                                 std::forward<Arguments>(arguments)...);
}

}  // namespace

void ModelSource::read_rows(const StoredTensor& tensor, uint64_t first, uint64_t rows,
                            std::byte* destination) const {
  const uint64_t row = tensor.bytes_a_row();
  part(tensor.part)->read(tensor.offset + first * row, destination, static_cast<size_t>(rows * row));
}

bool ModelSource::lost() const noexcept {
  for (uint32_t i = 0; i < part_count(); ++i) {
    if (part(i)->lost()) return true;
  }
  return false;
}

void refuse_lost_file() { throw Error(INLAY_ERROR_IO, "the model's file was cut short while it was mapped"); }

uint64_t ModelSource::file_bytes() const {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < part_count(); ++i) bytes += part(i)->size();
  return bytes;
}

ModelSourcePointer open_model(const inlay_source& source, std::pmr::memory_resource* memory) {
  ByteSourcePointer bytes = open_bytes(source, memory);
  if (is_package(*bytes))
    return make_model<PackageModel>(memory, PackageFile::open(std::move(bytes), memory));
  // A split GGUF model is found by its first part's path, so its reader opens the file itself.
  if (source.path != nullptr) return make_model<GgufModel>(memory, GgufFile::open(source.path, memory));
  return make_model<GgufModel>(memory, GgufFile::open(std::move(bytes), memory));
}

}  // namespace inlay

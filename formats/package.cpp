#include "formats/package.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "formats/checksum.h"
#include "formats/gguf_header.h"
#include "formats/tiles.h"
#include "package_generated.h"
#include "runtime/error.h"

namespace inlay {
namespace {

constexpr uint64_t kMostHeaderBytes = uint64_t{256} << 20;
constexpr uint32_t kMostTensors = 16384;
constexpr size_t kMostNameBytes = 65535;
constexpr uint64_t kMostElements = uint64_t{1} << 60;
constexpr uint64_t kMostInTiles = uint64_t{1} << 24;  // rows, and columns
constexpr uint64_t kVerifyBytes = uint64_t{4} << 20;

std::string number(uint64_t value) { return std::to_string(value); }

std::string_view view(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : std::string_view(text->c_str(), text->size());
}

}  // namespace

PackageFile PackageFile::open(ByteSourcePointer source, std::pmr::memory_resource* memory) {
  PackageFile file(std::move(source), memory);
  file.read_header();
  file.read_tensors();
  return file;
}

PackageFile::PackageFile(ByteSourcePointer source, std::pmr::memory_resource* memory)
    : source_(std::move(source)), copy_(memory), tensors_(memory), tensor_index_(memory) {}

void PackageFile::fail(inlay_status status, const std::string& what) const {
  throw Error(status, std::string(source_->name()) + ": " + what);
}

void PackageFile::read_header() {
  const uint64_t size = source_->size();
  PackagePreamble preamble;
  if (size < sizeof preamble) {
    fail(INLAY_ERROR_CORRUPT_FILE,
         "a package begins with " + number(sizeof preamble) + " bytes, the file has " + number(size));
  }
  source_->read(0, &preamble, sizeof preamble);
  if (std::memcmp(preamble.magic, PackagePreamble::kMagic, sizeof preamble.magic) != 0) {
    fail(INLAY_ERROR_CORRUPT_FILE, "not a package: it does not begin with INLAYPKG");
  }
  if (preamble.version != PackagePreamble::kVersion) {
    const bool later = preamble.version > PackagePreamble::kVersion;
    fail(later ? INLAY_ERROR_UNSUPPORTED : INLAY_ERROR_CORRUPT_FILE,
         "package version " + number(preamble.version) + ", this library reads version " +
             number(PackagePreamble::kVersion));
  }
  if (preamble.zero != 0 || (preamble.zeros[0] | preamble.zeros[1] | preamble.zeros[2]) != 0) {
    fail(INLAY_ERROR_CORRUPT_FILE, "byte 12 or 40 to 63: zeros were expected");
  }
  if (preamble.file_bytes != size) {
    fail(INLAY_ERROR_CORRUPT_FILE,
         "byte 32: the package has " + number(preamble.file_bytes) + " bytes, the file " + number(size));
  }
  header_bytes_ = preamble.header_bytes;
  if (header_bytes_ > size - sizeof preamble || header_bytes_ > kMostHeaderBytes) {
    fail(INLAY_ERROR_CORRUPT_FILE, "byte 16: a header of " + number(header_bytes_) + " bytes, at most " +
                                       number(std::min(size - sizeof preamble, kMostHeaderBytes)) +
                                       " were expected");
  }
  const std::byte* mapped = source_->data();
  if (mapped != nullptr && reinterpret_cast<uintptr_t>(mapped) % alignof(uint64_t) == 0) {
    header_ = mapped + sizeof preamble;
  } else {
    copy_.resize(static_cast<size_t>((header_bytes_ + 7) / 8));
    source_->read(sizeof preamble, copy_.data(), static_cast<size_t>(header_bytes_));
    header_ = reinterpret_cast<const std::byte*>(copy_.data());
  }
  if (checksum_of(header_, static_cast<size_t>(header_bytes_)) != preamble.header_checksum) {
    fail(INLAY_ERROR_CORRUPT_FILE, "the header differs from its checksum");
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(header_);
  flatbuffers::Verifier verifier(bytes, static_cast<size_t>(header_bytes_), 16, 4 * kMostTensors);
  // The identifier is looked at first by the verifier, which wants room for it.
  if (header_bytes_ < 16 || !package::VerifyModelBuffer(verifier)) {
    fail(INLAY_ERROR_CORRUPT_FILE, "the header is not well formed");
  }
  model_ = package::GetModel(bytes);
}

void PackageFile::read_tensors() {
  const auto& list = *model_->tensors();
  if (list.size() > kMostTensors) {
    fail(INLAY_ERROR_UNSUPPORTED,
         number(list.size()) + " tensors, Inlay reads " + number(kMostTensors) + " at most");
  }
  tensors_.reserve(list.size());
  tensor_index_.reset(list.size());
  const auto name_of = [this](uint32_t i) { return tensors_[i].name; };
  uint64_t end = sizeof(PackagePreamble) + header_bytes_;
  for (const package::Tensor* entry : list) {
    StoredTensor tensor;
    tensor.name = view(entry->name());
    const auto corrupt = [&](const std::string& what) {
      fail(INLAY_ERROR_CORRUPT_FILE, "tensor " + quoted(tensor.name) + ": " + what);
    };
    if (tensor.name.empty() || tensor.name.size() > kMostNameBytes) corrupt("its name's length");
    const std::string_view layout = view(entry->layout());
    const std::optional<TensorType> type = tensor_type_from_number(entry->type());
    const bool columns = layout == kColumnsLayout && type == TensorType::F32;
    const bool tiles = layout == kTilesLayout;
    if (!type || !(layout.empty() || columns || tiles)) {
      fail(INLAY_ERROR_UNSUPPORTED, "tensor " + quoted(tensor.name) + " is of type " + number(entry->type()) +
                                        (layout.empty() ? "" : " in layout " + quoted(layout)) +
                                        ", which this library does not read: pack the model again with it");
    }
    tensor.type = *type;
    if (columns) tensor.layout = TensorLayout::kColumns;
    if (tiles) tensor.layout = TensorLayout::kTiles;
    tensor.dimension_count = entry->dimensions()->size();
    if (tensor.dimension_count < 1 || tensor.dimension_count > 4) corrupt("it has not 1 to 4 dimensions");
    uint64_t elements = 1;
    for (uint32_t i = 0; i < tensor.dimension_count; ++i) {
      // The verifier does not see to the alignment of a vector's elements.
      uint64_t dimension;
      std::memcpy(&dimension, entry->dimensions()->Data() + i * sizeof dimension, sizeof dimension);
      dimension = flatbuffers::EndianScalar(dimension);
      if (dimension == 0 || dimension > kMostElements / elements) corrupt("its dimensions are out of range");
      elements *= dimension;
      tensor.dimensions[i] = dimension;
    }
    if (tiles && (tensor.dimensions[0] > kMostInTiles || tensor.rows() > kMostInTiles))
      corrupt("its dimensions are out of range");
    const TensorTypeTraits type_traits = traits(*type);
    tensor.offset = entry->data()->offset();
    tensor.bytes = entry->data()->bytes();
    if (tensor.dimensions[0] % type_traits.block_elements != 0 || tensor.bytes != tensor.stored_bytes()) {
      corrupt(number(tensor.bytes) + " bytes do not fit its shape and type");
    }
    const uint64_t alignment = tiles ? kTilesAlignment : kPackageAlignment;
    if (tensor.offset % alignment != 0 || tensor.offset < end || tensor.offset > source_->size() ||
        tensor.bytes > source_->size() - tensor.offset) {
      corrupt("its bytes at " + number(tensor.offset) + " are not behind those before and within the file");
    }
    end = tensor.offset + tensor.bytes;
    if (source_->data() != nullptr) tensor.data = source_->data() + tensor.offset;
    tensors_.push_back(tensor);
    if (tensor_index_.insert(tensor.name, static_cast<uint32_t>(tensors_.size() - 1), name_of) !=
        NameIndex::kNone) {
      corrupt("it is there twice");
    }
  }
  check_tokenizer(end);
}

void PackageFile::check_tokenizer(uint64_t end_of_tensors) const {
  const package::Tokenizer* tokenizer = model_->tokenizer();
  if (tokenizer == nullptr) return;
  const uint64_t offset = tokenizer->tables()->offset();
  const uint64_t bytes = tokenizer->tables()->bytes();
  if (offset % kPackageAlignment != 0 || offset < end_of_tensors || offset > source_->size() ||
      bytes > source_->size() - offset) {
    fail(INLAY_ERROR_CORRUPT_FILE,
         "the tokenizer's bytes at " + number(offset) + " are not behind the tensors and within the file");
  }
}

const StoredTensor* PackageFile::find_tensor(std::string_view name) const {
  const uint32_t found = tensor_index_.find(name, [this](uint32_t i) { return tensors_[i].name; });
  return found == NameIndex::kNone ? nullptr : &tensors_[found];
}

void PackageFile::verify(inlay_progress_fn progress, void* user_data,
                         std::pmr::memory_resource* memory) const {
  std::pmr::vector<std::byte> buffer(memory);
  if (source_->data() == nullptr) buffer.resize(kVerifyBytes);
  uint64_t total = 0;
  for (const StoredTensor& tensor : tensors_) total += tensor.bytes;
  if (model_->tokenizer() != nullptr) total += model_->tokenizer()->tables()->bytes();
  uint64_t done = 0;
  const auto check = [&](const package::Segment& segment, const std::string& what) {
    Checksum checksum;
    for (uint64_t at = 0; at < segment.bytes(); at += kVerifyBytes) {
      const size_t count = static_cast<size_t>(std::min(kVerifyBytes, segment.bytes() - at));
      if (source_->data() == nullptr) source_->read(segment.offset() + at, buffer.data(), count);
      checksum.add(source_->data() == nullptr ? buffer.data() : source_->data() + segment.offset() + at,
                   count);
      done += count;
      if (progress != nullptr && progress(user_data, done, total) != INLAY_OK) {
        throw Error(INLAY_ERROR_CANCELLED, "the progress callback stopped the check");
      }
    }
    if (checksum.value() != segment.checksum()) {
      fail(INLAY_ERROR_CORRUPT_FILE,
           what + ": its bytes at " + number(segment.offset()) + " differ from their checksum");
    }
  };
  for (const package::Tensor* tensor : *model_->tensors()) {
    check(*tensor->data(), "tensor " + quoted(view(tensor->name())));
  }
  if (model_->tokenizer() != nullptr) check(*model_->tokenizer()->tables(), "the tokenizer");
}

}  // namespace inlay

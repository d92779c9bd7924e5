#include "formats/package_writer.h"

#include <cstring>

#include "formats/package.h"
#include "package_generated.h"
#include "runtime/error.h"

namespace inlay {
namespace {

/// The builder's memory from ours.
class BuilderMemory final : public flatbuffers::Allocator {
 public:
  explicit BuilderMemory(std::pmr::memory_resource* memory) : memory_(memory) {}
  uint8_t* allocate(size_t size) override { return static_cast<uint8_t*>(memory_->allocate(size, 16)); }
  void deallocate(uint8_t* bytes, size_t size) override { memory_->deallocate(bytes, size, 16); }

 private:
  std::pmr::memory_resource* memory_;
};

flatbuffers::Offset<flatbuffers::String> text(flatbuffers::FlatBufferBuilder& builder,
                                              std::string_view value) {
  return builder.CreateString(value.data(), value.size());
}

flatbuffers::Offset<package::Configuration> configuration(flatbuffers::FlatBufferBuilder& builder,
                                                          const PackageContents& contents) {
  package::ConfigurationBuilder table(builder);
#define INLAY_ADD_NUMBER(name, field, key) \
  table.add_##field(contents.numbers[static_cast<size_t>(ModelNumber::name)]);
  INLAY_FOR_EACH_MODEL_NUMBER(INLAY_ADD_NUMBER)
#undef INLAY_ADD_NUMBER
#define INLAY_ADD_REAL(name, field, key) \
  table.add_##field(contents.reals[static_cast<size_t>(ModelReal::name)]);
  INLAY_FOR_EACH_MODEL_REAL(INLAY_ADD_REAL)
#undef INLAY_ADD_REAL
  return table.Finish();
}

flatbuffers::Offset<package::Tokenizer> tokenizer(flatbuffers::FlatBufferBuilder& builder,
                                                  const PackageTokenizer& values,
                                                  const package::Segment& tables) {
  const auto pre_tokenizer = text(builder, values.pre_tokenizer);
  package::TokenizerBuilder table(builder);
  table.add_version(values.version);
  table.add_tokens(values.tokens);
  table.add_specials(values.specials);
  table.add_merges(values.merges);
  table.add_text_bytes(values.text_bytes);
  table.add_pre_tokenizer(pre_tokenizer);
  table.add_end_of_text(values.end_of_text);
  table.add_end_of_turn(values.end_of_turn);
  table.add_begin_of_text(values.begin_of_text);
  table.add_padding(values.padding);
  table.add_add_begin_of_text(values.add_begin_of_text);
  table.add_tables(&tables);
  return table.Finish();
}

uint64_t align(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace

PackageWriter::PackageWriter(std::string_view path, PackageContents& contents,
                             std::pmr::memory_resource* memory)
    : memory_(memory), path_(path, memory), contents_(contents), segments_(memory) {
  for (StoredTensor& tensor : contents_.tensors) {
    tensor.bytes = tensor.stored_bytes();
    segments_.push_back({0, tensor.bytes, 0});
  }
  if (contents_.tokenizer) segments_.push_back({0, contents_.tokenizer->table_bytes, 0});
  // Offsets and checksums are numbers of a fixed size, so the header's bytes are known before they are.
  header_bytes_ = serialise().size();
  lay_out(header_bytes_);
  file_.emplace(path_.c_str(), file_bytes_);
}

void PackageWriter::lay_out(uint64_t header_bytes) {
  uint64_t end = sizeof(PackagePreamble) + header_bytes;
  for (size_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    const bool tiles = i < contents_.tensors.size() && contents_.tensors[i].layout == TensorLayout::kTiles;
    segment.offset = align(end, segment.bytes >= kPackagePage ? kPackagePage
                                : tiles                       ? kTilesAlignment
                                                              : kPackageAlignment);
    end = segment.offset + segment.bytes;
    if (i < contents_.tensors.size()) contents_.tensors[i].offset = segment.offset;
  }
  file_bytes_ = end;
}

std::pmr::vector<std::byte> PackageWriter::serialise() const {
  BuilderMemory builder_memory(memory_);
  flatbuffers::FlatBufferBuilder builder(size_t{1} << 16, &builder_memory);
  builder.ForceDefaults(true);
  std::pmr::vector<flatbuffers::Offset<package::Tensor>> tensors(memory_);
  tensors.reserve(contents_.tensors.size());
  const auto segment_of = [this](size_t i) {
    return package::Segment(segments_[i].offset, segments_[i].bytes, segments_[i].checksum);
  };
  for (size_t i = 0; i < contents_.tensors.size(); ++i) {
    const StoredTensor& tensor = contents_.tensors[i];
    const auto name = text(builder, tensor.name);
    const auto dimensions = builder.CreateVector(tensor.dimensions.data(), tensor.dimension_count);
    const package::Segment data = segment_of(i);
    flatbuffers::Offset<flatbuffers::String> layout;
    if (tensor.layout == TensorLayout::kColumns) layout = text(builder, kColumnsLayout);
    if (tensor.layout == TensorLayout::kTiles) layout = text(builder, kTilesLayout);
    package::TensorBuilder table(builder);
    table.add_name(name);
    table.add_type(traits(tensor.type).gguf_number);
    table.add_dimensions(dimensions);
    if (!layout.IsNull()) table.add_layout(layout);
    table.add_data(&data);
    tensors.push_back(table.Finish());
  }
  const auto list = builder.CreateVector(tensors.data(), tensors.size());
  flatbuffers::Offset<package::Tokenizer> tokenizer_table;
  if (contents_.tokenizer)
    tokenizer_table = tokenizer(builder, *contents_.tokenizer, segment_of(tensors.size()));
  const auto architecture = text(builder, contents_.architecture);
  const auto name = text(builder, contents_.name);
  const auto chat_template = text(builder, contents_.chat_template);
  const auto numbers = configuration(builder, contents_);
  package::ModelBuilder model(builder);
  model.add_architecture(architecture);
  model.add_name(name);
  model.add_chat_template(chat_template);
  model.add_configuration(numbers);
  if (contents_.tokenizer) model.add_tokenizer(tokenizer_table);
  model.add_tensors(list);
  model.add_kv_type(contents_.kv_type);
  package::FinishModelBuffer(builder, model.Finish());
  const auto* bytes = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {bytes, bytes + builder.GetSize(), memory_};
}

void PackageWriter::write(const void* data, size_t bytes) {
  const auto* from = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    while (segment_ < segments_.size() && segments_[segment_].bytes == 0) ++segment_;
    if (segment_ == segments_.size())
      throw Error(INLAY_ERROR_INTERNAL, path_.c_str() + std::string(": too many bytes"));
    Segment& segment = segments_[segment_];
    const size_t count = static_cast<size_t>(std::min<uint64_t>(bytes, segment.bytes - written_));
    checksum_.add(from, count);
    file_->write_at(segment.offset + written_, from, count);
    from += count;
    bytes -= count;
    written_ += count;
    if (written_ == segment.bytes) {
      segment.checksum = checksum_.value();
      checksum_ = Checksum();
      written_ = 0;
      ++segment_;
    }
  }
}

void PackageWriter::finish() {
  const std::pmr::vector<std::byte> header = serialise();
  if (segment_ != segments_.size() || header.size() != header_bytes_) {
    throw Error(INLAY_ERROR_INTERNAL, path_.c_str() + std::string(": the package is not complete"));
  }
  PackagePreamble preamble{};
  std::memcpy(preamble.magic, PackagePreamble::kMagic, sizeof preamble.magic);
  preamble.version = PackagePreamble::kVersion;
  preamble.header_bytes = header_bytes_;
  preamble.header_checksum = checksum_of(header.data(), header.size());
  preamble.file_bytes = file_bytes_;
  file_->write_at(sizeof preamble, header.data(), header.size());
  file_->write_at(0, &preamble, sizeof preamble);
  file_->finish();
}

}  // namespace inlay

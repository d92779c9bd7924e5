#include "runtime/pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <exception>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "formats/dequantize.h"
#include "formats/gguf_header.h"
#include "formats/package_writer.h"
#include "formats/quantize.h"
#include "kernels/cpu/thread_pool.h"
#include "runtime/error.h"
#include "runtime/importance.h"
#include "runtime/model_reader.h"
#include "runtime/model_source.h"
#include "runtime/quantisation.h"
#include "runtime/tokenizer.h"

namespace inlay {
namespace {

constexpr uint64_t kChunkBytes = uint64_t{16} << 20;  // of the output that is made at once
constexpr uint64_t kTaskBytes = uint64_t{256} << 10;

ModelSourcePointer open_input(std::string_view path, std::pmr::memory_resource* memory) {
  const std::string name(path);
  if (platform::is_folder(name.c_str()) || path.ends_with(".safetensors"))
    return open_checkpoint(path, memory);
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = name.c_str();
  return open_model(source, memory);
}

/// Fails where a model of these tensors could not be loaded.
void check_loadable(const ModelSource& source, std::pmr::memory_resource* memory) {
  const ModelShape shape = read_model_shape(source);
  std::pmr::vector<LayerWeights> layers(shape.layers, memory);
  ModelWeights weights;
  Layout counting;
  read_model_weights(source, shape, counting, layers.data(), &weights);
}

/// The tokenizer's tables, and what the header says of them.
struct PackedTokenizer {
  explicit PackedTokenizer(std::pmr::memory_resource* memory) : tables(memory) {}

  std::pmr::vector<std::byte> tables;
  PackageTokenizer description;
};

void describe(const Vocabulary& vocabulary, PackageTokenizer& to) {
  to.pre_tokenizer = vocabulary.pre_tokenizer;
  to.end_of_text = vocabulary.end_of_text;
  to.end_of_turn = vocabulary.end_of_turn;
  to.begin_of_text = vocabulary.begin_of_text;
  to.padding = vocabulary.padding;
  to.add_begin_of_text = vocabulary.add_begin_of_text;
}

std::optional<PackedTokenizer> pack_tokenizer(const ModelSource& source, std::pmr::memory_resource* memory) {
  PackedTokenizer packed(memory);
  PackageTokenizer& description = packed.description;
  description.version = Tokenizer::kTablesVersion;
  // The tables lie in memory as they will in the file, at the alignment that the tokenizer wants.
  if (const auto stored = source.tokenizer()) {
    describe(stored->vocabulary, description);
    description.version = stored->version;
    description.tokens = stored->tokens;
    description.specials = stored->specials;
    description.merges = stored->merges;
    description.text_bytes = stored->text_bytes;
    packed.tables.resize(static_cast<size_t>(stored->bytes));
    source.part(stored->part)->read(stored->offset, packed.tables.data(), packed.tables.size());
  } else {
    const std::optional<Vocabulary> vocabulary = source.vocabulary();
    if (!vocabulary) return std::nullopt;
    const Tokenizer::Counts counts = Tokenizer::count(*vocabulary);
    describe(*vocabulary, description);
    description.tokens = counts.tokens;
    description.specials = counts.specials;
    description.merges = counts.merges;
    description.text_bytes = counts.text_bytes;
    const uint64_t bytes = Tokenizer::bytes(counts);
    // Zeros, so that equal inputs give equal packages: the tables have gaps.
    const Block block(memory, bytes);
    std::memset(block.data(), 0, static_cast<size_t>(bytes));
    const Tokenizer tokenizer(*vocabulary, counts, {block.data(), static_cast<size_t>(bytes)});
    packed.tables.assign(block.data(), block.data() + bytes);
  }
  description.table_bytes = packed.tables.size();
  return packed;
}

uint32_t known_number(const ModelSource& source, ModelNumber number) {
  const uint64_t value = source.number(number).value_or(0);
  if (value > UINT32_MAX) {
    throw Error(INLAY_ERROR_CORRUPT_FILE, "metadata key qwen35." + std::string(key_of(number)) + " is " +
                                              std::to_string(value) + ", which is out of range");
  }
  return static_cast<uint32_t>(value);
}

/// A tensor of the package, and what it is made of.
struct PackedTensor {
  const StoredTensor* from = nullptr;  // null: the one number `value`
  float from_scale = 1.0f;             // the source tensor's own scale, where it is applied
  size_t scale_of = 0;                 // of an NVFP4 tensor: where its own scale stands in the package
  float value = 1.0f;
};

/// Makes the tensors' bytes a chunk of rows at a time, on all threads.
class TensorPacker {
 public:
  TensorPacker(const ModelSource& source, uint32_t threads, PackageWriter& writer, const PackWish& wish,
               const ImportanceMatrix* importance, std::pmr::memory_resource* memory)
      : source_(source),
        writer_(writer),
        wish_(wish),
        importance_(importance),
        memory_(memory),
        pool_(threads, memory),
        chunk_(memory),
        tiles_(memory) {}

  void pack(const PackedTensor& packed, const StoredTensor& to, float tensor_scale) {
    if (packed.from == nullptr)
      return write(reinterpret_cast<const std::byte*>(&packed.value), sizeof packed.value);
    const StoredTensor& from = *packed.from;
    if (to.layout == TensorLayout::kColumns && from.layout != to.layout) return write_columns(from);
    const bool tiles = to.layout == TensorLayout::kTiles;
    if (tiles) tiles_.assign(static_cast<size_t>(to.bytes), std::byte{0});
    const bool same = from.type == to.type;
    const std::pmr::vector<float> columns =
        same || importance_ == nullptr ? std::pmr::vector<float>(memory_) : importance_->of(from);
    const uint64_t row_bytes = to.bytes_a_row();
    const uint64_t rows = to.rows();
    const uint64_t chunk_rows =
        std::min(rows, std::max<uint64_t>(kChunkBytes / row_bytes / kTileRows, 1) * kTileRows);
    chunk_.resize(static_cast<size_t>(chunk_rows * row_bytes));
    for (uint64_t first = 0; first < rows; first += chunk_rows) {
      const uint64_t count = std::min(chunk_rows, rows - first);
      if (same && from.data != nullptr) {
        // One long read: it is the disk that one waits for, and pages that were touched would count as taken.
        source_.read_rows(from, first, count, chunk_.data());
      } else if (same) {
        run(count, row_bytes, [&](uint64_t begin, uint64_t end) {
          source_.read_rows(from, first + begin, end - begin, chunk_.data() + begin * row_bytes);
        });
      } else {
        for_rows(from, packed.from_scale, first, count, row_bytes, [&](const float* row, uint64_t i) {
          quantize_row(to.type, row, to.dimensions[0], columns.empty() ? nullptr : columns.data(),
                       tensor_scale, chunk_.data() + i * row_bytes);
        });
      }
      if (tiles) {
        run((count + kTileRows - 1) / kTileRows, kTileRows * row_bytes, [&](uint64_t begin, uint64_t end) {
          const uint64_t row = begin * kTileRows;
          pack_tiles(to.type, chunk_.data() + row * row_bytes, first + row,
                     std::min(count, end * kTileRows) - row, rows, to.dimensions[0], tiles_.data());
        });
      } else {
        write(chunk_.data(), count * row_bytes);
      }
      source_.advise(from, platform::MemoryAdvice::DontNeed);
    }
    if (!tiles) return;
    for (uint64_t at = 0; at < to.bytes; at += kChunkBytes)
      write(tiles_.data() + at, std::min(kChunkBytes, to.bytes - at));
  }

  /// Of all weights.
  float largest_magnitude(const PackedTensor& packed) {
    std::mutex mutex;
    float largest = 0;
    const StoredTensor& from = *packed.from;
    for_rows(from, packed.from_scale, 0, from.rows(), from.bytes_a_row(), [&](const float* row, uint64_t) {
      float of_row = 0;
      for (uint64_t i = 0; i < from.dimensions[0]; ++i) of_row = std::max(of_row, std::fabs(row[i]));
      const std::lock_guard lock(mutex);
      largest = std::max(largest, of_row);
    });
    return largest;
  }

  void write(const std::byte* data, uint64_t bytes) {
    writer_.write(data, static_cast<size_t>(bytes));
    done_ += bytes;
    if (wish_.progress != nullptr &&
        wish_.progress(wish_.progress_user_data, done_, writer_.file_bytes()) != INLAY_OK) {
      throw Error(INLAY_ERROR_CANCELLED, "the progress callback stopped the packing");
    }
  }

 private:
  void write_columns(const StoredTensor& from) {
    const auto rows = static_cast<size_t>(from.rows());
    const auto columns = static_cast<size_t>(from.dimensions[0]);
    std::pmr::vector<float> values(rows * columns, memory_);
    std::pmr::vector<float> turned(rows * columns, memory_);
    source_.read(from, values.data());
    for (size_t row = 0; row < rows; ++row) {
      for (size_t column = 0; column < columns; ++column)
        turned[column * rows + row] = values[row * columns + column];
    }
    write(reinterpret_cast<const std::byte*>(turned.data()), from.bytes);
  }

  /// f(begin, end) for ranges of `count` rows, on all threads; rethrows what one of them throws.
  template <typename F>
  void run(uint64_t count, uint64_t row_bytes, const F& f) {
    const uint64_t task_rows = std::clamp<uint64_t>(kTaskBytes / row_bytes, 1, count);
    const auto tasks = static_cast<uint32_t>((count + task_rows - 1) / task_rows);
    std::mutex mutex;
    std::exception_ptr failure;
    auto task_of = [&](uint32_t task, uint32_t) {
      try {
        f(task * task_rows, std::min(count, (task + 1) * task_rows));
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
    };
    pool_.run(tasks, task_of);
    if (failure) std::rethrow_exception(failure);
  }

  /// f(weights, i) for row first + i of the tensor, i < count. Throws INLAY_ERROR_CORRUPT_FILE for weights
  /// that are not finite.
  template <typename F>
  void for_rows(const StoredTensor& from, float scale, uint64_t first, uint64_t count, uint64_t row_bytes,
                const F& f) {
    const uint64_t columns = from.dimensions[0];
    run(count, row_bytes, [&](uint64_t begin, uint64_t end) {
      std::pmr::vector<std::byte> stored(static_cast<size_t>(from.bytes_a_row()), memory_);
      std::pmr::vector<float> row(static_cast<size_t>(columns), memory_);
      for (uint64_t i = begin; i < end; ++i) {
        source_.read_rows(from, first + i, 1, stored.data());
        dequantize_row(from.type, stored.data(), columns, row.data());
        bool finite = true;
        for (float& weight : row) {
          weight *= scale;
          finite &= std::fabs(weight) < 1e30f;
        }
        if (!finite)
          throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor " + quoted(from.name) + ": a weight is not finite");
        f(row.data(), i);
      }
    });
  }

  const ModelSource& source_;
  PackageWriter& writer_;
  const PackWish& wish_;
  const ImportanceMatrix* importance_;
  std::pmr::memory_resource* memory_;
  cpu::ThreadPool pool_;
  std::pmr::vector<std::byte> chunk_;
  std::pmr::vector<std::byte> tiles_;  // of a whole tensor
  uint64_t done_ = 0;
};

/// Whether a device multiplies by the tensor: those are what tiles are for.
bool is_matrix(const StoredTensor& tensor) {
  return tensor.dimension_count == 2 && tensor.name.ends_with(".weight") &&
         !tensor.name.ends_with(".ssm_conv1d.weight");
}

bool wants_tiles(std::string_view layout) {
  if (!layout.empty() && layout != "cuda")
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "layout is " + quoted(layout) + ", expected \"cuda\"");
  return !layout.empty();
}

/// Fails for a package in tiles: they are not turned back.
void check_rows(const ModelSource& source) {
  for (const StoredTensor& tensor : source.tensors()) {
    if (tensor.layout != TensorLayout::kTiles) continue;
    throw Error(INLAY_ERROR_UNSUPPORTED, "tensor " + quoted(tensor.name) + " lies in the layout " +
                                             std::string(kTilesLayout) +
                                             ", from which nothing is packed: pack what it was made of");
  }
}

/// The package's tensors: of what type, and from what. Names of tensors that the source has not are kept in
/// `names`.
std::pmr::vector<PackedTensor> plan_tensors(const ModelSource& source, Quantisation quantisation, bool tiles,
                                            std::pmr::vector<StoredTensor>& to,
                                            std::deque<std::string>& names,
                                            std::pmr::memory_resource* memory) {
  QuantisationShape shape;
  shape.blocks = known_number(source, ModelNumber::BlockCount);
  shape.mtp_blocks = known_number(source, ModelNumber::MtpLayers);
  shape.heads = known_number(source, ModelNumber::AttentionHeads);
  shape.kv_heads = std::max(1u, known_number(source, ModelNumber::AttentionKvHeads));
  shape.tied_embeddings = source.find_tensor("output.weight") == nullptr;
  constexpr std::string_view kWeight = ".weight";
  constexpr std::string_view kScale = ".scale";
  const auto with = [](std::string_view name, std::string_view suffix, std::string_view other) {
    return std::string(name.substr(0, name.size() - suffix.size())) + std::string(other);
  };
  std::pmr::vector<PackedTensor> packed(memory);
  for (const StoredTensor& from : source.tensors()) {
    if (from.name.ends_with(kScale)) {
      const StoredTensor* weights = source.find_tensor(with(from.name, kScale, kWeight));
      if (weights != nullptr && quantised_type(quantisation, *weights, shape) != weights->type) continue;
    }
    PackedTensor entry;
    entry.from = &from;
    StoredTensor tensor = from;
    tensor.type = quantised_type(quantisation, from, shape);
    if (tensor.type != from.type) {
      const StoredTensor* scale = source.find_tensor(with(from.name, kWeight, kScale));
      if (scale != nullptr && scale->type == TensorType::F32 && scale->elements() == 1)
        source.read(*scale, &entry.from_scale);
      if (tensor.type == TensorType::NVFP4) entry.scale_of = packed.size() + 1;
    }
    // As the kernels want it, so that opening the package has nothing to turn.
    if (from.name.ends_with(".ssm_conv1d.weight") && from.type == TensorType::F32)
      tensor.layout = TensorLayout::kColumns;
    if (tiles && is_matrix(tensor)) tensor.layout = TensorLayout::kTiles;
    packed.push_back(entry);
    to.push_back(tensor);
    if (entry.scale_of == 0) continue;
    StoredTensor own_scale;
    own_scale.name = names.emplace_back(with(from.name, kWeight, kScale));
    own_scale.dimension_count = 1;
    packed.emplace_back();
    to.push_back(own_scale);
  }
  return packed;
}

}  // namespace

void pack(Runtime& runtime, const PackWish& wish) {
  std::pmr::memory_resource* memory = runtime.memory();
  const uint32_t losses = platform::lost_mappings();
  const Quantisation quantisation = quantisation_of(wish.quantisation);
  std::optional<ImportanceMatrix> importance;
  if (!wish.imatrix.empty()) importance.emplace(wish.imatrix, memory);
  const bool tiles = wants_tiles(wish.layout);
  const ModelSourcePointer source = open_input(wish.input, memory);
  check_rows(*source);
  if (!source->tensors().empty()) check_loadable(*source, memory);
  if (!source->notes().empty()) {
    runtime.log(INLAY_LOG_INFO, (std::string(wish.input) + ": " + std::string(source->notes())).c_str());
  }
  const std::optional<PackedTokenizer> tokenizer = pack_tokenizer(*source, memory);

  PackageContents contents(memory);
  contents.architecture = source->architecture();
  contents.name = source->name();
  contents.chat_template = source->chat_template();
  for (size_t i = 0; i < kModelNumbers; ++i) {
    contents.numbers[i] = known_number(*source, static_cast<ModelNumber>(i));
  }
  for (size_t i = 0; i < kModelReals; ++i) {
    contents.reals[i] = static_cast<float>(source->real(static_cast<ModelReal>(i)).value_or(0));
  }
  contents.kv_type = static_cast<uint32_t>(source->kv_type());
  if (tokenizer) contents.tokenizer = tokenizer->description;
  std::deque<std::string> names;
  std::pmr::vector<PackedTensor> packed =
      plan_tensors(*source, quantisation, tiles, contents.tensors, names, memory);

  PackageWriter writer(wish.output, contents, memory);
  TensorPacker packer(*source, runtime.info().threads, writer, wish, importance ? &*importance : nullptr,
                      memory);
  for (size_t i = 0; i < packed.size(); ++i) {
    float tensor_scale = 1.0f;
    if (packed[i].scale_of != 0) {
      tensor_scale = nvfp4_tensor_scale(packer.largest_magnitude(packed[i]));
      packed[packed[i].scale_of].value = tensor_scale;
    }
    // The disk brings the next one while this one is made.
    if (i + 1 < packed.size() && packed[i + 1].from != nullptr)
      source->advise(*packed[i + 1].from, platform::MemoryAdvice::WillNeed);
    packer.pack(packed[i], contents.tensors[i], tensor_scale);
  }
  if (tokenizer) packer.write(tokenizer->tables.data(), tokenizer->tables.size());
  if (platform::lost_mappings() != losses) refuse_lost_file();
  writer.finish();
}

}  // namespace inlay

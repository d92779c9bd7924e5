#include "runtime/pack.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "formats/dequantize.h"
#include "formats/package_writer.h"
#include "kernels/cpu/thread_pool.h"
#include "runtime/error.h"
#include "runtime/model_reader.h"
#include "runtime/model_source.h"
#include "runtime/tokenizer.h"

namespace inlay {
namespace {

constexpr uint64_t kChunkBytes = uint64_t{16} << 20;  // of the output that is made at once
constexpr uint64_t kTaskBytes = uint64_t{256} << 10;

ModelSourcePointer open_input(std::string_view path, std::pmr::memory_resource* memory) {
  const std::string name(path);
  if (platform::is_folder(name.c_str()) || path.ends_with(".safetensors")) return open_checkpoint(path, memory);
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

/// Makes the tensors' bytes a chunk of rows at a time, on all threads.
class TensorPacker {
 public:
  TensorPacker(const ModelSource& source, uint32_t threads, PackageWriter& writer, const PackWish& wish,
               std::pmr::memory_resource* memory)
      : source_(source), writer_(writer), wish_(wish), memory_(memory), pool_(threads, memory), chunk_(memory) {}

  void pack(const StoredTensor& from, const StoredTensor& to) {
    if (from.data != nullptr && from.type == to.type) return copy(from);
    const uint64_t row_bytes = to.bytes_a_row();
    const uint64_t rows = to.rows();
    const uint64_t chunk_rows = std::clamp<uint64_t>(kChunkBytes / row_bytes, 1, rows);
    chunk_.resize(static_cast<size_t>(chunk_rows * row_bytes));
    for (uint64_t first = 0; first < rows; first += chunk_rows) {
      const uint64_t count = std::min(chunk_rows, rows - first);
      make_rows(from, to, first, count);
      write(chunk_.data(), count * row_bytes);
    }
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
  void copy(const StoredTensor& tensor) {
    const ByteSource& part = *source_.part(tensor.part);
    part.advise(tensor.offset, tensor.bytes, platform::MemoryAdvice::Sequential);
    for (uint64_t at = 0; at < tensor.bytes; at += kChunkBytes) {
      write(tensor.data + at, std::min(kChunkBytes, tensor.bytes - at));
    }
  }

  void make_rows(const StoredTensor& from, const StoredTensor& to, uint64_t first, uint64_t count) {
    const uint64_t row_bytes = to.bytes_a_row();
    const uint64_t task_rows = std::clamp<uint64_t>(kTaskBytes / row_bytes, 1, count);
    const auto tasks = static_cast<uint32_t>((count + task_rows - 1) / task_rows);
    std::mutex mutex;
    std::exception_ptr failure;
    auto make = [&](uint32_t task, uint32_t) {
      try {
        const uint64_t begin = task * task_rows;
        const uint64_t rows = std::min(task_rows, count - begin);
        source_.read_rows(from, first + begin, rows, chunk_.data() + begin * row_bytes);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
    };
    pool_.run(tasks, make);
    if (failure) std::rethrow_exception(failure);
  }

  const ModelSource& source_;
  PackageWriter& writer_;
  const PackWish& wish_;
  std::pmr::memory_resource* memory_;
  cpu::ThreadPool pool_;
  std::pmr::vector<std::byte> chunk_;
  uint64_t done_ = 0;
};

}  // namespace

void pack(Runtime& runtime, const PackWish& wish) {
  std::pmr::memory_resource* memory = runtime.memory();
  const ModelSourcePointer source = open_input(wish.input, memory);
  if (!source->tensors().empty()) check_loadable(*source, memory);
  if (!source->notes().empty()) runtime.log(INLAY_LOG_INFO, (std::string(wish.input) + ": " + std::string(source->notes())).c_str());
  const std::optional<PackedTokenizer> tokenizer = pack_tokenizer(*source, memory);

  PackageContents contents(memory);
  contents.architecture = source->architecture();
  contents.name = source->name();
  contents.chat_template = source->chat_template();
  for (size_t i = 0; i < kModelNumbers; ++i) contents.numbers[i] = known_number(*source, static_cast<ModelNumber>(i));
  for (size_t i = 0; i < kModelReals; ++i) {
    contents.reals[i] = static_cast<float>(source->real(static_cast<ModelReal>(i)).value_or(0));
  }
  contents.kv_type = static_cast<uint32_t>(source->kv_type());
  if (tokenizer) contents.tokenizer = tokenizer->description;
  contents.tensors = source->tensors();

  PackageWriter writer(wish.output, contents, memory);
  TensorPacker packer(*source, runtime.info().threads, writer, wish, memory);
  for (size_t i = 0; i < contents.tensors.size(); ++i) packer.pack(source->tensors()[i], contents.tensors[i]);
  if (tokenizer) packer.write(tokenizer->tables.data(), tokenizer->tables.size());
  writer.finish();
}

}  // namespace inlay

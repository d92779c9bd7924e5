#pragma once

#include <cstring>
#include <memory_resource>
#include <string>
#include <vector>

#include "formats/package_writer.h"
#include "tests/small_vocabulary.h"

namespace inlay::test {

/// Writes a package of four tensors and a small tokenizer to `path`.
inline void write_small_package(const std::string& path) {
  SmallVocabulary words;
  words.train("the quick brown fox jumps over the lazy dog and the other dogs", 30);
  words.add("<|im_end|>", TokenType::kControl);
  words.add("<think>", TokenType::kUserDefined);
  const Vocabulary vocabulary = words.view();
  const Tokenizer::Counts counts = Tokenizer::count(vocabulary);
  std::vector<uint64_t> tables(Tokenizer::bytes(counts) / 8 + 8);
  void* place = tables.data();
  size_t room = tables.size() * 8;
  std::byte* block = static_cast<std::byte*>(std::align(64, Tokenizer::bytes(counts), place, room));
  const Tokenizer tokenizer(vocabulary, counts, {block, Tokenizer::bytes(counts)});

  PackageContents contents(std::pmr::get_default_resource());
  contents.architecture = "qwen35";
  contents.name = "small";
  contents.chat_template = "{{ messages }}";
  contents.numbers[static_cast<size_t>(ModelNumber::BlockCount)] = 4;
  contents.reals[static_cast<size_t>(ModelReal::RmsEpsilon)] = 1e-6f;
  contents.kv_type = INLAY_KV_FP8;
  PackageTokenizer description;
  description.version = Tokenizer::kTablesVersion;
  description.tokens = counts.tokens;
  description.specials = counts.specials;
  description.merges = counts.merges;
  description.text_bytes = counts.text_bytes;
  description.pre_tokenizer = vocabulary.pre_tokenizer;
  description.end_of_text = tokenizer.find("<|im_end|>");
  description.table_bytes = Tokenizer::bytes(counts);
  contents.tokenizer = description;
  const auto add = [&](const char* name, TensorType type, std::array<uint64_t, 4> dimensions,
                       uint32_t count) {
    StoredTensor tensor;
    tensor.name = name;
    tensor.type = type;
    tensor.dimensions = dimensions;
    tensor.dimension_count = count;
    contents.tensors.push_back(tensor);
  };
  add("token_embd.weight", TensorType::Q8_0, {64, 80, 1, 1}, 2);  // more than a page
  add("blk.0.ffn_up.weight", TensorType::FP8, {128, 3, 1, 1}, 2);
  add("output_norm.weight", TensorType::F32, {5, 1, 1, 1}, 1);
  add("blk.0.ssm_conv1d.weight", TensorType::F32, {4, 6, 1, 1}, 2);
  contents.tensors.back().layout = TensorLayout::kColumns;
  PackageWriter writer(path, contents, std::pmr::get_default_resource());
  for (const StoredTensor& tensor : contents.tensors) {
    std::vector<std::byte> bytes(tensor.bytes);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 % 251);
    writer.write(bytes.data(), bytes.size() / 3);
    writer.write(bytes.data() + bytes.size() / 3, bytes.size() - bytes.size() / 3);
  }
  writer.write(block, Tokenizer::bytes(counts));
  writer.finish();
}

}  // namespace inlay::test

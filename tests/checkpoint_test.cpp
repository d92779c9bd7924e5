#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>

#include "formats/dequantize.h"
#include "formats/small_floats.h"
#include "runtime/error.h"
#include "runtime/model_source.h"
#include "runtime/tokenizer_plan.h"
#include "tests/small_vocabulary.h"
#include "tests/temporary_folder.h"

namespace inlay {
namespace {

using test::TemporaryFolder;

// A small checkpoint of odd sizes: rows and columns that are no whole blocks, two shards with an index, the
// MTP head in a file of its own. Two layers, the second full attention; 2 key heads and 6 value heads of 32.
constexpr uint64_t kEmbedding = 160;
constexpr uint64_t kFeedForward = 256;
constexpr uint64_t kState = 32;
constexpr uint64_t kKeyHeads = 2;
constexpr uint64_t kValueHeads = 6;
constexpr uint64_t kKeys = kKeyHeads * kState;
constexpr uint64_t kValues = kValueHeads * kState;

const char kConfig[] = R"({"model_type":"qwen3_5_text","num_hidden_layers":2,"mtp_num_hidden_layers":1,
  "layer_types":["linear_attention","full_attention"],"max_position_embeddings":512,"hidden_size":160,
  "intermediate_size":256,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":32,
  "rope_theta":1e6,"partial_rotary_factor":0.5,"linear_conv_kernel_dim":4,"linear_key_head_dim":32,
  "linear_value_head_dim":32,"linear_num_key_heads":2,"linear_num_value_heads":6,"rms_norm_eps":1e-6,
  "tie_word_embeddings":true,
  "quantization_config":{"weight_block_size":[128,128],"kv_cache_scheme":{"num_bits":8,"type":"float"}}})";

struct Written {
  std::string dtype;
  std::vector<uint64_t> shape;
  std::string bytes;
};

/// Tensors of one checkpoint by name, and the values that they stand for.
class Maker {
 public:
  std::map<std::string, Written> tensors;
  std::map<std::string, std::vector<float>> values;  // row after row

  void plain(const std::string& name, std::vector<uint64_t> shape) {
    uint64_t count = 1;
    for (const uint64_t length : shape) count *= length;
    std::string bytes;
    std::vector<float>& of = values[name];
    for (uint64_t i = 0; i < count; ++i) {
      const uint16_t half =
          float_to_bfloat16(0.001f * static_cast<float>(static_cast<int>(next() % 2001) - 1000));
      bytes.append(reinterpret_cast<const char*>(&half), sizeof half);
      of.push_back(bfloat16_to_float(half));
    }
    tensors[name] = {"BF16", std::move(shape), bytes};
  }

  void fp8_blocks(const std::string& base, uint64_t rows, uint64_t columns) {
    const uint64_t across = (columns + 127) / 128;
    std::vector<float> scales;
    std::string scale_bytes;
    for (uint64_t i = 0; i < (rows + 127) / 128 * across; ++i) {
      scales.push_back(0.001f * static_cast<float>(1 + next() % 50));
      scale_bytes.append(reinterpret_cast<const char*>(&scales.back()), sizeof(float));
    }
    tensors[base + ".weight_scale_inv"] = {"F32", {(rows + 127) / 128, across}, scale_bytes};
    fp8(base, rows, columns,
        [&](uint64_t row, uint64_t column) { return scales[row / 128 * across + column / 128]; });
  }

  void fp8_rows(const std::string& base, uint64_t rows, uint64_t columns) {
    std::vector<float> scales;
    std::string scale_bytes;
    for (uint64_t i = 0; i < rows; ++i) {
      const uint16_t half = float_to_bfloat16(0.001f * static_cast<float>(1 + next() % 50));
      scale_bytes.append(reinterpret_cast<const char*>(&half), sizeof half);
      scales.push_back(bfloat16_to_float(half));
    }
    tensors[base + ".weight_scale"] = {"BF16", {rows, 1}, scale_bytes};
    fp8(base, rows, columns, [&](uint64_t row, uint64_t) { return scales[row]; });
  }

  /// Values without the tensor's own scale.
  void nvfp4(const std::string& base, uint64_t rows, uint64_t columns, bool compressed_tensors) {
    constexpr float kCodes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    std::string codes, scales;
    std::vector<float>& of = values[base + ".weight"];
    for (uint64_t row = 0; row < rows; ++row) {
      float scale = 0;
      for (uint64_t column = 0; column < columns; ++column) {
        if (column % 16 == 0) {
          const auto code = static_cast<uint8_t>((next() % 0x7F) | (next() % 8 == 0 ? 0x80 : 0));
          scales += static_cast<char>(code);
          scale = e4m3_to_float(code);
        }
        const unsigned code = next() % 16;
        of.push_back(scale * kCodes[code & 7] * (code >= 8 ? -1.0f : 1.0f));
        if (column % 2 == 0) {
          codes += static_cast<char>(code);
        } else {
          codes.back() = static_cast<char>(static_cast<uint8_t>(codes.back()) | code << 4);
        }
      }
    }
    const float own = compressed_tensors ? 8.0f : 0.25f;
    const std::string own_bytes(reinterpret_cast<const char*>(&own), sizeof own);
    tensors[base + (compressed_tensors ? ".weight_packed" : ".weight")] = {"U8", {rows, columns / 2}, codes};
    tensors[base + ".weight_scale"] = {"F8_E4M3", {rows, columns / 16}, scales};
    if (compressed_tensors) {
      tensors[base + ".weight_global_scale"] = {"F32", {1}, own_bytes};
    } else {
      tensors[base + ".weight_scale_2"] = {"F32", {}, own_bytes};
    }
  }

 private:
  template <typename F>
  void fp8(const std::string& base, uint64_t rows, uint64_t columns, const F& scale) {
    std::string codes;
    std::vector<float>& of = values[base + ".weight"];
    for (uint64_t row = 0; row < rows; ++row) {
      for (uint64_t column = 0; column < columns; ++column) {
        auto code = static_cast<uint8_t>(next());
        if ((code & 0x7F) == 0x7F) code ^= 1;
        codes += static_cast<char>(code);
        of.push_back(scale(row, column) * e4m3_to_float(code));
      }
    }
    tensors[base + ".weight"] = {"F8_E4M3", {rows, columns}, codes};
  }

  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }
  uint64_t state_ = 1;
};

void attention(Maker& maker, const std::string& p) {
  maker.plain(p + "input_layernorm.weight", {kEmbedding});
  maker.plain(p + "post_attention_layernorm.weight", {kEmbedding});
  maker.fp8_rows(p + "self_attn.q_proj", 256, kEmbedding);
  maker.plain(p + "self_attn.k_proj.weight", {64, kEmbedding});
  maker.plain(p + "self_attn.v_proj.weight", {64, kEmbedding});
  maker.fp8_rows(p + "self_attn.o_proj", kEmbedding, 128);
  maker.plain(p + "self_attn.q_norm.weight", {32});
  maker.plain(p + "self_attn.k_norm.weight", {32});
  maker.nvfp4(p + "mlp.gate_proj", kFeedForward, kEmbedding, true);  // 160 columns: no whole blocks of 64
  maker.nvfp4(p + "mlp.up_proj", kFeedForward, kEmbedding, false);
  maker.nvfp4(p + "mlp.down_proj", kEmbedding, kFeedForward, true);
}

Maker make_checkpoint() {
  Maker maker;
  maker.plain("embed_tokens.weight", {300, kEmbedding});
  maker.plain("norm.weight", {kEmbedding});
  const std::string p = "layers.0.";
  maker.plain(p + "input_layernorm.weight", {kEmbedding});
  maker.plain(p + "post_attention_layernorm.weight", {kEmbedding});
  maker.fp8_blocks(p + "linear_attn.in_proj_qkv", 2 * kKeys + kValues, kEmbedding);  // 320 rows, 160 columns
  maker.plain(p + "linear_attn.in_proj_z.weight", {kValues, kEmbedding});
  maker.plain(p + "linear_attn.in_proj_a.weight", {kValueHeads, kEmbedding});
  maker.plain(p + "linear_attn.in_proj_b.weight", {kValueHeads, kEmbedding});
  maker.plain(p + "linear_attn.conv1d.weight", {2 * kKeys + kValues, 1, 4});
  maker.plain(p + "linear_attn.A_log", {kValueHeads});
  maker.plain(p + "linear_attn.dt_bias", {kValueHeads});
  maker.plain(p + "linear_attn.norm.weight", {kState});
  maker.plain(p + "linear_attn.out_proj.weight", {kEmbedding, kValues});
  maker.fp8_blocks(p + "mlp.gate_proj", kFeedForward, kEmbedding);
  maker.plain(p + "mlp.up_proj.weight", {kFeedForward, kEmbedding});
  maker.fp8_blocks(p + "mlp.down_proj", kEmbedding,
                   kFeedForward);  // 160 rows: the last block of rows is partial
  attention(maker, "layers.1.");
  attention(maker, "mtp.layers.0.");
  maker.plain("mtp.fc.weight", {kEmbedding, 2 * kEmbedding});
  maker.plain("mtp.norm.weight", {kEmbedding});
  maker.plain("mtp.pre_fc_norm_embedding.weight", {kEmbedding});
  maker.plain("mtp.pre_fc_norm_hidden.weight", {kEmbedding});
  maker.plain("model.visual.blocks.0.attn.proj.weight", {8, 8});
  return maker;
}

void write_safetensors(const std::string& path, const std::map<std::string, Written>& tensors) {
  std::string header = "{", data;
  for (const auto& [name, tensor] : tensors) {
    header += std::string(header.size() > 1 ? "," : "") + "\"" + name + "\":{\"dtype\":\"" + tensor.dtype +
              "\",\"shape\":[";
    for (size_t i = 0; i < tensor.shape.size(); ++i)
      header += (i > 0 ? "," : "") + std::to_string(tensor.shape[i]);
    header += "],\"data_offsets\":[" + std::to_string(data.size()) + "," +
              std::to_string(data.size() + tensor.bytes.size()) + "]}";
    data += tensor.bytes;
  }
  header += "}";
  const uint64_t length = header.size();
  test::write_text(path, std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data);
}

/// Two shards by the index, and the MTP head beside them.
void write_checkpoint(const TemporaryFolder& folder, const Maker& maker) {
  std::map<std::string, Written> shards[2], mtp;
  std::string index = "{\"weight_map\":{";
  size_t i = 0;
  for (const auto& [name, tensor] : maker.tensors) {
    if (name.starts_with("mtp.")) {
      mtp.emplace(name, tensor);
      continue;
    }
    shards[i % 2].emplace(name, tensor);
    index += std::string(i > 0 ? "," : "") + "\"" + name + "\":\"model-0000" + std::to_string(i % 2 + 1) +
             "-of-00002.safetensors\"";
    ++i;
  }
  write_safetensors(folder.file("model-00001-of-00002.safetensors"), shards[0]);
  write_safetensors(folder.file("model-00002-of-00002.safetensors"), shards[1]);
  write_safetensors(folder.file("mtp.safetensors"), mtp);
  test::write_text(folder.file("model.safetensors.index.json"), index + "}}");
  test::write_text(folder.file("config.json"), kConfig);
}

std::vector<float> values_of(const ModelSource& model, std::string_view name) {
  const StoredTensor* tensor = model.find_tensor(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + std::string(name));
  std::vector<std::byte> bytes(tensor->bytes);
  // In two parts, as a packer may.
  const uint64_t half = tensor->rows() / 2;
  model.read_rows(*tensor, 0, half, bytes.data());
  model.read_rows(*tensor, half, tensor->rows() - half, bytes.data() + half * tensor->bytes_a_row());
  std::vector<float> values(tensor->elements());
  dequantize_row(tensor->type, bytes.data(), tensor->elements(), values.data());
  return values;
}

/// Value head `tiled` of a GGUF file reads key head tiled % key heads; checkpoints group them by key head.
uint64_t grouped(uint64_t tiled) { return tiled % kKeyHeads * (kValueHeads / kKeyHeads) + tiled / kKeyHeads; }

/// Rows (heads of `length` from `begin` on) in the order of a GGUF file.
std::vector<float> with_rows_tiled(const std::vector<float>& values, uint64_t columns, uint64_t begin,
                                   uint64_t length) {
  std::vector<float> result = values;
  for (uint64_t head = 0; head < kValueHeads; ++head) {
    const float* from = values.data() + (begin + grouped(head) * length) * columns;
    std::copy(from, from + length * columns, result.data() + (begin + head * length) * columns);
  }
  return result;
}

TEST_CASE("checkpoint: every conversion, in odd sizes") {
  const TemporaryFolder folder;
  const Maker maker = make_checkpoint();
  write_checkpoint(folder, maker);
  const ModelSourcePointer model = open_checkpoint(folder.path().string(), std::pmr::get_default_resource());
  CHECK(model->number(ModelNumber::BlockCount) == uint64_t{3});
  CHECK(model->number(ModelNumber::MtpLayers) == uint64_t{1});
  CHECK(model->number(ModelNumber::AttentionInterval) == uint64_t{2});
  CHECK(model->number(ModelNumber::RopeLength) == uint64_t{16});
  CHECK(model->real(ModelReal::RopeBase) == 1e6);
  CHECK(model->kv_type() == INLAY_KV_FP8);
  CHECK(!model->vocabulary());
  CHECK(model->notes().find("vision") != std::string_view::npos);
  CHECK(model->find_tensor("output.weight") == nullptr);

  const auto same = [&](std::string_view to, const std::string& from) {
    CAPTURE(std::string(to));
    CHECK(values_of(*model, to) == maker.values.at(from));
  };
  const auto plus_one = [&](std::string_view to, const std::string& from) {
    CAPTURE(std::string(to));
    std::vector<float> expected = maker.values.at(from);
    for (float& value : expected) value += 1.0f;
    CHECK(values_of(*model, to) == expected);
  };
  const auto rows_tiled = [&](std::string_view to, const std::string& from, uint64_t columns, uint64_t begin,
                              uint64_t length) {
    CAPTURE(std::string(to));
    CHECK(values_of(*model, to) == with_rows_tiled(maker.values.at(from), columns, begin, length));
  };
  same("token_embd.weight", "embed_tokens.weight");
  plus_one("output_norm.weight", "norm.weight");
  plus_one("blk.0.attn_norm.weight", "layers.0.input_layernorm.weight");
  const std::string mixer = "layers.0.linear_attn.";
  rows_tiled("blk.0.attn_qkv.weight", mixer + "in_proj_qkv.weight", kEmbedding, 2 * kKeys, kState);
  rows_tiled("blk.0.attn_gate.weight", mixer + "in_proj_z.weight", kEmbedding, 0, kState);
  rows_tiled("blk.0.ssm_alpha.weight", mixer + "in_proj_a.weight", kEmbedding, 0, 1);
  rows_tiled("blk.0.ssm_beta.weight", mixer + "in_proj_b.weight", kEmbedding, 0, 1);
  rows_tiled("blk.0.ssm_conv1d.weight", mixer + "conv1d.weight", 4, 2 * kKeys, kState);
  rows_tiled("blk.0.ssm_dt.bias", mixer + "dt_bias", 1, 0, 1);
  same("blk.0.ssm_norm.weight", mixer + "norm.weight");
  std::vector<float> decay = with_rows_tiled(maker.values.at(mixer + "A_log"), 1, 0, 1);
  for (float& value : decay) value = -std::exp(value);
  CHECK(values_of(*model, "blk.0.ssm_a") == decay);
  const std::vector<float>& out = maker.values.at(mixer + "out_proj.weight");
  const std::vector<float> ours = values_of(*model, "blk.0.ssm_out.weight");
  for (uint64_t row = 0; row < kEmbedding; ++row) {
    for (uint64_t column = 0; column < kValues; ++column) {
      const uint64_t source = grouped(column / kState) * kState + column % kState;
      REQUIRE(ours[row * kValues + column] == out[row * kValues + source]);
    }
  }
  // 160 columns are no whole FP8 blocks, 256 are.
  CHECK(model->find_tensor("blk.0.attn_qkv.weight")->type == TensorType::F32);
  CHECK(model->find_tensor("blk.0.ffn_down.weight")->type == TensorType::FP8);
  same("blk.0.ffn_gate.weight", "layers.0.mlp.gate_proj.weight");
  same("blk.0.ffn_down.weight", "layers.0.mlp.down_proj.weight");
  same("blk.1.attn_q.weight", "layers.1.self_attn.q_proj.weight");
  CHECK(model->find_tensor("blk.1.attn_output.weight")->type == TensorType::FP8);
  same("blk.1.attn_output.weight", "layers.1.self_attn.o_proj.weight");
  plus_one("blk.1.attn_q_norm.weight", "layers.1.self_attn.q_norm.weight");
  CHECK(model->find_tensor("blk.1.ffn_gate.weight")->type == TensorType::F32);
  CHECK(model->find_tensor("blk.1.ffn_down.weight")->type == TensorType::NVFP4);
  same("blk.1.ffn_gate.weight", "layers.1.mlp.gate_proj.weight");
  same("blk.1.ffn_up.weight", "layers.1.mlp.up_proj.weight");
  same("blk.1.ffn_down.weight", "layers.1.mlp.down_proj.weight");
  CHECK(values_of(*model, "blk.1.ffn_gate.scale") == std::vector<float>{0.125f});
  CHECK(values_of(*model, "blk.1.ffn_up.scale") == std::vector<float>{0.25f});
  same("blk.2.nextn.eh_proj.weight", "mtp.fc.weight");
  plus_one("blk.2.nextn.enorm.weight", "mtp.pre_fc_norm_embedding.weight");
  plus_one("blk.2.nextn.hnorm.weight", "mtp.pre_fc_norm_hidden.weight");
  plus_one("blk.2.nextn.shared_head_norm.weight", "mtp.norm.weight");
  same("blk.2.attn_k.weight", "mtp.layers.0.self_attn.k_proj.weight");
}

TEST_CASE("checkpoint: without its MTP file it is a model without MTP") {
  const TemporaryFolder folder;
  write_checkpoint(folder, make_checkpoint());
  std::filesystem::remove(folder.file("mtp.safetensors"));
  const ModelSourcePointer model = open_checkpoint(folder.path().string(), std::pmr::get_default_resource());
  CHECK(model->number(ModelNumber::BlockCount) == uint64_t{2});
  CHECK(!model->number(ModelNumber::MtpLayers));
}

inlay_status outcome(const TemporaryFolder& folder) {
  try {
    open_checkpoint(folder.path().string(), std::pmr::get_default_resource());
  } catch (const Error& error) {
    return error.status();
  }
  return INLAY_OK;
}

TEST_CASE("checkpoint: what contradicts itself is refused") {
  const Maker good = make_checkpoint();
  const auto with = [&](const std::string& name, std::optional<Written> tensor) {
    const TemporaryFolder folder;
    Maker maker = good;
    if (tensor) {
      maker.tensors[name] = *tensor;
    } else {
      maker.tensors.erase(name);
    }
    write_checkpoint(folder, maker);
    return outcome(folder);
  };
  CHECK(with("norm.weight", std::nullopt) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(with("layers.1.self_attn.q_proj.weight_scale", std::nullopt) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(with("layers.1.mlp.up_proj.weight_scale_2", std::nullopt) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(with("layers.0.mlp.gate_proj.weight_scale_inv", Written{"F32", {1, 2}, std::string(8, '\1')}) ==
        INLAY_ERROR_CORRUPT_FILE);
  CHECK(with("layers.0.linear_attn.in_proj_z.weight",
             Written{"BF16", {100, 160}, std::string(32000, '\1')}) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(with("layers.0.linear_attn.in_proj_z.weight", Written{"I8", {192, 160}, std::string(30720, '\1')}) ==
        INLAY_ERROR_UNSUPPORTED);
  const TemporaryFolder folder;
  write_checkpoint(folder, good);
  test::write_text(folder.file("config.json"), "{\"model_type\":\"llama\"}");
  CHECK(outcome(folder) == INLAY_ERROR_UNSUPPORTED);
  test::write_text(folder.file("config.json"), "{");
  CHECK(outcome(folder) == INLAY_ERROR_CORRUPT_FILE);
  test::write_text(folder.file("config.json"), kConfig);
  test::write_text(folder.file("model.safetensors.index.json"),
                   R"({"weight_map":{"a":"../elsewhere.safetensors"}})");
  CHECK(outcome(folder) == INLAY_ERROR_CORRUPT_FILE);
}

std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      json += escape;
    } else {
      json += c;
    }
  }
  return json + "\"";
}

/// The tables that a tokenizer is built into.
std::vector<std::byte> tables_of(const Vocabulary& vocabulary) {
  const Tokenizer::Counts counts = Tokenizer::count(vocabulary);
  std::vector<std::byte> memory(Tokenizer::bytes(counts) + 64);
  void* at = memory.data();
  size_t room = memory.size();
  auto* block = static_cast<std::byte*>(std::align(64, Tokenizer::bytes(counts), at, room));
  const Tokenizer tokenizer(vocabulary, counts, {block, static_cast<size_t>(Tokenizer::bytes(counts))});
  return {block, block + Tokenizer::bytes(counts)};
}

TEST_CASE("checkpoint: a tokenizer from its JSON is that of the same vocabulary in a GGUF file") {
  test::SmallVocabulary words;
  words.train("the quick brown fox \xC3\xA9t\xC3\xA9 jumps over the lazy dog \"and\\\" the others", 30);
  words.add("<|im_end|>", TokenType::kControl);
  words.add("<think>", TokenType::kUserDefined);
  const Vocabulary expected = words.view();
  std::string vocabulary, merges, merges_text = "#version: 0.2\n", pairs, added, decoder;
  uint32_t id = 0;
  for (const std::string_view token : expected.tokens) {
    const int64_t type = expected.types->integer(id);
    if (type == 1) {
      vocabulary += std::string(vocabulary.empty() ? "" : ",") + json_text(token) + ":" + std::to_string(id);
    } else {
      const std::string fields =
          "\"content\":" + json_text(token) + ",\"special\":" + (type == 3 ? "true" : "false");
      added += std::string(added.empty() ? "" : ",") + "{\"id\":" + std::to_string(id) + "," + fields + "}";
      decoder += std::string(decoder.empty() ? "" : ",") + "\"" + std::to_string(id) + "\":{" + fields + "}";
    }
    ++id;
  }
  for (const std::string_view merge : expected.merges) {
    const size_t space = merge.find(' ');
    merges += std::string(merges.empty() ? "" : ",") + json_text(merge);
    pairs += std::string(pairs.empty() ? "" : ",") + "[" + json_text(merge.substr(0, space)) + "," +
             json_text(merge.substr(space + 1)) + "]";
    merges_text += std::string(merge) + "\n";
  }
  const std::string pattern =
      R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[\\p{L}\\p{M}]+"}}]})";
  const auto tokenizer_json = [&](const std::string& list) {
    return "{\"added_tokens\":[" + added + "]," + pattern + ",\"model\":{\"type\":\"BPE\",\"vocab\":{" +
           vocabulary + "},\"merges\":[" + list + "]}}";
  };
  const Maker maker = make_checkpoint();
  for (const std::string& list : {merges, pairs, std::string()}) {
    const TemporaryFolder folder;
    write_checkpoint(folder, maker);
    std::string settings = "{\"eos_token\":\"<|im_end|>\",\"chat_template\":\"{{ x }}\"";
    if (!list.empty()) {
      test::write_text(folder.file("tokenizer.json"), tokenizer_json(list));
    } else {
      test::write_text(folder.file("vocab.json"), "{" + vocabulary + "}");
      test::write_text(folder.file("merges.txt"), merges_text);
      settings += ",\"added_tokens_decoder\":{" + decoder + "}";
    }
    test::write_text(folder.file("tokenizer_config.json"), settings + "}");
    const ModelSourcePointer model =
        open_checkpoint(folder.path().string(), std::pmr::get_default_resource());
    const auto read = model->vocabulary();
    REQUIRE(read);
    CHECK(tables_of(*read) == tables_of(expected));
    CHECK(read->pre_tokenizer == "qwen35");
    CHECK(read->end_of_text == static_cast<int32_t>(id) - 2);
    CHECK(model->chat_template() == "{{ x }}");
    test::write_text(folder.file("chat_template.jinja"), "{{ y }}");
    CHECK(open_checkpoint(folder.path().string(), std::pmr::get_default_resource())->chat_template() ==
          "{{ y }}");
  }
}

}  // namespace
}  // namespace inlay

#include "runtime/model_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "formats/dequantize.h"
#include "runtime/error.h"

namespace inlay {
namespace {

std::string shape_text(const StoredTensor& tensor) {
  std::string text;
  for (uint32_t i = 0; i < tensor.dimension_count; ++i) {
    text += (i == 0 ? "[" : ", ") + std::to_string(tensor.dimensions[i]);
  }
  return text + "]";
}

class ShapeReader {
 public:
  explicit ShapeReader(const ModelSource& file) : file_(file) {}

  uint32_t number(ModelNumber number, uint32_t least, uint32_t most) const {
    const auto value = file_.number(number);
    if (!value) throw Error(INLAY_ERROR_CORRUPT_FILE, named(key_of(number)) + " is missing");
    return checked(number, *value, least, most);
  }
  uint32_t number_or(ModelNumber number, uint32_t otherwise, uint32_t least, uint32_t most) const {
    const auto value = file_.number(number);
    return value ? checked(number, *value, least, most) : otherwise;
  }
  float real(ModelReal real) const {
    const auto value = file_.real(real);
    if (!value) throw Error(INLAY_ERROR_CORRUPT_FILE, named(key_of(real)) + " is missing");
    if (!(*value > 0 && *value < 1e30)) {
      throw Error(INLAY_ERROR_CORRUPT_FILE, named(key_of(real)) + " is not a positive number");
    }
    return static_cast<float>(*value);
  }

 private:
  static std::string named(std::string_view key) { return "metadata key qwen35." + std::string(key); }

  static uint32_t checked(ModelNumber number, uint64_t value, uint32_t least, uint32_t most) {
    if (value < least || value > most) {
      throw Error(INLAY_ERROR_CORRUPT_FILE, named(key_of(number)) + " is " + std::to_string(value) +
                                                ", expected " + std::to_string(least) + " to " +
                                                std::to_string(most));
    }
    return static_cast<uint32_t>(value);
  }

  const ModelSource& file_;
};

void require(bool holds, const std::string& what) {
  if (!holds) throw Error(INLAY_ERROR_UNSUPPORTED, "the model's shape is outside the family: " + what);
}

/// What the kernels rely on.
void check_shape(const ModelShape& s) {
  require(s.embedding % 32 == 0,
          "embedding_length " + std::to_string(s.embedding) + " is not a multiple of 32");
  require(s.feed_forward % 32 == 0, "feed_forward_length is not a multiple of 32");
  require(s.head_length % 32 == 0, "attention.key_length is not a multiple of 32");
  require(s.heads % s.kv_heads == 0, "attention.head_count is not a multiple of attention.head_count_kv");
  require(s.rope_length % 2 == 0 && s.rope_length <= s.head_length,
          "rope.dimension_count does not fit the heads");
  require(s.state_length % 16 == 0, "ssm.state_size is not a multiple of 16");
  require(s.value_heads % s.key_heads == 0, "ssm.time_step_rank is not a multiple of ssm.group_count");
  require(s.layers >= s.attention_interval, "it has no full-attention layer");
}

constexpr uint32_t kMostTaps = 8;
constexpr uint32_t kMostBlockBytes = 256;

/// Takes no memory but the layout's, so that what create takes is never more than the plan.
class WeightReader {
 public:
  WeightReader(const ModelSource& file, const ModelShape& shape, Layout& layout)
      : file_(file), shape_(shape), layout_(layout) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  WeightMatrix matrix(const std::string& base, uint32_t rows, uint32_t columns) {
    const std::string name = base + ".weight";
    const StoredTensor& tensor = find(name);
    if (tensor.layout == TensorLayout::kColumns) refuse_layout(tensor);
    if (tensor.dimensions[0] != columns || tensor.dimensions[1] != rows ||
        tensor.elements() != uint64_t{rows} * columns) {
      throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor " + name + " has shape " + shape_text(tensor) +
                                                ", expected [" + std::to_string(columns) + ", " +
                                                std::to_string(rows) + "]");
    }
    WeightMatrix matrix{tensor.data, tensor.type, rows, columns};
    matrix.tiles = tensor.layout == TensorLayout::kTiles;
    matrix.may_stay = matrix.tiles && tensor.data != nullptr &&
                      reinterpret_cast<uintptr_t>(tensor.data) % kTilesAlignment == 0;
    if (tensor.data == nullptr) {
      auto* copy = layout_.take<std::byte>(tensor.bytes);
      if (!layout_.counting() && matrix.tiles)
        file_.part(tensor.part)->read(tensor.offset, copy, static_cast<size_t>(tensor.bytes));
      if (!layout_.counting() && !matrix.tiles) file_.read(tensor, copy);
      matrix.data = copy;
    }
    // The second scale of two-level formats (NVFP4).
    if (has(base + ".scale")) {
      const float* scale = vector(base + ".scale", 1);
      if (!layout_.counting()) matrix.scale = *scale;
    }
    return matrix;
  }

  /// Used where it lies in a mapped file, where it can be.
  const float* vector(const std::string& name, uint32_t length) {
    const StoredTensor& tensor = find(name);
    if (tensor.layout == TensorLayout::kTiles) refuse_layout(tensor);
    if (tensor.dimensions[0] != length || tensor.elements() != length) {
      throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor " + name + " has shape " + shape_text(tensor) +
                                                ", expected [" + std::to_string(length) + "]");
    }
    if (const float* mapped = mapped_floats(tensor)) return mapped;
    auto* values = layout_.take<float>(length);
    if (!layout_.counting()) read_floats(tensor, values);
    return values;
  }

  /// The kernels want each tap's channels side by side, as a package has them; a GGUF file has each channel's
  /// taps.
  const float* convolution(const std::string& name) {
    const StoredTensor& tensor = find(name);
    const uint32_t taps = shape_.conv_kernel;
    const uint32_t channels = shape_.conv_channels();
    const uint64_t row = tensor.bytes_a_row();
    if (tensor.layout == TensorLayout::kTiles) refuse_layout(tensor);
    if (tensor.dimensions[0] != taps || tensor.elements() != uint64_t{taps} * channels || row == 0) {
      throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor " + name + " has shape " + shape_text(tensor) +
                                                ", expected [" + std::to_string(taps) + ", " +
                                                std::to_string(channels) + "]");
    }
    const float* mapped = mapped_floats(tensor);
    const bool as_wanted = tensor.layout == TensorLayout::kColumns;
    if (as_wanted && mapped != nullptr) return mapped;
    auto* values = layout_.take<float>(uint64_t{taps} * channels);
    if (layout_.counting()) return values;
    if (as_wanted) {
      file_.read(tensor, values);
      return values;
    }
    if (mapped != nullptr) {
      for (uint32_t channel = 0; channel < channels; ++channel) {
        for (uint32_t tap = 0; tap < taps; ++tap)
          values[uint64_t{tap} * channels + channel] = mapped[uint64_t{channel} * taps + tap];
      }
      return values;
    }
    std::byte bytes[kMostTaps * sizeof(float) * 64];
    const auto channels_at_once = static_cast<uint32_t>(sizeof bytes / row);
    for (uint32_t first = 0; first < channels; first += channels_at_once) {
      const uint32_t count = std::min(channels_at_once, channels - first);
      if (tensor.data == nullptr) {
        file_.read_rows(tensor, first, count, bytes);
      } else {
        std::memcpy(bytes, tensor.data + first * row, count * row);
      }
      for (uint32_t i = 0; i < count; ++i) {
        float of_channel[kMostTaps];
        dequantize_row(tensor.type, bytes + i * row, taps, of_channel);
        for (uint32_t tap = 0; tap < taps; ++tap)
          values[uint64_t{tap} * channels + first + i] = of_channel[tap];
      }
    }
    return values;
  }

  LayerWeights layer(uint32_t index, bool attention) {
    const std::string p = "blk." + std::to_string(index) + ".";
    const ModelShape& s = shape_;
    LayerWeights w{};
    w.mixer_norm = vector(p + "attn_norm.weight", s.embedding);
    if (attention) {
      w.attention.query_gate = matrix(p + "attn_q", 2 * s.query_length(), s.embedding);
      w.attention.key = matrix(p + "attn_k", s.kv_length(), s.embedding);
      w.attention.value = matrix(p + "attn_v", s.kv_length(), s.embedding);
      w.attention.out = matrix(p + "attn_output", s.embedding, s.query_length());
      w.attention.query_norm = vector(p + "attn_q_norm.weight", s.head_length);
      w.attention.key_norm = vector(p + "attn_k_norm.weight", s.head_length);
    } else {
      w.delta_net.qkv = matrix(p + "attn_qkv", s.conv_channels(), s.embedding);
      w.delta_net.gate = matrix(p + "attn_gate", s.value_length(), s.embedding);
      w.delta_net.beta = matrix(p + "ssm_beta", s.value_heads, s.embedding);
      w.delta_net.alpha = matrix(p + "ssm_alpha", s.value_heads, s.embedding);
      w.delta_net.out = matrix(p + "ssm_out", s.embedding, s.value_length());
      w.delta_net.conv = convolution(p + "ssm_conv1d.weight");
      w.delta_net.dt_bias = vector(p + "ssm_dt.bias", s.value_heads);
      w.delta_net.a = vector(p + "ssm_a", s.value_heads);
      w.delta_net.norm = vector(p + "ssm_norm.weight", s.state_length);
    }
    w.feed_forward_norm = vector(p + "post_attention_norm.weight", s.embedding);
    w.gate = matrix(p + "ffn_gate", s.feed_forward, s.embedding);
    w.up = matrix(p + "ffn_up", s.feed_forward, s.embedding);
    w.down = matrix(p + "ffn_down", s.embedding, s.feed_forward);
    return w;
  }

  MtpWeights mtp(const ModelWeights& model) {
    const ModelShape& s = shape_;
    const std::string p = "blk." + std::to_string(s.layers) + ".nextn.";
    MtpWeights w{};
    w.layer = layer(s.layers, true);
    w.embedding_norm = vector(p + "enorm.weight", s.embedding);
    w.hidden_norm = vector(p + "hnorm.weight", s.embedding);
    w.projection = matrix(p + "eh_proj", s.embedding, 2 * s.embedding);
    w.head_norm = has(p + "shared_head_norm.weight") ? vector(p + "shared_head_norm.weight", s.embedding)
                                                     : model.output_norm;
    w.embedding = has(p + "embed_tokens.weight") ? matrix(p + "embed_tokens", s.vocabulary, s.embedding)
                                                 : model.embedding;
    w.head = has(p + "shared_head_head.weight") ? matrix(p + "shared_head_head", s.vocabulary, s.embedding)
                                                : model.head;
    return w;
  }

 private:
  const StoredTensor& find(const std::string& name) const {
    const StoredTensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor " + name + " is missing");
    return *tensor;
  }

  [[noreturn]] static void refuse_layout(const StoredTensor& tensor) {
    throw Error(INLAY_ERROR_UNSUPPORTED,
                "tensor " + std::string(tensor.name) + " is in a layout that it cannot be used in");
  }

  /// The tensor where it lies, null where that is not as floats of a mapped file.
  static const float* mapped_floats(const StoredTensor& tensor) {
    const bool usable = tensor.data != nullptr && tensor.type == TensorType::F32 &&
                        reinterpret_cast<uintptr_t>(tensor.data) % alignof(float) == 0;
    return usable ? reinterpret_cast<const float*>(tensor.data) : nullptr;
  }

  void read_floats(const StoredTensor& tensor, float* out) const {
    if (tensor.data != nullptr) return dequantize_row(tensor.type, tensor.data, tensor.elements(), out);
    // The values grow over the bytes that they come from, which stand at the end of their place.
    const TensorTypeTraits block = traits(tensor.type);
    std::byte* bytes = reinterpret_cast<std::byte*>(out + tensor.elements()) - tensor.bytes;
    file_.read(tensor, bytes);
    std::byte next[kMostBlockBytes];
    for (uint64_t done = 0; done < tensor.elements();
         done += block.block_elements, bytes += block.block_bytes) {
      std::memcpy(next, bytes, block.block_bytes);
      dequantize_row(tensor.type, next, block.block_elements, out + done);
    }
  }

  const ModelSource& file_;
  const ModelShape& shape_;
  Layout& layout_;
};

}  // namespace

ModelShape read_model_shape(const ModelSource& file) {
  const std::string_view architecture = file.architecture();
  if (architecture != kArchitecture) {
    throw Error(INLAY_ERROR_UNSUPPORTED, architecture.empty()
                                             ? "the file names no general.architecture"
                                             : "the file's architecture is \"" + std::string(architecture) +
                                                   "\", Inlay runs \"qwen35\"");
  }
  const ShapeReader reader(file);
  constexpr uint32_t kMany = 1u << 24;
  ModelShape s;
  const uint32_t mtp_layers = reader.number_or(ModelNumber::MtpLayers, 0, 0, 1);
  s.mtp = mtp_layers > 0;
  s.layers = reader.number(ModelNumber::BlockCount, 1 + mtp_layers, 4096) - mtp_layers;
  s.attention_interval = reader.number_or(ModelNumber::AttentionInterval, 4, 2, 64);
  s.embedding = reader.number(ModelNumber::EmbeddingLength, 32, 1u << 17);
  s.feed_forward = reader.number(ModelNumber::FeedForwardLength, 32, 1u << 20);
  s.heads = reader.number(ModelNumber::AttentionHeads, 1, 1024);
  s.kv_heads = reader.number(ModelNumber::AttentionKvHeads, 1, 1024);
  s.head_length = reader.number(ModelNumber::AttentionKeyLength, 32, 1024);
  if (reader.number_or(ModelNumber::AttentionValueLength, s.head_length, 1, kMany) != s.head_length) {
    throw Error(INLAY_ERROR_UNSUPPORTED, "attention.value_length differs from attention.key_length");
  }
  s.rms_epsilon = reader.real(ModelReal::RmsEpsilon);
  s.rope_base = reader.real(ModelReal::RopeBase);
  s.rope_length = reader.number(ModelNumber::RopeLength, 2, 1024);
  s.conv_kernel = reader.number(ModelNumber::ConvolutionTaps, 2, kMostTaps);
  s.state_length = reader.number(ModelNumber::StateLength, 16, 256);
  s.value_heads = reader.number(ModelNumber::ValueHeads, 1, 1024);
  s.key_heads = reader.number(ModelNumber::KeyHeads, 1, 1024);
  if (reader.number(ModelNumber::InnerLength, 1, kMany) != s.value_length()) {
    throw Error(INLAY_ERROR_CORRUPT_FILE,
                "qwen35.ssm.inner_size is not ssm.time_step_rank times ssm.state_size");
  }
  const StoredTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor token_embd.weight is missing");
  if (embedding->dimensions[1] < 2 || embedding->dimensions[1] > kMany) {
    throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor token_embd.weight has shape " + shape_text(*embedding) +
                                              ", expected 2 to 16777216 rows");
  }
  s.vocabulary = static_cast<uint32_t>(embedding->dimensions[1]);
  check_shape(s);
  return s;
}

void read_model_weights(const ModelSource& file, const ModelShape& shape, Layout& layout,
                        LayerWeights* layers, ModelWeights* weights) {
  WeightReader reader(file, shape, layout);
  weights->shape = shape;
  weights->layers = layers;
  weights->embedding = reader.matrix("token_embd", shape.vocabulary, shape.embedding);
  weights->output_norm = reader.vector("output_norm.weight", shape.embedding);
  weights->head = reader.has("output.weight") ? reader.matrix("output", shape.vocabulary, shape.embedding)
                                              : weights->embedding;
  for (uint32_t i = 0; i < shape.layers; ++i) layers[i] = reader.layer(i, shape.is_attention(i));
  if (shape.mtp) weights->mtp = reader.mtp(*weights);
}

}  // namespace inlay

#include "runtime/checkpoint.h"

#include <algorithm>
#include <new>
#include <set>

#include "formats/gguf_header.h"
#include "runtime/error.h"

namespace inlay {
namespace {

using Kind = TensorConversion::Kind;

constexpr uint32_t kMostFiles = 4096;

/// The folder that a path means: itself, or that of the file it names.
std::string folder_of(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  std::string folder(path);
  if (platform::is_folder(folder.c_str())) return folder;
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? "." : folder.substr(0, slash);
}

uint64_t ceiling(uint64_t value, uint64_t divisor) { return (value + divisor - 1) / divisor; }

bool is_text(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

}  // namespace

ModelSourcePointer open_checkpoint(std::string_view path, std::pmr::memory_resource* memory) {
  return std::allocate_shared<Checkpoint>(std::pmr::polymorphic_allocator<>(memory), folder_of(path), memory);
}

Checkpoint::Checkpoint(std::string_view folder, std::pmr::memory_resource* memory)
    : memory_(memory),
      folder_(folder),
      name_(folder_.substr(folder_.rfind('/') + 1)),
      files_(memory),
      names_(memory),
      tensors_(memory),
      conversions_(memory),
      used_(memory),
      index_(memory) {
  read_config();
  open_files();
  find_prefixes();
  add_all();
  tokenizer_.emplace(folder_, memory);
  note_what_is_left();
}

void Checkpoint::fail(inlay_status status, const std::string& what) const {
  throw Error(status, folder_ + ": " + what);
}

std::string_view Checkpoint::chat_template() const { return tokenizer_->chat_template(); }
std::optional<Vocabulary> Checkpoint::vocabulary() const { return tokenizer_->vocabulary(); }

std::optional<uint64_t> Checkpoint::number(ModelNumber number) const {
  const uint64_t value = config_.number(number);
  return value == 0 ? std::nullopt : std::optional(value);
}

std::optional<double> Checkpoint::real(ModelReal real) const {
  return config_.reals[static_cast<size_t>(real)];
}

const StoredTensor* Checkpoint::find_tensor(std::string_view name) const {
  const uint32_t found = index_.find(name, [this](uint32_t i) { return tensors_[i].name; });
  return found == NameIndex::kNone ? nullptr : &tensors_[found];
}

void Checkpoint::read_rows(const StoredTensor& tensor, uint64_t first, uint64_t rows,
                           std::byte* destination) const {
  conversions_[static_cast<size_t>(&tensor - tensors_.data())].convert(first, rows, destination);
}

void Checkpoint::advise(const StoredTensor& tensor, platform::MemoryAdvice advice) const noexcept {
  const TensorConversion& conversion = conversions_[static_cast<size_t>(&tensor - tensors_.data())];
  for (const SafetensorsTensor* from : {conversion.weights, conversion.scales}) {
    if (from == nullptr) continue;
    for (const SafetensorsFile& file : files_) {
      const bool here =
          !file.tensors().empty() && from >= file.tensors().data() && from <= &file.tensors().back();
      if (here) file.source()->advise(from->offset, from->bytes, advice);
    }
  }
}

void Checkpoint::read_config() {
  const std::string path = path_of("config.json");
  const std::optional<std::pmr::string> text = read_text(path, memory_);
  if (!text) fail(INLAY_ERROR_IO, "it has no config.json");
  const JsonDocument json(*text, path, memory_);
  config_ = read_checkpoint_config(json.root(), path);
  // What ModelOpt writes beside the configuration.
  const std::string quantisation_path = path_of("hf_quant_config.json");
  const std::optional<std::pmr::string> quantisation_text = read_text(quantisation_path, memory_);
  if (!quantisation_text) return;
  const JsonDocument quantisation(*quantisation_text, quantisation_path, memory_);
  config_.fp8_kv |= quantisation.root()["quantization"]["kv_cache_quant_algo"].text() == "FP8";
}

void Checkpoint::open_file(std::string_view name) {
  if (files_.size() == kMostFiles) fail(INLAY_ERROR_UNSUPPORTED, "it has too many safetensors files");
  files_.push_back(SafetensorsFile::open(open_path(path_of(name), memory_), memory_));
}

/// Those of the index; without one, the file or the shards of the usual names; and a file of the MTP head's
/// own.
void Checkpoint::open_files() {
  std::set<std::string> names;
  const std::string index_path = path_of("model.safetensors.index.json");
  if (const std::optional<std::pmr::string> text = read_text(index_path, memory_)) {
    const JsonDocument json(*text, index_path, memory_);
    for (auto entry = json.root()["weight_map"].first(); entry; entry = entry.next()) {
      const std::string_view name = entry.text().value_or("");
      if (name.empty() || is_text(name, "/") || is_text(name, "\\") || !name.ends_with(".safetensors")) {
        fail(INLAY_ERROR_CORRUPT_FILE, "its index names a file " + quoted(name));
      }
      names.emplace(name);
    }
  }
  const std::vector<std::string> all = platform::files_of_folder(folder_.c_str());
  const bool indexed = !names.empty();
  const bool single = !indexed && has_file("model.safetensors");
  if (single) names.emplace("model.safetensors");
  for (const std::string& name : all) {
    if (!name.ends_with(".safetensors")) continue;
    const bool shard = name.starts_with("model-") && is_text(name, "-of-");
    const bool mtp =
        name.starts_with("mtp") || name.starts_with("model-mtp") || name.starts_with("model_mtp");
    if (mtp || (shard && !indexed && !single)) names.insert(name);
  }
  if (names.empty()) fail(INLAY_ERROR_IO, "it has no model.safetensors, no index of shards and no shards");
  for (const std::string& name : names) open_file(name);
}

const SafetensorsTensor* Checkpoint::find(const std::string& name) const {
  for (const SafetensorsFile& file : files_) {
    if (const SafetensorsTensor* tensor = file.find(name)) return tensor;
  }
  return nullptr;
}

const SafetensorsTensor& Checkpoint::need(const std::string& name) const {
  const SafetensorsTensor* tensor = find(name);
  if (tensor == nullptr) fail(INLAY_ERROR_CORRUPT_FILE, "tensor " + name + " is missing");
  return *tensor;
}

void Checkpoint::find_prefixes() {
  static constexpr const char* kPrefixes[] = {"model.language_model.", "model.", "language_model.model.",
                                              "language_model.", ""};
  const auto has_text = [this](const std::string& prefix) { return find(prefix + "norm.weight") != nullptr; };
  const auto* prefix = std::find_if(std::begin(kPrefixes), std::end(kPrefixes), has_text);
  if (prefix == std::end(kPrefixes))
    fail(INLAY_ERROR_CORRUPT_FILE, "no tensor is called norm.weight, under any known prefix");
  text_prefix_ = *prefix;
  bool has_mtp = false;
  for (const std::string& candidate :
       {std::string("mtp."), std::string("model.mtp."), text_prefix_ + "mtp."}) {
    if (has_mtp ||
        (find(candidate + "fc.weight") == nullptr && find(candidate + "fc.weight_packed") == nullptr))
      continue;
    mtp_prefix_ = candidate;
    has_mtp = true;
  }
  uint64_t& mtp_layers = config_.number(ModelNumber::MtpLayers);
  if (!has_mtp) {
    config_.number(ModelNumber::BlockCount) -= mtp_layers;
    mtp_layers = 0;
  } else if (mtp_layers == 0) {
    mtp_layers = 1;
    ++config_.number(ModelNumber::BlockCount);
  }
}

HeadOrder Checkpoint::value_heads(uint64_t begin, uint64_t length) const {
  HeadOrder order{begin, length, config_.number(ModelNumber::KeyHeads),
                  config_.number(ModelNumber::ValueHeads)};
  if (order.key_heads == 1 || order.key_heads == order.value_heads) order.length = 0;
  return order;
}

void Checkpoint::add(const std::string& name, const TensorConversion& conversion) {
  const auto fits = [](const HeadOrder& order, uint64_t length) {
    return order.length == 0 || length == order.begin + order.value_heads * order.length;
  };
  if (!fits(conversion.row_order, conversion.rows) || !fits(conversion.column_order, conversion.columns)) {
    fail(INLAY_ERROR_CORRUPT_FILE,
         "the tensor for " + name + " does not have the heads of the configuration");
  }
  for (const SafetensorsTensor* tensor : {conversion.weights, conversion.scales}) {
    if (tensor != nullptr) used_.push_back(tensor);
  }
  StoredTensor tensor;
  tensor.name = names_.emplace_back(name);
  tensor.type = conversion.type();
  tensor.dimensions = {conversion.columns, conversion.rows, 1, 1};
  tensor.dimension_count = conversion.rows == 1 ? 1 : 2;
  tensor.bytes = tensor.rows() * tensor.bytes_a_row();
  tensors_.push_back(tensor);
  conversions_.push_back(conversion);
}

void Checkpoint::add_vector(const std::string& to, const std::string& from, Kind kind, HeadOrder order) {
  TensorConversion conversion;
  conversion.kind = kind;
  conversion.weights = &need(from);
  conversion.rows = 1;
  conversion.columns = conversion.weights->elements();
  conversion.column_order = order;
  element(*conversion.weights, 0);
  add(to, conversion);
}

/// [channels, 1, taps] there, taps side by side here.
void Checkpoint::add_convolution(const std::string& to, const std::string& from) {
  TensorConversion conversion;
  conversion.kind = Kind::kFloat;
  conversion.weights = &need(from);
  conversion.rows = conversion.weights->dimensions[0];
  conversion.columns = conversion.weights->elements() / conversion.rows;
  const uint64_t keys = config_.number(ModelNumber::KeyHeads) * config_.number(ModelNumber::StateLength);
  conversion.row_order = value_heads(2 * keys, config_.number(ModelNumber::StateLength));
  element(*conversion.weights, 0);
  add(to, conversion);
}

void Checkpoint::set_fp8(TensorConversion& c, const std::string& from) const {
  const SafetensorsTensor* block_scales = find(from + ".weight_scale_inv");
  c.scales = block_scales != nullptr ? block_scales : &need(from + ".weight_scale");
  if (block_scales != nullptr) {
    c.scale_rows = config_.fp8_block_rows;
    c.scale_columns = config_.fp8_block_columns;
  } else {
    c.scale_rows = c.scales->elements() == 1 ? c.rows : 1;
    c.scale_columns = c.columns;
  }
  c.scale_stride = ceiling(c.columns, c.scale_columns);
  if (c.scales->elements() != ceiling(c.rows, c.scale_rows) * c.scale_stride) {
    fail(INLAY_ERROR_CORRUPT_FILE, "tensor " + quoted(c.scales->name) + " has not a scale for each block");
  }
  constexpr uint64_t kBlock = traits(TensorType::FP8).block_elements;
  const bool blocks = c.columns % kBlock == 0 &&
                      (c.scale_columns % kBlock == 0 || c.scale_columns == c.columns) &&
                      c.column_order.length % kBlock == 0 && c.column_order.begin % kBlock == 0;
  c.kind = blocks ? Kind::kFp8 : Kind::kFp8Float;
}

/// Fills in what stands in the checkpoint as `from`, quantised or not; the result is the tensor's own scale.
float Checkpoint::set_quantised(TensorConversion& c, const std::string& from) const {
  const SafetensorsTensor* packed = find(from + ".weight_packed");
  c.weights = packed != nullptr ? packed : &need(from + ".weight");
  if (c.weights->dimension_count != 2)
    fail(INLAY_ERROR_CORRUPT_FILE, "tensor " + quoted(c.weights->name) + " is no matrix");
  c.rows = c.weights->dimensions[0];
  c.columns = c.weights->dimensions[1];
  if (c.weights->type == SafetensorsType::kF8E4M3) {
    set_fp8(c, from);
    return 1.0f;
  }
  if (c.weights->type != SafetensorsType::kU8) {
    element(*c.weights, 0);
    c.kind = Kind::kCopy;
    return 1.0f;
  }
  constexpr uint64_t kGroup = 16;
  c.columns *= 2;
  c.scales = &need(from + ".weight_scale");
  c.scale_columns = kGroup;
  c.scale_stride = c.columns / kGroup;
  if (c.columns % kGroup != 0 || c.scales->type != SafetensorsType::kF8E4M3 ||
      c.scales->elements() != c.rows * c.scale_stride) {
    fail(INLAY_ERROR_CORRUPT_FILE,
         "tensor " + quoted(c.scales->name) + " has not an E4M3 scale for every 16 weights");
  }
  constexpr uint64_t kBlock = traits(TensorType::NVFP4).block_elements;
  c.kind = c.columns % kBlock == 0 && c.column_order.length % kBlock == 0 ? Kind::kNvfp4 : Kind::kNvfp4Float;
  // compressed-tensors divides by its scale of the tensor, ModelOpt multiplies.
  if (const SafetensorsTensor* divisor = find(from + ".weight_global_scale"))
    return 1.0f / element(*divisor, 0);
  return element(need(from + ".weight_scale_2"), 0);
}

void Checkpoint::add_matrix(const std::string& to, const std::string& from, HeadOrder rows,
                            HeadOrder columns) {
  TensorConversion conversion;
  conversion.row_order = rows;
  conversion.column_order = columns;
  const float factor = set_quantised(conversion, from);
  const bool two_levels = conversion.kind == Kind::kNvfp4 || conversion.kind == Kind::kNvfp4Float;
  add(to + ".weight", conversion);
  // A matrix of one row would lose its second dimension's place.
  tensors_.back().dimension_count = 2;
  if (!two_levels) return;
  if (!(factor > 0 && factor < 1e30f))
    fail(INLAY_ERROR_CORRUPT_FILE, "the scale of " + from + " is not positive");
  TensorConversion scale;
  scale.kind = Kind::kFactor;
  scale.rows = scale.columns = 1;
  scale.factor = factor;
  add(to + ".scale", scale);
}

void Checkpoint::add_layer(const std::string& to, const std::string& from, bool attention) {
  add_vector(to + "attn_norm.weight", from + "input_layernorm.weight", Kind::kPlusOne);
  if (attention) {
    const std::string mixer = from + "self_attn.";
    add_matrix(to + "attn_q", mixer + "q_proj");
    add_matrix(to + "attn_k", mixer + "k_proj");
    add_matrix(to + "attn_v", mixer + "v_proj");
    add_matrix(to + "attn_output", mixer + "o_proj");
    add_vector(to + "attn_q_norm.weight", mixer + "q_norm.weight", Kind::kPlusOne);
    add_vector(to + "attn_k_norm.weight", mixer + "k_norm.weight", Kind::kPlusOne);
  } else {
    const std::string mixer = from + "linear_attn.";
    const uint64_t length = config_.number(ModelNumber::StateLength);
    const uint64_t keys = config_.number(ModelNumber::KeyHeads) * length;
    add_matrix(to + "attn_qkv", mixer + "in_proj_qkv", value_heads(2 * keys, length));
    add_matrix(to + "attn_gate", mixer + "in_proj_z", value_heads(0, length));
    add_matrix(to + "ssm_beta", mixer + "in_proj_b", value_heads(0, 1));
    add_matrix(to + "ssm_alpha", mixer + "in_proj_a", value_heads(0, 1));
    add_matrix(to + "ssm_out", mixer + "out_proj", {}, value_heads(0, length));
    add_convolution(to + "ssm_conv1d.weight", mixer + "conv1d.weight");
    add_vector(to + "ssm_dt.bias", mixer + "dt_bias", Kind::kFloat, value_heads(0, 1));
    add_vector(to + "ssm_a", mixer + "A_log", Kind::kMinusExp, value_heads(0, 1));
    add_vector(to + "ssm_norm.weight", mixer + "norm.weight", Kind::kFloat);
  }
  add_vector(to + "post_attention_norm.weight", from + "post_attention_layernorm.weight", Kind::kPlusOne);
  add_matrix(to + "ffn_gate", from + "mlp.gate_proj");
  add_matrix(to + "ffn_up", from + "mlp.up_proj");
  add_matrix(to + "ffn_down", from + "mlp.down_proj");
}

void Checkpoint::add_mtp() {
  const uint64_t layer = config_.number(ModelNumber::BlockCount) - 1;
  const std::string to = "blk." + std::to_string(layer) + ".";
  add_layer(to, mtp_prefix_ + "layers.0.", true);
  add_matrix(to + "nextn.eh_proj", mtp_prefix_ + "fc");
  add_vector(to + "nextn.enorm.weight", mtp_prefix_ + "pre_fc_norm_embedding.weight", Kind::kPlusOne);
  add_vector(to + "nextn.hnorm.weight", mtp_prefix_ + "pre_fc_norm_hidden.weight", Kind::kPlusOne);
  add_vector(to + "nextn.shared_head_norm.weight", mtp_prefix_ + "norm.weight", Kind::kPlusOne);
}

void Checkpoint::add_all() {
  add_matrix("token_embd", text_prefix_ + "embed_tokens");
  add_vector("output_norm.weight", text_prefix_ + "norm.weight", Kind::kPlusOne);
  if (!config_.tied_embeddings) {
    std::string head = "lm_head";
    for (const std::string& candidate :
         {text_prefix_ + "lm_head", std::string("language_model.lm_head"), std::string("model.lm_head")}) {
      if (find("lm_head.weight") == nullptr && find(candidate + ".weight") != nullptr) head = candidate;
    }
    add_matrix("output", head);
  }
  const uint64_t mtp_layers = config_.number(ModelNumber::MtpLayers);
  const uint64_t layers = config_.number(ModelNumber::BlockCount) - mtp_layers;
  const uint64_t interval = config_.number(ModelNumber::AttentionInterval);
  for (uint64_t i = 0; i < layers; ++i) {
    const std::string number = std::to_string(i) + ".";
    add_layer("blk." + number, text_prefix_ + "layers." + number, (i + 1) % interval == 0);
  }
  if (mtp_layers > 0) add_mtp();
  index_.reset(static_cast<uint32_t>(tensors_.size()));
  for (uint32_t i = 0; i < tensors_.size(); ++i) {
    index_.insert(tensors_[i].name, i, [this](uint32_t entry) { return tensors_[entry].name; });
  }
}

void Checkpoint::note_what_is_left() {
  std::sort(used_.begin(), used_.end());
  uint64_t visual = 0;
  uint64_t others = 0;
  std::string first;
  for (const SafetensorsFile& file : files_) {
    for (const SafetensorsTensor& tensor : file.tensors()) {
      if (std::binary_search(used_.begin(), used_.end(), &tensor)) continue;
      const std::string_view name = tensor.name;
      // Scales of activations and of caches, and those that became factors.
      if (name.ends_with("_scale") || name.ends_with("_scale_2") || name.ends_with("_global_scale")) continue;
      if (is_text(name, "visual.")) {
        ++visual;
      } else if (others++ == 0) {
        first = quoted(name);
      }
    }
  }
  if (visual > 0) notes_ = "the vision tower's " + std::to_string(visual) + " tensors are left out";
  if (others > 0) {
    notes_ += std::string(notes_.empty() ? "" : "; ") + std::to_string(others) + " tensors are not used, " +
              first + " for example";
  }
}

}  // namespace inlay

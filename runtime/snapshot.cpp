#include "runtime/snapshot.h"

#include <algorithm>
#include <cstring>

namespace inlay {
namespace {

constexpr char kMagic[8] = {'I', 'N', 'L', 'A', 'Y', 'S', 'A', 'V'};
constexpr uint64_t kSampleBytes = 64;

void add_vector(Checksum& sum, const float* values, uint64_t count) {
  if (values != nullptr) sum.add(values, count * sizeof(float));
}

/// Type, shape and some bytes of the middle; where the bytes are not in host memory they are not asked for.
void add_matrix(Checksum& sum, const WeightMatrix& matrix) {
  const uint32_t numbers[] = {static_cast<uint32_t>(matrix.type), matrix.rows, matrix.columns};
  sum.add(numbers, sizeof numbers);
  if (matrix.data == nullptr) return;
  const uint64_t bytes = std::min(matrix.bytes(), kSampleBytes);
  sum.add(matrix.data + (matrix.bytes() - bytes) / 2, bytes);
}

uint64_t header_checksum(const SnapshotHeader& header) {
  return checksum_of(&header, offsetof(SnapshotHeader, checksum));
}

inlay_status write_memory(void* user_data, const void* data, size_t bytes) {
  auto& memory = *static_cast<SnapshotMemory*>(user_data);
  if (bytes > memory.bytes) return INLAY_ERROR_MEMORY_LIMIT;
  std::memcpy(memory.to, data, bytes);
  memory.to += bytes;
  memory.bytes -= bytes;
  return INLAY_OK;
}

inlay_status read_memory(void* user_data, void* destination, size_t bytes) {
  auto& memory = *static_cast<SnapshotMemory*>(user_data);
  if (bytes > memory.bytes) return INLAY_ERROR_CORRUPT_FILE;
  std::memcpy(destination, memory.from, bytes);
  memory.from += bytes;
  memory.bytes -= bytes;
  return INLAY_OK;
}

}  // namespace

uint64_t model_fingerprint(const ModelWeights& weights) {
  const ModelShape& shape = weights.shape;
  Checksum sum;
  const uint32_t numbers[] = {
      shape.layers,      shape.attention_interval, shape.embedding,   shape.feed_forward, shape.vocabulary,
      shape.heads,       shape.kv_heads,           shape.head_length, shape.rope_length,  shape.key_heads,
      shape.value_heads, shape.state_length,       shape.conv_kernel, shape.mtp ? 1u : 0u};
  sum.add(numbers, sizeof numbers);
  add_vector(sum, &shape.rope_base, 1);
  add_vector(sum, &shape.rms_epsilon, 1);
  add_matrix(sum, weights.embedding);
  add_matrix(sum, weights.head);
  add_vector(sum, weights.output_norm, shape.embedding);
  for (uint32_t i = 0; i < shape.layers; ++i) {
    const LayerWeights& layer = weights.layers[i];
    add_vector(sum, layer.mixer_norm, shape.embedding);
    add_vector(sum, layer.feed_forward_norm, shape.embedding);
    add_matrix(sum, layer.gate);
    add_matrix(sum, layer.up);
    add_matrix(sum, layer.down);
    if (shape.is_attention(i)) {
      add_matrix(sum, layer.attention.query_gate);
      add_matrix(sum, layer.attention.out);
    } else {
      add_matrix(sum, layer.delta_net.qkv);
      add_matrix(sum, layer.delta_net.out);
      add_vector(sum, layer.delta_net.a, shape.value_heads);
      add_vector(sum, layer.delta_net.dt_bias, shape.value_heads);
    }
  }
  return sum.value();
}

void seal(SnapshotHeader* header) {
  std::memcpy(header->magic, kMagic, sizeof kMagic);
  header->version = kSnapshotVersion;
  header->checksum = header_checksum(*header);
}

inlay_status check_header(const SnapshotHeader& header, SnapshotKind kind, const char** out_words) {
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    *out_words = "this is not a saved session: its first bytes are not INLAYSAV";
    return INLAY_ERROR_CORRUPT_FILE;
  }
  if (header.version != kSnapshotVersion) {
    *out_words = "the saved state is of another version of the format than this library reads";
    return INLAY_ERROR_UNSUPPORTED;
  }
  if (header.checksum != header_checksum(header)) {
    *out_words = "the saved state is damaged: its header's checksum differs";
    return INLAY_ERROR_CORRUPT_FILE;
  }
  if (header.kind != kind) {
    *out_words = kind == SnapshotKind::kSession ? "the saved state is a generator's, a session can't load it"
                                                : "the saved state is a session's, a generator can't load it";
    return INLAY_ERROR_MISMATCH;
  }
  return INLAY_OK;
}

inlay_status SnapshotWriter::put(const void* data, uint64_t bytes) {
  checksum_.add(data, bytes);
  return host_.write(host_.user_data, data, bytes) < 0 ? INLAY_ERROR_CALLBACK : INLAY_OK;
}

inlay_status SnapshotWriter::end() {
  const uint64_t value = checksum_.value();
  return host_.write(host_.user_data, &value, sizeof value) < 0 ? INLAY_ERROR_CALLBACK : INLAY_OK;
}

inlay_status SnapshotReader::get(void* data, uint64_t bytes) {
  if (host_.read(host_.user_data, data, bytes) < 0) return INLAY_ERROR_CALLBACK;
  checksum_.add(data, bytes);
  return INLAY_OK;
}

inlay_status SnapshotReader::end() {
  uint64_t value = 0;
  if (host_.read(host_.user_data, &value, sizeof value) < 0) return INLAY_ERROR_CALLBACK;
  return value == checksum_.value() ? INLAY_OK : INLAY_ERROR_CORRUPT_FILE;
}

inlay_writer SnapshotMemory::writer() { return {sizeof(inlay_writer), this, write_memory}; }

inlay_reader SnapshotMemory::reader() { return {sizeof(inlay_reader), this, read_memory}; }

bool is_damaged(const void* data, uint64_t bytes) {
  SnapshotHeader header;
  if (bytes < sizeof header + sizeof(uint64_t)) return true;
  std::memcpy(&header, data, sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kSnapshotVersion)
    return false;
  if (header.total_bytes != bytes) return true;
  uint64_t checksum = 0;
  const auto* end = static_cast<const std::byte*>(data) + bytes - sizeof checksum;
  std::memcpy(&checksum, end, sizeof checksum);
  return checksum != checksum_of(data, bytes - sizeof checksum);
}

}  // namespace inlay

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "runtime/session.h"

// Sessions as bytes. One walk over the state's parts saves them or loads them.

namespace inlay {
namespace {

uint64_t log_bytes(const ModelShape& shape) {
  return sizeof(float) * (uint64_t{shape.key_length()} + shape.value_length() + 2 * shape.value_heads);
}

int32_t kv_kind(KvType type) {
  switch (type) {
    case KvType::kF16: return INLAY_KV_F16;
    case KvType::kFp8: return INLAY_KV_FP8;
    case KvType::kQ8: return INLAY_KV_Q8;
  }
  return INLAY_KV_DEFAULT;
}

const char* kv_name(uint32_t kind) {
  return kind == INLAY_KV_F16 ? "F16" : kind == INLAY_KV_FP8 ? "FP8" : kind == INLAY_KV_Q8 ? "Q8" : "unknown";
}

}  // namespace

void Session::describe(SnapshotHeader* header) const {
  header->model = model_->fingerprint();
  std::snprintf(header->model_name, sizeof header->model_name, "%s", model_->info().name);
  header->vocabulary = shape().vocabulary;
  header->kv_type = static_cast<uint32_t>(kv_kind(session_.kv_type));
  header->mtp = mtp() ? 1 : 0;
  header->hidden_row = hidden_row_;
  header->position = position_;
  header->window_begin = window_begin_;
  // An entry of a token that was only drafted is made again.
  header->mtp_position = verified_ ? mtp_position_ : std::min(mtp_position_, position_);
  header->rows = rows_;
  header->verified = verified_ ? 1 : 0;
  header->logits = logits_pass_ == scratch_->logits_pass() ? rows_ : 0;
}

/// Of the session's part; 0 where the device fails. Layers may have been committed to different positions:
/// each is asked.
uint64_t Session::snapshot_bytes(const SnapshotHeader& header) const {
  const ModelShape& shape = model_->shape();
  const uint64_t end = header.end();
  uint64_t bytes = end * sizeof(int32_t);
  bytes += uint64_t{header.logits} * shape.vocabulary * sizeof(float);
  bytes += uint64_t{kMaxWidth + 1} * shape.embedding * sizeof(float);
  bytes += shape.delta_net_layers() * sizeof(uint64_t);
  auto* committed = reinterpret_cast<uint64_t*>(scratch_->staging());
  const StatePart part{.kind = StatePart::Kind::kCommitted};
  if (model_->device().read_part(*state_, part, scratch_->staging()) != INLAY_OK) return 0;
  for (uint32_t layer = 0; layer < shape.delta_net_layers(); ++layer) {
    const uint64_t columns = std::min<uint64_t>(committed[layer], shape.conv_kernel - 1);
    bytes += uint64_t{shape.value_length()} * shape.state_length * sizeof(float);
    bytes += (end - committed[layer] + columns) * shape.conv_channels() * sizeof(float);
    bytes += (end - committed[layer]) * log_bytes(shape);
  }
  const uint64_t kv_layers = shape.attention_layers() + (mtp() ? 1 : 0);
  return bytes + kv_layers * 2 * shape.kv_heads * end * kv_row_bytes(session_.kv_type, shape.head_length);
}

inlay_status Session::move_part(const StatePart& part, uint64_t bytes, SnapshotWriter* writer,
                                SnapshotReader* reader) const {
  Device& device = model_->device();
  std::byte* staging = scratch_->staging();
  if (writer != nullptr) {
    const inlay_status status = device.read_part(*state_, part, staging);
    return status == INLAY_OK ? writer->put(staging, bytes) : status;
  }
  const inlay_status status = reader->get(staging, bytes);
  return status == INLAY_OK ? device.write_part(*state_, part, staging) : status;
}

/// A DeltaNet layer: the state, and of the tokens after it what a replay reads.
inlay_status Session::move_layer(const SnapshotHeader& header, uint32_t layer, uint64_t committed,
                                 SnapshotWriter* writer, SnapshotReader* reader) const {
  const ModelShape& shape = model_->shape();
  const uint64_t head_bytes = uint64_t{shape.state_length} * shape.state_length * sizeof(float);
  inlay_status status = INLAY_OK;
  for (uint32_t head = 0; head < shape.value_heads && status == INLAY_OK; ++head) {
    status = move_part({.kind = StatePart::Kind::kDelta, .layer = layer, .index = head}, head_bytes, writer,
                       reader);
  }
  const uint64_t first = committed - std::min<uint64_t>(committed, shape.conv_kernel - 1);
  for (uint64_t position = first; position < header.end() && status == INLAY_OK; ++position) {
    status = move_part({.kind = StatePart::Kind::kColumn, .layer = layer, .position = position},
                       shape.conv_channels() * sizeof(float), writer, reader);
  }
  for (uint64_t position = committed; position < header.end() && status == INLAY_OK; ++position) {
    status = move_part({.kind = StatePart::Kind::kLog, .layer = layer, .position = position},
                       log_bytes(shape), writer, reader);
  }
  return status;
}

inlay_status Session::move_pages(uint64_t end, SnapshotWriter* writer, SnapshotReader* reader) const {
  const ModelShape& shape = model_->shape();
  const uint32_t layers = shape.attention_layers() + (mtp() ? 1 : 0);
  const uint64_t row = kv_row_bytes(session_.kv_type, shape.head_length);
  for (uint64_t begin = 0; begin < end; begin += kPageTokens) {
    StatePart part{.kind = StatePart::Kind::kKv};
    part.page = static_cast<uint32_t>(begin / kPageTokens);
    part.count = static_cast<uint32_t>(std::min<uint64_t>(end - begin, kPageTokens));
    for (uint32_t i = 0; i < layers * 2 * shape.kv_heads; ++i) {
      part.index = i % shape.kv_heads;
      part.values = i / shape.kv_heads % 2 != 0;
      part.layer = i / shape.kv_heads / 2;
      const inlay_status status = move_part(part, part.count * row, writer, reader);
      if (status != INLAY_OK) return status;
    }
  }
  return INLAY_OK;
}

/// Everything after tokens and logits.
inlay_status Session::move_parts(const SnapshotHeader& header, SnapshotWriter* writer,
                                 SnapshotReader* reader) const {
  const ModelShape& shape = model_->shape();
  const uint32_t layers = shape.delta_net_layers();
  inlay_status status = INLAY_OK;
  for (uint32_t row = 0; row <= kMaxWidth && status == INLAY_OK; ++row) {
    status = move_part({.kind = StatePart::Kind::kHidden, .index = row}, shape.embedding * sizeof(float),
                       writer, reader);
  }
  for (uint32_t layer = 0; layer < layers && status == INLAY_OK; ++layer) {
    // One number a layer goes ahead of it; the device keeps all of them as one part.
    const StatePart part{.kind = StatePart::Kind::kCommitted};
    auto* numbers = reinterpret_cast<uint64_t*>(scratch_->staging());
    status = model_->device().read_part(*state_, part, scratch_->staging());
    if (status != INLAY_OK) break;
    uint64_t committed = numbers[layer];
    if (writer != nullptr) {
      status = writer->put(&committed, sizeof committed);
    } else {
      status = reader->get(&committed, sizeof committed);
      // What no session saves would be read beyond the log.
      const bool possible = committed <= header.position && header.end() - committed <= kLogSlots;
      if (status == INLAY_OK && !possible) status = INLAY_ERROR_CORRUPT_FILE;
      if (status != INLAY_OK) break;
      numbers[layer] = committed;
      status = model_->device().write_part(*state_, part, scratch_->staging());
    }
    if (status == INLAY_OK) status = move_layer(header, layer, committed, writer, reader);
  }
  return status == INLAY_OK ? move_pages(header.end(), writer, reader) : status;
}

inlay_status Session::write_body(const SnapshotHeader& header, SnapshotWriter& writer) const {
  inlay_status status = writer.put(tokens_, header.end() * sizeof(int32_t));
  for (uint32_t row = 0; row < header.logits && status == INLAY_OK; ++row) {
    status = writer.put(result_.logits + (logits_row_ + row) * uint64_t{shape().vocabulary},
                        shape().vocabulary * sizeof(float));
  }
  return status == INLAY_OK ? move_parts(header, &writer, nullptr) : status;
}

inlay_status Session::check_snapshot(const SnapshotHeader& header) {
  if (const inlay_status status = check_idle(); status != INLAY_OK) return status;
  if (scratch_->busy() && !scratch_->is_held_by(this)) {
    return fail(INLAY_ERROR_WRONG_STATE, "a session that shares this one's scratch has work under way");
  }
  const uint32_t kv_type = static_cast<uint32_t>(kv_kind(session_.kv_type));
  if (header.model != model_->fingerprint()) {
    return fail(INLAY_ERROR_MISMATCH,
                "the saved state is of another model (\"%.64s\", vocabulary %u), not of \"%.64s\"",
                header.model_name, header.vocabulary, model_->info().name);
  }
  if (header.kv_type != kv_type) {
    return fail(INLAY_ERROR_MISMATCH, "the saved state keeps keys and values in %s, the session in %s",
                kv_name(header.kv_type), kv_name(kv_type));
  }
  if ((header.mtp != 0) != mtp()) {
    return fail(INLAY_ERROR_MISMATCH, "the saved state is of a session %s mtp, this one was made %s it",
                header.mtp != 0 ? "with" : "without", mtp() ? "with" : "without");
  }
  const bool possible = header.rows <= kMaxWidth && header.logits <= header.rows &&
                        header.hidden_row <= kMaxWidth && header.window_begin <= header.position &&
                        header.position - header.window_begin <= header.hidden_row &&
                        header.mtp_position <= header.position + 1 && header.position <= UINT32_MAX;
  if (!possible) return fail(INLAY_ERROR_CORRUPT_FILE, "the saved state contradicts itself");
  if (header.end() + header.waiting > context_) {
    return fail(INLAY_ERROR_CONTEXT_FULL, "the saved state has %llu tokens, the session's context is %u",
                static_cast<unsigned long long>(header.end()) + header.waiting, context_);
  }
  if (!session_.pooled) return INLAY_OK;
  uint64_t free = pool_->free_pages();
  for (uint32_t i = 0; i < page_count_; ++i) free += pool_->is_sole(pages_[i]) ? 1 : 0;
  const uint64_t needed = (header.end() + kPageTokens - 1) / kPageTokens;
  if (needed <= free) return INLAY_OK;
  return fail(INLAY_ERROR_MEMORY_LIMIT, "the saved state needs %llu pages, the pool has %llu",
              static_cast<unsigned long long>(needed), static_cast<unsigned long long>(free));
}

inlay_status Session::read_body(const SnapshotHeader& header, SnapshotReader& reader) {
  inlay_status status = reset();
  if (status == INLAY_OK) status = own_pages(0, header.end());
  if (status == INLAY_OK) status = reader.get(tokens_, header.end() * sizeof(int32_t));
  for (uint64_t i = 0; i < header.end() && status == INLAY_OK; ++i) {
    const bool inside = tokens_[i] >= 0 && static_cast<uint32_t>(tokens_[i]) < shape().vocabulary;
    if (!inside) status = INLAY_ERROR_CORRUPT_FILE;
  }
  float* logits = model_->device().logits_of(scratch_->device());
  const uint64_t pass = scratch_->begin_logits();
  for (uint32_t row = 0; row < header.logits && status == INLAY_OK; ++row) {
    status = reader.get(logits + row * uint64_t{shape().vocabulary}, shape().vocabulary * sizeof(float));
  }
  if (status == INLAY_OK) status = move_parts(header, nullptr, &reader);
  if (status == INLAY_OK) status = reader.end();
  if (status != INLAY_OK) {
    if (status == INLAY_ERROR_DEVICE) poisoned_ = true;
    if (!poisoned_) reset();
    if (poisoned_) return fail(status, "the device failed; the session can only be destroyed");
    return fail(status, status == INLAY_ERROR_CALLBACK ? "the reader reported an error; the session is empty"
                                                       : "the saved state is damaged; the session is empty");
  }
  result_.logits = logits;
  logits_row_ = 0;
  logits_pass_ = header.logits == header.rows ? pass : 0;
  position_ = header.position;
  window_begin_ = header.window_begin;
  mtp_position_ = header.mtp_position;
  hidden_row_ = header.hidden_row;
  rows_ = header.rows;
  verified_ = header.verified != 0;
  return INLAY_OK;
}

uint64_t Session::save_bytes() const {
  SnapshotHeader header{};
  describe(&header);
  const uint64_t body = snapshot_bytes(header);
  return body == 0 ? 0 : sizeof header + body + sizeof(uint64_t);
}

inlay_status Session::save(const inlay_writer& host) {
  if (const inlay_status status = check_idle(); status != INLAY_OK) return status;
  if (scratch_->busy() && !scratch_->is_held_by(this)) {
    return fail(INLAY_ERROR_WRONG_STATE, "a session that shares this one's scratch has work under way");
  }
  SnapshotHeader header{};
  header.kind = SnapshotKind::kSession;
  describe(&header);
  const uint64_t body = snapshot_bytes(header);
  if (body == 0) return fail(INLAY_ERROR_DEVICE, "the state could not be read from the device");
  header.total_bytes = sizeof header + body + sizeof(uint64_t);
  seal(&header);
  SnapshotWriter writer(host);
  inlay_status status = writer.put(&header, sizeof header);
  if (status == INLAY_OK) status = write_body(header, writer);
  if (status == INLAY_OK) status = writer.end();
  if (status == INLAY_OK) return status;
  return fail(status, status == INLAY_ERROR_CALLBACK ? "the writer reported an error"
                                                     : "the state could not be read from the device");
}

inlay_status Session::load(const inlay_reader& host) {
  SnapshotReader reader(host);
  SnapshotHeader header;
  if (reader.get(&header, sizeof header) != INLAY_OK) {
    return fail(INLAY_ERROR_CALLBACK, "the reader reported an error");
  }
  const char* words = "";
  inlay_status status = check_header(header, SnapshotKind::kSession, &words);
  if (status != INLAY_OK) return fail(status, "%s", words);
  status = check_snapshot(header);
  return status == INLAY_OK ? read_body(header, reader) : status;
}

}  // namespace inlay

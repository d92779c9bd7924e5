#include "kernels/cpu/program.h"

#include <algorithm>

namespace inlay::cpu {
namespace {

// A narrow slice reads about this much of the weights; a wide one does about this many multiplications, or
// that many rows of the operations between the products. All are a few hundred microseconds on two cores.
constexpr uint64_t kNarrowSliceBytes = 1u << 20;
constexpr uint64_t kWideSliceProducts = 24'000'000;
constexpr uint32_t kWideSliceElements = 64 << 10;
constexpr uint32_t kWideDeltaRows = 8;

class Builder {
 public:
  Builder(ProgramKind kind, const ModelWeights& weights, const SessionShape& session, const Program& out)
      : kind_(kind), weights_(weights), session_(session), out_(out) {}

  void build() {
    const ModelShape& shape = weights_.shape;
    if (kind_ == ProgramKind::kNarrow || kind_ == ProgramKind::kWide) {
      add_rows(Op::kEmbed, 0, 4 * shape.embedding);
      for (uint32_t layer = 0; layer < shape.layers; ++layer) add_layer(layer, weights_.layers[layer]);
      add_rows(Op::kFinalNorm, 0, 2 * shape.embedding);
      if (kind_ == ProgramKind::kWide && session_.mtp) add_mtp_cache();
      // The head comes last, so that a chunk of a prompt that needs no logits ends before it.
      add_product(Op::kHead, 0, {&weights_.head}, 1);
    } else {
      if (kind_ == ProgramKind::kDraftCache) {
        add_mtp_cache();
      } else {
        add_mtp_in();
        add_layer(shape.layers, weights_.mtp.layer);
        add(Op::kMtpHeadNorm, shape.layers);
        add_product(Op::kMtpHead, shape.layers, {&weights_.mtp.head}, 1);
        add(Op::kMtpGuess, shape.layers);
      }
    }
  }
  uint32_t count() const { return count_; }
  uint32_t attends() const { return attends_; }

 private:
  bool wide() const { return kind_ == ProgramKind::kWide; }

  void add(Op op, uint32_t layer, uint32_t parts = 1) {
    for (uint32_t part = 0; part < parts; ++part) {
      if (out_.slices != nullptr) {
        out_.slices[count_] = {op, static_cast<uint16_t>(layer), static_cast<uint16_t>(part),
                               static_cast<uint16_t>(parts)};
        if (op == Op::kAttend) out_.attends[attends_] = count_;
      }
      ++count_;
      attends_ += op == Op::kAttend ? 1 : 0;
    }
  }

  void add_product(Op op, uint32_t layer, std::initializer_list<const WeightMatrix*> matrices,
                   uint32_t rows) {
    uint64_t bytes = 0;
    uint64_t products = 0;
    for (const WeightMatrix* matrix : matrices) {
      bytes += matrix->bytes();
      products += uint64_t{matrix->rows} * matrix->columns * rows;
    }
    const uint64_t parts = rows > kMaxWidth ? products / kWideSliceProducts : bytes / kNarrowSliceBytes;
    add(op, layer, static_cast<uint32_t>(std::clamp<uint64_t>(parts, 1, 4096)));
  }

  uint32_t rows() const { return wide() ? session_.prefill_chunk : kMaxWidth; }
  /// Parts of an operation that goes over the rows one by one.
  uint32_t row_parts(uint32_t rows_of_part) const {
    return wide() ? (session_.prefill_chunk + rows_of_part - 1) / rows_of_part : 1;
  }
  /// The same where a row has so many elements.
  uint32_t element_parts(uint32_t elements) const {
    return row_parts(std::max(kWideSliceElements / std::max(elements, 1u), 4u));
  }
  void add_rows(Op op, uint32_t layer, uint32_t elements) { add(op, layer, element_parts(elements)); }

  void add_layer(uint32_t layer, const LayerWeights& w) {
    const ModelShape& shape = weights_.shape;
    add_rows(Op::kMixerNorm, layer, 2 * shape.embedding);
    if (layer == shape.layers || shape.is_attention(layer)) {
      add_product(Op::kMixerIn, layer, {&w.attention.query_gate, &w.attention.key, &w.attention.value},
                  rows());
      add_rows(Op::kRopeAndStore, layer, 2 * (shape.query_length() + 2 * shape.kv_length()));
      add(Op::kAttend, layer, row_parts(kAttendRows));
      add_rows(Op::kAttendCombine, layer, 4 * shape.query_length());
      add_product(Op::kMixerOut, layer, {&w.attention.out}, rows());
    } else {
      const DeltaNetWeights& delta = w.delta_net;
      add_product(Op::kMixerIn, layer, {&delta.qkv, &delta.gate, &delta.beta, &delta.alpha}, rows());
      add_rows(Op::kConv, layer, 4 * shape.conv_channels());
      add(Op::kDelta, layer, row_parts(kWideDeltaRows));
      add_rows(Op::kDeltaGate, layer, 4 * shape.value_length());
      add_product(Op::kMixerOut, layer, {&delta.out}, rows());
    }
    add_rows(Op::kFeedForwardNorm, layer, 2 * shape.embedding);
    add_product(Op::kGateUp, layer, {&w.gate, &w.up}, rows());
    add_rows(Op::kSwiglu, layer, 4 * shape.feed_forward);
    add_product(Op::kDown, layer, {&w.down}, rows());
  }

  void add_mtp_in() {
    add_rows(Op::kMtpIn, weights_.shape.layers, 8 * weights_.shape.embedding);
    add_product(Op::kMtpProject, weights_.shape.layers, {&weights_.mtp.projection}, rows());
  }

  /// Keys and values of the MTP block are all that a token which is known leaves behind.
  void add_mtp_cache() {
    const uint32_t layer = weights_.shape.layers;
    const AttentionWeights& attention = weights_.mtp.layer.attention;
    add_mtp_in();
    add_rows(Op::kMixerNorm, layer, 2 * weights_.shape.embedding);
    add_product(Op::kMixerIn, layer, {&attention.query_gate, &attention.key, &attention.value}, rows());
    add_rows(Op::kRopeAndStore, layer, 2 * (weights_.shape.query_length() + 2 * weights_.shape.kv_length()));
  }

  ProgramKind kind_;
  const ModelWeights& weights_;
  const SessionShape& session_;
  Program out_;
  uint32_t count_ = 0;
  uint32_t attends_ = 0;
};

}  // namespace

void lay_out_program(ProgramKind kind, const ModelWeights& weights, const SessionShape& session,
                     Layout& layout, Program& program) {
  Builder counting(kind, weights, session, {});
  counting.build();
  program.count = counting.count();
  program.attend_count = counting.attends();
  program.slices = layout.take<Slice>(program.count);
  program.attends = layout.take<uint32_t>(program.attend_count);
  if (program.slices != nullptr) Builder(kind, weights, session, program).build();
}

const Slice& slice_of(const Program& program, const AttendCut& cut, uint32_t index, uint32_t* out_key_part) {
  // The j-th kAttend begins where it stands, moved on by the further parts of the j before it.
  const uint32_t more = cut.parts - 1;
  uint32_t low = 0, high = program.attend_count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (program.attends[middle] + middle * more <= index) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  *out_key_part = 0;
  if (low == 0) return program.slices[index];
  const uint32_t begin = program.attends[low - 1] + (low - 1) * more;
  if (index < begin + cut.parts) {
    *out_key_part = index - begin;
    return program.slices[program.attends[low - 1]];
  }
  return program.slices[index - low * more];
}

}  // namespace inlay::cpu

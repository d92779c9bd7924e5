#include "kernels/cpu/program.h"

#include <algorithm>

namespace inlay::cpu {
namespace {

// A narrow slice reads about this much of the weights; a wide one does about this many multiplications. Both
// are a few hundred microseconds on two cores.
constexpr uint64_t kNarrowSliceBytes = 8u << 20;
constexpr uint64_t kWideSliceProducts = 150'000'000;
constexpr uint32_t kWideSliceRows = 32;

class Builder {
 public:
  Builder(ProgramKind kind, const ModelWeights& weights, const SessionShape& session, Slice* out)
      : kind_(kind), weights_(weights), session_(session), out_(out) {}

  uint32_t build() {
    const ModelShape& shape = weights_.shape;
    if (kind_ == ProgramKind::kNarrow || kind_ == ProgramKind::kWide) {
      add(Op::kEmbed, 0);
      for (uint32_t layer = 0; layer < shape.layers; ++layer) add_layer(layer, weights_.layers[layer]);
      add(Op::kFinalNorm, 0);
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
    return count_;
  }

 private:
  bool wide() const { return kind_ == ProgramKind::kWide; }

  void add(Op op, uint32_t layer, uint32_t parts = 1) {
    const uint8_t kind = static_cast<uint8_t>(static_cast<uint32_t>(op) + (wide() ? 32 : 0));
    for (uint32_t part = 0; part < parts; ++part) {
      if (out_ != nullptr) {
        out_[count_] = {op, kind, static_cast<uint16_t>(layer), static_cast<uint16_t>(part),
                        static_cast<uint16_t>(parts)};
      }
      ++count_;
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
  uint32_t row_parts() const {
    return wide() ? (session_.prefill_chunk + kWideSliceRows - 1) / kWideSliceRows : 1;
  }

  void add_layer(uint32_t layer, const LayerWeights& w) {
    const ModelShape& shape = weights_.shape;
    add(Op::kMixerNorm, layer);
    if (layer == shape.layers || shape.is_attention(layer)) {
      add_product(Op::kMixerIn, layer, {&w.attention.query_gate, &w.attention.key, &w.attention.value},
                  rows());
      add(Op::kRopeAndStore, layer);
      add(Op::kAttend, layer, row_parts());
      add(Op::kAttendCombine, layer);
      add_product(Op::kMixerOut, layer, {&w.attention.out}, rows());
    } else {
      const DeltaNetWeights& delta = w.delta_net;
      add_product(Op::kMixerIn, layer, {&delta.qkv, &delta.gate, &delta.beta, &delta.alpha}, rows());
      add(Op::kConv, layer);
      add(Op::kDelta, layer, row_parts());
      add(Op::kDeltaGate, layer);
      add_product(Op::kMixerOut, layer, {&delta.out}, rows());
    }
    add(Op::kFeedForwardNorm, layer);
    add_product(Op::kGateUp, layer, {&w.gate, &w.up}, rows());
    add(Op::kSwiglu, layer);
    add_product(Op::kDown, layer, {&w.down}, rows());
  }

  void add_mtp_in() {
    add(Op::kMtpIn, weights_.shape.layers);
    add_product(Op::kMtpProject, weights_.shape.layers, {&weights_.mtp.projection}, rows());
  }

  /// Keys and values of the MTP block are all that a token which is known leaves behind.
  void add_mtp_cache() {
    const uint32_t layer = weights_.shape.layers;
    const AttentionWeights& attention = weights_.mtp.layer.attention;
    add_mtp_in();
    add(Op::kMixerNorm, layer);
    add_product(Op::kMixerIn, layer, {&attention.query_gate, &attention.key, &attention.value}, rows());
    add(Op::kRopeAndStore, layer);
  }

  ProgramKind kind_;
  const ModelWeights& weights_;
  const SessionShape& session_;
  Slice* out_;
  uint32_t count_ = 0;
};

}  // namespace

void lay_out_program(ProgramKind kind, const ModelWeights& weights, const SessionShape& session,
                     Layout& layout, Program& program) {
  program.count = Builder(kind, weights, session, nullptr).build();
  program.slices = layout.take<Slice>(program.count);
  if (program.slices != nullptr) Builder(kind, weights, session, program.slices).build();
}

}  // namespace inlay::cpu

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "formats/dequantize.h"
#include "kernels/cpu/cpu_objects.h"

// The operations of a pass that are neither the recurrence nor attention: embedding, norms, matrix products,
// SwiGLU, the head and the MTP block's own.

namespace inlay::cpu {
namespace {

// Bytes of weights that a narrow product is dealt out by: two or three microseconds.
constexpr uint32_t kNarrowUnitBytes = 64u << 10;

struct Product {
  const WeightMatrix* weights;
  float* out;
};

/// Which rows of the pass a product is about: all, or the last one alone.
struct ProductRows {
  uint32_t first;
  uint32_t count;
  bool wide;
};

/// Rows of W that are not divided between tasks.
uint32_t unit_rows(const WeightMatrix& weights, bool wide) {
  if (wide) return kWideOutputGranule;
  const uint64_t rows = kNarrowUnitBytes / std::max<uint64_t>(row_bytes(weights.type, weights.columns), 1);
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(rows / kOutputGranule * kOutputGranule, kOutputGranule, 1024));
}

/// How units are dealt to tasks. A wide task is one unit. Of a narrow product each thread first takes one run
/// of units, for memory is fastest read straight on; the last part goes unit by unit, so that threads which
/// were quicker than others have something to do.
struct Deal {
  uint32_t runs;
  uint32_t run_units;
  uint32_t units;

  Deal(uint32_t count, uint32_t threads, bool wide)
      : runs(wide || threads == 1 ? 0 : threads),
        run_units(wide ? 0 : count * 3 / 4 / threads),
        units(count) {
    if (run_units < 2) runs = run_units = 0;
  }
  uint32_t tasks() const { return runs + (units - runs * run_units); }
  uint32_t begin(uint32_t task) const {
    return task < runs ? task * run_units : runs * run_units + (task - runs);
  }
  uint32_t end(uint32_t task) const { return task < runs ? (task + 1) * run_units : begin(task) + 1; }
};

/// Matrix products that share one input: the slice's share of all their output rows.
template <size_t kCount>
void run_products(const Context& context, const Slice& slice, const std::array<Product, kCount>& products,
                  const float* x, size_t x_stride, size_t out_stride, ProductRows rows) {
  CpuScratch& scratch = context.scratch;
  uint32_t begins[kCount + 1] = {};
  for (size_t i = 0; i < kCount; ++i) {
    const uint32_t step = unit_rows(*products[i].weights, rows.wide);
    begins[i + 1] = begins[i] + (products[i].weights->rows + step - 1) / step;
  }
  const uint32_t first_unit = Context::begin_of(slice, begins[kCount]);
  const uint32_t last_unit = Context::end_of(slice, begins[kCount]);
  const Deal deal(last_unit - first_unit, context.pool.threads(), rows.wide);
  auto work = [&](uint32_t task, uint32_t worker) {
    uint32_t unit = first_unit + deal.begin(task);
    const uint32_t end = first_unit + deal.end(task);
    for (size_t i = 0; unit < end; ++i) {
      if (unit >= begins[i + 1]) continue;
      const WeightMatrix& weights = *products[i].weights;
      const uint32_t step = unit_rows(weights, rows.wide);
      const uint32_t stop = std::min(end, begins[i + 1]);
      const MatmulArguments arguments{weights,
                                      (unit - begins[i]) * step,
                                      std::min((stop - begins[i]) * step, weights.rows),
                                      x,
                                      x_stride,
                                      scratch.prepared,
                                      rows.count,
                                      products[i].out + rows.first * out_stride,
                                      out_stride,
                                      scratch.panels + worker * scratch.panel_bytes};
      rows.wide ? context.matmul.wide(arguments) : context.matmul.narrow(arguments);
      unit = stop;
    }
  };
  context.pool.run(deal.tasks(), work);
}

const LayerWeights& layer_of(const Context& context, const Slice& slice) {
  const ModelWeights& model = context.model();
  return slice.layer == model.shape.layers ? model.mtp.layer : model.layers[slice.layer];
}

void embed_row(const WeightMatrix& embedding, int32_t token, float* out) {
  dequantize_row(embedding.type, embedding.data + token * row_bytes(embedding.type, embedding.columns),
                 embedding.columns, out);
  if (embedding.scale != 1.0f) {
    for (uint32_t i = 0; i < embedding.columns; ++i) out[i] *= embedding.scale;
  }
}

/// Angles of rotary embedding (RoFormer, arXiv 2104.09864) for each row's position, in double: positions
/// reach 262,144. All sections of the interleaved M-RoPE see the same position in text, which makes it plain
/// RoPE.
void compute_angles(const Context& context, uint32_t row) {
  const ModelShape& shape = context.shape();
  const uint32_t half = shape.rope_length / 2;
  const auto position = static_cast<double>(context.position_of(row));
  for (uint32_t i = 0; i < half; ++i) {
    const double angle = position * std::pow(double{shape.rope_base}, -2.0 * i / shape.rope_length);
    context.scratch.cosine[size_t{row} * half + i] = static_cast<float>(std::cos(angle));
    context.scratch.sine[size_t{row} * half + i] = static_cast<float>(std::sin(angle));
  }
}

void run_embed(const Context& context, const Slice& slice) {
  const WeightMatrix& embedding = context.model().embedding;
  auto work = [&](uint32_t row, uint32_t) {
    embed_row(embedding, context.tokens[row], context.scratch.x + size_t{row} * embedding.columns);
    compute_angles(context, row);
  };
  context.run_rows(slice, work);
}

void add_branch(const Context& context, uint32_t row) {
  const size_t n = context.shape().embedding;
  context.ops.add(context.scratch.x + row * n, context.scratch.branch + row * n, context.shape().embedding);
}

/// The pre-norm of a mixer or a feed-forward network; nothing is waiting to be added before the first.
void run_norm(const Context& context, const Slice& slice, const float* weight) {
  const ModelShape& shape = context.shape();
  const bool first = slice.op == Op::kMixerNorm && (slice.layer == 0 || slice.layer == shape.layers);
  auto work = [&](uint32_t row, uint32_t) {
    if (!first) add_branch(context, row);
    const size_t n = shape.embedding;
    float* normed = context.scratch.normed + row * n;
    context.ops.rms_norm(context.scratch.x + row * n, weight, shape.embedding, shape.rms_epsilon, normed);
    prepare_row(context, context.scratch.normed, n, row, shape.embedding, context.wide());
  };
  context.run_rows(slice, work);
}

void run_mixer_in(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  const LayerWeights& layer = layer_of(context, slice);
  float* out = context.scratch.mixer_in;
  const size_t stride = context.scratch.mixer_in_stride();
  const ProductRows rows{0, context.rows, context.wide()};
  if (slice.layer == shape.layers || shape.is_attention(slice.layer)) {
    const AttentionWeights& w = layer.attention;
    float* keys = out + size_t{2} * shape.query_length();
    const std::array products{Product{&w.query_gate, out}, Product{&w.key, keys},
                              Product{&w.value, keys + shape.kv_length()}};
    run_products(context, slice, products, context.scratch.normed, shape.embedding, stride, rows);
  } else {
    const DeltaNetWeights& w = layer.delta_net;
    float* gate = out + shape.conv_channels();
    float* beta = gate + shape.value_length();
    const std::array products{Product{&w.qkv, out}, Product{&w.gate, gate}, Product{&w.beta, beta},
                              Product{&w.alpha, beta + shape.value_heads}};
    run_products(context, slice, products, context.scratch.normed, shape.embedding, stride, rows);
  }
}

void run_mixer_out(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  const LayerWeights& layer = layer_of(context, slice);
  const bool attention = slice.layer == shape.layers || shape.is_attention(slice.layer);
  const std::array products{
      Product{attention ? &layer.attention.out : &layer.delta_net.out, context.scratch.branch}};
  run_products(context, slice, products, context.scratch.mixed, context.scratch.mixed_stride(),
               shape.embedding, {0, context.rows, context.wide()});
}

void run_gate_up(const Context& context, const Slice& slice) {
  const LayerWeights& layer = layer_of(context, slice);
  const uint32_t n = context.shape().feed_forward;
  const std::array products{Product{&layer.gate, context.scratch.gate_up},
                            Product{&layer.up, context.scratch.gate_up + n}};
  run_products(context, slice, products, context.scratch.normed, context.shape().embedding, size_t{2} * n,
               {0, context.rows, context.wide()});
}

void run_swiglu(const Context& context, const Slice& slice) {
  const uint32_t n = context.shape().feed_forward;
  auto work = [&](uint32_t row, uint32_t) {
    float* gate = context.scratch.gate_up + size_t{row} * 2 * n;
    context.ops.silu_multiply(gate, gate + n, n, gate);
    prepare_row(context, context.scratch.gate_up, size_t{2} * n, row, n, context.wide());
  };
  context.run_rows(slice, work);
}

void run_down(const Context& context, const Slice& slice) {
  const uint32_t n = context.shape().feed_forward;
  const std::array products{Product{&layer_of(context, slice).down, context.scratch.branch}};
  run_products(context, slice, products, context.scratch.gate_up, size_t{2} * n, context.shape().embedding,
               {0, context.rows, context.wide()});
}

/// Final norm: hidden states for the head, for the MTP head and for the host.
void run_final_norm(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  const size_t n = shape.embedding;
  CpuScratch& scratch = context.scratch;
  auto work = [&](uint32_t row, uint32_t) {
    const Segment& segment = context.segment_of(row);
    const CpuState& state = Context::state_of(segment);
    float* kept = state.hidden_rows(1 - state.hidden_turn);
    const uint32_t of_segment = row - segment.row_begin;
    if (of_segment == 0) {
      std::memcpy(kept, state.hidden_rows(state.hidden_turn) + segment.hidden_row * n, n * sizeof(float));
    }
    add_branch(context, row);
    const bool last = row + 1 == context.rows;
    float* hidden = !context.wide()       ? kept + (1 + of_segment) * n
                    : scratch.session.mtp ? scratch.all_hidden + row * n
                                          : kept + n;
    if (context.wide() && !scratch.session.mtp && !last) return;
    context.ops.rms_norm(scratch.x + row * n, context.model().output_norm, shape.embedding, shape.rms_epsilon,
                         hidden);
    if (context.wide() && scratch.session.mtp && last) std::memcpy(kept + n, hidden, n * sizeof(float));
    if (!context.wide()) {
      std::memcpy(scratch.normed + row * n, hidden, n * sizeof(float));
      prepare_row(context, scratch.normed, n, row, shape.embedding, false);
    }
  };
  context.run_rows(slice, work);
}

/// The head is always on the narrow path: after a prompt it reads one row.
void run_head(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  CpuScratch& scratch = context.scratch;
  if (context.wide() && slice.part == 0) {
    const CpuState& state = Context::state_of(context.segments[0]);
    std::memcpy(scratch.normed, state.hidden_rows(1 - state.hidden_turn) + shape.embedding,
                shape.embedding * sizeof(float));
    prepare_row(context, scratch.normed, shape.embedding, 0, shape.embedding, false);
  }
  const std::array products{Product{&context.model().head, scratch.logits}};
  run_products(context, slice, products, scratch.normed, shape.embedding, shape.vocabulary,
               {0, context.wide() ? 1 : context.rows, false});
}

/// What the MTP head reads beside the token: the hidden state of the token before it.
const float* hidden_before(const Context& context, uint32_t row) {
  const size_t n = context.shape().embedding;
  if (context.guess > 0) return context.scratch.mtp_hidden;
  const Segment& segment = context.segment_of(row);
  const CpuState& state = Context::state_of(segment);
  const uint32_t of_segment = row - segment.row_begin;
  if (context.wide() && of_segment > 0) return context.scratch.all_hidden + (row - 1) * n;
  return state.hidden_rows(state.hidden_turn) + (segment.hidden_row + of_segment) * n;
}

void run_mtp_in(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  const MtpWeights& mtp = context.model().mtp;
  const size_t n = shape.embedding;
  CpuScratch& scratch = context.scratch;
  auto work = [&](uint32_t row, uint32_t) {
    float* in = scratch.normed + row * 2 * n;
    float* embedding = scratch.branch + row * n;
    embed_row(mtp.embedding, context.tokens[row], embedding);
    context.ops.rms_norm(embedding, mtp.embedding_norm, shape.embedding, shape.rms_epsilon, in);
    context.ops.rms_norm(hidden_before(context, row), mtp.hidden_norm, shape.embedding, shape.rms_epsilon,
                         in + n);
    prepare_row(context, scratch.normed, 2 * n, row, 2 * shape.embedding, context.wide());
    compute_angles(context, row);
  };
  context.run_rows(slice, work);
}

void run_mtp_project(const Context& context, const Slice& slice) {
  const size_t n = context.shape().embedding;
  const std::array products{Product{&context.model().mtp.projection, context.scratch.x}};
  run_products(context, slice, products, context.scratch.normed, 2 * n, n, {0, context.rows, context.wide()});
}

void run_mtp_head_norm(const Context& context) {
  const ModelShape& shape = context.shape();
  CpuScratch& scratch = context.scratch;
  const uint32_t last = context.rows - 1;
  add_branch(context, last);
  context.ops.rms_norm(scratch.x + size_t{last} * shape.embedding, context.model().mtp.head_norm,
                       shape.embedding, shape.rms_epsilon, scratch.mtp_hidden);
  prepare_row(context, scratch.mtp_hidden, shape.embedding, 0, shape.embedding, false);
}

void run_mtp_head(const Context& context, const Slice& slice) {
  const std::array products{Product{&context.model().mtp.head, context.scratch.draft_logits}};
  run_products(context, slice, products, context.scratch.mtp_hidden, context.shape().embedding,
               context.shape().vocabulary, {0, 1, false});
}

void run_mtp_guess(const Context& context) {
  CpuScratch& scratch = context.scratch;
  scratch.draft_tokens[context.guess] = context.ops.argmax(scratch.draft_logits, context.shape().vocabulary,
                                                           &scratch.draft_probabilities[context.guess]);
}

}  // namespace

void prepare_row(const Context& context, const float* x, size_t stride, uint32_t row, uint32_t columns,
                 bool wide) {
  (wide ? context.matmul.prepare_wide : context.matmul.prepare_narrow)(x, stride, row, row + 1, columns,
                                                                       context.scratch.prepared);
}

void run_slice(const Context& context, const Slice& slice) {
  switch (slice.op) {
    case Op::kEmbed: return run_embed(context, slice);
    case Op::kMixerNorm: return run_norm(context, slice, layer_of(context, slice).mixer_norm);
    case Op::kMixerIn: return run_mixer_in(context, slice);
    case Op::kConv: return run_conv(context, slice);
    case Op::kDelta: return run_delta(context, slice);
    case Op::kDeltaGate: return run_delta_gate(context, slice);
    case Op::kRopeAndStore: return run_rope_and_store(context, slice);
    case Op::kAttend: return run_attend(context, slice);
    case Op::kAttendCombine: return run_attend_combine(context, slice);
    case Op::kMixerOut: return run_mixer_out(context, slice);
    case Op::kFeedForwardNorm: return run_norm(context, slice, layer_of(context, slice).feed_forward_norm);
    case Op::kGateUp: return run_gate_up(context, slice);
    case Op::kSwiglu: return run_swiglu(context, slice);
    case Op::kDown: return run_down(context, slice);
    case Op::kFinalNorm: return run_final_norm(context, slice);
    case Op::kHead: return run_head(context, slice);
    case Op::kMtpIn: return run_mtp_in(context, slice);
    case Op::kMtpProject: return run_mtp_project(context, slice);
    case Op::kMtpHeadNorm: return run_mtp_head_norm(context);
    case Op::kMtpHead: return run_mtp_head(context, slice);
    case Op::kMtpGuess: return run_mtp_guess(context);
  }
}

}  // namespace inlay::cpu

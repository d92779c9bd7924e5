#include <algorithm>
#include <initializer_list>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/delta_net.h"
#include "kernels/cuda/pass.h"
#include "kernels/cuda/rows.h"

namespace inlay::cuda {
namespace {

/// Rows of a group of matrices of the same columns times those of `in`. With the first row, dequantises the
/// matrices, one after another, for the other rows as well.
void multiply(const WideContext& c, RowRange rows, std::initializer_list<const WeightMatrix*> matrices,
              const __half* in, GemmArguments g) {
  __half* weights = c.scratch.wide_weights;
  g.b = weights;
  g.rows = rows.count();
  g.outputs = 0;
  for (const WeightMatrix* matrix : matrices) {
    if (rows.begin == 0) c.queue.note(dequantise(packed(*matrix), 0, matrix->rows, weights, c.queue.stream));
    weights += uint64_t{matrix->rows} * matrix->columns;
    g.columns = matrix->columns;
    g.outputs += matrix->rows;
  }
  g.a = in + uint64_t{rows.begin} * g.columns;
  if (g.epilogue == GemmEpilogue::kSwiGlu) {
    g.outputs /= 2;
    g.half_out += uint64_t{rows.begin} * g.out_stride;
  } else {
    g.out += uint64_t{rows.begin} * g.out_stride;
  }
  launch_gemm(c.queue, c.device.gemm, g);
}

GemmArguments store(float* out, uint32_t stride) {
  GemmArguments g;
  g.epilogue = GemmEpilogue::kStore;
  g.out = out;
  g.out_stride = stride;
  return g;
}

GemmArguments add(float* out, uint32_t stride, float factor) {
  GemmArguments g = store(out, stride);
  g.epilogue = GemmEpilogue::kAdd;
  g.factor = factor;
  return g;
}

void queue_norm(const WideContext& c, const float* weight) {
  const ModelShape& s = c.shape();
  launch_rms_norm_half(c.queue, c.scratch.x, weight, s.rms_epsilon, s.embedding, c.rows, c.scratch.half_in);
}

void queue_mixer_in(const WideContext& c, const LayerWeights& w, RowRange rows, bool attention) {
  if (rows.begin == 0) queue_norm(c, w.mixer_norm);
  const GemmArguments out = store(c.scratch.mixer_in, c.scratch.mixer_stride());
  const DeltaNetWeights& d = w.delta_net;
  const AttentionWeights& a = w.attention;
  if (attention) return multiply(c, rows, {&a.query_gate, &a.key, &a.value}, c.scratch.half_in, out);
  multiply(c, rows, {&d.qkv, &d.gate, &d.beta, &d.alpha}, c.scratch.half_in, out);
}

void queue_delta_net(const WideContext& c, const DeltaNetWeights& w, uint32_t delta_layer) {
  const ModelShape& s = c.shape();
  const uint32_t stride = c.scratch.mixer_stride();
  DeltaNetArguments delta;
  delta.state = c.state.view;
  delta.position = c.position;
  delta.qkv = c.scratch.mixer_in;
  delta.beta = delta.qkv + s.conv_channels() + s.value_length();
  delta.alpha = delta.beta + s.value_heads;
  delta.qkv_stride = delta.gate_stride = stride;
  delta.conv = w.conv, delta.dt_bias = w.dt_bias, delta.a = w.a;
  delta.out = c.scratch.delta_out;
  delta.key_heads = s.key_heads, delta.value_heads = s.value_heads;
  delta.layer = delta_layer;
  delta.epsilon = s.rms_epsilon;
  launch_delta_net_wide(c.queue, delta, c.scratch.delta, c.rows, c.device.shared_bytes);
  c.scratch.undo_layers = delta_layer + 1;
  GatedNormArguments norm;
  norm.x = delta.out;
  norm.gate = delta.qkv + s.conv_channels(), norm.gate_stride = stride;
  norm.weight = w.norm, norm.epsilon = s.rms_epsilon;
  norm.heads = s.value_heads;
  norm.out = c.scratch.half_in;
  launch_gated_norm(c.queue, norm, c.rows);
}

AttentionArguments attention_arguments(const WideContext& c, const AttentionWeights& w,
                                       uint32_t attention_layer) {
  const ModelShape& s = c.shape();
  AttentionArguments a;
  a.state = c.state.view;
  a.position = c.position;
  a.query_gate = c.scratch.mixer_in;
  a.key = a.query_gate + 2 * s.query_length();
  a.value = a.key + s.kv_length();
  a.query_stride = a.kv_stride = c.scratch.mixer_stride();
  a.query_norm = w.query_norm, a.key_norm = w.key_norm;
  a.frequencies = c.scratch.weights->frequencies;
  a.rope_length = s.rope_length;
  a.query = c.scratch.query;
  a.pages = c.scratch.session.pages();
  a.heads = s.heads;
  a.kv = c.state.kv;
  a.layer = attention_layer;
  a.epsilon = s.rms_epsilon;
  return a;
}

void queue_attention(const WideContext& c, const WideSlices& slices, const WideSlice& at, uint32_t parts) {
  const AttentionArguments a =
      attention_arguments(c, c.model().layers[at.layer].attention, at.layer / c.shape().attention_interval);
  if (at.part == 0) launch_attention_append(c.queue, a, c.rows);
  const auto attend = [&](const AttentionRange& range) {
    launch_attention_wide(c.queue, a, c.scratch.half_in, c.scratch.running, range, c.rows,
                          c.device.shared_bytes);
  };
  if (parts == at.parts) return attend({{0, c.rows}});
  for (uint32_t part = at.part; part < at.part + parts; ++part) attend(slices.attention(part));
}

void queue_gate_up(const WideContext& c, const LayerWeights& w, RowRange rows) {
  if (rows.begin == 0) queue_norm(c, w.feed_forward_norm);
  GemmArguments swiglu;
  swiglu.epilogue = GemmEpilogue::kSwiGlu;
  swiglu.factor = 1.0f / kSwiGluScale;
  swiglu.half_out = c.scratch.half_ffn;
  swiglu.out_stride = c.shape().feed_forward;
  multiply(c, rows, {&w.gate, &w.up}, c.scratch.half_in, swiglu);
}

/// The last row's logits, and hidden states: the last row's for the session, all rows' for the MTP head's KV.
void queue_head(const WideContext& c) {
  const ModelShape& s = c.shape();
  CudaScratch& scratch = c.scratch;
  const float* hidden_in = c.state.hidden_rows(c.state.hidden_turn) + uint64_t{c.hidden_row} * s.embedding;
  float* hidden_out = c.state.hidden_rows(1 - c.state.hidden_turn);
  if (scratch.session.mtp) {
    launch_rms_norm_float(c.queue, scratch.x, c.model().output_norm, s.rms_epsilon, s.embedding, c.rows,
                          scratch.all_hidden);
  }
  launch_chain_norm(c.queue, scratch.x + uint64_t{c.rows - 1} * s.embedding, c.model().output_norm,
                    s.rms_epsilon, s.embedding, scratch.activations, hidden_out + s.embedding);
  c.queue.note(cudaMemcpyAsync(hidden_out, hidden_in, s.embedding * sizeof(float), cudaMemcpyDeviceToDevice,
                               c.queue.stream));
  if (!c.logits) return;
  MatvecLaunch launch;
  launch.count = 1;
  launch.rows = 1;
  launch.matrices[0] = packed(c.model().head);
  launch.activations = scratch.activations;
  launch.outputs[0] = scratch.logits;
  launch.output_strides[0] = s.vocabulary;
  c.queue.note(matvec(c.device.matvec, launch, c.queue.stream));
  c.queue.note(cudaMemcpyAsync(scratch.host_logits, scratch.logits, s.vocabulary * sizeof(float),
                               cudaMemcpyDeviceToHost, c.queue.stream));
}

/// Row i of the MTP head's KV comes from token i and the hidden state of the token before it.
void queue_mtp_in(const WideContext& c, RowRange rows) {
  const ModelShape& s = c.shape();
  const MtpWeights& w = c.model().mtp;
  CudaScratch& scratch = c.scratch;
  if (rows.begin == 0) {
    const float* before = c.state.hidden_rows(c.state.hidden_turn) + uint64_t{c.hidden_row} * s.embedding;
    c.queue.note(dequantise_rows(packed(w.embedding), scratch.tokens, c.rows, scratch.mtp_embedding,
                                 s.embedding, c.queue.stream));
    launch_mtp_input_wide(c.queue, scratch.mtp_embedding, before, scratch.all_hidden, w.embedding_norm,
                          w.hidden_norm, s.rms_epsilon, s.embedding, c.rows, scratch.half_in);
  }
  multiply(c, rows, {&w.projection}, scratch.half_in, store(scratch.x, s.embedding));
}

void queue_mtp_kv(const WideContext& c) {
  const LayerWeights& w = c.model().mtp.layer;
  queue_norm(c, w.mixer_norm);
  AttentionArguments a = attention_arguments(c, w.attention, c.shape().attention_layers());
  multiply(c, {0, c.rows}, {&w.attention.key, &w.attention.value}, c.scratch.half_in,
           store(const_cast<float*>(a.key), c.scratch.mixer_stride()));
  a.heads = 0;
  launch_attention_append(c.queue, a, c.rows);
}

/// `parts` of an operation from the slice's on.
void queue_parts(const WideContext& c, const WideSlices& slices, const WideSlice& at, uint32_t parts) {
  const ModelShape& s = c.shape();
  CudaScratch& scratch = c.scratch;
  const LayerWeights& w = c.model().layers[at.layer];
  const RowRange rows = slices.rows(at, parts);
  switch (at.op) {
    case WideOp::kEmbed:
      return c.queue.note(dequantise_rows(packed(c.model().embedding), scratch.tokens, c.rows, scratch.x,
                                          s.embedding, c.queue.stream));
    case WideOp::kDeltaNetIn: return queue_mixer_in(c, w, rows, false);
    case WideOp::kDeltaNet:
      return queue_delta_net(c, w.delta_net, at.layer - at.layer / s.attention_interval);
    case WideOp::kDeltaNetOut:
      return multiply(c, rows, {&w.delta_net.out}, scratch.half_in, add(scratch.x, s.embedding, 1.0f));
    case WideOp::kAttentionIn: return queue_mixer_in(c, w, rows, true);
    case WideOp::kAttention: return queue_attention(c, slices, at, parts);
    case WideOp::kAttentionOut:
      return multiply(c, rows, {&w.attention.out}, scratch.half_in, add(scratch.x, s.embedding, 1.0f));
    case WideOp::kGateUp: return queue_gate_up(c, w, rows);
    case WideOp::kDown:
      return multiply(c, rows, {&w.down}, scratch.half_ffn, add(scratch.x, s.embedding, kSwiGluScale));
    case WideOp::kHead: return queue_head(c);
    case WideOp::kMtpIn: return queue_mtp_in(c, rows);
    case WideOp::kMtpKv: return queue_mtp_kv(c);
  }
}

}  // namespace

void queue_wide_slices(const WideContext& c, uint32_t begin, uint32_t end) {
  const WideSlices slices = c.slices();
  for (uint32_t i = begin; i < end;) {
    const WideSlice at = slices.at(i);
    const uint32_t parts = std::min(at.parts - at.part, end - i);
    queue_parts(c, slices, at, parts);
    c.queue.programmatic = c.device.matvec.programmatic;
    i += parts;
  }
}

void queue_wide_end(const WideContext& c) {
  const ModelShape& s = c.shape();
  launch_delta_net_finish(c.queue, c.state.view, c.scratch.delta, s.delta_net_layers(), s.conv_channels(),
                          s.value_heads, c.position, c.rows);
}

}  // namespace inlay::cuda

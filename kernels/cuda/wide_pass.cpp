#include <initializer_list>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/delta_net.h"
#include "kernels/cuda/pass.h"
#include "kernels/cuda/rows.h"

namespace inlay::cuda {
namespace {

/// Dequantises a group of matrices of the same columns, one after another, and multiplies by all at once.
void multiply(const WideContext& c, std::initializer_list<const WeightMatrix*> matrices, const __half* in,
              GemmArguments g) {
  __half* weights = c.scratch.wide_weights;
  g.a = in;
  g.b = weights;
  g.rows = c.rows;
  g.outputs = 0;
  for (const WeightMatrix* matrix : matrices) {
    c.queue.note(dequantise(packed(*matrix), 0, matrix->rows, weights, c.queue.stream));
    weights += uint64_t{matrix->rows} * matrix->columns;
    g.columns = matrix->columns;
    g.outputs += matrix->rows;
  }
  if (g.epilogue == GemmEpilogue::kSwiGlu) g.outputs /= 2;
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

void queue_delta_net(const WideContext& c, const DeltaNetWeights& w, uint32_t delta_layer) {
  const ModelShape& s = c.shape();
  const uint32_t stride = c.scratch.mixer_stride();
  multiply(c, {&w.qkv, &w.gate, &w.beta, &w.alpha}, c.scratch.half_in, store(c.scratch.mixer_in, stride));
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

void queue_attention(const WideContext& c, const AttentionWeights& w, uint32_t attention_layer) {
  multiply(c, {&w.query_gate, &w.key, &w.value}, c.scratch.half_in,
           store(c.scratch.mixer_in, c.scratch.mixer_stride()));
  const AttentionArguments a = attention_arguments(c, w, attention_layer);
  launch_attention_append(c.queue, a, c.rows);
  launch_attention_wide(c.queue, a, c.scratch.half_in, c.rows, c.device.shared_bytes);
}

void queue_mixer(const WideContext& c, uint32_t layer) {
  const ModelShape& s = c.shape();
  const LayerWeights& w = c.model().layers[layer];
  launch_rms_norm_half(c.queue, c.scratch.x, w.mixer_norm, s.rms_epsilon, s.embedding, c.rows,
                       c.scratch.half_in);
  const uint32_t attention_layer = layer / s.attention_interval;
  if (s.is_attention(layer)) {
    queue_attention(c, w.attention, attention_layer);
    multiply(c, {&w.attention.out}, c.scratch.half_in, add(c.scratch.x, s.embedding, 1.0f));
  } else {
    queue_delta_net(c, w.delta_net, layer - attention_layer);
    multiply(c, {&w.delta_net.out}, c.scratch.half_in, add(c.scratch.x, s.embedding, 1.0f));
  }
}

void queue_feed_forward(const WideContext& c, uint32_t layer) {
  const ModelShape& s = c.shape();
  const LayerWeights& w = c.model().layers[layer];
  launch_rms_norm_half(c.queue, c.scratch.x, w.feed_forward_norm, s.rms_epsilon, s.embedding, c.rows,
                       c.scratch.half_in);
  GemmArguments swiglu;
  swiglu.epilogue = GemmEpilogue::kSwiGlu;
  swiglu.factor = 1.0f / kSwiGluScale;
  swiglu.half_out = c.scratch.half_ffn;
  swiglu.out_stride = s.feed_forward;
  multiply(c, {&w.gate, &w.up}, c.scratch.half_in, swiglu);
  multiply(c, {&w.down}, c.scratch.half_ffn, add(c.scratch.x, s.embedding, kSwiGluScale));
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
void queue_mtp_kv(const WideContext& c) {
  const ModelShape& s = c.shape();
  const MtpWeights& w = c.model().mtp;
  CudaScratch& scratch = c.scratch;
  const float* before = c.state.hidden_rows(c.state.hidden_turn) + uint64_t{c.hidden_row} * s.embedding;
  c.queue.note(dequantise_rows(packed(w.embedding), scratch.tokens, c.rows, scratch.mtp_embedding,
                               s.embedding, c.queue.stream));
  launch_mtp_input_wide(c.queue, scratch.mtp_embedding, before, scratch.all_hidden, w.embedding_norm,
                        w.hidden_norm, s.rms_epsilon, s.embedding, c.rows, scratch.half_in);
  multiply(c, {&w.projection}, scratch.half_in, store(scratch.x, s.embedding));
  launch_rms_norm_half(c.queue, scratch.x, w.layer.mixer_norm, s.rms_epsilon, s.embedding, c.rows,
                       scratch.half_in);
  AttentionArguments a = attention_arguments(c, w.layer.attention, s.attention_layers());
  multiply(c, {&w.layer.attention.key, &w.layer.attention.value}, scratch.half_in,
           store(const_cast<float*>(a.key), scratch.mixer_stride()));
  a.heads = 0;
  launch_attention_append(c.queue, a, c.rows);
}

}  // namespace

void queue_wide_slice(const WideContext& c, uint32_t slice) {
  const ModelShape& s = c.shape();
  if (slice == 0) {
    c.queue.note(dequantise_rows(packed(c.model().embedding), c.scratch.tokens, c.rows, c.scratch.x,
                                 s.embedding, c.queue.stream));
  } else if (slice == 2 * s.layers + 1) {
    queue_head(c);
  } else if (slice > 2 * s.layers) {
    queue_mtp_kv(c);
  } else if (slice % 2 == 1) {
    queue_mixer(c, slice / 2);
  } else {
    queue_feed_forward(c, slice / 2 - 1);
  }
}

void queue_wide_end(const WideContext& c) {
  const ModelShape& s = c.shape();
  launch_delta_net_finish(c.queue, c.state.view, c.scratch.delta, s.delta_net_layers(), s.conv_channels(),
                          s.value_heads, c.position, c.rows);
}

}  // namespace inlay::cuda

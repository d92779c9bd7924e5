#include <algorithm>
#include <initializer_list>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/delta_net.h"
#include "kernels/cuda/pass.h"
#include "kernels/cuda/rows.h"

namespace inlay::cuda {
namespace {

struct Product {
  const WeightMatrix& matrix;
  float* out;
  uint32_t stride;
};

/// Products of the same rows of activations, eight rows at a time. `next` is what a later product will read,
/// after kernels that read little.
void multiply(const NarrowContext& c, std::initializer_list<Product> products, const __half* activations,
              uint32_t rows, Epilogue epilogue, const WeightMatrix* next = nullptr) {
  MatvecLaunch launch;
  if (next != nullptr) launch.next = packed(*next);
  launch.epilogue = epilogue;
  launch.programmatic = c.queue.programmatic;
  for (uint32_t first = 0; first < rows; first += kMatvecMaxRows) {
    launch.count = 0;
    launch.rows = std::min(kMatvecMaxRows, rows - first);
    for (const Product& product : products) {
      launch.activations = activations + uint64_t{first} * activation_stride(product.matrix.columns);
      launch.matrices[launch.count] = packed(product.matrix);
      launch.outputs[launch.count] = product.out + uint64_t{first} * product.stride;
      launch.output_strides[launch.count] = product.stride;
      ++launch.count;
    }
    c.queue.note(matvec(c.device.matvec, launch, c.queue.stream));
  }
}

void multiply_swiglu(const NarrowContext& c, const LayerWeights& layer, uint32_t rows) {
  if (layer.gate.type != layer.up.type) {
    const uint32_t columns = c.shape().feed_forward, stride = 2 * columns;
    float* gate = c.scratch.mixer_in;
    multiply(c, {{layer.gate, gate, stride}, {layer.up, gate + columns, stride}}, c.scratch.activations, rows,
             Epilogue::kStore);
    return launch_swiglu(c.queue, gate, columns, rows, c.scratch.ffn_activations);
  }
  MatvecLaunch launch;
  launch.epilogue = Epilogue::kSwiGlu;
  launch.programmatic = c.queue.programmatic;
  launch.count = 2;
  launch.matrices[0] = packed(layer.gate);
  launch.matrices[1] = packed(layer.up);
  for (uint32_t first = 0; first < rows; first += kMatvecMaxRows) {
    launch.rows = std::min(kMatvecMaxRows, rows - first);
    launch.activations = c.scratch.activations + uint64_t{first} * activation_stride(c.shape().embedding);
    launch.activation_output =
        c.scratch.ffn_activations + uint64_t{first} * activation_stride(c.shape().feed_forward);
    c.queue.note(matvec(c.device.matvec, launch, c.queue.stream));
  }
}

void queue_delta_net(const NarrowContext& c, const DeltaNetWeights& w, uint32_t delta_layer) {
  const ModelShape& s = c.shape();
  const uint32_t stride = c.scratch.mixer_stride();
  float* qkv = c.scratch.mixer_in;
  float* gate = qkv + s.conv_channels();
  float* beta = gate + s.value_length();
  float* alpha = beta + s.value_heads;
  multiply(c,
           {{w.qkv, qkv, stride}, {w.gate, gate, stride}, {w.beta, beta, stride}, {w.alpha, alpha, stride}},
           c.scratch.activations, c.rows, Epilogue::kStore, &w.out);
  DeltaNetArguments delta;
  delta.params = c.scratch.params;
  delta.qkv = qkv, delta.beta = beta, delta.alpha = alpha;
  delta.qkv_stride = delta.gate_stride = stride;
  delta.conv = w.conv, delta.dt_bias = w.dt_bias, delta.a = w.a;
  delta.out = c.scratch.delta_out;
  delta.key_heads = s.key_heads, delta.value_heads = s.value_heads;
  delta.layer = delta_layer;
  delta.epsilon = s.rms_epsilon;
  if (c.device.clusters) {
    delta.gate = gate, delta.norm = w.norm;
    delta.activations = c.scratch.activations;
    return launch_delta_net(c.queue, delta, c.segments);
  }
  launch_delta_net(c.queue, delta, c.segments);
  GatedNormArguments norm;
  norm.narrow = true;
  norm.x = delta.out;
  norm.gate = gate, norm.gate_stride = stride;
  norm.weight = w.norm, norm.epsilon = s.rms_epsilon;
  norm.heads = s.value_heads;
  norm.out = c.scratch.activations;
  launch_gated_norm(c.queue, norm, c.rows);
}

AttentionArguments attention_arguments(const NarrowContext& c, const AttentionWeights& w,
                                       uint32_t attention_layer) {
  const ModelShape& s = c.shape();
  AttentionArguments a;
  a.params = c.scratch.params;
  a.query_gate = c.scratch.mixer_in;
  a.key = a.query_gate + 2 * s.query_length();
  a.value = a.key + s.kv_length();
  a.query_stride = a.kv_stride = c.scratch.mixer_stride();
  a.query_norm = w.query_norm, a.key_norm = w.key_norm;
  a.frequencies = c.scratch.weights->frequencies;
  a.rope_length = s.rope_length;
  a.query = c.scratch.query;
  a.partial = c.scratch.partial, a.partial_sum = c.scratch.partial_sum;
  a.pages = c.scratch.session.pages();
  a.out = c.scratch.activations;
  a.heads = s.heads;
  a.kv = kv_layout(s, c.scratch.session);
  a.layer = attention_layer;
  a.first_key = attention_layer == s.attention_layers() ? 1 : 0;
  a.epsilon = s.rms_epsilon;
  return a;
}

void queue_attention(const NarrowContext& c, const AttentionWeights& w, uint32_t attention_layer) {
  const ModelShape& s = c.shape();
  const uint32_t stride = c.scratch.mixer_stride();
  float* query = c.scratch.mixer_in;
  float* key = query + 2 * s.query_length();
  float* value = key + s.kv_length();
  multiply(c, {{w.query_gate, query, stride}, {w.key, key, stride}, {w.value, value, stride}},
           c.scratch.activations, c.rows, Epilogue::kStore, &w.out);
  const AttentionArguments a = attention_arguments(c, w, attention_layer);
  launch_attention_append(c.queue, a, c.rows);
  launch_attention(c.queue, a, c.rows, c.segment_rows, c.device.attention_blocks);
}

void queue_mixer(const NarrowContext& c, uint32_t layer) {
  const ModelShape& s = c.shape();
  const LayerWeights& w = c.model().layers[layer];
  launch_rms_norm(c.queue, c.scratch.x, w.mixer_norm, s.rms_epsilon, s.embedding, c.rows,
                  c.scratch.activations);
  const uint32_t attention_layer = layer / s.attention_interval;
  if (s.is_attention(layer)) {
    queue_attention(c, w.attention, attention_layer);
    multiply(c, {{w.attention.out, c.scratch.x, s.embedding}}, c.scratch.activations, c.rows, Epilogue::kAdd);
  } else {
    queue_delta_net(c, w.delta_net, layer - attention_layer);
    multiply(c, {{w.delta_net.out, c.scratch.x, s.embedding}}, c.scratch.activations, c.rows, Epilogue::kAdd);
  }
}

void queue_feed_forward(const NarrowContext& c, const LayerWeights& w, float* x, uint32_t rows) {
  const ModelShape& s = c.shape();
  launch_rms_norm(c.queue, x, w.feed_forward_norm, s.rms_epsilon, s.embedding, rows, c.scratch.activations);
  multiply_swiglu(c, w, rows);
  multiply(c, {{w.down, x, s.embedding}}, c.scratch.ffn_activations, rows, Epilogue::kAdd);
}

void queue_head(const NarrowContext& c) {
  const ModelShape& s = c.shape();
  launch_final_norm(c.queue, c.scratch.params, c.scratch.x, c.model().output_norm, s.rms_epsilon, s.embedding,
                    c.rows, c.scratch.activations);
  multiply(c, {{c.model().head, c.scratch.logits, s.vocabulary}}, c.scratch.activations, c.rows,
           Epilogue::kStore);
  c.queue.note(cudaMemcpyAsync(c.scratch.host_logits, c.scratch.logits,
                               uint64_t{c.rows} * s.vocabulary * sizeof(float), cudaMemcpyDeviceToHost,
                               c.queue.stream));
}

void queue_guess(const NarrowContext& c, float* last) {
  const ModelShape& s = c.shape();
  const MtpWeights& w = c.model().mtp;
  launch_chain_norm(c.queue, last, w.head_norm, s.rms_epsilon, s.embedding, c.scratch.activations,
                    c.scratch.chained);
  multiply(c, {{w.head, c.scratch.logits, s.vocabulary}}, c.scratch.activations, 1, Epilogue::kStore);
  GuessArguments guess;
  guess.logits = c.scratch.logits;
  guess.vocabulary = s.vocabulary;
  guess.partial = c.scratch.guess_partial;
  guess.tokens = c.scratch.draft_tokens, guess.probabilities = c.scratch.draft_probabilities;
  guess.params = c.scratch.params;
  launch_guess(c.queue, guess);
}

}  // namespace

void queue_narrow_slice(const NarrowContext& c, uint32_t slice) {
  const ModelShape& s = c.shape();
  if (slice == 0) {
    c.queue.note(dequantise_rows(packed(c.model().embedding), c.scratch.params->tokens, c.rows, c.scratch.x,
                                 s.embedding, c.queue.stream));
  } else if (slice > 2 * s.layers) {
    queue_head(c);
  } else if (slice % 2 == 1) {
    queue_mixer(c, slice / 2);
  } else {
    queue_feed_forward(c, c.model().layers[slice / 2 - 1], c.scratch.x, c.rows);
  }
}

void queue_mtp(const NarrowContext& c, bool guess) {
  const ModelShape& s = c.shape();
  const MtpWeights& w = c.model().mtp;
  const AttentionWeights& attention = w.layer.attention;
  CudaScratch& scratch = c.scratch;
  c.queue.note(dequantise_rows(packed(w.embedding), scratch.params->tokens, c.rows, scratch.mtp_embedding,
                               s.embedding, c.queue.stream));
  launch_mtp_input(c.queue, scratch.params, scratch.mtp_embedding, scratch.chained, w.embedding_norm,
                   w.hidden_norm, s.rms_epsilon, s.embedding, c.rows, scratch.activations);
  multiply(c, {{w.projection, scratch.x, s.embedding}}, scratch.activations, c.rows, Epilogue::kStore);
  launch_rms_norm(c.queue, scratch.x, w.layer.mixer_norm, s.rms_epsilon, s.embedding, c.rows,
                  scratch.activations);
  const uint32_t layer = s.attention_layers();
  if (!guess) {
    const uint32_t stride = scratch.mixer_stride();
    AttentionArguments a = attention_arguments(c, attention, layer);
    multiply(c,
             {{attention.key, const_cast<float*>(a.key), stride},
              {attention.value, const_cast<float*>(a.value), stride}},
             scratch.activations, c.rows, Epilogue::kStore);
    a.heads = 0;
    launch_attention_append(c.queue, a, c.rows);
    return;
  }
  queue_attention(c, attention, layer);
  // Only the last row goes on.
  const uint64_t row = c.rows - 1;
  float* last = scratch.x + row * s.embedding;
  multiply(c, {{attention.out, last, s.embedding}},
           scratch.activations + row * activation_stride(s.query_length()), 1, Epilogue::kAdd);
  queue_feed_forward(c, w.layer, last, 1);
  queue_guess(c, last);
}

}  // namespace inlay::cuda

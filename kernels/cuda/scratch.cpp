#include "kernels/cuda/scratch.h"

#include <algorithm>

#include "kernels/cuda/rows.h"

namespace inlay::cuda {
namespace {

constexpr size_t kAlignment = 256;

uint64_t elements(std::initializer_list<const WeightMatrix*> group) {
  uint64_t sum = 0;
  for (const WeightMatrix* matrix : group) sum += uint64_t{matrix->rows} * matrix->columns;
  return sum;
}

uint64_t largest_of_layer(const LayerWeights& layer, bool attention) {
  const DeltaNetWeights& d = layer.delta_net;
  const AttentionWeights& a = layer.attention;
  const uint64_t in = attention ? elements({&a.query_gate, &a.key, &a.value})
                                : elements({&d.qkv, &d.gate, &d.beta, &d.alpha});
  const uint64_t out = elements({attention ? &a.out : &d.out});
  return std::max({in, out, elements({&layer.gate, &layer.up}), elements({&layer.down})});
}

uint64_t largest_group(const ModelWeights& weights, bool mtp) {
  uint64_t largest = 0;
  for (uint32_t i = 0; i < weights.shape.layers; ++i) {
    largest = std::max(largest, largest_of_layer(weights.layers[i], weights.shape.is_attention(i)));
  }
  return mtp ? std::max(largest, elements({&weights.mtp.projection})) : largest;
}

}  // namespace

uint32_t mixer_stride(const ModelShape& shape) {
  const uint32_t delta = shape.conv_channels() + shape.value_length() + 2 * shape.value_heads;
  const uint32_t attention = 2 * shape.query_length() + 2 * shape.kv_length();
  return (std::max(delta, attention) + 15) / 16 * 16;
}

uint32_t CudaScratch::mixer_stride() const { return cuda::mixer_stride(shape()); }

void lay_out_scratch(const ModelWeights& weights, const SessionShape& session, Layout& layout,
                     CudaScratch& scratch) {
  const ModelShape& s = weights.shape;
  const bool mtp = session.mtp && s.mtp;
  scratch.session = session;
  scratch.rows = std::max(session.prefill_chunk, kMaxRows);
  const uint64_t rows = scratch.rows;
  const uint32_t widest = std::max({mtp ? 2 * s.embedding : s.embedding, s.value_length(), s.query_length()});
  const auto take = [&]<typename T>(T*& to, uint64_t count) { to = layout.take<T>(count, kAlignment); };
  take(scratch.params, 1);
  take(scratch.tokens, rows);
  take(scratch.x, rows * s.embedding);
  take(scratch.activations, uint64_t{kMaxRows} * activation_stride(widest));
  take(scratch.ffn_activations, uint64_t{kMaxRows} * activation_stride(s.feed_forward));
  // A narrow pass also keeps gate and up here, where their types differ.
  take(scratch.mixer_in, std::max(rows * mixer_stride(s), uint64_t{kMaxRows} * 2 * s.feed_forward));
  take(scratch.delta_out, rows * std::max(s.value_length(), s.query_length()));
  scratch.running.sums = scratch.delta_out;
  take(scratch.running.rows, rows * s.heads * RunningAttention::kLanes);
  take(scratch.query, rows * s.query_length());
  const uint64_t pages = uint64_t{kMaxRows} * s.heads * session.pages();
  take(scratch.partial, pages * s.head_length);
  take(scratch.partial_sum, pages);
  take(scratch.logits, uint64_t{kMaxRows} * s.vocabulary);
  if (mtp) {
    take(scratch.mtp_embedding, rows * s.embedding);
    take(scratch.chained, s.embedding);
    take(scratch.guess_partial, kGuessBlocks);
    take(scratch.draft_tokens, kMaxWidth * 2);
    scratch.draft_probabilities = reinterpret_cast<float*>(scratch.draft_tokens + kMaxWidth);
    take(scratch.all_hidden, rows * s.embedding);
  }
  take(scratch.half_in, rows * widest);
  take(scratch.half_ffn, rows * s.feed_forward);
  take(scratch.wide_weights, largest_group(weights, mtp));
  const uint64_t chunks = DeltaNetWide::chunks(scratch.rows);
  take(scratch.delta.keys, chunks * DeltaNetWide::kChunk * 2 * s.key_length());
  const uint64_t groups = DeltaNetWide::groups(scratch.rows);
  take(scratch.delta.values, groups * DeltaNetWide::kGroup * s.value_length());
  take(scratch.delta.peaks, groups * s.value_heads);
  take(scratch.delta.gates, rows * s.value_heads);
  take(scratch.delta.products, chunks * s.value_heads * DeltaNetWide::kProductBytes);
  take(scratch.delta.chunk_gates, chunks * s.value_heads * 3 * DeltaNetWide::kChunk);
  take(scratch.delta.undo, uint64_t{s.delta_net_layers()} * s.value_length() * s.state_length);
  take(scratch.delta.tail, uint64_t{s.delta_net_layers()} * DeltaNetWide::kTail * s.conv_channels());
}

void lay_out_pinned(const ModelShape& shape, Layout& layout, CudaScratch& scratch) {
  scratch.pinned = layout.take<PinnedBlock>(1);
  scratch.host_tokens = layout.take<int32_t>(scratch.rows);
  scratch.host_logits = layout.take<float>(uint64_t{kMaxRows} * shape.vocabulary);
}

}  // namespace inlay::cuda

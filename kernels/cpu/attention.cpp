#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_objects.h"

// Gated grouped-query attention over paged keys and values. A narrow row's keys are cut into runs at fixed
// absolute positions, each summed page by page in order, and the runs are combined in order: the cut and the
// order depend on the row's position alone.

namespace inlay::cpu {
namespace {

constexpr uint32_t kWideRowsOfUnit = 4;

const AttentionWeights& weights_of(const Context& context, const Slice& slice) {
  const ModelWeights& model = context.model();
  return slice.layer == model.shape.layers ? model.mtp.layer.attention : model.layers[slice.layer].attention;
}

uint32_t kv_layer_of(const ModelShape& shape, uint32_t layer) { return layer / shape.attention_interval; }

/// The MTP head has no entry for the first token: it is fed from the second on.
uint64_t first_key_of(const ModelShape& shape, uint32_t layer) { return layer == shape.layers ? 1 : 0; }

void rope_row(const Context& context, const AttentionWeights& weights, uint32_t row, uint32_t kv_layer) {
  const ModelShape& shape = context.shape();
  CpuScratch& scratch = context.scratch;
  const uint32_t n = shape.head_length;
  const size_t half = shape.rope_length / 2;
  float* in = scratch.mixer_in + size_t{row} * scratch.mixer_in_stride();
  const float* cosine = scratch.cosine + row * half;
  const float* sine = scratch.sine + row * half;
  for (uint32_t head = 0; head < shape.heads; ++head) {
    float* query = in + size_t{head} * 2 * n;
    context.ops.rms_norm(query, weights.query_norm, n, shape.rms_epsilon, query);
    context.ops.rope(query, cosine, sine, shape.rope_length);
  }
  const Segment& segment = context.segment_of(row);
  const CpuState& state = Context::state_of(segment);
  const uint64_t position = context.position_of(row);
  const auto page = static_cast<uint32_t>(position / kPageTokens);
  const size_t offset = position % kPageTokens * state.kv_row_bytes;
  float* keys = in + size_t{2} * shape.query_length();
  for (uint32_t head = 0; head < shape.kv_heads; ++head) {
    float* key = keys + size_t{head} * n;
    context.ops.rms_norm(key, weights.key_norm, n, shape.rms_epsilon, key);
    context.ops.rope(key, cosine, sine, shape.rope_length);
    context.ops.kv_store(state.session.kv_type, key, n, state.kv_page(page, kv_layer, false, head) + offset);
    context.ops.kv_store(state.session.kv_type, key + shape.kv_length(), n,
                         state.kv_page(page, kv_layer, true, head) + offset);
  }
}

/// One row's queries of one KV head over keys [key_begin, key_end), page by page, going on from what the keys
/// before them gave where `first` is not set.
void attend_row(const Context& context, const Slice& slice, uint32_t row, uint32_t kv_head,
                uint64_t key_begin, uint64_t key_end, bool first, AttentionPartial* partials, float* outs,
                size_t head_step, float* scores) {
  const ModelShape& shape = context.shape();
  const CpuState& state = Context::state_of(context.segment_of(row));
  const uint32_t kv_layer = kv_layer_of(shape, slice.layer);
  const uint32_t n = shape.head_length;
  const uint32_t group = shape.heads / shape.kv_heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(n));
  const float* queries = context.scratch.mixer_in + size_t{row} * context.scratch.mixer_in_stride() +
                         size_t{kv_head} * group * 2 * n;
  const uint32_t bytes = state.kv_row_bytes;
  for (uint32_t head = 0; first && head < group; ++head) {
    partials[head * head_step] = {-INFINITY, 0.0f};
    std::fill_n(outs + head * head_step * n, n, 0.0f);
  }
  while (key_begin < key_end) {
    const uint64_t end = std::min(key_end, (key_begin / kPageTokens + 1) * kPageTokens);
    const auto page = static_cast<uint32_t>(key_begin / kPageTokens);
    const size_t offset = key_begin % kPageTokens * bytes;
    const auto count = static_cast<uint32_t>(end - key_begin);
    const std::byte* keys = state.kv_page(page, kv_layer, false, kv_head) + offset;
    const std::byte* values = state.kv_page(page, kv_layer, true, kv_head) + offset;
    for (uint32_t head = 0; head < group; ++head) {
      context.ops.attention_scores(state.session.kv_type, queries + size_t{head} * 2 * n, keys, bytes, n,
                                   count, scale, scores);
      context.ops.attention_values(state.session.kv_type, scores, values, bytes, n, count,
                                   partials + head * head_step, outs + head * head_step * n);
    }
    key_begin = end;
  }
}

}  // namespace

void run_rope_and_store(const Context& context, const Slice& slice) {
  const AttentionWeights& weights = weights_of(context, slice);
  const uint32_t kv_layer = kv_layer_of(context.shape(), slice.layer);
  auto work = [&](uint32_t row, uint32_t) { rope_row(context, weights, row, kv_layer); };
  context.run_rows(slice, work);
}

void run_attend(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  CpuScratch& scratch = context.scratch;
  const uint32_t group = shape.heads / shape.kv_heads;
  const uint64_t first_key = first_key_of(shape, slice.layer);
  // A narrow row's keys are summed in runs, which are shared out; a wide one's in one.
  const uint32_t stride = context.wide() ? 1 : scratch.attention_runs;
  const uint64_t slice_begin = uint64_t{context.key_part} * context.cut.keys;
  const uint64_t slice_end = slice_begin + context.cut.keys;
  const uint64_t first_run = context.wide() ? 0 : slice_begin / kAttentionRun;
  const auto runs =
      context.wide() ? 1 : static_cast<uint32_t>((slice_end - 1) / kAttentionRun + 1 - first_run);
  const uint32_t rows_of_unit = context.wide() ? kWideRowsOfUnit : 1;
  const uint32_t row_begin = Context::begin_of(slice, context.rows);
  const uint32_t row_end = Context::end_of(slice, context.rows);
  const uint32_t blocks = (row_end - row_begin + rows_of_unit - 1) / rows_of_unit;
  auto work = [&](uint32_t unit, uint32_t worker) {
    const uint64_t run = first_run + unit % runs;
    const uint32_t kv_head = unit / runs % shape.kv_heads;
    const uint32_t first = row_begin + unit / runs / shape.kv_heads * rows_of_unit;
    const uint64_t run_begin = std::max(first_key, context.wide() ? 0 : run * kAttentionRun);
    const uint64_t run_end = context.wide() ? UINT64_MAX : (run + 1) * kAttentionRun;
    for (uint32_t row = first; row < std::min(first + rows_of_unit, row_end); ++row) {
      const uint64_t keys = context.position_of(row) + 1;
      const uint64_t begin = std::max(run_begin, slice_begin);
      const uint64_t end = std::min({keys, run_end, slice_end});
      if (begin >= end) continue;
      const size_t at =
          (size_t{row} * shape.heads + size_t{kv_head} * group) * stride + (context.wide() ? 0 : run);
      attend_row(context, slice, row, kv_head, begin, end, begin == run_begin, scratch.partials + at,
                 scratch.partial_outs + at * shape.head_length, stride,
                 scratch.scores + worker * kPageTokens);
    }
  };
  context.pool.run(blocks * shape.kv_heads * runs, work);
}

void run_attend_combine(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  CpuScratch& scratch = context.scratch;
  const uint32_t stride = context.wide() ? 1 : scratch.attention_runs;
  auto work = [&](uint32_t row, uint32_t) {
    const uint32_t n = shape.head_length;
    const auto runs =
        context.wide() ? 1 : static_cast<uint32_t>(context.position_of(row) / kAttentionRun + 1);
    float* mixed = scratch.mixed + size_t{row} * scratch.mixed_stride();
    const float* queries = scratch.mixer_in + size_t{row} * scratch.mixer_in_stride();
    for (uint32_t head = 0; head < shape.heads; ++head) {
      const size_t at = (size_t{row} * shape.heads + head) * stride;
      context.ops.attention_combine(scratch.partials + at, scratch.partial_outs + at * n, runs, n,
                                    mixed + head * n);
      context.ops.sigmoid_multiply(mixed + head * n, queries + size_t{head} * 2 * n + n, n);
    }
    prepare_row(context, scratch.mixed, scratch.mixed_stride(), row, shape.query_length(), context.wide());
  };
  context.run_rows(slice, work);
}

}  // namespace inlay::cpu

#include "kernels/cpu/cpu_device.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_objects.h"
#include "runtime/error.h"
#include "runtime/platform.h"

namespace inlay::cpu {
namespace {

constexpr uint32_t kDefaultPrefillChunk = 256;

constexpr size_t kMeasuredWords = (256u << 20) / sizeof(uint64_t);  // a thread: more than any cache

uint64_t sum_words(const uint64_t* words, size_t count) {
  uint64_t sums[16] = {};
  for (size_t i = 0; i < count; i += 16) {
    for (size_t j = 0; j < 16; ++j) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

const Ops& choose_ops(std::string_view kernels) {
#if defined(__x86_64__) || defined(_M_X64)
  if (kernels.starts_with("avx512") || kernels == "amx") return kAvx512Ops;
  if (kernels == "avx2") return kAvx2Ops;
#endif
  (void)kernels;
  return kBaselineOps;
}

const MatmulKernels& choose_kernels(std::string_view wanted) {
  CpuFeatures features = detect_cpu_features();
  features.amx_bf16 = features.amx_bf16 && platform::request_amx();
  const auto kernels = available_kernels(features);
  if (wanted.empty()) return *kernels.front();
  std::string names;
  for (const MatmulKernels* candidate : kernels) {
    // "avx512" and "neon" mean the best of their kind: names may say more behind a dash.
    const std::string_view name = candidate->name;
    if (name.substr(0, name.find('-')) == wanted || name == wanted) return *candidate;
    names += names.empty() ? "" : ", ";
    names += candidate->name;
  }
  throw Error(INLAY_ERROR_UNSUPPORTED, "instruction set \"" + std::string(wanted) +
                                           "\" is not one that this processor and this build have (" + names +
                                           ")");
}

class CpuDevice final : public Device {
 public:
  CpuDevice(uint32_t threads, const MatmulKernels& kernels, std::pmr::memory_resource* resource)
      : resource_(resource), pool_(threads, resource), matmul_(kernels), ops_(choose_ops(kernels.name)) {}

  std::pmr::memory_resource* resource() const { return resource_; }

  const char* name() const override { return "CPU"; }
  const char* instruction_set() const override { return matmul_.name; }
  uint32_t default_prefill_chunk(const ModelShape&) const override { return kDefaultPrefillChunk; }

  double measure_read_bandwidth() override {
    const std::pmr::vector<uint64_t> words(pool_.threads() * kMeasuredWords, 1, resource_);
    double best = 0;
    for (int round = 0; round < 5; ++round) {
      std::atomic<uint64_t> sum{0};
      auto work = [&](uint32_t task, uint32_t) {
        sum.fetch_add(sum_words(words.data() + task * (kMeasuredWords / 16), kMeasuredWords / 16),
                      std::memory_order_relaxed);
      };
      const uint64_t start = platform::monotonic_ns();
      pool_.run(pool_.threads() * 16, work);
      const auto ns = static_cast<double>(platform::monotonic_ns() - start);
      // The sum is used, so that the reading cannot be left out.
      if (sum.load() > 0)
        best = std::max(best, static_cast<double>(words.size() * sizeof(uint64_t)) / ns * 1e9);
    }
    return best;
  }

  DeviceBytes plan_weights(const ModelWeights&) const override {
    Layout layout;
    layout.take<CpuWeights>(1);
    return {layout.bytes(), 0};
  }
  DeviceBytes plan_state(const ModelShape& shape, const SessionShape& session) const override {
    Layout layout;
    layout.take<CpuState>(1);
    CpuState state;
    state.lay_out(shape, session, layout);
    return {layout.bytes(), 0};
  }
  DeviceBytes plan_scratch(const ModelWeights& weights, const SessionShape& session) const override {
    Layout layout;
    layout.take<CpuScratch>(1);
    CpuScratch scratch;
    scratch.lay_out(weights, session, pool_.threads(), matmul_.wide_scratch_bytes, layout);
    return {layout.bytes(), 0};
  }

  DeviceWeights* create_weights(const ModelWeights& weights, std::byte* host, inlay_progress_fn,
                                void*) override {
    auto* object = new (host) CpuWeights;
    object->model = &weights;
    return object;
  }
  DeviceState* create_state(const DeviceWeights& weights, const SessionShape& session,
                            std::byte* host) override {
    const ModelShape& shape = static_cast<const CpuWeights&>(weights).model->shape;
    Layout layout(host, plan_state(shape, session).host);
    auto* state = new (layout.take<CpuState>(1)) CpuState;
    state->lay_out(shape, session, layout);
    for (uint32_t page = 0; page < session.pages(); ++page) state->pages[page] = session.pooled ? 0 : page;
    reset(*state);
    return state;
  }
  DeviceScratch* create_scratch(const DeviceWeights& weights, const SessionShape& session,
                                std::byte* host) override {
    const ModelWeights& model = *static_cast<const CpuWeights&>(weights).model;
    Layout layout(host, plan_scratch(model, session).host);
    auto* scratch = new (layout.take<CpuScratch>(1)) CpuScratch;
    scratch->lay_out(model, session, pool_.threads(), matmul_.wide_scratch_bytes, layout);
    return scratch;
  }
  // The objects hold nothing beyond their blocks.
  void release(DeviceWeights*) override {}
  void release(DeviceState*) override {}
  void release(DeviceScratch*) override {}

  inlay_status reset(DeviceState& base) override {
    auto& state = static_cast<CpuState&>(base);
    std::memset(state.delta_state, 0, state.delta_floats() * sizeof(float));
    std::fill_n(state.committed, state.shape.delta_net_layers(), 0);
    std::fill_n(state.hidden, size_t{2} * (kMaxWidth + 1) * state.shape.embedding, 0.0f);
    return INLAY_OK;
  }

  inlay_status copy(const DeviceState& from_base, DeviceState& to_base, uint64_t position) override {
    const auto& from = static_cast<const CpuState&>(from_base);
    auto& to = static_cast<CpuState&>(to_base);
    const uint64_t pages = from.session.pooled ? 0 : (position + kPageTokens - 1) / kPageTokens;
    for (uint64_t page = 0; page < pages; ++page) {
      std::memcpy(to.kv_page(static_cast<uint32_t>(page), 0, false, 0),
                  from.kv_page(static_cast<uint32_t>(page), 0, false, 0), from.page_bytes());
    }
    std::memcpy(to.delta_state, from.delta_state, from.delta_floats() * sizeof(float));
    std::memcpy(to.conv, from.conv, from.conv_floats() * sizeof(float));
    std::memcpy(to.log, from.log, from.log_floats() * sizeof(float));
    std::copy_n(from.committed, from.shape.delta_net_layers(), to.committed);
    std::memcpy(to.hidden, from.hidden, size_t{2} * (kMaxWidth + 1) * from.shape.embedding * sizeof(float));
    to.hidden_turn = from.hidden_turn;
    return INLAY_OK;
  }

  bool has_pools() const override { return true; }
  DeviceBytes plan_pool(const ModelShape& shape, const SessionShape& session, uint32_t pages) const override {
    Layout layout;
    layout.take<CpuPool>(1);
    layout.take<std::byte>(pages * kv_page_bytes(shape, session));
    return {layout.bytes(), 0};
  }
  DevicePool* create_pool(const DeviceWeights& weights, const SessionShape& session, uint32_t pages,
                          std::byte* host) override {
    const ModelShape& shape = static_cast<const CpuWeights&>(weights).model->shape;
    Layout layout(host, plan_pool(shape, session, pages).host);
    auto* pool = new (layout.take<CpuPool>(1)) CpuPool;
    pool->page_bytes = kv_page_bytes(shape, session);
    pool->kv = layout.take<std::byte>(pages * pool->page_bytes);
    return pool;
  }
  void attach(DeviceState& state, DevicePool& pool) override {
    static_cast<CpuState&>(state).kv = static_cast<CpuPool&>(pool).kv;
  }
  inlay_status set_page(DeviceState& state, uint32_t index, uint32_t page) override {
    static_cast<CpuState&>(state).pages[index] = page;
    return INLAY_OK;
  }
  inlay_status copy_page(DevicePool& base, uint32_t from, uint32_t to) override {
    const auto& pool = static_cast<CpuPool&>(base);
    std::memcpy(pool.kv + to * pool.page_bytes, pool.kv + from * pool.page_bytes, pool.page_bytes);
    return INLAY_OK;
  }

  inlay_status read_part(const DeviceState& state, const StatePart& part, std::byte* out) override {
    read_state_part(static_cast<const CpuState&>(state), part, out);
    return INLAY_OK;
  }
  inlay_status write_part(DeviceState& state, const StatePart& part, const std::byte* in) override {
    write_state_part(static_cast<CpuState&>(state), part, in);
    return INLAY_OK;
  }
  float* logits_of(DeviceScratch& scratch) override { return static_cast<CpuScratch&>(scratch).logits; }

  uint32_t slice_count(const DeviceScratch& base, const Pass& pass) const override {
    const auto& scratch = static_cast<const CpuScratch&>(base);
    const AttendCut cut = cut_of(scratch, pass);
    switch (pass.kind) {
      case PassKind::kNarrow: return slice_count_of(scratch.narrow, cut);
      case PassKind::kWide: {
        // The head, which comes last, is for the chunk that needs logits.
        uint32_t heads = 0;
        while (!pass.logits && scratch.wide.slices[scratch.wide.count - 1 - heads].op == Op::kHead) ++heads;
        return slice_count_of(scratch.wide, cut) - heads;
      }
      case PassKind::kDraft:
        return pass.drafts == 0
                   ? slice_count_of(scratch.draft_cache, cut)
                   : slice_count_of(scratch.draft, cut) +
                         (pass.drafts - 1) * slice_count_of(scratch.draft_chain, chain_cut_of(scratch, pass));
    }
    return 0;
  }

  uint32_t slice_kind(const DeviceScratch& base, const Pass& pass, uint32_t index) const override {
    const PlacedSlice at = slice_at(static_cast<const CpuScratch&>(base), pass, index);
    if (at.slice->op == Op::kAttend && is_beyond_keys(pass, at)) return kNoSlice;
    return kind_of(pass, at);
  }

  inlay_status run(DeviceScratch& base, const Pass& pass, uint32_t begin, uint32_t end) override {
    auto& scratch = static_cast<CpuScratch&>(base);
    for (uint32_t i = begin; i < end; ++i) {
      const PlacedSlice at = slice_at(scratch, pass, i);
      Context context{ops_,      matmul_,       pool_,  scratch,     pass.kind, pass.tokens,
                      pass.rows, pass.segments, at.cut, at.key_part, at.guess};
      Segment chained;
      if (at.guess > 0) {
        chained = pass.segments[0];
        chained.position += pass.rows - 1 + at.guess;
        chained.rows = 1;
        context.tokens = scratch.draft_tokens + at.guess - 1;
        context.rows = 1;
        context.segments = {&chained, 1};
      }
      run_slice(context, *at.slice);
    }
    return INLAY_OK;
  }

  inlay_status poll(DeviceScratch&) override { return INLAY_OK; }

  inlay_status finish(DeviceScratch& base, const Pass& pass, PassResult* out_result) override {
    auto& scratch = static_cast<CpuScratch&>(base);
    scratch.undo_layers = 0;
    if (pass.kind != PassKind::kDraft) {
      for (const Segment& segment : pass.segments) Context::state_of(segment).hidden_turn ^= 1;
    }
    *out_result = {scratch.logits, scratch.draft_tokens, scratch.draft_probabilities, scratch.draft_logits};
    return INLAY_OK;
  }

  inlay_status abandon(DeviceScratch& base, const Pass& pass, uint32_t) override {
    auto& scratch = static_cast<CpuScratch&>(base);
    // A narrow pass has only committed what was kept before it, and a draft only written beyond the end.
    if (pass.kind != PassKind::kWide) return INLAY_OK;
    const Segment& segment = pass.segments[0];
    CpuState& state = Context::state_of(segment);
    const ModelShape& shape = state.shape;
    const size_t layer_floats = size_t{shape.value_length()} * shape.state_length;
    const uint32_t back = shape.conv_kernel - 1;
    const uint32_t first = segment.rows > back ? segment.rows - back : 0;
    for (uint32_t delta = 0; delta < scratch.undo_layers; ++delta) {
      const DeltaLayer& layer = state.delta[delta];
      std::memcpy(layer.state, scratch.undo_state + delta * layer_floats, layer_floats * sizeof(float));
      *layer.committed = scratch.undo_committed[delta];
      for (uint32_t i = first; i < segment.rows; ++i) {
        std::memcpy(layer.conv + (segment.position + i) % state.conv_slots() * shape.conv_channels(),
                    scratch.undo_conv + (size_t{delta} * back + (i - first)) * shape.conv_channels(),
                    shape.conv_channels() * sizeof(float));
      }
    }
    scratch.undo_layers = 0;
    return INLAY_OK;
  }

  inlay_status read_hidden(const DeviceState& base, uint32_t row, float* out) override {
    const auto& state = static_cast<const CpuState&>(base);
    const uint32_t n = state.shape.embedding;
    std::memcpy(out, state.hidden_rows(state.hidden_turn) + size_t{row} * n, n * sizeof(float));
    return INLAY_OK;
  }

 private:
  /// A pass's slice and where it stands.
  struct PlacedSlice {
    const Slice* slice;
    AttendCut cut;
    uint32_t key_part;
    uint32_t guess;
  };

  /// Attention over `keys` keys of `rows` rows: so many keys a slice that it does about as much as any other.
  static AttendCut cut_of(const CpuScratch& scratch, uint64_t keys, uint32_t rows) {
    constexpr uint64_t kProductsOfThread = 4'000'000;
    const ModelShape& shape = scratch.model->shape;
    const uint64_t of_key = uint64_t{2} * shape.query_length() * rows;
    const uint64_t wanted = kProductsOfThread * scratch.threads / of_key;
    AttendCut cut;
    // A power of two of pages, so that slices and runs of narrow attention fit into each other.
    cut.keys = kPageTokens;
    while (cut.keys < 64 * kPageTokens && 2 * uint64_t{cut.keys} <= wanted) cut.keys *= 2;
    cut.parts = static_cast<uint32_t>((keys + cut.keys - 1) / cut.keys);
    return cut;
  }
  static AttendCut cut_of(const CpuScratch& scratch, const Pass& pass) {
    uint64_t keys = 0;
    for (const Segment& segment : pass.segments) keys = std::max(keys, segment.position + segment.rows);
    return cut_of(scratch, keys, pass.kind == PassKind::kWide ? kAttendRows : pass.rows);
  }
  /// Of all guesses but the first.
  static AttendCut chain_cut_of(const CpuScratch& scratch, const Pass& pass) {
    return cut_of(scratch, pass.segments[0].position + pass.rows + pass.drafts, 1);
  }

  static PlacedSlice slice_at(const CpuScratch& scratch, const Pass& pass, uint32_t index) {
    PlacedSlice at{nullptr, cut_of(scratch, pass), 0, 0};
    const Program* program = pass.kind == PassKind::kNarrow ? &scratch.narrow
                             : pass.kind == PassKind::kWide ? &scratch.wide
                             : pass.drafts == 0             ? &scratch.draft_cache
                                                            : &scratch.draft;
    if (pass.kind == PassKind::kDraft && pass.drafts > 1) {
      const uint32_t first = slice_count_of(scratch.draft, at.cut);
      if (index >= first) {
        program = &scratch.draft_chain;
        at.cut = chain_cut_of(scratch, pass);
        const uint32_t count = slice_count_of(scratch.draft_chain, at.cut);
        at.guess = 1 + (index - first) / count;
        index = (index - first) % count;
      }
    }
    at.slice = &slice_of(*program, at.cut, index, &at.key_part);
    return at;
  }

  /// Whether a kAttend's run of keys lies behind all keys of its rows.
  static bool is_beyond_keys(const Pass& pass, const PlacedSlice& at) {
    const uint64_t first_key = uint64_t{at.key_part} * at.cut.keys;
    const Segment& segment = pass.segments[0];
    if (pass.kind == PassKind::kWide) {
      return first_key >= segment.position + Context::end_of(*at.slice, pass.rows);
    }
    if (at.guess > 0) return first_key >= segment.position + pass.rows + at.guess;
    return false;
  }

  /// Operations of wide passes, and of narrow ones of 1, 2 to 4 and 5 to 8 rows.
  static uint32_t kind_of(const Pass& pass, const PlacedSlice& at) {
    constexpr uint32_t kOps = 24;
    static_assert(static_cast<uint32_t>(Op::kMtpGuess) < kOps && 4 * kOps < kNoSlice);
    const uint32_t rows = at.guess > 0 ? 1 : pass.rows;
    const uint32_t width = pass.kind == PassKind::kWide ? 3 : rows == 1 ? 0 : rows <= 4 ? 1 : 2;
    return width * kOps + static_cast<uint32_t>(at.slice->op);
  }

  std::pmr::memory_resource* resource_;
  ThreadPool pool_;
  const MatmulKernels& matmul_;
  const Ops& ops_;
};

}  // namespace

uint64_t kv_page_bytes(const ModelShape& shape, const SessionShape& session) {
  const uint64_t layers = shape.attention_layers() + (session.mtp ? 1 : 0);
  return layers * 2 * shape.kv_heads * kPageTokens * kv_bytes(session.kv_type, shape.head_length);
}

void CpuState::lay_out(const ModelShape& model, const SessionShape& wanted, Layout& layout) {
  shape = model;
  session = wanted;
  kv_layers = shape.attention_layers() + (session.mtp ? 1 : 0);
  kv_row_bytes = kv_bytes(session.kv_type, shape.head_length);
  pages = layout.take<uint32_t>(session.pages());
  kv = layout.take<std::byte>(session.pooled ? 0 : session.pages() * page_bytes());
  delta = layout.take<DeltaLayer>(shape.delta_net_layers());
  delta_state = layout.take<float>(delta_floats());
  conv = layout.take<float>(conv_floats());
  log = layout.take<float>(log_floats());
  committed = layout.take<uint64_t>(shape.delta_net_layers());
  hidden = layout.take<float>(uint64_t{2} * (kMaxWidth + 1) * shape.embedding);
  if (layout.counting()) return;
  float* next_log = log;
  for (uint32_t i = 0; i < shape.delta_net_layers(); ++i) {
    DeltaLayer& layer = delta[i];
    layer.state = delta_state + size_t{i} * shape.value_length() * shape.state_length;
    layer.conv = conv + size_t{i} * conv_slots() * shape.conv_channels();
    layer.key = next_log;
    layer.value = layer.key + size_t{kLogSlots} * shape.key_length();
    layer.beta = layer.value + size_t{kLogSlots} * shape.value_length();
    layer.decay = layer.beta + size_t{kLogSlots} * shape.value_heads;
    next_log = layer.decay + size_t{kLogSlots} * shape.value_heads;
    layer.committed = committed + i;
  }
}

uint32_t CpuScratch::mixer_in_stride() const {
  const ModelShape& s = model->shape;
  const uint32_t delta = s.conv_channels() + s.value_length() + 2 * s.value_heads;
  const uint32_t attention = 2 * s.query_length() + 2 * s.kv_length();
  return (std::max(delta, attention) + 15) / 16 * 16;
}

uint32_t CpuScratch::mixed_stride() const {
  return std::max(model->shape.value_length(), model->shape.query_length());
}

void CpuScratch::lay_out(const ModelWeights& weights, const SessionShape& wanted, uint32_t threads,
                         size_t wide_scratch_bytes, Layout& layout) {
  model = &weights;
  session = wanted;
  this->threads = threads;
  const ModelShape& s = weights.shape;
  rows = std::max(kMaxWidth, session.prefill_chunk);
  attention_runs = (session.context + kAttentionRun - 1) / kAttentionRun;
  lay_out_program(ProgramKind::kNarrow, weights, session, layout, narrow);
  lay_out_program(ProgramKind::kWide, weights, session, layout, wide);
  if (session.mtp) {
    lay_out_program(ProgramKind::kDraftCache, weights, session, layout, draft_cache);
    lay_out_program(ProgramKind::kDraft, weights, session, layout, draft);
    lay_out_program(ProgramKind::kDraftChain, weights, session, layout, draft_chain);
  }
  const uint64_t r = rows;
  const uint32_t normed_length = session.mtp ? 2 * s.embedding : s.embedding;
  x = layout.take<float>(r * s.embedding);
  branch = layout.take<float>(r * s.embedding);
  normed = layout.take<float>(r * normed_length);
  mixer_in = layout.take<float>(r * mixer_in_stride());
  conv_out = layout.take<float>(r * s.conv_channels());
  beta = layout.take<float>(r * s.value_heads);
  decay = layout.take<float>(r * s.value_heads);
  mixed = layout.take<float>(r * mixed_stride());
  gate_up = layout.take<float>(r * 2 * s.feed_forward);
  cosine = layout.take<float>(r * s.rope_length / 2);
  sine = layout.take<float>(r * s.rope_length / 2);
  const uint32_t widest = std::max({normed_length, s.feed_forward, mixed_stride()});
  prepared = layout.take<std::byte>(activation_bytes(rows, widest));
  const uint64_t attention_rows = std::max<uint64_t>(r, uint64_t{kMaxWidth} * attention_runs) * s.heads;
  partials = layout.take<AttentionPartial>(attention_rows);
  partial_outs = layout.take<float>(attention_rows * s.head_length);
  scores = layout.take<float>(uint64_t{threads} * kPageTokens);
  panel_bytes = (wide_scratch_bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  panels = layout.take<std::byte>(threads * panel_bytes);
  logits = layout.take<float>(uint64_t{kMaxWidth} * s.vocabulary);
  if (session.mtp) {
    all_hidden = layout.take<float>(r * s.embedding);
    mtp_hidden = layout.take<float>(s.embedding);
    draft_logits = layout.take<float>(s.vocabulary);
    draft_tokens = layout.take<int32_t>(kMaxWidth);
    draft_probabilities = layout.take<float>(kMaxWidth);
  }
  undo_state = layout.take<float>(uint64_t{s.delta_net_layers()} * s.value_length() * s.state_length);
  undo_conv = layout.take<float>(uint64_t{s.delta_net_layers()} * (s.conv_kernel - 1) * s.conv_channels());
  undo_committed = layout.take<uint64_t>(s.delta_net_layers());
}

Device* make_device(uint32_t threads, std::string_view instruction_set, std::pmr::memory_resource* resource) {
  const MatmulKernels& kernels = choose_kernels(instruction_set);
  void* memory = resource->allocate(sizeof(CpuDevice), alignof(CpuDevice));
  try {
    return new (memory) CpuDevice(threads, kernels, resource);
  } catch (...) {
    resource->deallocate(memory, sizeof(CpuDevice), alignof(CpuDevice));
    throw;
  }
}

void destroy_device(Device* device) {
  auto* object = static_cast<CpuDevice*>(device);
  std::pmr::memory_resource* resource = object->resource();
  object->~CpuDevice();
  resource->deallocate(object, sizeof(CpuDevice), alignof(CpuDevice));
}

}  // namespace inlay::cpu

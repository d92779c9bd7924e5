#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/program.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"
#include "runtime/layout.h"

// What the CPU keeps for a model, a session and a pass. Each object's lay_out() both counts and places.

namespace inlay::cpu {

/// Tokens that one thread's run of narrow attention covers: a fixed cut by absolute position, so that a row's
/// sum is in the same order in every pass.
inline constexpr uint32_t kAttentionRun = 8 * kPageTokens;

struct CpuWeights : DeviceWeights {
  const ModelWeights* model = nullptr;
};

/// Where a layer's DeltaNet state and log are.
struct DeltaLayer {
  float* state;  // [value_heads][state_length / 16][state_length][16]
  float* key;    // log [kLogSlots][key_length]
  float* value;  // log [kLogSlots][value_length]
  float* beta;   // log [kLogSlots][value_heads]
  float* decay;  // log [kLogSlots][value_heads]
  float* conv;   // [conv_slots][conv_channels] inputs of the convolution, by position modulo conv_slots
  uint64_t* committed;  // position up to which `state` has been advanced
};

/// Bytes of one page: [kv_layers][K, V][kv_heads][kPageTokens] rows.
uint64_t kv_page_bytes(const ModelShape& shape, const SessionShape& session);

struct CpuPool : DevicePool {
  std::byte* kv = nullptr;  // [pages] of kv_page_bytes
  uint64_t page_bytes = 0;
};

struct CpuState : DeviceState {
  ModelShape shape;
  SessionShape session;
  uint32_t kv_layers = 0;
  uint32_t kv_row_bytes = 0;  // one head of one token
  uint32_t hidden_turn = 0;   // which of the two hidden buffers is the last pass's

  uint32_t* pages = nullptr;     // [pages] where each page of the timeline lies in kv
  std::byte* kv = nullptr;       // [pages][kv_layers][K, V][kv_heads][kPageTokens][kv_row_bytes]; a pool's
  DeltaLayer* delta = nullptr;   // [delta_net_layers]
  float* delta_state = nullptr;  // of all layers
  float* conv = nullptr;
  float* log = nullptr;  // key, value, beta and decay of all layers
  uint64_t* committed = nullptr;
  float* hidden = nullptr;  // [2][kMaxWidth + 1][embedding]

  uint32_t conv_slots() const { return kLogSlots + shape.conv_kernel - 1; }
  uint64_t page_bytes() const { return kv_page_bytes(shape, session); }
  uint64_t delta_floats() const {
    return uint64_t{shape.delta_net_layers()} * shape.value_length() * shape.state_length;
  }
  uint64_t conv_floats() const {
    return uint64_t{shape.delta_net_layers()} * conv_slots() * shape.conv_channels();
  }
  uint64_t log_floats() const {
    return uint64_t{shape.delta_net_layers()} * kLogSlots *
           (shape.key_length() + shape.value_length() + 2 * shape.value_heads);
  }
  /// Rows of keys (or of values) of one page of a layer and head.
  std::byte* kv_page(uint32_t page, uint32_t kv_layer, bool values, uint32_t kv_head) const {
    const uint64_t row =
        ((uint64_t{kv_layer} * 2 + (values ? 1 : 0)) * shape.kv_heads + kv_head) * kPageTokens;
    return kv + pages[page] * page_bytes() + row * kv_row_bytes;
  }
  float* hidden_rows(uint32_t turn) const {
    return hidden + uint64_t{turn} * (kMaxWidth + 1) * shape.embedding;
  }

  /// Fills in the sizes, then takes the arrays.
  void lay_out(const ModelShape& model, const SessionShape& wanted, Layout& layout);
};

struct CpuScratch : DeviceScratch {
  const ModelWeights* model = nullptr;
  SessionShape session;
  uint32_t rows = 0;            // most rows of a pass
  uint32_t attention_runs = 0;  // of the longest timeline
  uint32_t threads = 0;         // that slices are cut for

  Program narrow;
  Program wide;
  Program draft_cache;  // brings the MTP KV up to date
  Program draft;        // and guesses
  Program draft_chain;  // guesses on from the last guess

  float* x = nullptr;         // [rows][embedding] the residual stream
  float* branch = nullptr;    // [rows][embedding] what the next norm adds to it
  float* normed = nullptr;    // [rows][2 * embedding]
  float* mixer_in = nullptr;  // [rows][mixer_in_stride] projections that a mixer starts from
  float* conv_out = nullptr;  // [rows][conv_channels]
  float* beta = nullptr;      // [rows][value_heads]
  float* decay = nullptr;     // [rows][value_heads]
  float* mixed = nullptr;     // [rows][mixed_stride] what a mixer's output projection reads
  float* gate_up = nullptr;   // [rows][2][feed_forward]
  float* cosine = nullptr;    // [rows][rope_length / 2]
  float* sine = nullptr;
  std::byte* prepared = nullptr;  // activations as the matrix kernels want them
  AttentionPartial* partials = nullptr;
  float* partial_outs = nullptr;
  float* scores = nullptr;      // [threads][kPageTokens]
  std::byte* panels = nullptr;  // [threads][wide_scratch_bytes]
  size_t panel_bytes = 0;
  float* logits = nullptr;      // [kMaxWidth][vocabulary]
  float* all_hidden = nullptr;  // [rows][embedding] of a wide pass, for the MTP head
  float* mtp_hidden = nullptr;  // [embedding] what a draft's next guess continues from
  float* draft_logits = nullptr;
  int32_t* draft_tokens = nullptr;       // [kMaxWidth]
  float* draft_probabilities = nullptr;  // [kMaxWidth]

  // What a wide pass has overwritten, until it is finished.
  float* undo_state = nullptr;
  float* undo_conv = nullptr;          // [delta_net_layers][conv_kernel - 1][conv_channels]
  uint64_t* undo_committed = nullptr;  // [delta_net_layers]
  uint32_t undo_layers = 0;

  uint32_t mixer_in_stride() const;
  uint32_t mixed_stride() const;
  void lay_out(const ModelWeights& weights, const SessionShape& wanted, uint32_t threads,
               size_t wide_scratch_bytes, Layout& layout);
};

/// What one slice runs with.
struct Context {
  const Ops& ops;
  const MatmulKernels& matmul;
  ThreadPool& pool;
  CpuScratch& scratch;
  PassKind kind;
  const int32_t* tokens;
  uint32_t rows;
  std::span<const Segment> segments;
  AttendCut cut;
  uint32_t key_part = 0;  // of a kAttend: which run of cut.keys keys
  uint32_t guess = 0;  // of a draft pass: which one; from the second on they continue from scratch.mtp_hidden

  const ModelWeights& model() const { return *scratch.model; }
  const ModelShape& shape() const { return scratch.model->shape; }
  bool wide() const { return kind == PassKind::kWide; }
  const Segment& segment_of(uint32_t row) const {
    uint32_t i = 0;
    while (row >= segments[i].row_begin + segments[i].rows) ++i;
    return segments[i];
  }
  static CpuState& state_of(const Segment& segment) { return static_cast<CpuState&>(*segment.state); }
  uint64_t position_of(uint32_t row) const {
    const Segment& segment = segment_of(row);
    return segment.position + (row - segment.row_begin);
  }
  /// The part's share of n units.
  static uint32_t begin_of(const Slice& slice, uint32_t n) {
    return static_cast<uint32_t>(uint64_t{n} * slice.part / slice.parts);
  }
  static uint32_t end_of(const Slice& slice, uint32_t n) {
    return static_cast<uint32_t>(uint64_t{n} * (slice.part + 1u) / slice.parts);
  }
  /// Calls work(row, worker) for the slice's share of the rows.
  template <typename F>
  void run_rows(const Slice& slice, F& work) const {
    const uint32_t begin = begin_of(slice, rows);
    auto of_part = [&](uint32_t index, uint32_t worker) { work(begin + index, worker); };
    pool.run(end_of(slice, rows) - begin, of_part);
  }
};

/// Device::read_part and write_part.
void read_state_part(const CpuState& state, const StatePart& part, std::byte* out);
void write_state_part(CpuState& state, const StatePart& part, const std::byte* in);

void run_conv(const Context& context, const Slice& slice);
void run_delta(const Context& context, const Slice& slice);
void run_delta_gate(const Context& context, const Slice& slice);
void run_rope_and_store(const Context& context, const Slice& slice);
void run_attend(const Context& context, const Slice& slice);
void run_attend_combine(const Context& context, const Slice& slice);
void run_slice(const Context& context, const Slice& slice);

/// Prepares one row for the matrix kernels of this path.
void prepare_row(const Context& context, const float* x, size_t stride, uint32_t row, uint32_t columns,
                 bool wide);

}  // namespace inlay::cpu

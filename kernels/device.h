#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "inlay/inlay.h"
#include "kernels/model_weights.h"

// The one seam between the runtime and what computes. A device plans and makes three kinds of objects (a
// model's weights, a session's state, the scratch that a pass works in) and runs passes over them, slice by
// slice. It knows tokens and positions; it knows nothing of files, text, sampling or acceptance.

namespace inlay {

inline constexpr uint32_t kMaxWidth = INLAY_MAX_WIDTH;  // rows of one session in a narrow pass
inline constexpr uint32_t kPageTokens = 256;            // tokens of a KV page, and of one attention chunk
// Logged tokens are addressed by position modulo this: a pass logs up to kMaxWidth new ones while up to
// kMaxWidth kept ones may still wait for their replay.
inline constexpr uint32_t kLogSlots = 2 * kMaxWidth;

enum class KvType : uint8_t { kF16, kFp8, kQ8 };

/// What fixes the bytes of a session's state and scratch, beside the model's shape.
struct SessionShape {
  uint32_t context = 0;        // tokens, a multiple of kPageTokens
  uint32_t prefill_chunk = 0;  // rows of a wide pass at most
  KvType kv_type = KvType::kF16;
  bool mtp = false;
  bool pooled = false;  // the KV pages are a DevicePool's, not the state's own

  uint32_t pages() const { return context / kPageTokens; }
  bool operator==(const SessionShape&) const = default;
};

struct DeviceBytes {
  uint64_t host = 0;
  uint64_t device = 0;
};

/// Objects of a device. Each lives in the host block that its create was given (which the runtime owns, and
/// gives back after release) and in device memory that the device owns.
class DeviceWeights {
 protected:
  ~DeviceWeights() = default;
};
class DeviceState {
 protected:
  ~DeviceState() = default;
};
class DeviceScratch {
 protected:
  ~DeviceScratch() = default;
};
/// KV pages that several states share. Which state uses which page is the runtime's to say.
class DevicePool {
 protected:
  ~DevicePool() = default;
};

/// A piece of a state in the form in which it is saved, which is the same on every device. Layers of kDelta,
/// kColumn and kLog count DeltaNet layers, those of kKv attention layers with the MTP block's as the last.
struct StatePart {
  enum class Kind : uint8_t {
    kHidden,     // row `index` of the hidden states: float[embedding]
    kCommitted,  // uint64[delta_net_layers]: up to where each layer's state has been advanced
    kDelta,      // value head `index` of a layer: float[state_length of the key][state_length of the value]
    kColumn,     // the convolution's input at `position`: float[conv_channels]
    kLog,        // of `position`: key, value, beta, decay: float[key_length + value_length + 2 * value_heads]
    kKv,         // the first `count` tokens of page `page`, KV head `index`: [count][bytes of a row]
  };
  Kind kind = Kind::kHidden;
  bool values = false;  // kKv: values, not keys
  uint32_t layer = 0;
  uint32_t index = 0;
  uint32_t page = 0;
  uint32_t count = 0;
  uint64_t position = 0;
};

enum class PassKind : uint8_t {
  kNarrow,  // 1..kMaxWidth rows a segment, logits of every row; every row's bits depend on that row alone
  kWide,    // a chunk of prompt, one segment, logits of its last row where asked; all rows are committed
  kDraft,   // the MTP head: brings its KV up to date with the rows given, then chains `drafts` guesses
};

/// Consecutive tokens of one timeline in a pass. What lies between the state's committed position and
/// `position` is logged and gets replayed.
struct Segment {
  DeviceState* state = nullptr;
  uint32_t row_begin = 0;
  uint32_t rows = 0;
  uint64_t position = 0;    // of the first row
  uint32_t hidden_row = 0;  // the row of the state's hidden that belongs to position - 1 (see DeviceState)
};

/// One pass. The arrays it points to stay as they are until it has run.
struct Pass {
  PassKind kind = PassKind::kNarrow;
  const int32_t* tokens = nullptr;  // [rows]
  uint32_t rows = 0;
  std::span<const Segment> segments;
  bool logits = true;         // kWide: compute the last row's logits (the last chunk of a prompt)
  uint32_t drafts = 0;        // kDraft: guesses to chain; 0 only brings the MTP KV up to date
  bool draft_logits = false;  // kDraft of one guess: its logits are wanted too (tests and tools)
};

/// Where a pass left what the runtime reads; all in host memory, valid until the next pass on the scratch.
struct PassResult {
  const float* logits = nullptr;               // [rows or 1][vocabulary]
  const int32_t* draft_tokens = nullptr;       // [drafts]: each the likeliest, the lowest id among equals
  const float* draft_probabilities = nullptr;  // [drafts]: of that token, by softmax
  const float* draft_logits = nullptr;         // [vocabulary] where the pass wanted them
};

/// The state of a session on a device:
/// - KV of the attention layers (and of the MTP layer) in pages of kPageTokens;
/// - DeltaNet state and convolution columns, committed up to a position that each layer keeps itself, so that
/// a
///   pass that was cut short half way can be run again;
/// - the log of the last tokens (convolution input, k, v, beta, decay), by position modulo kLogSlots;
/// - hidden: [kMaxWidth + 1] rows of final-norm hidden states. Row 0 belongs to the token before the last
///   pass, row i + 1 to its row i. A wide pass leaves its last token's in row 1. Two buffers take turns, so a
///   pass that is cut short leaves the older one intact; finishing a pass is what turns them.
/// A draft pass reads, for row i of its segment, hidden row (hidden_row + i): the MTP head is fed (token at
/// position + i, hidden of position + i - 1).
class Device {
 public:
  virtual ~Device() = default;

  virtual const char* name() const = 0;
  virtual const char* instruction_set() const = 0;
  /// Rows of a wide pass that this device likes for such a model.
  virtual uint32_t default_prefill_chunk(const ModelShape& shape) const = 0;

  /// Whether weights may be given to it in tiles (formats/tiles.h).
  virtual bool reads_tiles() const { return false; }

  /// Bytes a second of a plain streaming read of the memory that weights lie in: what a narrow pass cannot
  /// beat. Takes some memory, and a fraction of a second.
  virtual double measure_read_bandwidth() { return 0; }

  // Plans: exact, from shapes and types alone. `data` pointers of the weights are not read.
  virtual DeviceBytes plan_weights(const ModelWeights& weights) const = 0;
  virtual DeviceBytes plan_state(const ModelShape& shape, const SessionShape& session) const = 0;
  virtual DeviceBytes plan_scratch(const ModelWeights& weights, const SessionShape& session) const = 0;

  // Creates: take exactly the plan; `host` is a block of the planned host bytes, aligned to a cache line.
  // They throw Error. Released objects give back what they hold on the device, not the block.
  virtual DeviceWeights* create_weights(const ModelWeights& weights, std::byte* host,
                                        inlay_progress_fn progress, void* progress_user_data) = 0;
  virtual DeviceState* create_state(const DeviceWeights& weights, const SessionShape& session,
                                    std::byte* host) = 0;
  /// A block that a scratch of the same weights and shape already lives in gives that one, which is then to
  /// be released once for every create.
  virtual DeviceScratch* create_scratch(const DeviceWeights& weights, const SessionShape& session,
                                        std::byte* host) = 0;
  virtual void release(DeviceWeights* weights) = 0;
  virtual void release(DeviceState* state) = 0;
  virtual void release(DeviceScratch* scratch) = 0;

  /// Empties a timeline: committed position 0 everywhere.
  virtual inlay_status reset(DeviceState& state) = 0;
  /// Everything of `from` up to `position` becomes `to`'s; both of the same weights and session shape.
  virtual inlay_status copy(const DeviceState& from, DeviceState& to, uint64_t position) = 0;

  // Pools. A device without them says so, and its states keep their own pages. The pool is planned and
  // created like the other objects; a state of a pooled session is attached to it once, before its first
  // pass.
  virtual bool has_pools() const { return false; }
  virtual DeviceBytes plan_pool(const ModelShape&, const SessionShape&, uint32_t) const { return {}; }
  virtual DevicePool* create_pool(const DeviceWeights&, const SessionShape&, uint32_t, std::byte*) {
    return nullptr;
  }
  virtual void release_pool(DevicePool*) {}
  virtual void attach(DeviceState&, DevicePool&) {}
  /// Page `index` of the timeline is page `page` of the pool from now on.
  virtual inlay_status set_page(DeviceState&, uint32_t, uint32_t) { return INLAY_ERROR_UNSUPPORTED; }
  virtual inlay_status copy_page(DevicePool&, uint32_t, uint32_t) { return INLAY_ERROR_UNSUPPORTED; }

  // Saving: a part's bytes out of a state, and into one. No pass over the state is under way. Writing
  // all parts of a state into one that was reset gives a state that computes the same bits.
  virtual inlay_status read_part(const DeviceState&, const StatePart&, std::byte*) {
    return INLAY_ERROR_UNSUPPORTED;
  }
  virtual inlay_status write_part(DeviceState&, const StatePart&, const std::byte*) {
    return INLAY_ERROR_UNSUPPORTED;
  }
  /// Where a pass on this scratch leaves its logits: float[kMaxWidth][vocabulary] in host memory.
  virtual float* logits_of(DeviceScratch&) { return nullptr; }

  /// Whether a wide pass of fewer rows than the scratch's chunk has fewer slices, of kinds by their rows;
  /// else it has as many, each with its share of the rows.
  virtual bool slices_are_fewer() const { return false; }

  /// Whether run() only queues: the runtime then gives it whole passes where there is no budget.
  virtual bool asynchronous() const { return false; }

  // Running a pass. Slices are run in order, each once; a slice is the unit of timing and of cancelling.
  // Nothing here allocates. One thread at a time on one scratch and its states.

  /// Slices of this pass; slice_kind(i) < kSliceKinds groups slices that take about the same time. The last
  /// kind, kNoSlice, is that of slices with nothing to do at the pass's position: they need not be run.
  virtual uint32_t slice_count(const DeviceScratch& scratch, const Pass& pass) const = 0;
  static constexpr uint32_t kSliceKinds = 128;
  static constexpr uint32_t kNoSlice = kSliceKinds - 1;
  virtual uint32_t slice_kind(const DeviceScratch& scratch, const Pass& pass, uint32_t slice) const = 0;
  /// How many slices of each kind a pass has, but for kNoSlice.
  using SliceCounts = std::array<uint64_t, kSliceKinds>;
  virtual SliceCounts count_kinds(const DeviceScratch& scratch, const Pass& pass) const {
    SliceCounts counts{};
    const uint32_t slices = slice_count(scratch, pass);
    for (uint32_t i = 0; i < slices; ++i) ++counts[slice_kind(scratch, pass, i)];
    counts[kNoSlice] = 0;
    return counts;
  }
  /// Runs slices [begin, end) (of a pass at position 0 that will be abandoned in any order, so that the
  /// runtime can time one of each kind); on a device with a queue of its own, returns when they are done or,
  /// where end == slice_count, leaves that to finish().
  virtual inlay_status run(DeviceScratch& scratch, const Pass& pass, uint32_t begin, uint32_t end) = 0;
  /// Up to where work without a budget is handed over at once on a device with a queue: in between the
  /// runtime looks whether it was cancelled.
  virtual uint32_t next_stop(const DeviceScratch& scratch, const Pass& pass, uint32_t) const {
    return slice_count(scratch, pass);
  }
  /// INLAY_PENDING while slices that run() queued still compute.
  virtual inlay_status poll(DeviceScratch& scratch) = 0;
  /// Waits for the whole pass, makes its outcome the state's (turns the hidden buffers) and says where it is.
  virtual inlay_status finish(DeviceScratch& scratch, const Pass& pass, PassResult* out_result) = 0;
  /// Undoes what slices [0, done) of a pass that will not be finished did to the states.
  virtual inlay_status abandon(DeviceScratch& scratch, const Pass& pass, uint32_t done) = 0;

  /// Row `row` of the state's hidden (see above), copied to host memory of `embedding` floats.
  virtual inlay_status read_hidden(const DeviceState& state, uint32_t row, float* out) = 0;
};

}  // namespace inlay

#include "kernels/cuda/cuda_device.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <span>
#include <string>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/bandwidth.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/graphs.h"
#include "kernels/cuda/pass.h"
#include "kernels/cuda/scratch.h"
#include "kernels/cuda/state.h"
#include "kernels/cuda/weights.h"
#include "runtime/error.h"

namespace inlay::cuda {
namespace {

constexpr uint64_t kPage = 4096;
constexpr int kOldestMajor = 8;  // sm_80: cp.async and the F16 tensor cores with float sums

uint64_t align_page(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Kinds of slices that take about the same time: a narrow pass's, then each operation of a wide pass by
// class.
enum SliceKind : uint32_t { kEmbed, kDeltaNet, kAttention, kFeedForward, kHead, kMtp, kWideKinds };
static_assert(kWideKinds + WideSlices::kKinds <= Device::kNoSlice);

int choose_device(uint32_t index) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  if (error != cudaSuccess || count == 0) {
    throw Error(INLAY_ERROR_UNSUPPORTED,
                std::string("no CUDA device: ") +
                    (error != cudaSuccess ? cudaGetErrorString(error) : "the driver reports none"));
  }
  if (index >= static_cast<uint32_t>(count)) {
    throw Error(INLAY_ERROR_UNSUPPORTED, "CUDA device " + std::to_string(index) +
                                             " was asked for, this machine has " + std::to_string(count));
  }
  return static_cast<int>(index);
}

/// In place by default where the device's memory is the host's. Pageable access alone says nothing of how
/// fast: a card behind a bus may have it as well.
WeightPlacement choose_placement(inlay_weight_placement wanted, const cudaDeviceProp& device) {
  const bool direct = device.pageableMemoryAccessUsesHostPageTables != 0;
  const bool pinned = device.hostRegisterReadOnlySupported != 0 && device.canMapHostMemory != 0;
  if (wanted == INLAY_WEIGHTS_COPIED || (wanted == INLAY_WEIGHTS_DEFAULT && device.integrated == 0))
    return WeightPlacement::kCopied;
  if (direct) return WeightPlacement::kDirect;
  if (pinned) return WeightPlacement::kPinned;
  if (wanted == INLAY_WEIGHTS_DEFAULT) return WeightPlacement::kCopied;
  throw Error(INLAY_ERROR_UNSUPPORTED,
              std::string(device.name) +
                  " cannot read weights where they are mapped: weight_placement has to "
                  "be INLAY_WEIGHTS_COPIED");
}

void check_shape(const ModelShape& s) {
  const auto refuse = [](const std::string& what) {
    throw Error(INLAY_ERROR_UNSUPPORTED, "CUDA device: " + what);
  };
  if (s.state_length != 128)
    refuse("DeltaNet heads of " + std::to_string(s.state_length) + " elements, only 128");
  if (s.conv_kernel != 4) refuse("a convolution of " + std::to_string(s.conv_kernel) + " taps, only 4");
  if (!attention_supports(s.head_length)) {
    refuse("attention heads of " + std::to_string(s.head_length) + " elements, only 64, 128 and 256");
  }
  if (s.heads % s.kv_heads != 0 || s.value_heads % s.key_heads != 0)
    refuse("heads that do not share out evenly");
  if (s.embedding % 32 != 0 || s.feed_forward % 32 != 0) refuse("lengths that are not multiples of 32");
  if (s.rope_length > s.head_length || s.rope_length % 2 != 0) refuse("rotated elements beyond a head");
}

class CudaDevice final : public Device {
 public:
  CudaDevice(const DeviceParams& params, std::pmr::memory_resource* memory)
      : memory_(memory), device_(choose_device(params.device_index)) {
    const CurrentDevice current(device_);
    check(current.error(), "cudaSetDevice");
    cudaDeviceProp properties = {};
    check(cudaGetDeviceProperties(&properties, device_), "cudaGetDeviceProperties");
    if (properties.major < kOldestMajor) {
      throw Error(INLAY_ERROR_UNSUPPORTED, std::string(properties.name) + " has compute capability " +
                                               std::to_string(properties.major) + "." +
                                               std::to_string(properties.minor) + ", Inlay needs 8.0");
    }
    std::snprintf(name_, sizeof(name_), "%s", properties.name);
    std::snprintf(architecture_, sizeof(architecture_), "sm_%d%d", properties.major, properties.minor);
    placement_ = choose_placement(params.placement, properties);
    pass_.attention_blocks = static_cast<uint32_t>(properties.multiProcessorCount) * 2;
    pass_.shared_bytes = static_cast<uint32_t>(properties.sharedMemPerBlockOptin);
    pass_.clusters = properties.major >= 9;
    pass_.gemm = make_gemm_device(device_);
    check(prepare_matvec(&pass_.matvec), "prepare_matvec");
    stream_ = static_cast<cudaStream_t>(params.stream);
    if (stream_ == nullptr) {
      int lowest = 0, highest = 0;
      check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "cudaDeviceGetStreamPriorityRange");
      check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                         params.low_priority ? lowest : highest),
            "cudaStreamCreateWithPriority");
      owns_stream_ = true;
    }
  }

  ~CudaDevice() override {
    const CurrentDevice current(device_);
    if (owns_stream_) (void)cudaStreamDestroy(stream_);
  }

  std::pmr::memory_resource* memory() const { return memory_; }
  bool reads_tiles() const override { return true; }
  const char* name() const override { return name_; }
  const char* instruction_set() const override { return architecture_; }
  uint32_t default_prefill_chunk(const ModelShape&) const override { return 4096; }
  bool slices_are_fewer() const override { return true; }
  bool asynchronous() const override { return true; }
  double measure_read_bandwidth() override {
    const CurrentDevice current(device_);
    check(current.error(), "cudaSetDevice");
    return cuda::measure_read_bandwidth(pass_.gemm.multiprocessors, stream_);
  }

  DeviceBytes plan_weights(const ModelWeights& weights) const override {
    check_shape(weights.shape);
    Layout device;
    lay_out_weights(weights, placement_, device, nullptr);
    Layout host;
    host.take<CudaWeights>(1);
    host.take<LayerWeights>(weights.shape.layers);
    return {host.bytes(), device_granules(device.bytes())};
  }

  DeviceBytes plan_state(const ModelShape& shape, const SessionShape& session) const override {
    CudaState state;
    Layout device;
    lay_out_state(shape, session, device, state);
    Layout host;
    host.take<CudaState>(1);
    host.take<uint32_t>(session.pages());
    return {host.bytes(), device_granules(device.bytes())};
  }

  DeviceBytes plan_scratch(const ModelWeights& weights, const SessionShape& session) const override {
    CudaScratch scratch;
    Layout device;
    lay_out_scratch(weights, session, device, scratch);
    return {scratch_host_bytes(weights.shape, scratch), device_granules(device.bytes())};
  }

  DeviceWeights* create_weights(const ModelWeights& weights, std::byte* host, inlay_progress_fn progress,
                                void* progress_user_data) override {
    const CurrentDevice current(device_);
    check(current.error(), "cudaSetDevice");
    const DeviceBytes plan = plan_weights(weights);
    Layout layout(host, plan.host);
    auto* result = new (layout.take<CudaWeights>(1)) CudaWeights;
    result->model = weights;
    result->model.layers = layout.take<LayerWeights>(weights.shape.layers);
    result->bytes = plan.device;
    result->placement = placement_;
    result->memory = take_device_memory(plan.device, "the weights");
    try {
      pin_weights(weights, *result);
      Layout device(result->memory, plan.device);
      lay_out_weights(weights, placement_, device, result);
      upload_weights(weights, *result, stream_, progress, progress_user_data);
    } catch (...) {
      free_weights(*result);
      throw;
    }
    return result;
  }

  DeviceState* create_state(const DeviceWeights& weights, const SessionShape& session,
                            std::byte* host) override {
    const CurrentDevice current(device_);
    check(current.error(), "cudaSetDevice");
    const ModelShape& shape = static_cast<const CudaWeights&>(weights).model.shape;
    const DeviceBytes plan = plan_state(shape, session);
    Layout layout(host, plan.host);
    auto* state = new (layout.take<CudaState>(1)) CudaState;
    state->pages = layout.take<uint32_t>(session.pages());
    state->bytes = plan.device;
    state->memory = take_device_memory(plan.device, "a session's state");
    try {
      Layout device(state->memory, plan.device);
      lay_out_state(shape, session, device, *state);
      check(clear_state(*state, stream_), "clear_state");
      check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    } catch (...) {
      (void)cudaFree(state->memory);
      throw;
    }
    return state;
  }

  DeviceScratch* create_scratch(const DeviceWeights& weights, const SessionShape& session,
                                std::byte* host) override {
    const CurrentDevice current(device_);
    check(current.error(), "cudaSetDevice");
    const auto& model = static_cast<const CudaWeights&>(weights);
    const std::lock_guard lock(scratches_mutex_);
    if (CudaScratch* shared = find_scratch(host); shared != nullptr) {
      if (shared->weights != &model || !(shared->session == session)) {
        throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                    "scratch_arena is that of a session of another model or with other parameters");
      }
      ++shared->users;
      return shared;
    }
    const DeviceBytes plan = plan_scratch(model.model, session);
    auto* scratch = new (host) CudaScratch;
    scratch->weights = &model;
    scratch->bytes = plan.device;
    try {
      scratch->memory = take_device_memory(plan.device, "a session's scratch");
      Layout device(scratch->memory, plan.device);
      lay_out_scratch(model.model, session, device, *scratch);
      place_pinned(*scratch, host);
      check(cudaMemsetAsync(scratch->memory, 0, plan.device, stream_), "cudaMemsetAsync");
      check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
      make_graphs(pass_, *scratch);
    } catch (...) {
      free_scratch(*scratch);
      throw;
    }
    scratch->next = scratches_;
    scratches_ = scratch;
    return scratch;
  }

  void release(DeviceWeights* base) override {
    if (base == nullptr) return;
    const CurrentDevice current(device_);
    auto* weights = static_cast<CudaWeights*>(base);
    (void)cudaStreamSynchronize(stream_);
    free_weights(*weights);
    weights->~CudaWeights();
  }
  void release(DeviceState* base) override {
    if (base == nullptr) return;
    const CurrentDevice current(device_);
    auto* state = static_cast<CudaState*>(base);
    (void)cudaStreamSynchronize(stream_);
    (void)cudaFree(state->memory);
    state->~CudaState();
  }
  void release(DeviceScratch* base) override {
    if (base == nullptr) return;
    const CurrentDevice current(device_);
    auto* scratch = static_cast<CudaScratch*>(base);
    const std::lock_guard lock(scratches_mutex_);
    if (--scratch->users > 0) return;
    CudaScratch** link = &scratches_;
    while (*link != scratch) link = &(*link)->next;
    *link = scratch->next;
    (void)cudaStreamSynchronize(stream_);
    free_scratch(*scratch);
    scratch->~CudaScratch();
  }

  inlay_status reset(DeviceState& base) override {
    return on_device([&] { return reset_state(static_cast<CudaState&>(base), stream_); });
  }

  inlay_status copy(const DeviceState& from, DeviceState& to, uint64_t position) override {
    return on_device([&] {
      return copy_state(static_cast<const CudaState&>(from), static_cast<CudaState&>(to), position, stream_);
    });
  }

  bool has_pools() const override { return true; }
  DeviceBytes plan_pool(const ModelShape& shape, const SessionShape& session, uint32_t pages) const override {
    Layout host;
    host.take<CudaPool>(1);
    return {host.bytes(), device_granules(pages * kv_layout(shape, session).page_bytes())};
  }

  DevicePool* create_pool(const DeviceWeights& weights, const SessionShape& session, uint32_t pages,
                          std::byte* host) override {
    const CurrentDevice current(device_);
    check(current.error(), "cudaSetDevice");
    const ModelShape& shape = static_cast<const CudaWeights&>(weights).model.shape;
    auto* pool = new (host) CudaPool;
    pool->kv = kv_layout(shape, session);
    pool->bytes = plan_pool(shape, session, pages).device;
    pool->memory = take_device_memory(pool->bytes, "a pool's pages");
    // What lies behind a page's last token is multiplied by nothing, and must be a number for that.
    cudaError_t error = cudaMemsetAsync(pool->memory, 0, pool->bytes, stream_);
    if (error == cudaSuccess) error = cudaStreamSynchronize(stream_);
    if (error != cudaSuccess) (void)cudaFree(pool->memory);
    check(error, "clearing a pool's pages");
    return pool;
  }
  void release_pool(DevicePool* base) override {
    if (base == nullptr) return;
    const CurrentDevice current(device_);
    auto* pool = static_cast<CudaPool*>(base);
    (void)cudaStreamSynchronize(stream_);
    (void)cudaFree(pool->memory);
    pool->~CudaPool();
  }
  void attach(DeviceState& state, DevicePool& pool) override {
    static_cast<CudaState&>(state).view.kv = static_cast<CudaPool&>(pool).memory;
  }
  inlay_status set_page(DeviceState& state, uint32_t index, uint32_t page) override {
    return on_device([&] { return set_state_page(static_cast<CudaState&>(state), index, page, stream_); });
  }
  inlay_status copy_page(DevicePool& pool, uint32_t from, uint32_t to) override {
    return on_device([&] { return copy_pool_page(static_cast<CudaPool&>(pool), from, to, stream_); });
  }

  inlay_status read_part(const DeviceState& state, const StatePart& part, std::byte* out) override {
    return on_device(
        [&] { return read_state_part(static_cast<const CudaState&>(state), part, out, stream_); });
  }
  inlay_status write_part(DeviceState& state, const StatePart& part, const std::byte* in) override {
    return on_device([&] { return write_state_part(static_cast<CudaState&>(state), part, in, stream_); });
  }
  float* logits_of(DeviceScratch& scratch) override {
    static_assert(kMaxRows >= kMaxWidth);
    return static_cast<CudaScratch&>(scratch).host_logits;
  }

  uint32_t slice_count(const DeviceScratch& base, const Pass& pass) const override {
    const auto& scratch = static_cast<const CudaScratch&>(base);
    switch (pass.kind) {
      case PassKind::kNarrow: return narrow_slices(scratch.shape());
      case PassKind::kWide: return slices_of(scratch, pass).count();
      case PassKind::kDraft: return std::max(pass.drafts, 1u);
    }
    return 0;
  }

  uint32_t slice_kind(const DeviceScratch& base, const Pass& pass, uint32_t slice) const override {
    const auto& scratch = static_cast<const CudaScratch&>(base);
    if (pass.kind == PassKind::kDraft) return kMtp;
    if (pass.kind == PassKind::kWide) {
      const WideSlices slices = slices_of(scratch, pass);
      return kWideKinds + slices.kind_of(slices.at(slice));
    }
    if (slice == 0) return kEmbed;
    if (slice > 2 * scratch.shape().layers) return kHead;
    if (slice % 2 == 0) return kFeedForward;
    return scratch.shape().is_attention(slice / 2) ? kAttention : kDeltaNet;
  }

  SliceCounts count_kinds(const DeviceScratch& base, const Pass& pass) const override {
    if (pass.kind != PassKind::kWide) return Device::count_kinds(base, pass);
    SliceCounts counts{};
    slices_of(static_cast<const CudaScratch&>(base), pass)
        .count_kinds(std::span(counts).subspan<kWideKinds, WideSlices::kKinds>());
    return counts;
  }

  uint32_t next_stop(const DeviceScratch& base, const Pass& pass, uint32_t begin) const override {
    if (pass.kind != PassKind::kWide) return slice_count(base, pass);
    return slices_of(static_cast<const CudaScratch&>(base), pass).end_of_layer(begin);
  }

  inlay_status run(DeviceScratch& base, const Pass& pass, uint32_t begin, uint32_t end) override {
    auto& scratch = static_cast<CudaScratch&>(base);
    const CurrentDevice current(device_);
    if (current.error() != cudaSuccess) return to_status(current.error());
    if (pass.rows == 0) return INLAY_ERROR_INVALID_ARGUMENT;
    Queue queue;
    queue.stream = stream_;
    const uint32_t count = slice_count(scratch, pass);
    switch (pass.kind) {
      case PassKind::kNarrow: run_narrow(scratch, pass, begin, end, queue); break;
      case PassKind::kWide: run_wide(scratch, pass, begin, end, queue); break;
      case PassKind::kDraft: run_draft(scratch, pass, begin, end, queue); break;
    }
    if (end != count) queue.note(cudaStreamSynchronize(stream_));
    return to_status(queue.error);
  }

  inlay_status poll(DeviceScratch&) override {
    const CurrentDevice current(device_);
    if (current.error() != cudaSuccess) return to_status(current.error());
    const cudaError_t error = cudaStreamQuery(stream_);
    return error == cudaErrorNotReady ? INLAY_PENDING : to_status(error);
  }

  inlay_status finish(DeviceScratch& base, const Pass& pass, PassResult* out_result) override {
    auto& scratch = static_cast<CudaScratch&>(base);
    const CurrentDevice current(device_);
    Queue queue;
    queue.stream = stream_;
    queue.note(current.error());
    if (pass.kind == PassKind::kWide && queue.error == cudaSuccess) {
      queue_wide_end(wide_context(scratch, pass, queue));
      scratch.undo_layers = 0;
    }
    queue.note(cudaStreamSynchronize(stream_));
    if (queue.error != cudaSuccess) return to_status(queue.error);
    if (pass.kind != PassKind::kDraft) {
      for (const Segment& segment : pass.segments) static_cast<CudaState*>(segment.state)->hidden_turn ^= 1;
    }
    *out_result = {scratch.host_logits, scratch.pinned->draft_tokens, scratch.pinned->draft_probabilities,
                   scratch.host_logits};
    return INLAY_OK;
  }

  inlay_status abandon(DeviceScratch& base, const Pass& pass, uint32_t) override {
    auto& scratch = static_cast<CudaScratch&>(base);
    const CurrentDevice current(device_);
    // A narrow pass has only committed what was kept before it, and a draft only written beyond the end.
    cudaError_t error = current.error();
    if (error == cudaSuccess && pass.kind == PassKind::kWide && scratch.undo_layers > 0) {
      const auto& state = static_cast<const CudaState&>(*pass.segments[0].state);
      const uint64_t layer = uint64_t{scratch.shape().value_length()} * scratch.shape().state_length;
      error = cudaMemcpyAsync(state.view.delta, scratch.delta.undo,
                              scratch.undo_layers * layer * sizeof(float), cudaMemcpyDeviceToDevice, stream_);
      scratch.undo_layers = 0;
    }
    const cudaError_t waited = cudaStreamSynchronize(stream_);
    return to_status(error != cudaSuccess ? error : waited);
  }

  inlay_status read_hidden(const DeviceState& base, uint32_t row, float* out) override {
    const auto& state = static_cast<const CudaState&>(base);
    const CurrentDevice current(device_);
    if (current.error() != cudaSuccess) return to_status(current.error());
    const uint32_t n = state.shape.embedding;
    const cudaError_t error = cudaMemcpyAsync(out, state.hidden_rows(state.hidden_turn) + uint64_t{row} * n,
                                              n * sizeof(float), cudaMemcpyDeviceToHost, stream_);
    const cudaError_t waited = cudaStreamSynchronize(stream_);
    return to_status(error != cudaSuccess ? error : waited);
  }

 private:
  /// What `work` says, with this device as the current one.
  template <typename Work>
  inlay_status on_device(Work&& work) const {
    const CurrentDevice current(device_);
    return to_status(current.error() != cudaSuccess ? current.error() : work());
  }

  /// The scratch that lives in this block, if one does.
  CudaScratch* find_scratch(const std::byte* host) const {
    CudaScratch* scratch = scratches_;
    while (scratch != nullptr && reinterpret_cast<const std::byte*>(scratch) != host) scratch = scratch->next;
    return scratch;
  }

  static uint64_t scratch_host_bytes(const ModelShape& shape, CudaScratch& scratch) {
    Layout pinned;
    lay_out_pinned(shape, pinned, scratch);
    return sizeof(CudaScratch) + kPage + align_page(pinned.bytes());
  }

  /// Registers whole pages inside the block, so that no page of it is another object's.
  static void place_pinned(CudaScratch& scratch, std::byte* host) {
    Layout counting;
    lay_out_pinned(scratch.shape(), counting, scratch);
    const uint64_t bytes = align_page(counting.bytes());
    auto* base =
        reinterpret_cast<std::byte*>(align_page(reinterpret_cast<uintptr_t>(host + sizeof(CudaScratch))));
    check_pinned(cudaHostRegister(base, bytes, cudaHostRegisterDefault), "a session's scratch", bytes);
    scratch.registered = base;
    Layout placing(base, bytes);
    lay_out_pinned(scratch.shape(), placing, scratch);
    new (scratch.pinned) PinnedBlock;
  }

  static void free_scratch(CudaScratch& scratch) {
    free_graphs(scratch);
    if (scratch.registered != nullptr) (void)cudaHostUnregister(scratch.registered);
    if (scratch.memory != nullptr) (void)cudaFree(scratch.memory);
  }

  /// Writes what changes from pass to pass; false for a pass that does not fit the scratch.
  static bool set_params(CudaScratch& scratch, const Pass& pass) {
    if (pass.rows > kMaxRows || pass.segments.size() > kMaxSegments) return false;
    PassParams& params = scratch.pinned->params;
    params.rows = pass.rows;
    params.segments = static_cast<uint32_t>(pass.segments.size());
    params.draft_step = 0;
    std::memcpy(params.tokens, pass.tokens, pass.rows * sizeof(int32_t));
    for (uint32_t i = 0; i < params.segments; ++i) {
      const Segment& from = pass.segments[i];
      const auto& state = static_cast<const CudaState&>(*from.state);
      if (from.rows > kMaxWidth) return false;
      SegmentParams& to = params.segment[i];
      to.state = state.view;
      to.position = from.position;
      to.row_begin = from.row_begin;
      to.rows = from.rows;
      to.hidden_in = state.hidden_rows(state.hidden_turn) + uint64_t{from.hidden_row} * state.shape.embedding;
      to.hidden_out = state.hidden_rows(1 - state.hidden_turn);
      for (uint32_t row = 0; row < from.rows; ++row) {
        params.row_segment[from.row_begin + row] = i;
        params.row_position[from.row_begin + row] = from.position + row;
      }
    }
    return true;
  }

  void run_narrow(CudaScratch& scratch, const Pass& pass, uint32_t begin, uint32_t end, Queue& queue) {
    if (begin == 0 && !set_params(scratch, pass)) return queue.note(cudaErrorInvalidValue);
    const bool whole = begin == 0 && end == narrow_slices(scratch.shape());
    if (whole && pass.segments.size() == 1) {
      return queue.note(cudaGraphLaunch(scratch.narrow_graph[pass.rows - 1], queue.stream));
    }
    uint32_t most = 0;
    for (const Segment& segment : pass.segments) most = std::max(most, segment.rows);
    if (begin == 0) queue_params(scratch, queue);
    for (uint32_t slice = begin; slice < end; ++slice) {
      const auto segments = static_cast<uint32_t>(pass.segments.size());
      queue_narrow_slice({pass_, scratch, queue, pass.rows, segments, most}, slice);
      queue.programmatic = pass_.matvec.programmatic;
    }
  }

  /// Models of one mapping share its pinning, which the last of them gives back.
  void pin_weights(const ModelWeights& from, CudaWeights& weights) {
    HostRange range = in_place_range(from, placement_);
    if (range.bytes == 0) return;
    const std::lock_guard lock(weights_mutex_);
    const CudaWeights* other = weights_;
    while (other != nullptr && !other->in_place.same_memory(range)) other = other->next;
    if (other != nullptr) {
      range.device = other->in_place.device;
    } else if (placement_ == WeightPlacement::kPinned) {
      pin(range);
    }
    weights.in_place = range;
    weights.next = weights_;
    weights_ = &weights;
  }

  void free_weights(CudaWeights& weights) {
    if (weights.in_place.bytes != 0) {
      const std::lock_guard lock(weights_mutex_);
      CudaWeights** link = &weights_;
      while (*link != &weights) link = &(*link)->next;
      *link = weights.next;
      CudaWeights* other = weights_;
      while (other != nullptr && !other->in_place.same_memory(weights.in_place)) other = other->next;
      if (weights.in_place.pinned && other != nullptr) {
        other->in_place.pinned = true;
      } else if (weights.in_place.pinned) {
        unpin(weights.in_place);
      }
    }
    (void)cudaFree(weights.memory);
  }

  WideSlices slices_of(const CudaScratch& scratch, const Pass& pass) const {
    return wide_slices(pass_, scratch, pass.rows, pass.segments[0].position);
  }

  WideContext wide_context(CudaScratch& scratch, const Pass& pass, Queue& queue) {
    const Segment& segment = pass.segments[0];
    return {pass_,
            scratch,
            static_cast<CudaState&>(*segment.state),
            queue,
            pass.rows,
            segment.position,
            segment.hidden_row,
            pass.logits};
  }

  void run_wide(CudaScratch& scratch, const Pass& pass, uint32_t begin, uint32_t end, Queue& queue) {
    if (pass.rows > scratch.rows || pass.segments.size() != 1) return queue.note(cudaErrorInvalidValue);
    if (begin == 0) {
      scratch.undo_layers = 0;
      std::memcpy(scratch.host_tokens, pass.tokens, pass.rows * sizeof(int32_t));
      queue.note(cudaMemcpyAsync(scratch.tokens, scratch.host_tokens, pass.rows * sizeof(int32_t),
                                 cudaMemcpyHostToDevice, queue.stream));
    }
    queue_wide_slices(wide_context(scratch, pass, queue), begin, end);
  }

  void run_draft(CudaScratch& scratch, const Pass& pass, uint32_t begin, uint32_t end, Queue& queue) {
    if (begin == 0 && (pass.rows > kMaxWidth || !set_params(scratch, pass)))
      return queue.note(cudaErrorInvalidValue);
    if (pass.drafts == 0) {
      queue_params(scratch, queue);
      return queue_mtp({pass_, scratch, queue, pass.rows, 1, pass.rows}, false);
    }
    for (uint32_t guess = begin; guess < end; ++guess) {
      cudaGraphExec_t graph = guess == 0 ? scratch.draft_graph[pass.rows - 1] : scratch.chain_graph;
      queue.note(cudaGraphLaunch(graph, queue.stream));
    }
    if (end != pass.drafts) return;
    static_assert(offsetof(PinnedBlock, draft_probabilities) ==
                  offsetof(PinnedBlock, draft_tokens) + sizeof(PinnedBlock::draft_tokens));
    queue.note(cudaMemcpyAsync(scratch.pinned->draft_tokens, scratch.draft_tokens,
                               sizeof(PinnedBlock::draft_tokens) + sizeof(PinnedBlock::draft_probabilities),
                               cudaMemcpyDeviceToHost, queue.stream));
    if (pass.draft_logits) {
      queue.note(cudaMemcpyAsync(scratch.host_logits, scratch.logits,
                                 scratch.shape().vocabulary * sizeof(float), cudaMemcpyDeviceToHost,
                                 queue.stream));
    }
  }

  std::pmr::memory_resource* memory_;
  int device_;
  char name_[256] = {};
  char architecture_[16] = {};
  PassDevice pass_;
  cudaStream_t stream_ = nullptr;
  bool owns_stream_ = false;
  WeightPlacement placement_ = WeightPlacement::kCopied;
  std::mutex weights_mutex_;
  CudaWeights* weights_ = nullptr;  // all that live and use memory of the host's
  std::mutex scratches_mutex_;
  CudaScratch* scratches_ = nullptr;  // all that live
};

}  // namespace

Device* make_device(const DeviceParams& params, std::pmr::memory_resource* memory) {
  void* place = memory->allocate(sizeof(CudaDevice), alignof(CudaDevice));
  try {
    return new (place) CudaDevice(params, memory);
  } catch (...) {
    memory->deallocate(place, sizeof(CudaDevice), alignof(CudaDevice));
    throw;
  }
}

void destroy_device(Device* device) {
  if (device == nullptr) return;
  auto* object = static_cast<CudaDevice*>(device);
  std::pmr::memory_resource* memory = object->memory();
  object->~CudaDevice();
  memory->deallocate(object, sizeof(CudaDevice), alignof(CudaDevice));
}

}  // namespace inlay::cuda

#pragma once

#include <filesystem>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "formats/gguf.h"
#include "kernels/cuda/cuda_device.h"
#include "runtime/error.h"
#include "runtime/gguf_model.h"
#include "runtime/layout.h"
#include "runtime/model_reader.h"
#include "tests/cuda_host.h"

namespace inlay::test {

/// A device that is given back; empty where this machine has none.
struct CudaDeviceHolder {
  Device* device = nullptr;
  explicit CudaDeviceHolder(const cuda::DeviceParams& params = {}) {
    try {
      device = cuda::make_device(params, std::pmr::new_delete_resource());
    } catch (const Error& error) {
      if (error.status() != INLAY_ERROR_UNSUPPORTED) throw;
    }
  }
  ~CudaDeviceHolder() { cuda::destroy_device(device); }
  CudaDeviceHolder(const CudaDeviceHolder&) = delete;
  CudaDeviceHolder& operator=(const CudaDeviceHolder&) = delete;
};

/// A model file on a device, below the runtime: passes are run as given.
class DeviceModel {
 public:
  DeviceModel(Device& device, const std::filesystem::path& path)
      : device_(device),
        file_(GgufFile::open(path.string(), std::pmr::new_delete_resource())),
        shape_(read_model_shape(file_)),
        layers_(shape_.layers) {
    Layout counting;
    read_model_weights(file_, shape_, counting, layers_.data(), &weights_);
    vectors_.emplace(counting.bytes());
    Layout placing(vectors_->data(), counting.bytes());
    read_model_weights(file_, shape_, placing, layers_.data(), &weights_);
    block_.emplace(device_.plan_weights(weights_).host);
    on_device_ = device_.create_weights(weights_, block_->data(), nullptr, nullptr);
  }
  ~DeviceModel() { device_.release(on_device_); }
  DeviceModel(const DeviceModel&) = delete;
  DeviceModel& operator=(const DeviceModel&) = delete;

  Device& device() const { return device_; }
  const ModelShape& shape() const { return shape_; }
  const ModelWeights& weights() const { return weights_; }
  const DeviceWeights& on_device() const { return *on_device_; }

 private:
  Device& device_;
  GgufModel file_;
  ModelShape shape_;
  std::vector<LayerWeights> layers_;
  ModelWeights weights_;
  std::optional<HostBlock> vectors_;
  std::optional<HostBlock> block_;
  DeviceWeights* on_device_ = nullptr;
};

/// One timeline and a scratch of its own, with the bookkeeping that the runtime's session does.
class DeviceTimeline {
 public:
  DeviceTimeline(DeviceModel& model, const SessionShape& session) : model_(model), session_(session) {
    Device& device = model.device();
    state_block_.emplace(device.plan_state(model.shape(), session).host);
    scratch_block_.emplace(device.plan_scratch(model.weights(), session).host);
    state_ = device.create_state(model.on_device(), session, state_block_->data());
    scratch_ = device.create_scratch(model.on_device(), session, scratch_block_->data());
  }
  ~DeviceTimeline() {
    model_.device().release(scratch_);
    model_.device().release(state_);
  }
  DeviceTimeline(const DeviceTimeline&) = delete;
  DeviceTimeline& operator=(const DeviceTimeline&) = delete;

  /// Runs a narrow pass; keep() says how many of its rows stay. Logits of every row.
  std::span<const float> verify(std::span<const int32_t> tokens, bool sliced = false) {
    Segment segment{state_, 0, static_cast<uint32_t>(tokens.size()), position_, hidden_row_};
    Pass pass{PassKind::kNarrow, tokens.data(), segment.rows, {&segment, 1}};
    run(pass, sliced);
    hidden_row_ = 0;
    return {result_.logits, size_t{segment.rows} * model_.shape().vocabulary};
  }
  void keep(uint32_t rows) {
    position_ += rows;
    hidden_row_ = rows;
  }
  std::span<const float> step(int32_t token) {
    const auto logits = verify({&token, 1});
    keep(1);
    return logits;
  }
  /// One chunk of prompt; logits of its last row.
  std::span<const float> prefill(std::span<const int32_t> tokens, bool sliced = false) {
    Segment segment{state_, 0, static_cast<uint32_t>(tokens.size()), position_, hidden_row_};
    Pass pass{PassKind::kWide, tokens.data(), segment.rows, {&segment, 1}};
    run(pass, sliced);
    position_ += segment.rows;
    hidden_row_ = 1;
    return {result_.logits, model_.shape().vocabulary};
  }
  /// The MTP head fed `tokens` (the last of them the next token of the timeline), then `drafts` guesses.
  const PassResult& draft(std::span<const int32_t> tokens, uint32_t drafts) {
    const auto rows = static_cast<uint32_t>(tokens.size());
    Segment segment{state_, 0, rows, position_ + 1 - rows, hidden_row_ + 1 - rows};
    Pass pass{PassKind::kDraft, tokens.data(), rows, {&segment, 1}};
    pass.drafts = drafts;
    pass.draft_logits = true;
    run(pass, false);
    return result_;
  }
  /// Cuts a wide pass short after `slices` of its slices.
  void abandon_prefill(std::span<const int32_t> tokens, uint32_t slices) {
    Segment segment{state_, 0, static_cast<uint32_t>(tokens.size()), position_, hidden_row_};
    Pass pass{PassKind::kWide, tokens.data(), segment.rows, {&segment, 1}};
    check(model_.device().run(*scratch_, pass, 0, slices));
    check(model_.device().abandon(*scratch_, pass, slices));
  }
  void reset() {
    check(model_.device().reset(*state_));
    position_ = 0;
    hidden_row_ = 0;
  }
  void copy_from(const DeviceTimeline& from) {
    check(model_.device().copy(*from.state_, *state_, from.position_));
    position_ = from.position_;
    hidden_row_ = from.hidden_row_;
  }
  uint64_t position() const { return position_; }
  DeviceState& state() { return *state_; }
  DeviceScratch& scratch() { return *scratch_; }

  void run(const Pass& pass, bool sliced) {
    Device& device = model_.device();
    const uint32_t count = device.slice_count(*scratch_, pass);
    if (sliced) {
      for (uint32_t i = 0; i < count; ++i) check(device.run(*scratch_, pass, i, i + 1));
    } else {
      check(device.run(*scratch_, pass, 0, count));
    }
    check(device.finish(*scratch_, pass, &result_));
  }

 private:
  static void check(inlay_status status) {
    if (status != INLAY_OK) throw Error(status, "a pass failed");
  }

  DeviceModel& model_;
  SessionShape session_;
  std::optional<HostBlock> state_block_, scratch_block_;
  DeviceState* state_ = nullptr;
  DeviceScratch* scratch_ = nullptr;
  uint64_t position_ = 0;
  uint32_t hidden_row_ = 0;
  PassResult result_;
};

}  // namespace inlay::test

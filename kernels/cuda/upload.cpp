#include "kernels/cuda/upload.h"

#include <cstring>
#include <system_error>

#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/repack.h"
#include "kernels/cuda/weights.h"
#include "runtime/error.h"
#include "runtime/platform.h"

namespace inlay::cuda {

Uploader::Uploader(cudaStream_t stream, const UploadSize& size, inlay_progress_fn progress, void* user_data)
    : total_(size.bytes), progress_(progress), user_data_(user_data) {
  streams_[0] = stream;
  try {
    take_buffers(size);
    start_threads(size);
  } catch (...) {
    release();
    throw;
  }
}

Uploader::~Uploader() { release(); }

void Uploader::take_buffers(const UploadSize& size) {
  slot_bytes_ = std::max(kSlotBytes, size.widest * kTileRows);
  const uint64_t needed = size.pieces + size.bytes / slot_bytes_;
  slot_count_ = static_cast<uint32_t>(std::clamp<uint64_t>(needed, 2, kMostSlots));
  // Small models are not worth large buffers.
  if (size.bytes < slot_bytes_ * slot_count_) slot_count_ = std::min(slot_count_, 4u);
  const uint64_t bytes = slot_bytes_ * slot_count_;
  check_pinned(cudaMallocHost(&host_, bytes), "the weights' staging", bytes);
  device_ = take_device_memory(bytes, "the weights' staging");
  check(cudaStreamCreateWithFlags(&streams_[1], cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  for (uint32_t i = 0; i < slot_count_; ++i) {
    slots_[i].host = host_ + i * slot_bytes_;
    slots_[i].device = device_ + i * slot_bytes_;
    check(cudaEventCreateWithFlags(&slots_[i].done, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
}

/// With fewer where the system gives none: the calling thread fills what is not filled when it is wanted.
void Uploader::start_threads(const UploadSize& size) {
  constexpr uint64_t kBytesAThread = uint64_t{16} << 20;  // less is not worth one
  const uint64_t cores = std::max(platform::usable_cpus() - 1, 1u);
  const uint64_t most = std::min<uint64_t>({kMostThreads, cores, size.bytes / kBytesAThread});
  for (uint64_t i = 0; i < most; ++i) {
    try {
      threads_[i] = std::thread([this] { work(); });
    } catch (const std::system_error&) {
      return;
    }
  }
}

void Uploader::matrix(const WeightMatrix& from, const WeightMatrix& to) {
  if (from.tiles) return bytes(from.data, to.data, from.bytes());
  const uint64_t row = row_bytes(from.type, from.columns);
  const auto rows =
      static_cast<uint32_t>(std::min<uint64_t>(slot_bytes_ / row / kTileRows * kTileRows, 1u << 30));
  for (uint32_t begin = 0; begin < from.rows; begin += rows) {
    const uint32_t count = std::min(rows, from.rows - begin);
    add({from.data + begin * row, count * row, const_cast<std::byte*>(to.data), &from, begin, count});
  }
}

void Uploader::bytes(const void* from, const void* to, uint64_t count) {
  const auto* source = static_cast<const std::byte*>(from);
  auto* target = static_cast<std::byte*>(const_cast<void*>(to));
  for (uint64_t at = 0; at < count; at += slot_bytes_)
    add({source + at, std::min(slot_bytes_, count - at), target + at});
}

void Uploader::finish() {
  while (queued_ < added_) queue_next();
  for (const cudaStream_t stream : streams_)
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize (upload)");
}

/// Some slots are being filled while the others' pieces are copied.
void Uploader::add(const Piece& piece) {
  const uint32_t ahead = slot_count_ - slot_count_ / 3;
  if (added_ - queued_ >= ahead) queue_next();
  Slot& slot = slots_[added_ % slot_count_];
  check(cudaEventSynchronize(slot.done), "cudaEventSynchronize (upload)");
  {
    const std::lock_guard lock(mutex_);
    slot.piece = piece;
    slot.filled = false;
    ++added_;
  }
  to_fill_.notify_one();
}

void Uploader::queue_next() {
  const cudaStream_t stream = streams_[queued_ % 2];
  Slot& slot = slots_[queued_ % slot_count_];
  {
    std::unique_lock lock(mutex_);
    while (!slot.filled) {
      if (!fill_next(lock)) filled_.wait(lock);
    }
  }
  const Piece& piece = slot.piece;
  std::byte* to = piece.matrix == nullptr ? piece.to : slot.device;
  check(cudaMemcpyAsync(to, slot.host, piece.bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
  if (piece.matrix != nullptr) {
    check(repack(piece.matrix->type, slot.device, piece.row_begin, piece.rows, piece.matrix->rows,
                 piece.matrix->columns, piece.to, stream),
          "repack");
  }
  check(cudaEventRecord(slot.done, stream), "cudaEventRecord");
  ++queued_;
  done_ += piece.bytes;
  if (progress_ != nullptr && progress_(user_data_, done_, total_) != INLAY_OK) {
    throw Error(INLAY_ERROR_CANCELLED, "the progress callback stopped the loading");
  }
}

/// Fills the next slot that waits for it; false where none does. The lock is open meanwhile.
bool Uploader::fill_next(std::unique_lock<std::mutex>& lock) {
  if (begun_ == added_) return false;
  Slot& slot = slots_[begun_++ % slot_count_];
  const Piece piece = slot.piece;
  lock.unlock();
  platform::populate(piece.from, piece.bytes);
  std::memcpy(slot.host, piece.from, piece.bytes);
  lock.lock();
  slot.filled = true;
  filled_.notify_one();
  return true;
}

void Uploader::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (!fill_next(lock)) to_fill_.wait(lock);
  }
}

void Uploader::release() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  to_fill_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  (void)cudaStreamSynchronize(streams_[0]);
  if (streams_[1] != nullptr) {
    (void)cudaStreamSynchronize(streams_[1]);
    (void)cudaStreamDestroy(streams_[1]);
  }
  for (const Slot& slot : slots_) {
    if (slot.done != nullptr) (void)cudaEventDestroy(slot.done);
  }
  if (device_ != nullptr) (void)cudaFree(device_);
  if (host_ != nullptr) (void)cudaFreeHost(host_);
}

}  // namespace inlay::cuda

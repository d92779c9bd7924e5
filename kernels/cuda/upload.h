#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>

#include "kernels/device.h"

namespace inlay::cuda {

/// What an upload is of: added up before it begins.
struct UploadSize {
  uint64_t bytes = 0;
  uint64_t pieces = 0;  // at least so many
  uint64_t widest = 0;  // bytes of a row of matrices that get packed

  void add(uint64_t count) { bytes += count, ++pieces; }
  void add(const WeightMatrix& matrix) {
    add(matrix.bytes());
    if (!matrix.tiles) widest = std::max(widest, row_bytes(matrix.type, matrix.columns));
  }
};

/// Brings weights from pageable memory to the device a piece at a time, through page-locked buffers that take
/// turns. A few threads fill them; the calling thread alone calls CUDA: it queues the pieces' copies and, of
/// matrices in rows, their packing on two streams, so that one piece is packed while the next is copied.
class Uploader {
 public:
  /// Takes the buffers, and as much memory of the device; starts the threads. `progress` may be null. Throws
  /// Error.
  Uploader(cudaStream_t stream, const UploadSize& size, inlay_progress_fn progress, void* user_data);
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  /// What is read has to stay until finish(). Throws Error; INLAY_ERROR_CANCELLED where progress says so.
  void matrix(const WeightMatrix& from, const WeightMatrix& to);
  void bytes(const void* from, const void* to, uint64_t count);
  /// Returns when all is there.
  void finish();

 private:
  // What was fastest on 16 cores and a bus of 55 GB/s: pieces of 4 MB, or eight threads, take a fifth longer.
  static constexpr uint32_t kMostSlots = 32;
  static constexpr uint32_t kMostThreads = 12;
  static constexpr uint64_t kSlotBytes = uint64_t{2} << 20;

  /// A piece: bytes as they are to `to`, or rows of `matrix` to be packed.
  struct Piece {
    const std::byte* from = nullptr;
    uint64_t bytes = 0;
    std::byte* to = nullptr;
    const WeightMatrix* matrix = nullptr;
    uint32_t row_begin = 0;
    uint32_t rows = 0;
  };
  struct Slot {
    Piece piece;
    std::byte* host = nullptr;
    std::byte* device = nullptr;
    cudaEvent_t done = nullptr;
    bool filled = false;
  };

  void take_buffers(const UploadSize& size);
  void start_threads(const UploadSize& size);
  void add(const Piece& piece);
  void queue_next();
  void work();
  bool fill_next(std::unique_lock<std::mutex>& lock);
  void release();

  cudaStream_t streams_[2] = {};
  uint64_t total_, done_ = 0;
  inlay_progress_fn progress_;
  void* user_data_;
  uint64_t slot_bytes_ = 0;
  uint32_t slot_count_ = 0;
  std::byte* host_ = nullptr;
  std::byte* device_ = nullptr;
  Slot slots_[kMostSlots];

  // Pieces are numbered in the order in which they are added, filled and queued.
  std::mutex mutex_;
  std::condition_variable to_fill_, filled_;
  uint64_t added_ = 0, begun_ = 0;
  bool stop_ = false;
  uint64_t queued_ = 0;  // the calling thread's own
  std::thread threads_[kMostThreads];
};

}  // namespace inlay::cuda

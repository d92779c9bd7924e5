#include "kernels/cuda/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>

#include "kernels/cuda/cuda_error.h"
#include "runtime/error.h"

namespace inlay::cuda {
namespace {

constexpr size_t kAlignment = 256;
constexpr uint64_t kStagingBytes = uint64_t{32} << 20;
constexpr uint32_t kCopyThreads = 6;

/// Calls matrix(from, to) and vector(from, to, count) for everything that a model has, always in this order.
/// `to` pointers are null where `to` is.
template <typename Matrix, typename Vector>
class WeightWalk {
 public:
  WeightWalk(const ModelShape& shape, Matrix matrix, Vector vector)
      : shape_(shape), matrix_(std::move(matrix)), vector_(std::move(vector)) {}

  void model(const ModelWeights& from, ModelWeights* to) {
    matrix_(from.embedding, to ? &to->embedding : nullptr);
    for (uint32_t i = 0; i < shape_.layers; ++i) {
      layer(from.layers[i], to ? &to->layers[i] : nullptr, shape_.is_attention(i));
    }
    vector_(from.output_norm, to ? &to->output_norm : nullptr, shape_.embedding);
    matrix_(from.head, to ? &to->head : nullptr);
    if (shape_.mtp) mtp(from.mtp, to ? &to->mtp : nullptr);
  }

 private:
  void layer(const LayerWeights& from, LayerWeights* to, bool attention) {
    vector_(from.mixer_norm, to ? &to->mixer_norm : nullptr, shape_.embedding);
    if (attention) {
      const AttentionWeights& a = from.attention;
      AttentionWeights* b = to ? &to->attention : nullptr;
      matrix_(a.query_gate, b ? &b->query_gate : nullptr);
      matrix_(a.key, b ? &b->key : nullptr);
      matrix_(a.value, b ? &b->value : nullptr);
      matrix_(a.out, b ? &b->out : nullptr);
      vector_(a.query_norm, b ? &b->query_norm : nullptr, shape_.head_length);
      vector_(a.key_norm, b ? &b->key_norm : nullptr, shape_.head_length);
    } else {
      const DeltaNetWeights& a = from.delta_net;
      DeltaNetWeights* b = to ? &to->delta_net : nullptr;
      matrix_(a.qkv, b ? &b->qkv : nullptr);
      matrix_(a.gate, b ? &b->gate : nullptr);
      matrix_(a.beta, b ? &b->beta : nullptr);
      matrix_(a.alpha, b ? &b->alpha : nullptr);
      matrix_(a.out, b ? &b->out : nullptr);
      vector_(a.conv, b ? &b->conv : nullptr, uint64_t{shape_.conv_kernel} * shape_.conv_channels());
      vector_(a.dt_bias, b ? &b->dt_bias : nullptr, shape_.value_heads);
      vector_(a.a, b ? &b->a : nullptr, shape_.value_heads);
      vector_(a.norm, b ? &b->norm : nullptr, shape_.state_length);
    }
    vector_(from.feed_forward_norm, to ? &to->feed_forward_norm : nullptr, shape_.embedding);
    matrix_(from.gate, to ? &to->gate : nullptr);
    matrix_(from.up, to ? &to->up : nullptr);
    matrix_(from.down, to ? &to->down : nullptr);
  }

  void mtp(const MtpWeights& from, MtpWeights* to) {
    vector_(from.embedding_norm, to ? &to->embedding_norm : nullptr, shape_.embedding);
    vector_(from.hidden_norm, to ? &to->hidden_norm : nullptr, shape_.embedding);
    matrix_(from.projection, to ? &to->projection : nullptr);
    layer(from.layer, to ? &to->layer : nullptr, true);
    vector_(from.head_norm, to ? &to->head_norm : nullptr, shape_.embedding);
    matrix_(from.embedding, to ? &to->embedding : nullptr);
    matrix_(from.head, to ? &to->head : nullptr);
  }

  const ModelShape& shape_;
  Matrix matrix_;
  Vector vector_;
};

/// The few matrices that a file may share between uses: a tied head, the MTP head's embedding and head.
class SharedMatrices {
 public:
  /// The one that lies where `matrix` does, or null and it is remembered.
  const WeightMatrix* find(const WeightMatrix& from, const WeightMatrix* to) {
    for (uint32_t i = 0; i < count_; ++i) {
      if (from_[i]->data == from.data && from_[i]->rows == from.rows) return to_[i] ? to_[i] : from_[i];
    }
    if (count_ < kMany) from_[count_] = &from, to_[count_] = to, ++count_;
    return nullptr;
  }

 private:
  static constexpr uint32_t kMany = 4;
  const WeightMatrix* from_[kMany] = {};
  const WeightMatrix* to_[kMany] = {};
  uint32_t count_ = 0;
};

template <typename Matrix, typename Vector>
void walk(const ModelWeights& from, ModelWeights* to, Matrix matrix, Vector vector) {
  WeightWalk<Matrix, Vector>(from.shape, std::move(matrix), std::move(vector)).model(from, to);
}

/// Copies host memory with several threads, so that page faults and copying keep up with the bus; with fewer
/// where the system gives none.
void copy_from_mapping(std::byte* to, const std::byte* from, uint64_t bytes) {
  const uint64_t part = (bytes + kCopyThreads - 1) / kCopyThreads;
  std::thread threads[kCopyThreads];
  for (uint32_t i = 0; i < kCopyThreads; ++i) {
    const uint64_t begin = std::min<uint64_t>(bytes, i * part), end = std::min<uint64_t>(bytes, begin + part);
    const auto copy = [=] { std::memcpy(to + begin, from + begin, end - begin); };
    bool started = false;
    if (i + 1 < kCopyThreads && end > begin && bytes >= (uint64_t{1} << 20)) {
      try {
        threads[i] = std::thread(copy);
        started = true;
      } catch (const std::system_error&) {
        started = false;
      }
    }
    if (!started) copy();
  }
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
}

/// Two staging buffers that take turns: while one's contents are copied to the device and packed, the other
/// is filled.
class Uploader {
 public:
  Uploader(cudaStream_t stream, uint64_t total, inlay_progress_fn progress, void* user_data,
           uint64_t staging_bytes)
      : stream_(stream),
        total_(total),
        progress_(progress),
        user_data_(user_data),
        staging_bytes_(staging_bytes) {
    try {
      for (Staging& s : staging_) {
        check_pinned(cudaMallocHost(&s.host, staging_bytes_), "the weights' staging", staging_bytes_);
        s.device = take_device_memory(staging_bytes_, "the weights' staging");
        check(cudaEventCreateWithFlags(&s.free, cudaEventDisableTiming), "cudaEventCreateWithFlags");
      }
    } catch (...) {
      release();
      throw;
    }
  }
  ~Uploader() { release(); }
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  void matrix(const WeightMatrix& from, const WeightMatrix& to) {
    const uint64_t row = row_bytes(from.type, from.columns);
    const auto rows = static_cast<uint32_t>(std::min<uint64_t>(staging_bytes_ / row / 8 * 8, 1u << 30));
    for (uint32_t begin = 0; begin < from.rows; begin += rows) {
      const uint32_t count = std::min(rows, from.rows - begin);
      Staging& s = stage(from.data + begin * row, count * row);
      check(repack(from.type, s.device, begin, count, from.rows, from.columns,
                   const_cast<std::byte*>(to.data), stream_),
            "repack");
      finish_stage(s, count * row);
    }
  }

  void bytes(const void* from, const void* to, uint64_t count) {
    check(cudaMemcpyAsync(const_cast<void*>(to), from, count, cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync");
  }

  void wait() { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize (upload)"); }

 private:
  struct Staging {
    std::byte* host = nullptr;
    std::byte* device = nullptr;
    cudaEvent_t free = nullptr;
  };

  Staging& stage(const std::byte* from, uint64_t count) {
    Staging& s = staging_[turn_];
    turn_ ^= 1;
    check(cudaEventSynchronize(s.free), "cudaEventSynchronize (upload)");
    copy_from_mapping(s.host, from, count);
    check(cudaMemcpyAsync(s.device, s.host, count, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync");
    return s;
  }

  void finish_stage(const Staging& s, uint64_t count) {
    check(cudaEventRecord(s.free, stream_), "cudaEventRecord");
    done_ += count;
    if (progress_ != nullptr && progress_(user_data_, done_, total_) != INLAY_OK) {
      throw Error(INLAY_ERROR_CANCELLED, "the progress callback stopped the loading");
    }
  }

  void release() {
    (void)cudaStreamSynchronize(stream_);
    for (Staging& s : staging_) {
      if (s.free != nullptr) (void)cudaEventDestroy(s.free);
      if (s.device != nullptr) (void)cudaFree(s.device);
      if (s.host != nullptr) (void)cudaFreeHost(s.host);
    }
  }

  cudaStream_t stream_;
  uint64_t total_, done_ = 0;
  inlay_progress_fn progress_;
  void* user_data_;
  uint64_t staging_bytes_;
  Staging staging_[2];
  uint32_t turn_ = 0;
};

}  // namespace

std::byte* take_device_memory(uint64_t bytes, const char* what) {
  void* memory = nullptr;
  check_memory(cudaMalloc(&memory, bytes), what, bytes);
  return static_cast<std::byte*>(memory);
}

void lay_out_weights(const ModelWeights& from, Layout& layout, CudaWeights* to) {
  SharedMatrices shared;
  const auto place_matrix = [&](const WeightMatrix& matrix, WeightMatrix* placed) {
    const bool may_be_shared = matrix.rows == from.shape.vocabulary;
    const WeightMatrix* same = may_be_shared ? shared.find(matrix, placed) : nullptr;
    const std::byte* data =
        same != nullptr
            ? same->data
            : layout.take<std::byte>(packed_bytes(matrix.type, matrix.rows, matrix.columns), kAlignment);
    if (placed == nullptr) return;
    *placed = matrix;
    placed->data = data;
  };
  const auto place_vector = [&](const float*, const float** placed, uint64_t count) {
    const float* data = layout.take<float>(count, kAlignment);
    if (placed != nullptr) *placed = data;
  };
  walk(from, to ? &to->model : nullptr, place_matrix, place_vector);
  const double* frequencies = layout.take<double>(from.shape.rope_length / 2, kAlignment);
  if (to != nullptr) to->frequencies = frequencies;
}

void upload_weights(const ModelWeights& from, CudaWeights& to, cudaStream_t stream,
                    inlay_progress_fn progress, void* progress_user_data) {
  uint64_t total = 0, widest = 0;
  const auto count_matrix = [&](const WeightMatrix& matrix, const WeightMatrix*) {
    total += matrix.bytes();
    widest = std::max(widest, row_bytes(matrix.type, matrix.columns));
  };
  SharedMatrices counted;
  walk(
      from, nullptr,
      [&](const WeightMatrix& matrix, WeightMatrix*) {
        const bool may_be_shared = matrix.rows == from.shape.vocabulary;
        if (!may_be_shared || counted.find(matrix, nullptr) == nullptr) count_matrix(matrix, nullptr);
      },
      [](const float*, const float**, uint64_t) {});
  Uploader uploader(stream, total, progress, progress_user_data, std::max(kStagingBytes, widest * 8));
  SharedMatrices shared;
  walk(
      from, &to.model,
      [&](const WeightMatrix& matrix, WeightMatrix* placed) {
        const bool may_be_shared = matrix.rows == from.shape.vocabulary;
        if (!may_be_shared || shared.find(matrix, placed) == nullptr) uploader.matrix(matrix, *placed);
      },
      [&](const float* vector, const float** placed, uint64_t count) {
        uploader.bytes(vector, *placed, count * sizeof(float));
      });
  for (uint32_t i = 0; i < from.shape.rope_length / 2; ++i) {
    const double radians =
        std::pow(static_cast<double>(from.shape.rope_base), -2.0 * i / from.shape.rope_length);
    const double half_turns = radians / 3.14159265358979323846;
    uploader.bytes(&half_turns, to.frequencies + i, sizeof(double));
  }
  uploader.wait();
}

}  // namespace inlay::cuda

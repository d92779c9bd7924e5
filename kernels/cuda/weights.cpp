#include "kernels/cuda/weights.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/upload.h"
#include "runtime/platform.h"

namespace inlay::cuda {
namespace {

constexpr size_t kAlignment = 256;
constexpr uint32_t kMostFrequencies = 512;  // of heads of 1,024 elements

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

bool stays(const WeightMatrix& matrix, WeightPlacement placement) {
  return matrix.may_stay && placement != WeightPlacement::kCopied;
}

/// The few matrices that a file may share between uses: a tied head, the MTP head's embedding and head.
class SharedMatrices {
 public:
  /// Whether `matrix` has been met before.
  bool has(const WeightMatrix& matrix, const ModelShape& shape) {
    return matrix.rows == shape.vocabulary && find(matrix, nullptr) != nullptr;
  }
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

}  // namespace

std::byte* take_device_memory(uint64_t bytes, const char* what) {
  void* memory = nullptr;
  check_memory(cudaMalloc(&memory, bytes), what, bytes);
  return static_cast<std::byte*>(memory);
}

HostRange in_place_range(const ModelWeights& weights, WeightPlacement placement) {
  const std::byte *begin = nullptr, *end = nullptr;
  walk(
      weights, nullptr,
      [&](const WeightMatrix& matrix, WeightMatrix*) {
        if (!stays(matrix, placement)) return;
        if (begin == nullptr || matrix.data < begin) begin = matrix.data;
        if (end == nullptr || matrix.data + matrix.bytes() > end) end = matrix.data + matrix.bytes();
      },
      [](const float*, const float**, uint64_t) {});
  return {begin, static_cast<uint64_t>(end - begin), begin, false};
}

/// The whole pages that a range is in: what can be page-locked.
static std::pair<void*, uint64_t> pages_of(const HostRange& range) {
  const uintptr_t page = platform::page_bytes();
  const auto begin = reinterpret_cast<uintptr_t>(range.begin) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(range.begin) + range.bytes + page - 1) / page * page;
  return {reinterpret_cast<void*>(begin), end - begin};
}

void pin(HostRange& range) {
  auto* begin = const_cast<std::byte*>(range.begin);
  const auto [first_page, bytes] = pages_of(range);
  const cudaError_t error =
      cudaHostRegister(first_page, bytes, cudaHostRegisterMapped | cudaHostRegisterReadOnly);
  range.pinned = error == cudaSuccess;
  if (error == cudaErrorHostMemoryAlreadyRegistered) {
    (void)cudaGetLastError();
  } else {
    check_pinned(error, "the weights where they are mapped", range.bytes);
  }
  void *first = nullptr, *last = nullptr;
  cudaError_t found = cudaHostGetDevicePointer(&first, begin, 0);
  if (found == cudaSuccess) found = cudaHostGetDevicePointer(&last, begin + range.bytes - 1, 0);
  range.device = static_cast<const std::byte*>(first);
  if (found == cudaSuccess && range.device + range.bytes - 1 != last) found = cudaErrorInvalidValue;
  if (found != cudaSuccess && range.pinned) unpin(range);
  check(found, "cudaHostGetDevicePointer");
}

void unpin(const HostRange& range) { (void)cudaHostUnregister(pages_of(range).first); }

void lay_out_weights(const ModelWeights& from, WeightPlacement placement, Layout& layout, CudaWeights* to) {
  SharedMatrices shared;
  const auto place_matrix = [&](const WeightMatrix& matrix, WeightMatrix* placed) {
    const std::byte* data = nullptr;
    if (stays(matrix, placement)) {
      data = to == nullptr ? nullptr : to->in_place.on_device(matrix.data);
    } else {
      const bool may_be_shared = matrix.rows == from.shape.vocabulary;
      const WeightMatrix* same = may_be_shared ? shared.find(matrix, placed) : nullptr;
      data = same != nullptr ? same->data
                             : layout.take<std::byte>(
                                   bytes_in_tiles(matrix.type, matrix.rows, matrix.columns), kAlignment);
    }
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
  // As often as matrix and vector below are called, and with the same.
  UploadSize size;
  SharedMatrices counted;
  walk(
      from, nullptr,
      [&](const WeightMatrix& matrix, WeightMatrix*) {
        if (!stays(matrix, to.placement) && !counted.has(matrix, from.shape)) size.add(matrix);
      },
      [&](const float*, const float**, uint64_t count) { size.add(count * sizeof(float)); });
  double frequencies[kMostFrequencies];
  const uint32_t frequency_count = std::min(from.shape.rope_length / 2, kMostFrequencies);
  for (uint32_t i = 0; i < frequency_count; ++i) {
    const double radians =
        std::pow(static_cast<double>(from.shape.rope_base), -2.0 * i / from.shape.rope_length);
    frequencies[i] = radians / 3.14159265358979323846;
  }
  size.add(frequency_count * sizeof(double));

  Uploader uploader(stream, size, progress, progress_user_data);
  SharedMatrices shared;
  walk(
      from, &to.model,
      [&](const WeightMatrix& matrix, WeightMatrix* placed) {
        if (!stays(matrix, to.placement) && !shared.has(matrix, from.shape)) uploader.matrix(matrix, *placed);
      },
      [&](const float* vector, const float** placed, uint64_t count) {
        uploader.bytes(vector, *placed, count * sizeof(float));
      });
  uploader.bytes(frequencies, to.frequencies, frequency_count * sizeof(double));
  uploader.finish();
}

}  // namespace inlay::cuda

#include "kernels/cuda/graphs.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/cuda_error.h"

namespace inlay::cuda {
namespace {

/// A stream to record on, for a scope.
class RecordingStream {
 public:
  RecordingStream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  ~RecordingStream() { (void)cudaStreamDestroy(stream_); }
  RecordingStream(const RecordingStream&) = delete;
  RecordingStream& operator=(const RecordingStream&) = delete;

  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// What `record` queues, as a graph.
class Recording {
 public:
  template <typename Record>
  Recording(cudaStream_t stream, Record&& record) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    Queue queue;
    queue.stream = stream;
    record(queue);
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph_);
    const cudaError_t error = queue.error != cudaSuccess ? queue.error : ended;
    if (error != cudaSuccess && graph_ != nullptr) (void)cudaGraphDestroy(std::exchange(graph_, nullptr));
    check(error, "recording a graph");
  }
  ~Recording() {
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Ready to be launched.
  cudaGraphExec_t instantiate(cudaStream_t stream) const {
    cudaGraphExec_t result = nullptr;
    cudaError_t error = cudaGraphInstantiate(&result, graph_, 0);
    if (error == cudaSuccess) error = cudaGraphUpload(result, stream);
    if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
    if (error != cudaSuccess && result != nullptr) (void)cudaGraphExecDestroy(result);
    check_memory(error, "a session's graphs", 0);
    return result;
  }

 private:
  cudaGraph_t graph_ = nullptr;
};

/// Records a wide pass, and a narrow one as it runs without a graph, over a state that is not there.
void load_kernels(const PassDevice& device, CudaScratch& scratch, cudaStream_t stream) {
  CudaState state;
  Layout nowhere;
  lay_out_state(scratch.shape(), scratch.session, nowhere, state);
  state.hidden = scratch.x;  // a copy's ends must be device memory even where it is never run
  const Recording recording(stream, [&](Queue& queue) {
    const WideContext wide{device, scratch, state, queue, scratch.rows, 0, 0, true};
    queue_wide_slices(wide, 0, wide.slices().count());
    queue_wide_end(wide);
    if (scratch.session.mtp) queue_mtp({device, scratch, queue, kMaxWidth, 1, kMaxWidth}, false);
  });
  scratch.undo_layers = 0;
}

}  // namespace

void make_graphs(const PassDevice& device, CudaScratch& scratch) {
  const bool programmatic = device.matvec.programmatic;
  const RecordingStream stream;
  load_kernels(device, scratch, stream.get());
  const auto graph = [&](auto&& record) {
    return Recording(stream.get(), std::forward<decltype(record)>(record)).instantiate(stream.get());
  };
  for (uint32_t rows = 1; rows <= kMaxWidth; ++rows) {
    scratch.narrow_graph[rows - 1] = graph([&](Queue& queue) {
      queue_params(scratch, queue);
      for (uint32_t slice = 0; slice < narrow_slices(scratch.shape()); ++slice) {
        queue_narrow_slice({device, scratch, queue, rows, 1, rows}, slice);
        queue.programmatic = programmatic;
      }
    });
    if (!scratch.session.mtp) continue;
    scratch.draft_graph[rows - 1] = graph([&](Queue& queue) {
      queue_params(scratch, queue);
      queue.programmatic = programmatic;
      queue_mtp({device, scratch, queue, rows, 1, rows}, true);
    });
  }
  if (!scratch.session.mtp) return;
  scratch.chain_graph = graph([&](Queue& queue) {
    queue.programmatic = programmatic;
    queue_mtp({device, scratch, queue, 1, 1, 1}, true);
  });
}

void free_graphs(CudaScratch& scratch) {
  const auto free = [](cudaGraphExec_t& graph) {
    if (graph != nullptr) (void)cudaGraphExecDestroy(std::exchange(graph, nullptr));
  };
  std::for_each(std::begin(scratch.narrow_graph), std::end(scratch.narrow_graph), free);
  std::for_each(std::begin(scratch.draft_graph), std::end(scratch.draft_graph), free);
  free(scratch.chain_graph);
}

void queue_params(CudaScratch& scratch, Queue& queue) {
  queue.note(cudaMemcpyAsync(scratch.params, &scratch.pinned->params, sizeof(PassParams),
                             cudaMemcpyHostToDevice, queue.stream));
}

}  // namespace inlay::cuda

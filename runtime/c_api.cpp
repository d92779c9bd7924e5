#include "runtime/c_api.h"

#include <algorithm>
#include <cstring>

// The C ABI: a thin skin. Handles are the objects behind them under another name.

using namespace inlay;
using namespace inlay::abi;

const char* inlay_status_name(inlay_status status) {
  switch (number_of(status)) {
    case INLAY_OK: return "INLAY_OK";
    case INLAY_PENDING: return "INLAY_PENDING";
    case INLAY_END: return "INLAY_END";
    case INLAY_ERROR_INVALID_ARGUMENT: return "INLAY_ERROR_INVALID_ARGUMENT";
    case INLAY_ERROR_OUT_OF_MEMORY: return "INLAY_ERROR_OUT_OF_MEMORY";
    case INLAY_ERROR_MEMORY_LIMIT: return "INLAY_ERROR_MEMORY_LIMIT";
    case INLAY_ERROR_IO: return "INLAY_ERROR_IO";
    case INLAY_ERROR_CORRUPT_FILE: return "INLAY_ERROR_CORRUPT_FILE";
    case INLAY_ERROR_UNSUPPORTED: return "INLAY_ERROR_UNSUPPORTED";
    case INLAY_ERROR_CONTEXT_FULL: return "INLAY_ERROR_CONTEXT_FULL";
    case INLAY_ERROR_WRONG_STATE: return "INLAY_ERROR_WRONG_STATE";
    case INLAY_ERROR_BUSY: return "INLAY_ERROR_BUSY";
    case INLAY_ERROR_CANCELLED: return "INLAY_ERROR_CANCELLED";
    case INLAY_ERROR_CALLBACK: return "INLAY_ERROR_CALLBACK";
    case INLAY_ERROR_DEVICE: return "INLAY_ERROR_DEVICE";
    case INLAY_ERROR_MISMATCH: return "INLAY_ERROR_MISMATCH";
    case INLAY_ERROR_INTERNAL: return "INLAY_ERROR_INTERNAL";
    case INLAY_ERROR_CHAT_TEMPLATE: return "INLAY_ERROR_CHAT_TEMPLATE";
  }
  return "unknown inlay_status";
}

uint32_t inlay_version(void) {
  return INLAY_VERSION_MAJOR << 16 | INLAY_VERSION_MINOR << 8 | INLAY_VERSION_PATCH;
}

// Runtime

inlay_status inlay_runtime_create(const inlay_runtime_params* params, inlay_runtime** out_runtime) {
  if (out_runtime == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  *out_runtime = nullptr;
  inlay_runtime_params known{};
  return guard(
      [&] {
        known = read_struct(params, "inlay_runtime_params");
        inlay_allocator allocator{};
        if (known.allocator != nullptr) {
          allocator = read_struct(known.allocator, "inlay_allocator");
          if (allocator.allocate == nullptr) refuse_null("inlay_allocator.allocate");
          if (allocator.release == nullptr) refuse_null("inlay_allocator.release");
          known.allocator = &allocator;
        }
        *out_runtime = reinterpret_cast<inlay_runtime*>(Runtime::create(known));
        return INLAY_OK;
      },
      [&](const char* message) {
        if (known.log != nullptr) known.log(known.log_user_data, INLAY_LOG_ERROR, message);
      });
}

void inlay_runtime_destroy(inlay_runtime* runtime) {
  if (runtime != nullptr) of(runtime)->release();
}

size_t inlay_runtime_message(const inlay_runtime* runtime, char* buffer, size_t capacity) {
  if (runtime == nullptr || (buffer == nullptr && capacity > 0)) return 0;
  return of(runtime)->copy_message(buffer, capacity);
}

inlay_status inlay_runtime_memory(inlay_runtime* runtime, int32_t reset, inlay_memory_use* out_use) {
  clear_struct(out_use);
  if (runtime == nullptr || out_use == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  HostMemory& memory = *of(runtime)->memory();
  const inlay_memory_use use{sizeof(inlay_memory_use), memory.now(), memory.high_water()};
  if (reset != 0) memory.reset_high_water();
  return write_struct(use, out_use);
}

inlay_status inlay_runtime_memory_of(inlay_runtime* runtime, inlay_memory_kind kind, int32_t reset,
                                     inlay_memory_use* out_use) {
  clear_struct(out_use);
  // A host may pass any number.
  int number = 0;
  std::memcpy(&number, &kind, sizeof number);
  if (runtime == nullptr || out_use == nullptr || number < 0 || number > INLAY_MEMORY_SCRATCH) {
    return INLAY_ERROR_INVALID_ARGUMENT;
  }
  if (number == INLAY_MEMORY_OTHER) {
    const inlay_status status = inlay_runtime_memory(runtime, reset, out_use);
    inlay_memory_use use{sizeof(inlay_memory_use), of(runtime)->memory()->now(),
                         of(runtime)->memory()->high_water()};
    for (const MemoryKind part : {MemoryKind::kModel, MemoryKind::kState, MemoryKind::kScratch}) {
      use.now -= std::min(use.now, of(runtime)->memory()->now(part));
    }
    return status == INLAY_OK ? write_struct(use, out_use) : status;
  }
  HostMemory& memory = *of(runtime)->memory();
  const auto part = static_cast<MemoryKind>(number);
  const inlay_memory_use use{sizeof(inlay_memory_use), memory.now(part), memory.high_water(part)};
  if (reset != 0) memory.reset_high_water(part);
  return write_struct(use, out_use);
}

inlay_status inlay_runtime_measure_bandwidth(inlay_runtime* runtime, double* out_bytes_a_second) {
  if (out_bytes_a_second != nullptr) *out_bytes_a_second = 0;
  if (runtime == nullptr || out_bytes_a_second == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(*of(runtime), [&] {
    *out_bytes_a_second = of(runtime)->device().measure_read_bandwidth();
    return INLAY_OK;
  });
}

inlay_status inlay_runtime_get_info(const inlay_runtime* runtime, inlay_runtime_info* out_info) {
  clear_struct(out_info);
  if (runtime == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return write_struct(of(runtime)->info(), out_info);
}

// File, plan, model

inlay_status inlay_file_open(inlay_runtime* runtime, const inlay_source* source, inlay_file** out_file) {
  if (out_file != nullptr) *out_file = nullptr;
  if (runtime == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(*of(runtime), [&] {
    if (out_file == nullptr) refuse_null("out_file");
    if (source == nullptr) refuse_null("source");
    inlay_source known = read_struct(source, "inlay_source");
    inlay_io io{};
    if (known.io != nullptr) {
      io = read_struct(known.io, "inlay_io");
      if (io.size == nullptr) refuse_null("inlay_io.size");
      if (io.read_at == nullptr && io.map == nullptr) refuse_null("inlay_io.read_at");
      known.io = &io;
    }
    *out_file = reinterpret_cast<inlay_file*>(File::open(*of(runtime), known));
    return INLAY_OK;
  });
}

void inlay_file_destroy(inlay_file* file) {
  if (file != nullptr) of(file)->release();
}

inlay_status inlay_file_get_info(const inlay_file* file, inlay_model_info* out_info) {
  clear_struct(out_info);
  if (file == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return write_struct(of(file)->info(), out_info);
}

uint32_t inlay_file_tensor_count(const inlay_file* file) {
  return file == nullptr ? 0 : static_cast<uint32_t>(of(file)->model().tensors().size());
}

inlay_status inlay_file_get_tensor(const inlay_file* file, uint32_t index, inlay_tensor_info* out_tensor) {
  clear_struct(out_tensor);
  if (file == nullptr || index >= of(file)->model().tensors().size()) return INLAY_ERROR_INVALID_ARGUMENT;
  const StoredTensor& tensor = of(file)->model().tensors()[index];
  inlay_tensor_info info = INLAY_TENSOR_INFO_INIT;
  info.name = tensor.name.data();
  info.name_bytes = tensor.name.size();
  info.type = traits(tensor.type).name.data();
  for (size_t i = 0; i < 4; ++i) info.dimensions[i] = tensor.dimensions[i];
  info.bytes = tensor.bytes;
  return write_struct(info, out_tensor);
}

inlay_status inlay_file_plan(const inlay_file* file, const inlay_session_params* params,
                             inlay_memory_plan* out_plan) {
  clear_struct(out_plan);
  if (file == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(of(file)->runtime(), [&] {
    return of(file)->read([&] {
      return give_struct(Model::plan(*of(file), read_struct(params, "inlay_session_params")), out_plan,
                         "out_plan");
    });
  });
}

inlay_status inlay_model_create(inlay_file* file, const inlay_model_params* params, inlay_model** out_model) {
  if (out_model != nullptr) *out_model = nullptr;
  if (file == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(of(file)->runtime(), [&] {
    if (out_model == nullptr) refuse_null("out_model");
    const Held<File> held(of(file));
    const inlay_model_params known = read_struct(params, "inlay_model_params");
    return of(file)->read([&] {
      *out_model = reinterpret_cast<inlay_model*>(Model::create(*of(file), known));
      return INLAY_OK;
    });
  });
}

inlay_status inlay_model_open(inlay_runtime* runtime, const inlay_source* source,
                              const inlay_model_params* params, inlay_model** out_model) {
  if (out_model != nullptr) *out_model = nullptr;
  inlay_file* file = nullptr;
  inlay_status status = inlay_file_open(runtime, source, &file);
  if (status == INLAY_OK) status = inlay_model_create(file, params, out_model);
  inlay_file_destroy(file);
  return status;
}

void inlay_model_destroy(inlay_model* model) {
  if (model != nullptr) of(model)->release();
}

inlay_status inlay_model_get_info(const inlay_model* model, inlay_model_info* out_info) {
  clear_struct(out_info);
  if (model == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return write_struct(of(model)->info(), out_info);
}

inlay_status inlay_model_plan(const inlay_model* model, const inlay_session_params* params,
                              inlay_memory_plan* out_plan) {
  clear_struct(out_plan);
  if (model == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(of(model)->runtime(), [&] {
    return give_struct(of(model)->plan(read_struct(params, "inlay_session_params")), out_plan, "out_plan");
  });
}

#include "runtime/error.h"
#include "runtime/model_source.h"

namespace inlay {

ModelSourcePointer open_checkpoint(std::string_view path, std::pmr::memory_resource*) {
  throw Error(INLAY_ERROR_UNSUPPORTED, std::string(path) + ": a checkpoint's folder");
}

}  // namespace inlay

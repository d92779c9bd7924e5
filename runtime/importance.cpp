#include "runtime/importance.h"

#include <cmath>
#include <string>

#include "formats/dequantize.h"
#include "runtime/error.h"

namespace inlay {

ImportanceMatrix::ImportanceMatrix(std::string_view path, std::pmr::memory_resource* memory)
    : memory_(memory), file_(GgufFile::open(path, memory)) {
  if (file_.string_value("general.type").value_or("") != "imatrix") {
    throw Error(INLAY_ERROR_UNSUPPORTED, std::string(path) + ": general.type is not \"imatrix\"");
  }
}

std::pmr::vector<float> ImportanceMatrix::of(const StoredTensor& tensor) const {
  std::pmr::vector<float> columns(memory_);
  const std::string name(tensor.name);
  const StoredTensor* sums = file_.find_tensor(name + ".in_sum2");
  const StoredTensor* counts = file_.find_tensor(name + ".counts");
  if (sums == nullptr || counts == nullptr) return columns;
  if (sums->type != TensorType::F32 || counts->type != TensorType::F32 || counts->elements() != 1 ||
      sums->elements() != tensor.dimensions[0]) {
    throw Error(INLAY_ERROR_CORRUPT_FILE, "the importance of tensor " + name + " has " +
                                              std::to_string(sums->elements()) + " columns, expected " +
                                              std::to_string(tensor.dimensions[0]));
  }
  float count = 0;
  file_.read(*counts, &count);
  columns.resize(static_cast<size_t>(sums->elements()));
  file_.read(*sums, columns.data());
  if (!(count > 0)) {
    columns.clear();
    return columns;
  }
  for (float& value : columns) {
    value /= count;
    if (!(value >= 0 && value < 1e30f)) {
      throw Error(INLAY_ERROR_CORRUPT_FILE,
                  "the importance of tensor " + name + " is not a number of 0 or more");
    }
  }
  return columns;
}

}  // namespace inlay

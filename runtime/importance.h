#pragma once

#include <memory_resource>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "formats/stored_tensor.h"

namespace inlay {

/// An importance matrix in llama.cpp's GGUF form: for a tensor NAME, NAME.in_sum2 holds the sums of the
/// squares of what its columns were multiplied with over some text, NAME.counts how many there were.
class ImportanceMatrix {
 public:
  /// Throws as GgufFile::open does, and INLAY_ERROR_UNSUPPORTED for a GGUF file that is no importance matrix.
  ImportanceMatrix(std::string_view path, std::pmr::memory_resource* memory);

  /// The mean square for each column of the tensor; empty where the file has nothing of it. Throws
  /// INLAY_ERROR_CORRUPT_FILE for another number of columns and for what are no mean squares.
  std::pmr::vector<float> of(const StoredTensor& tensor) const;

 private:
  std::pmr::memory_resource* memory_;
  GgufFile file_;
};

}  // namespace inlay

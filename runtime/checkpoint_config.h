#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "formats/json.h"
#include "formats/model_numbers.h"
#include "inlay/inlay.h"

namespace inlay {

/// The numbers of a checkpoint's config.json, as a model source gives them.
struct CheckpointConfig {
  std::array<uint64_t, kModelNumbers> numbers{};
  std::array<double, kModelReals> reals{};
  bool tied_embeddings = false;
  bool fp8_kv = false;            // the quantised form was made for FP8 keys and values
  uint64_t fp8_block_rows = 128;  // that share a scale
  uint64_t fp8_block_columns = 128;

  uint64_t number(ModelNumber which) const { return numbers[static_cast<size_t>(which)]; }
  uint64_t& number(ModelNumber which) { return numbers[static_cast<size_t>(which)]; }
};

/// Throws INLAY_ERROR_UNSUPPORTED for another family or a variant that Inlay does not run,
/// INLAY_ERROR_CORRUPT_FILE for missing or contradicting numbers; `name` is the file's, for messages. The MTP
/// layers are as the configuration says: whether their tensors are there is another question.
CheckpointConfig read_checkpoint_config(JsonDocument::Value root, std::string_view name);

}  // namespace inlay

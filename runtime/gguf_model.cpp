#include "runtime/gguf_model.h"

#include <string>

namespace inlay {
namespace {

std::string key_with_prefix(std::string_view architecture, std::string_view key) {
  return std::string(architecture) + "." + std::string(key);
}

}  // namespace

std::optional<uint64_t> GgufModel::number(ModelNumber number) const {
  return file_.unsigned_value(key_with_prefix(architecture(), key_of(number)));
}

std::optional<double> GgufModel::real(ModelReal real) const {
  return file_.real_value(key_with_prefix(architecture(), key_of(real)));
}

}  // namespace inlay

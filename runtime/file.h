#pragma once

#include <memory_resource>
#include <string>

#include "runtime/model_source.h"
#include "runtime/runtime.h"

namespace inlay {

/// A model file with its header read. Immutable after it is made.
class File final : public Counted {
 public:
  static File* open(Runtime& runtime, const inlay_source& source);

  Runtime& runtime() const { return *runtime_; }
  const ModelSource& model() const { return *model_; }
  const ModelSourcePointer& model_pointer() const { return model_; }
  const inlay_model_info& info() const { return info_; }

  /// INLAY_ERROR_IO where the file was cut short while it was mapped.
  void check_lost() const {
    if (model_->lost()) refuse_lost_file();
  }
  /// Runs what reads the file. An error of a file that was cut short meanwhile is that.
  template <typename F>
  inlay_status read(F&& body) const {
    try {
      return body();
    } catch (...) {
      check_lost();
      throw;
    }
  }

 private:
  File(Runtime& runtime, ModelSourcePointer model);
  ~File() = default;
  void destroy() override;
  void describe();

  Held<Runtime> runtime_;
  ModelSourcePointer model_;
  // What info_ points to.
  std::pmr::string architecture_;
  std::pmr::string name_;
  std::pmr::string quantisation_;
  std::pmr::string chat_template_;
  inlay_model_info info_ = INLAY_MODEL_INFO_INIT;
};

}  // namespace inlay

#pragma once

#include <memory>

#include "inlay/inlay.h"

namespace inlay::test {

struct Destroy {
  void operator()(inlay_runtime* handle) const { inlay_runtime_destroy(handle); }
  void operator()(inlay_file* handle) const { inlay_file_destroy(handle); }
  void operator()(inlay_model* handle) const { inlay_model_destroy(handle); }
  void operator()(inlay_tokenizer* handle) const { inlay_tokenizer_destroy(handle); }
  void operator()(inlay_pool* handle) const { inlay_pool_destroy(handle); }
  void operator()(inlay_session* handle) const { inlay_session_destroy(handle); }
  void operator()(inlay_sampler* handle) const { inlay_sampler_destroy(handle); }
  void operator()(inlay_grammar* handle) const { inlay_grammar_destroy(handle); }
  void operator()(inlay_chat* handle) const { inlay_chat_destroy(handle); }
  void operator()(inlay_generator* handle) const { inlay_generator_destroy(handle); }
};
template <typename T>
using Handle = std::unique_ptr<T, Destroy>;

}  // namespace inlay::test

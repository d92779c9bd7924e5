#pragma once

#include <exception>
#include <string>
#include <utility>

#include "inlay/inlay.h"

namespace inlay {

/// Thrown on open, create and other fallible paths outside the step; the C ABI turns it into a status and
/// a message. Nothing on the step path throws.
class Error : public std::exception {
 public:
  Error(inlay_status status, std::string message) : status_(status), message_(std::move(message)) {}
  inlay_status status() const { return status_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  inlay_status status_;
  std::string message_;
};

}  // namespace inlay

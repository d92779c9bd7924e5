#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>

#include "runtime/error.h"

// What every function of the C ABI does at its border: no exception leaves, structs of other sizes than this
// library's are understood, nulls are refused.

namespace inlay::abi {

/// A parameter struct as this library knows it: what an older caller does not have is zero. Throws
/// INLAY_ERROR_INVALID_ARGUMENT for a newer caller's wish that this library does not know. Null is all zero.
template <typename T>
T read_struct(const T* given, const char* name) {
  T known{};
  known.struct_size = sizeof(T);
  if (given == nullptr) return known;
  const size_t size = given->struct_size;
  if (size < sizeof(uint32_t) || size > 4096) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                std::string(name) + ".struct_size is " + std::to_string(size) + ": was it initialised?");
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) {
      throw Error(INLAY_ERROR_INVALID_ARGUMENT, std::string(name) + " has a field set at byte " +
                                                    std::to_string(i) +
                                                    " that this version of the library does not know");
    }
  }
  std::memcpy(&known, given, std::min(size, sizeof(T)));
  known.struct_size = sizeof(T);
  return known;
}

/// Writes as much of a result as the caller's struct has room for; its struct_size stays.
template <typename T>
inlay_status write_struct(const T& result, T* out) {
  if (out == nullptr || out->struct_size < sizeof(uint32_t)) return INLAY_ERROR_INVALID_ARGUMENT;
  const size_t size = std::min<size_t>(out->struct_size, sizeof(T));
  std::memcpy(reinterpret_cast<unsigned char*>(out) + sizeof(uint32_t),
              reinterpret_cast<const unsigned char*>(&result) + sizeof(uint32_t), size - sizeof(uint32_t));
  return INLAY_OK;
}

/// What a host passes as an enumeration may be any number: read as an int, that is no undefined behaviour.
template <typename Enum>
int number_of(const Enum& given) {
  static_assert(sizeof(Enum) == sizeof(int));
  int number;
  std::memcpy(&number, &given, sizeof number);
  return number;
}

/// Zeroes what a call is to fill in, so that a failure leaves nothing stale.
template <typename T>
void clear_struct(T* out) {
  if (out != nullptr) write_struct(T{}, out);
}

/// write_struct where its failure has a message.
template <typename T>
inlay_status give_struct(const T& result, T* out, const char* name) {
  if (out == nullptr) throw Error(INLAY_ERROR_INVALID_ARGUMENT, std::string(name) + " is null");
  if (write_struct(result, out) == INLAY_OK) return INLAY_OK;
  throw Error(INLAY_ERROR_INVALID_ARGUMENT, std::string(name) + "->struct_size is " +
                                                std::to_string(out->struct_size) + ": was it initialised?");
}

/// Runs what may throw; `report(message)` gets the words.
template <typename F, typename R>
inlay_status guard(F&& body, R&& report) noexcept {
  try {
    return body();
  } catch (const Error& error) {
    report(error.what());
    return error.status();
  } catch (const std::bad_alloc&) {
    report("there is not enough memory");
    return INLAY_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    report(error.what());
    return INLAY_ERROR_INTERNAL;
  } catch (...) {
    report("an unknown failure");
    return INLAY_ERROR_INTERNAL;
  }
}

}  // namespace inlay::abi

#pragma once

#include <inlay/inlay.h>

#include <cstddef>
#include <cstring>
#include <vector>

namespace inlay::test {

using Bytes = std::vector<std::byte>;

/// Where callbacks save to and load from; the fail_in-th call from now on fails, 0: none.
struct Stream {
  Bytes bytes;
  size_t at = 0;
  int fail_in = 0;

  bool fails() { return fail_in > 0 && --fail_in == 0; }
  inlay_writer writer() {
    inlay_writer table = INLAY_WRITER_INIT;
    table.user_data = this;
    table.write = [](void* user_data, const void* data, size_t bytes) {
      auto& stream = *static_cast<Stream*>(user_data);
      if (stream.fails()) return INLAY_ERROR_IO;
      const auto* from = static_cast<const std::byte*>(data);
      stream.bytes.insert(stream.bytes.end(), from, from + bytes);
      return INLAY_OK;
    };
    return table;
  }
  inlay_reader reader() {
    inlay_reader table = INLAY_READER_INIT;
    table.user_data = this;
    table.read = [](void* user_data, void* destination, size_t bytes) {
      auto& stream = *static_cast<Stream*>(user_data);
      if (stream.fails() || stream.bytes.size() - stream.at < bytes) return INLAY_ERROR_IO;
      std::memcpy(destination, stream.bytes.data() + stream.at, bytes);
      stream.at += bytes;
      return INLAY_OK;
    };
    return table;
  }
};

}  // namespace inlay::test

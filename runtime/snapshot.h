#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "formats/checksum.h"
#include "inlay/inlay.h"
#include "kernels/model_weights.h"

namespace inlay {

inline constexpr uint32_t kSnapshotVersion = 1;

enum class SnapshotKind : uint32_t { kSession = 1, kGenerator = 2 };

/// What a saved session begins with; little-endian, like all that follows it. After it come the tokens, what
/// a generator has waiting, logits, hidden states, the DeltaNet layers, the KV pages, and a checksum of all.
struct SnapshotHeader {
  char magic[8];
  uint32_t version;
  SnapshotKind kind;
  uint64_t total_bytes;  // of header, body and the checksum at the end
  uint64_t model;        // model_fingerprint
  char model_name[96];   // for messages; cut, zero terminated
  uint32_t vocabulary;
  uint32_t kv_type;  // an inlay_kv_type
  uint32_t mtp;

  uint32_t hidden_row;
  uint64_t position;
  uint64_t window_begin;
  uint64_t mtp_position;
  uint32_t rows;      // of the last pass
  uint32_t verified;  // 1: they wait for their commit
  uint32_t logits;    // rows of logits that follow: rows, or 0 where they are gone

  // Of a generator; else zero.
  uint32_t prompt_waits;
  uint64_t waiting;  // tokens
  uint64_t answer_tokens;
  uint64_t seed;
  int32_t stop;
  uint32_t samples;  // 1: a row of logits waits to be sampled
  uint8_t text[4];   // the TextStream
  uint32_t active;   // 1: an answer is under way
  uint64_t stats[9];

  uint8_t reserved[208];
  uint64_t checksum;  // of all before it

  /// Tokens whose keys and values are there.
  uint64_t end() const { return position + (verified != 0 ? rows : 0); }
};
static_assert(sizeof(SnapshotHeader) == 512 && std::is_trivially_copyable_v<SnapshotHeader>);

/// The same for the same model on every device and in every format: shape, types, the small tensors, and
/// samples of the large ones.
uint64_t model_fingerprint(const ModelWeights& weights);

/// Fills in magic, version and checksum.
void seal(SnapshotHeader* header);
/// Whether these bytes can be the header of a snapshot that this library reads; the words where not.
inlay_status check_header(const SnapshotHeader& header, SnapshotKind kind, const char** out_words);

/// Bytes on their way to the host, with their checksum. After a failure nothing more is handed out.
class SnapshotWriter {
 public:
  explicit SnapshotWriter(const inlay_writer& host) : host_(host) {}
  inlay_status put(const void* data, uint64_t bytes);
  /// The checksum of all that was put; the last bytes.
  inlay_status end();

 private:
  inlay_writer host_;
  Checksum checksum_;
};

class SnapshotReader {
 public:
  explicit SnapshotReader(const inlay_reader& host) : host_(host) {}
  inlay_status get(void* data, uint64_t bytes);
  /// Reads the checksum and compares: INLAY_ERROR_CORRUPT_FILE.
  inlay_status end();

 private:
  inlay_reader host_;
  Checksum checksum_;
};

/// A host's buffer as writer and reader.
struct SnapshotMemory {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  uint64_t bytes = 0;  // room, or what is left to read

  inlay_writer writer();
  inlay_reader reader();
};

/// Whether a snapshot in memory has not the size or the checksum that its header promises. What does not
/// begin like a snapshot is not called damaged: loading it says more.
bool is_damaged(const void* data, uint64_t bytes);

}  // namespace inlay

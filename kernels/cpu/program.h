#pragma once

#include <cstdint>

#include "kernels/device.h"
#include "runtime/layout.h"

namespace inlay::cpu {

/// The operations that a pass consists of. A norm first adds the branch before it to the residual stream.
enum class Op : uint8_t {
  kEmbed,
  kMixerNorm,
  kMixerIn,
  kConv,
  kDelta,
  kDeltaGate,
  kRopeAndStore,
  kAttend,
  kAttendCombine,
  kMixerOut,
  kFeedForwardNorm,
  kGateUp,
  kSwiglu,
  kDown,
  kFinalNorm,
  kHead,
  kMtpIn,
  kMtpProject,
  kMtpHeadNorm,
  kMtpHead,
  kMtpGuess,
};

/// One unit of timing and cancelling: part `part` of `parts` of an operation on a layer. Layer shape.layers
/// is the MTP block's.
struct Slice {
  Op op;
  uint16_t layer;
  uint16_t part;
  uint16_t parts;
};

/// The slices that a pass of any position has. Those of kAttend stand for several each: how many keys there
/// are is the position's, so the pass cuts them again (AttendCut).
struct Program {
  Slice* slices = nullptr;
  uint32_t count = 0;
  uint32_t* attends = nullptr;  // [attend_count] which of the slices are kAttend
  uint32_t attend_count = 0;
};

/// How a pass cuts attention by keys: runs of `keys` of them at fixed absolute positions.
struct AttendCut {
  uint32_t keys = 0;   // of a slice: a multiple of kPageTokens
  uint32_t parts = 1;  // slices that stand in each kAttend's place
};

/// Slice `index` of the program as the pass cuts it; out_key_part for a kAttend.
const Slice& slice_of(const Program& program, const AttendCut& cut, uint32_t index, uint32_t* out_key_part);
inline uint32_t slice_count_of(const Program& program, const AttendCut& cut) {
  return program.count + program.attend_count * (cut.parts - 1);
}

/// Rows of a wide pass whose attention is one slice's, key run by key run.
inline constexpr uint32_t kAttendRows = 8;

enum class ProgramKind : uint8_t { kNarrow, kWide, kDraftCache, kDraft, kDraftChain };

/// Lays out the program's slices: how finely an operation is cut depends on the weights it reads and the rows
/// it has at most.
void lay_out_program(ProgramKind kind, const ModelWeights& weights, const SessionShape& session,
                     Layout& layout, Program& program);

}  // namespace inlay::cpu

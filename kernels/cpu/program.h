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
  uint8_t kind;  // slices of one kind take about the same time
  uint16_t layer;
  uint16_t part;
  uint16_t parts;
};

struct Program {
  Slice* slices = nullptr;
  uint32_t count = 0;
};

enum class ProgramKind : uint8_t { kNarrow, kWide, kDraftCache, kDraft, kDraftChain };

/// Lays out the program's slices: how finely an operation is cut depends on the weights it reads and the rows
/// it has at most.
void lay_out_program(ProgramKind kind, const ModelWeights& weights, const SessionShape& session,
                     Layout& layout, Program& program);

}  // namespace inlay::cpu

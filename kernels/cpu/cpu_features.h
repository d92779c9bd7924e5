#pragma once

namespace inlay::cpu {

/// The instruction sets that kernels are chosen by. A field stands for everything that the kernels of that
/// name use, and for the operating system's saving of its registers.
struct CpuFeatures {
  bool avx2 = false;         // with FMA and F16C
  bool avx512 = false;       // F, BW, DQ, VL, VNNI, with BMI2
  bool avx512_bf16 = false;  // avx512, and BF16
  bool amx_bf16 = false;     // avx512_bf16, and AMX-TILE and AMX-BF16
  bool neon = false;         // the aarch64 baseline
  bool neon_dot = false;     // SDOT
};

/// What the processor and the operating system offer. Linux lends the AMX tiles only to a process that has
/// asked for them: the caller asks, and clears `amx_bf16` if it was refused.
CpuFeatures detect_cpu_features();

}  // namespace inlay::cpu

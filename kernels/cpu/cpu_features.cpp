#include "kernels/cpu/cpu_features.h"

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define INLAY_CPU_X86 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace inlay::cpu {

#if defined(INLAY_CPU_X86)
namespace {

struct CpuidResult {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

CpuidResult cpuid(uint32_t leaf, uint32_t subleaf) {
  CpuidResult result;
#if defined(_MSC_VER)
  int registers[4];
  __cpuidex(registers, 0, 0);
  if (static_cast<uint32_t>(registers[0]) < leaf) return result;
  __cpuidex(registers, static_cast<int>(leaf), static_cast<int>(subleaf));
  result = {static_cast<uint32_t>(registers[0]), static_cast<uint32_t>(registers[1]),
            static_cast<uint32_t>(registers[2]), static_cast<uint32_t>(registers[3])};
#else
  __get_cpuid_count(leaf, subleaf, &result.eax, &result.ebx, &result.ecx, &result.edx);
#endif
  return result;
}

/// The register files that the operating system saves (XCR0).
uint64_t saved_registers() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
#endif
}

bool has(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

}  // namespace

CpuFeatures detect_cpu_features() {
  constexpr uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
  constexpr uint32_t kAvx2 = 1u << 5, kBmi2 = 1u << 8;
  constexpr uint32_t kAvx512F = 1u << 16, kAvx512Dq = 1u << 17, kAvx512Bw = 1u << 30, kAvx512Vl = 1u << 31;
  constexpr uint32_t kAvx512Vnni = 1u << 11, kAvx512Bf16 = 1u << 5;
  constexpr uint32_t kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  constexpr uint64_t kYmmState = 0x6, kZmmState = 0xE6, kTileState = 0x60000;

  CpuFeatures features;
  const CpuidResult basic = cpuid(1, 0);
  if (!has(basic.ecx, kOsxsave | kAvx)) return features;
  const uint64_t saved = saved_registers();
  const CpuidResult extended = cpuid(7, 0);
  const CpuidResult extended1 = cpuid(7, 1);
  features.avx2 = has(saved, kYmmState) && has(basic.ecx, kFma | kF16c) && has(extended.ebx, kAvx2);
  features.avx512 = features.avx2 && has(saved, kZmmState) && has(extended.ecx, kAvx512Vnni) &&
                    has(extended.ebx, kBmi2 | kAvx512F | kAvx512Dq | kAvx512Bw | kAvx512Vl);
  features.avx512_bf16 = features.avx512 && has(extended1.eax, kAvx512Bf16);
  features.amx_bf16 =
      features.avx512_bf16 && has(saved, kTileState) && has(extended.edx, kAmxBf16 | kAmxTile);
  return features;
}

#elif defined(__aarch64__) || defined(_M_ARM64)

CpuFeatures detect_cpu_features() {
  CpuFeatures features;
  features.neon = true;
#if defined(__ARM_FEATURE_DOTPROD) || defined(__APPLE__)
  features.neon_dot = true;
#elif defined(__linux__)
  constexpr unsigned long kSdot = 1ul << 20;
  features.neon_dot = (getauxval(AT_HWCAP) & kSdot) != 0;
#endif
  return features;
}

#else

CpuFeatures detect_cpu_features() { return {}; }

#endif

}  // namespace inlay::cpu

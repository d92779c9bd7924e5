#pragma once

#include <cstdint>

// Matrix instructions, barriers and copies that the matvec kernel is made of.
// Fragment layouts: PTX ISA, "Matrix fragments for mma.m16n8k16" and ".m16n8k8". Lane = 4 g + t throughout.

namespace inlay::cuda {

/// d += a (16 x 16 F16: rows g and g + 8) times b (16 x 8), in float32.
__device__ __forceinline__ void mma_f16(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                        uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// d += a (16 x 8 TF32: a0, a1 in column t of rows g and g + 8; a2, a3 in column t + 4) times b (8 x 8).
__device__ __forceinline__ void mma_tf32(float (&d)[4], float a0, float a1, float a2, float a3, float b0,
                                         float b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(a2)),
        "r"(__float_as_uint(a3)), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void barrier_init(uint32_t barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(barrier) : "memory");
}

/// Blocks until the barrier's phase of this parity is complete.
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
  uint32_t done;
  do {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
#else
    asm volatile(
        "{ .reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
#endif
  } while (!done);
}

__device__ __forceinline__ void copy_16(uint32_t destination, const void* source) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(destination),
               "l"(__cvta_generic_to_global(source))
               : "memory");
}

__device__ __forceinline__ void copy_16_if(bool condition, uint32_t destination, const void* source) {
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p cp.async.cg.shared.global [%0], [%1], 16; }" ::"r"(
                   destination),
               "l"(__cvta_generic_to_global(source)), "r"(static_cast<uint32_t>(condition))
               : "memory");
}

/// A value that the compiler keeps in a register, where it would rather compute it anew at every use.
__device__ __forceinline__ uint32_t kept(uint32_t value) {
  asm volatile("mov.u32 %0, %0;" : "+r"(value));
  return value;
}

/// Ends a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int Groups>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

/// Until no more than `groups` groups (at most 5) of this thread's copies are under way.
__device__ __forceinline__ void wait_for_copies(uint32_t groups) {
  if (groups == 3) {
    wait_for_copies<3>();
  } else if (groups == 2) {
    wait_for_copies<2>();
  } else if (groups == 1) {
    wait_for_copies<1>();
  } else if (groups == 4) {
    wait_for_copies<4>();
  } else if (groups == 5) {
    wait_for_copies<5>();
  } else {
    wait_for_copies<0>();
  }
}

#if __CUDA_ARCH__ >= 900
/// Draws `bytes` bytes (a multiple of 16) into the L2 cache.
__device__ __forceinline__ void prefetch_bulk(const void* source, uint32_t bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(source)),
               "r"(bytes)
               : "memory");
}
#endif

}  // namespace inlay::cuda

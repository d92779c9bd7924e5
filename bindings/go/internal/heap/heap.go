// Package heap is for the leak test, which can't use cgo itself.
package heap

// #include <stdlib.h>
// #if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
// #include <malloc.h>
// static size_t in_use(void) {
//   const struct mallinfo2 figures = mallinfo2();
//   return figures.hblkhd + figures.uordblks;
// }
// #else
// static size_t in_use(void) { return 0; }
// #endif
import "C"

// InUse is how many bytes the C library has given out; 0 where there is nobody to ask.
func InUse() int { return int(C.in_use()) }

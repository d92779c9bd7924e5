package inlay

// #include <stdlib.h>
// #include "bridge.h"
//
// static void *take(size_t bytes, void **out_aligned) {
//   char *memory = calloc(1, bytes + 64);
//   *out_aligned = memory == NULL ? NULL : memory + (64 - (uintptr_t)memory % 64) % 64;
//   return memory;
// }
import "C"

import (
	"sync/atomic"
	"unsafe"
)

// Arena is memory outside Go's heap for a session, a model or a pool, zeroed, so that no page fault waits in a frame.
type Arena struct {
	memory, aligned unsafe.Pointer
	bytes           uint64
	state           int32
}

// What an arena is to the caller.
const (
	arenaFree = iota
	arenaTaken
	arenaClosed
)

// NewArena takes `bytes` bytes.
func NewArena(bytes uint64) (*Arena, error) {
	arena := &Arena{bytes: bytes}
	arena.memory = C.take(C.size_t(bytes), &arena.aligned)
	if arena.memory == nil {
		return nil, &Error{Status: ErrOutOfMemory, Message: "no memory for an arena"}
	}
	return finalized(arena, func(it *Arena) { it.Close() }), nil
}

// Close gives the memory back. What was made in an arena does this itself, and until then it is ErrWrongState.
func (a *Arena) Close() error {
	if a == nil || !atomic.CompareAndSwapInt32(&a.state, arenaFree, arenaClosed) {
		if a != nil && atomic.LoadInt32(&a.state) == arenaTaken {
			return &Error{Status: ErrWrongState, Message: "the arena is in use"}
		}
		return nil
	}
	C.free(a.memory)
	return nil
}

// take keeps others off an arena, which may be nil.
func (a *Arena) take() error {
	if a != nil && !atomic.CompareAndSwapInt32(&a.state, arenaFree, arenaTaken) {
		return &Error{Status: ErrWrongState, Message: "the arena is in use, or closed"}
	}
	return nil
}

// leave gives a taken arena back to the caller.
func (a *Arena) leave() {
	if a != nil {
		atomic.StoreInt32(&a.state, arenaFree)
	}
}

// give gives a taken arena's memory back.
func (a *Arena) give() {
	if a != nil {
		a.leave()
		_ = a.Close()
	}
}

// parts are address and size as the header's structs take them.
func (a *Arena) parts() (unsafe.Pointer, C.uint64_t) {
	if a == nil {
		return nil, 0
	}
	return a.aligned, C.uint64_t(a.bytes)
}

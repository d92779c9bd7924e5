package inlay

// #include "bridge.h"
import "C"

import (
	"io"
	"runtime/cgo"
	"unsafe"
)

// stream is a writer or a reader behind a handle, and what went wrong in it.
type stream struct {
	to   io.Writer
	from io.Reader
	err  error
}

// streaming runs a saving or loading call with a handle of the stream.
func streaming(to io.Writer, from io.Reader, call func(C.uintptr_t) error) error {
	s := &stream{to: to, from: from}
	handle := cgo.NewHandle(s)
	defer handle.Delete()
	return caused(call(C.uintptr_t(handle)), s.err)
}

func (s *stream) run(call func() error) C.inlay_status {
	if s.err = guarded(call); s.err != nil {
		return C.INLAY_ERROR_CALLBACK
	}
	return C.INLAY_OK
}

//export inlayGoWrite
func inlayGoWrite(handle C.uintptr_t, from unsafe.Pointer, count C.size_t) C.inlay_status {
	s := cgo.Handle(handle).Value().(*stream)
	return s.run(func() error {
		// A copy, for a writer may keep what it is given for longer than C does.
		written, err := s.to.Write(C.GoBytes(from, C.int(count)))
		if err == nil && written != int(count) {
			err = io.ErrShortWrite
		}
		return err
	})
}

//export inlayGoRead
func inlayGoRead(handle C.uintptr_t, destination unsafe.Pointer, count C.size_t) C.inlay_status {
	s := cgo.Handle(handle).Value().(*stream)
	return s.run(func() error {
		_, err := io.ReadFull(s.from, unsafe.Slice((*byte)(destination), int(count)))
		return err
	})
}

// saveBytes gives what one of the header's _save_memory calls writes.
func saveBytes(room C.uint64_t,
	save func(unsafe.Pointer, C.uint64_t, *C.uint64_t) C.inlay_status) ([]byte, C.inlay_status) {
	saved := make([]byte, room)
	var count C.uint64_t
	status := save(unsafe.Pointer(data(saved)), room, &count)
	return saved[:count], status
}

// filled asks again with more room where the first was too small.
func filled[T any](room int, ask func(place *T, room C.size_t, count *C.size_t) error) ([]T, error) {
	place := make([]T, room)
	for {
		var count C.size_t
		if err := ask(data(place), C.size_t(len(place)), &count); err != nil {
			return nil, err
		}
		if int(count) <= len(place) {
			return place[:count], nil
		}
		place = make([]T, count)
	}
}

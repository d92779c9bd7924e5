package inlay

// #include "bridge.h"
import "C"

import (
	"bytes"
	"fmt"
	"io"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// Source is where a file comes from: Path, Bytes, Memory, ReaderAt or Reader.
type Source struct {
	path   string
	memory unsafe.Pointer
	reader io.ReaderAt
	size   int64
	err    error
}

// Path is a GGUF file (of a split one, its first part) or a package. It is mapped.
func Path(path string) Source { return Source{path: path} }

// Memory is a whole file in memory outside Go's heap, used where it lies: until the model and all made from it are closed.
func Memory(file unsafe.Pointer, size int64) Source { return Source{memory: file, size: size} }

// Bytes is a whole file in memory. Weights are copied from it.
func Bytes(file []byte) Source { return ReaderAt(bytes.NewReader(file), int64(len(file))) }

// ReaderAt is a file of `size` bytes in a storage of yours: an archive, an asset system. Weights are read into memory
// of the runtime's. It is called by the goroutine that opens; one that is an io.Closer is closed when nothing needs
// it any more.
func ReaderAt(reader io.ReaderAt, size int64) Source { return Source{reader: reader, size: size} }

// Reader reads a whole file to its end, here.
func Reader(reader io.Reader) Source {
	file, err := io.ReadAll(reader)
	source := Bytes(file)
	source.err = err
	return source
}

// host is a storage behind inlay_io, and what went wrong in it.
type host struct {
	reader io.ReaderAt
	size   int64
	mutex  sync.Mutex
	err    error
}

func (h *host) keep(err error) C.inlay_status {
	if err == nil {
		return C.INLAY_OK
	}
	h.mutex.Lock()
	h.err = err
	h.mutex.Unlock()
	return C.INLAY_ERROR_IO
}

func (h *host) cause() error {
	if h == nil {
		return nil
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.err
}

//export inlayGoSize
func inlayGoSize(handle C.uintptr_t, outBytes *C.uint64_t) C.inlay_status {
	h := cgo.Handle(handle).Value().(*host)
	*outBytes = C.uint64_t(h.size)
	return C.INLAY_OK
}

//export inlayGoReadAt
func inlayGoReadAt(handle C.uintptr_t, offset C.uint64_t, destination unsafe.Pointer, count C.size_t) C.inlay_status {
	h := cgo.Handle(handle).Value().(*host)
	return h.keep(guarded(func() error {
		place := unsafe.Slice((*byte)(destination), int(count))
		read, err := h.reader.ReadAt(place, int64(offset))
		if read == len(place) {
			return nil
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%d bytes of %d at byte %d: %w", read, len(place), offset, err)
	}))
}

//export inlayGoClose
func inlayGoClose(handle C.uintptr_t) {
	h := cgo.Handle(handle).Value().(*host)
	cgo.Handle(handle).Delete()
	if closer, ok := h.reader.(io.Closer); ok {
		_ = guarded(closer.Close)
	}
}

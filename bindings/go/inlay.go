// Package inlay embeds Qwen3.5 hybrids: Inlay's C library from Go.
//
//	runtime, err := inlay.NewRuntime(inlay.RuntimeOptions{})
//	model, err := inlay.OpenModel(runtime, inlay.Path("tavern.gguf"), inlay.ModelOptions{})
//	session, err := inlay.NewSession(model, inlay.SessionOptions{})
//	generator, err := inlay.NewGenerator(session, inlay.GeneratorOptions{})
//	err = generator.Prompt("Once upon a time")
//	for {
//		piece, err := generator.Next(ctx)
//		if err == io.EOF {
//			break
//		}
//		fmt.Print(piece.Text)
//	}
//
// The objects are those of inlay.h, and so are their rules. Runtime, File, Model and Tokenizer may be used by any
// number of goroutines at once; Session, Sampler and Generator by one at a time, and a second one inside gets ErrBusy.
// Everything is given back by Close, which may be called twice. C keeps no Go pointer: callbacks go through handles.
//
// The library is found by pkg-config. With the build tag inlay_path it is where CGO_CFLAGS and CGO_LDFLAGS say:
//
//	CGO_CFLAGS=-I/opt/inlay/include CGO_LDFLAGS="-L/opt/inlay/lib -Wl,-rpath,/opt/inlay/lib" go build -tags inlay_path
package inlay

/*
#cgo !inlay_path pkg-config: inlay
#cgo inlay_path LDFLAGS: -linlay
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Token is a token's id: 0 up to the vocabulary's size.
type Token = int32

// MaxWidth is the most tokens of one verify, the certain one included.
const MaxWidth = C.INLAY_MAX_WIDTH

// Version is that of the library that runs.
func Version() (major, minor, patch int) {
	version := uint32(C.inlay_version())
	return int(version >> 16), int(version >> 8 & 0xff), int(version & 0xff)
}

// Status is what a call came to, and an error to ask for: errors.Is(err, inlay.ErrCancelled).
type Status int32

// The errors of the header.
const (
	ErrInvalidArgument Status = C.INLAY_ERROR_INVALID_ARGUMENT
	ErrOutOfMemory     Status = C.INLAY_ERROR_OUT_OF_MEMORY
	ErrMemoryLimit     Status = C.INLAY_ERROR_MEMORY_LIMIT
	ErrIO              Status = C.INLAY_ERROR_IO
	ErrCorruptFile     Status = C.INLAY_ERROR_CORRUPT_FILE
	ErrUnsupported     Status = C.INLAY_ERROR_UNSUPPORTED
	ErrContextFull     Status = C.INLAY_ERROR_CONTEXT_FULL
	ErrWrongState      Status = C.INLAY_ERROR_WRONG_STATE
	ErrBusy            Status = C.INLAY_ERROR_BUSY
	ErrCancelled       Status = C.INLAY_ERROR_CANCELLED
	ErrCallback        Status = C.INLAY_ERROR_CALLBACK
	ErrDevice          Status = C.INLAY_ERROR_DEVICE
	ErrMismatch        Status = C.INLAY_ERROR_MISMATCH
	ErrInternal        Status = C.INLAY_ERROR_INTERNAL
	ErrChatTemplate    Status = C.INLAY_ERROR_CHAT_TEMPLATE
)

// Error gives the header's name, "INLAY_ERROR_IO" for example.
func (s Status) Error() string { return C.GoString(C.inlay_status_name(C.inlay_status(s))) }

// Error is a status with the words that the library left with the object, and what caused it on this side: a
// context's error, or what a callback returned or panicked with.
type Error struct {
	Status  Status
	Message string
	Cause   error
}

func (e *Error) Error() string {
	text := e.Status.Error()
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Is tells errors.Is that the error is its status.
func (e *Error) Is(target error) bool {
	status, ok := target.(Status)
	return ok && status == e.Status
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

var errClosed = &Error{Status: ErrWrongState, Message: "it is closed"}

// fail makes an error of a negative status; ask is one of the header's _message calls.
func fail(status C.inlay_status, ask func(*C.char, C.size_t) C.size_t) error {
	if status >= 0 {
		return nil
	}
	failed := &Error{Status: Status(status)}
	if ask != nil {
		buffer := make([]byte, 512)
		length := ask((*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)))
		if int(length) >= len(buffer) {
			buffer = make([]byte, length+1)
			length = ask((*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)))
		}
		if int(length) < len(buffer) {
			failed.Message = string(buffer[:length])
		}
	}
	return failed
}

// caused puts what happened on this side into an error of the library's.
func caused(err, cause error) error {
	if failed, ok := err.(*Error); ok && cause != nil {
		failed.Cause = cause
	}
	return err
}

// guarded runs a callback so that no panic leaves it, and says what went wrong.
func guarded(callback func() error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			if cause, ok := panicked.(error); ok {
				err = fmt.Errorf("a panic: %w", cause)
			} else {
				err = fmt.Errorf("a panic: %v", panicked)
			}
		}
	}()
	return callback()
}

// cString is a copy for C; free it. It is null for an empty text.
func cString(text string) (*C.char, error) {
	for i := 0; i < len(text); i++ {
		if text[i] == 0 {
			return nil, &Error{Status: ErrInvalidArgument, Message: "a zero byte inside a text"}
		}
	}
	if text == "" {
		return nil, nil
	}
	return C.CString(text), nil
}

func cBool(on bool) C.uint32_t {
	if on {
		return 1
	}
	return 0
}

// data is the address of a slice's elements, null for none.
func data[T any](slice []T) *T {
	if len(slice) == 0 {
		return nil
	}
	return &slice[0]
}

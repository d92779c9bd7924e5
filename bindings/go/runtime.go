package inlay

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Device is where models compute.
type Device int32

// The devices of the header.
const (
	CPU  Device = C.INLAY_DEVICE_CPU
	CUDA Device = C.INLAY_DEVICE_CUDA
)

// WeightPlacement is where a CUDA device keeps the weights of a package in its own layout (PackOptions.Layout); every
// other weight is copied to it.
type WeightPlacement int32

// The placements of the header.
const (
	// WeightsDefault: in place where the device's memory is the host's, else copied.
	WeightsDefault WeightPlacement = C.INLAY_WEIGHTS_DEFAULT
	WeightsCopied  WeightPlacement = C.INLAY_WEIGHTS_COPIED
	// WeightsInPlace: read where they are mapped, by every pass; ErrUnsupported on a device that can't.
	WeightsInPlace WeightPlacement = C.INLAY_WEIGHTS_IN_PLACE
)

// LogLevel is how much a line of the log matters.
type LogLevel int

// The levels of the header.
const (
	LogError   LogLevel = C.INLAY_LOG_ERROR
	LogWarning LogLevel = C.INLAY_LOG_WARNING
	LogInfo    LogLevel = C.INLAY_LOG_INFO
)

// RuntimeOptions say how a Runtime is made; zeros are the header's defaults.
type RuntimeOptions struct {
	Device      Device
	DeviceIndex uint32
	// Threads that compute, the caller's included; 0: one a usable core.
	Threads uint32
	// MemoryLimit is in host bytes, for the runtime and all made from it; 0: none.
	MemoryLimit uint64
	// InstructionSet is "scalar", "avx2", "avx512", "amx" or "neon" instead of the best there is.
	InstructionSet string
	LowPriority    bool
	// CUDAStream is a cudaStream_t of yours, which outlives all that is made from the runtime; nil: one of Inlay's own.
	CUDAStream      unsafe.Pointer
	WeightPlacement WeightPlacement
	// GuardMappings makes ErrIO of a mapped file that another program cuts short, instead of a SIGBUS that ends the
	// process. While such a runtime lives, Inlay has the handler of SIGBUS, and passes on to Go's what is not its own.
	GuardMappings bool
	// Allocator, where not nil, is where host memory comes from.
	Allocator Allocator
	// Log takes each line; called at create, open and close, by any goroutine that does these.
	Log func(level LogLevel, message string)
}

// Allocator gives memory outside Go's heap. It is asked at create, open and close, by any goroutine that does these and by
// finalizers, never while a session works.
type Allocator interface {
	// Allocate gives size bytes aligned to alignment (a power of two, up to 4096); nil, or a panic, where there are none.
	Allocate(size, alignment uintptr) unsafe.Pointer
	// Release takes back what Allocate gave for the same size and alignment.
	Release(memory unsafe.Pointer, size, alignment uintptr)
}

// Runtime is a device, its threads and its memory.
type Runtime struct {
	owned[C.inlay_runtime]
	core *core
}

// core is what everything made from a runtime holds on to: the log may be called until the last of it is closed.
type core struct {
	references int32
	handle     cgo.Handle
	log        func(LogLevel, string)
	allocator  Allocator
	mutex      sync.Mutex
	lastError  string
	parent     *core  // of what is not the runtime's own
	arena      *Arena // given back with the last reference
}

func (c *core) retain() *core {
	atomic.AddInt32(&c.references, 1)
	return c
}

func (c *core) release() {
	if atomic.AddInt32(&c.references, -1) == 0 {
		if c.parent == nil {
			c.handle.Delete()
			return
		}
		c.arena.give()
		c.parent.release()
	}
}

// child is for objects that live in an arena, which may be nil, and all that is made from them.
func (c *core) child(arena *Arena) (*core, error) {
	if err := arena.take(); err != nil {
		return nil, err
	}
	return &core{references: 1, parent: c.retain(), arena: arena}, nil
}

// abandon is release where nothing was made: the arena is the caller's again.
func (c *core) abandon() {
	c.arena.leave()
	c.arena = nil
	c.release()
}

// finalized closes what was not closed when nothing refers to it any more.
func finalized[T any](made *T, close func(*T)) *T {
	runtime.SetFinalizer(made, close)
	return made
}

// owned is a handle that any number of goroutines may use until it is closed.
type owned[T any] struct {
	mutex sync.RWMutex
	ptr   *T
}

func (o *owned[T]) use(call func(*T) error) error {
	o.mutex.RLock()
	defer o.mutex.RUnlock()
	if o.ptr == nil {
		return errClosed
	}
	return call(o.ptr)
}

func (o *owned[T]) close(destroy func(*T), of *core) error {
	o.mutex.Lock()
	ptr := o.ptr
	o.ptr = nil
	o.mutex.Unlock()
	if ptr != nil {
		destroy(ptr)
		of.release()
	}
	return nil
}

//export inlayGoLog
func inlayGoLog(handle C.uintptr_t, level C.int, message *C.char) {
	_ = guarded(func() error {
		of := cgo.Handle(handle).Value().(*core)
		text := C.GoString(message)
		if LogLevel(level) == LogError {
			of.mutex.Lock()
			of.lastError = text
			of.mutex.Unlock()
		}
		if of.log != nil {
			of.log(LogLevel(level), text)
		}
		return nil
	})
}

//export inlayGoAllocate
func inlayGoAllocate(handle C.uintptr_t, size, alignment C.size_t) (memory unsafe.Pointer) {
	of := cgo.Handle(handle).Value().(*core)
	_ = guarded(func() error {
		memory = of.allocator.Allocate(uintptr(size), uintptr(alignment))
		return nil
	})
	return memory
}

//export inlayGoRelease
func inlayGoRelease(handle C.uintptr_t, memory unsafe.Pointer, size, alignment C.size_t) {
	of := cgo.Handle(handle).Value().(*core)
	_ = guarded(func() error {
		of.allocator.Release(memory, uintptr(size), uintptr(alignment))
		return nil
	})
}

// NewRuntime makes a runtime: its threads are started here, once.
func NewRuntime(options RuntimeOptions) (*Runtime, error) {
	if major, minor, patch := Version(); major != C.INLAY_VERSION_MAJOR || minor < C.INLAY_VERSION_MINOR {
		return nil, &Error{Status: ErrUnsupported, Message: fmt.Sprintf(
			"libinlay is %d.%d.%d; this package needs %d.%d", major, minor, patch,
			C.INLAY_VERSION_MAJOR, C.INLAY_VERSION_MINOR)}
	}
	set, err := cString(options.InstructionSet)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(set))
	of := &core{references: 1, log: options.Log, allocator: options.Allocator}
	of.handle = cgo.NewHandle(of)
	var allocator cgo.Handle
	if options.Allocator != nil {
		allocator = of.handle
	}
	made := &Runtime{core: of}
	params := C.inlay_runtime_params{struct_size: C.sizeof_inlay_runtime_params}
	params.device = C.int32_t(options.Device)
	params.device_index = C.uint32_t(options.DeviceIndex)
	params.threads = C.uint32_t(options.Threads)
	params.memory_limit = C.uint64_t(options.MemoryLimit)
	params.instruction_set = set
	params.cuda_stream = options.CUDAStream
	params.low_priority = cBool(options.LowPriority)
	params.weight_placement = C.int32_t(options.WeightPlacement)
	params.guard_mappings = cBool(options.GuardMappings)
	var ptr *C.inlay_runtime
	status := C.bridge_runtime_create(&params, C.uintptr_t(of.handle), C.uintptr_t(allocator), &ptr)
	if status < 0 {
		defer of.release()
		return nil, &Error{Status: Status(status), Message: of.lastError}
	}
	made.ptr = ptr
	return finalized(made, func(it *Runtime) { it.Close() }), nil
}

// Close gives the runtime up; what was made from it keeps what it needs.
func (r *Runtime) Close() error {
	return r.close(func(ptr *C.inlay_runtime) { C.inlay_runtime_destroy(ptr) }, r.core)
}

// failRuntime is for calls whose words are left with the runtime.
func failRuntime(runtime *C.inlay_runtime, status C.inlay_status) error {
	return fail(status, func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.inlay_runtime_message(runtime, buffer, capacity)
	})
}

// MemoryUse is host memory of a runtime and everything made from it, in bytes.
type MemoryUse struct{ Now, HighWater uint64 }

// Memory says what is held; with reset the high water starts again from now.
func (r *Runtime) Memory(reset bool) (use MemoryUse, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		out := C.inlay_memory_use{struct_size: C.sizeof_inlay_memory_use}
		status := C.inlay_runtime_memory(ptr, C.int32_t(cBool(reset)), &out)
		use = MemoryUse{uint64(out.now), uint64(out.high_water)}
		return fail(status, nil)
	})
	return use, err
}

// MemoryKind is what host memory is held for.
type MemoryKind int32

// The kinds of the header.
const (
	MemoryOther   MemoryKind = C.INLAY_MEMORY_OTHER
	MemoryModel   MemoryKind = C.INLAY_MEMORY_MODEL
	MemoryState   MemoryKind = C.INLAY_MEMORY_STATE
	MemoryScratch MemoryKind = C.INLAY_MEMORY_SCRATCH
)

// MemoryOf says what is held for one kind alone; with reset its high water starts again from now. Arenas are not
// counted.
func (r *Runtime) MemoryOf(kind MemoryKind, reset bool) (use MemoryUse, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		out := C.inlay_memory_use{struct_size: C.sizeof_inlay_memory_use}
		status := C.inlay_runtime_memory_of(ptr, C.inlay_memory_kind(kind), C.int32_t(cBool(reset)), &out)
		use = MemoryUse{uint64(out.now), uint64(out.high_water)}
		return fail(status, nil)
	})
	return use, err
}

// RuntimeInfo is what a runtime computes with.
type RuntimeInfo struct {
	Device         Device
	DeviceIndex    uint32
	Threads        uint32
	InstructionSet string
	DeviceName     string
}

// Info says what the runtime computes with.
func (r *Runtime) Info() (info RuntimeInfo, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		out := C.inlay_runtime_info{struct_size: C.sizeof_inlay_runtime_info}
		if err := fail(C.inlay_runtime_get_info(ptr, &out), nil); err != nil {
			return err
		}
		info = RuntimeInfo{Device(out.device), uint32(out.device_index), uint32(out.threads),
			C.GoString(out.instruction_set), C.GoString(out.device_name)}
		return nil
	})
	return info, err
}

// MeasureBandwidth measures a plain streaming read of the memory that weights lie in, in bytes a second.
func (r *Runtime) MeasureBandwidth() (bytes float64, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		var out C.double
		status := C.inlay_runtime_measure_bandwidth(ptr, &out)
		bytes = float64(out)
		return failRuntime(ptr, status)
	})
	return bytes, err
}

// PackOptions say how a package is made.
type PackOptions struct {
	// Quantisation is "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k", "fp8" or "nvfp4"; empty: every tensor as it is.
	Quantisation string
	// Imatrix is the path of an importance matrix in llama.cpp's GGUF form, for the K types.
	Imatrix string
	// Layout is "cuda": as CUDA devices read it, and they alone; empty: every device opens the package.
	Layout string
	// Progress is called meanwhile; an error, or a panic, stops it with ErrCancelled.
	Progress func(done, total uint64) error
}

// Pack makes a package of a model in any form; an empty quantisation leaves every tensor as it is.
func (r *Runtime) Pack(input, output, quantisation string) error {
	return r.PackWith(input, output, PackOptions{Quantisation: quantisation})
}

// PackWith makes a package of a model in any form, as the options say.
func (r *Runtime) PackWith(input, output string, options PackOptions) error {
	var words [5]*C.char
	for i, text := range []string{input, output, options.Quantisation, options.Imatrix, options.Layout} {
		word, err := cString(text)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(word))
		words[i] = word
	}
	w, handle, done := watch(options.Progress)
	defer done()
	return r.use(func(ptr *C.inlay_runtime) error {
		status := C.bridge_pack(ptr, words[0], words[1], words[2], words[3], words[4], C.uintptr_t(handle))
		return caused(failRuntime(ptr, status), w.cause())
	})
}

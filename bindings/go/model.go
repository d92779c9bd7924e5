package inlay

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

// File is a model's file with its header read, and nothing more.
type File struct {
	owned[C.inlay_file]
	core    *core
	runtime *Runtime
	io      *host
}

// OpenFile opens a file and reads its header.
func OpenFile(runtime *Runtime, source Source) (*File, error) {
	if source.err != nil {
		return nil, &Error{Status: ErrIO, Message: "the source can't be read", Cause: source.err}
	}
	path, err := cString(source.path)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(path))
	made := &File{core: runtime.core, runtime: runtime}
	err = runtime.use(func(ptr *C.inlay_runtime) error {
		var handle cgo.Handle
		if source.reader != nil {
			made.io = &host{reader: source.reader, size: source.size}
			handle = cgo.NewHandle(made.io)
		}
		// From here on the library closes it, once, also where the open fails.
		var out *C.inlay_file
		status := C.bridge_file_open(ptr, path, source.memory, C.uint64_t(source.size), C.uintptr_t(handle), &out)
		made.ptr = out
		return caused(failRuntime(ptr, status), made.io.cause())
	})
	if err != nil {
		return nil, err
	}
	runtime.core.retain()
	return finalized(made, func(it *File) { it.Close() }), nil
}

// Close gives the file up; a model that was made of it stays.
func (f *File) Close() error {
	return f.close(func(ptr *C.inlay_file) { C.inlay_file_destroy(ptr) }, f.core)
}

// fail asks the runtime for the words.
func (f *File) fail(status C.inlay_status) error { return failOf(f.runtime, status) }

func failOf(runtime *Runtime, status C.inlay_status) error {
	if status >= 0 {
		return nil
	}
	var failed error
	if runtime.use(func(ptr *C.inlay_runtime) error {
		failed = failRuntime(ptr, status)
		return nil
	}) != nil {
		return fail(status, nil)
	}
	return failed
}

// ModelInfo is what a file or a model is; the header says each field's meaning.
type ModelInfo struct {
	Architecture, Name, Quantisation string
	FileBytes, Parameters            uint64
	Layers, AttentionInterval        uint32
	EmbeddingLength                  uint32
	FeedForwardLength                uint32
	AttentionHeads                   uint32
	AttentionKVHeads                 uint32
	AttentionHeadLength              uint32
	DeltaNetKeyHeads                 uint32
	DeltaNetValueHeads               uint32
	DeltaNetStateLength              uint32
	VocabularySize                   uint32
	ContextLength                    uint32
	MTPLayers                        uint32
	HasWeights, HasTokenizer         bool
	ChatTemplate                     string
	KVType                           KVType
}

func newModelInfo(out *C.inlay_model_info) ModelInfo {
	return ModelInfo{
		Architecture:        C.GoString(out.architecture),
		Name:                C.GoString(out.name),
		Quantisation:        C.GoString(out.quantisation),
		FileBytes:           uint64(out.file_bytes),
		Parameters:          uint64(out.parameters),
		Layers:              uint32(out.layers),
		AttentionInterval:   uint32(out.attention_interval),
		EmbeddingLength:     uint32(out.embedding_length),
		FeedForwardLength:   uint32(out.feed_forward_length),
		AttentionHeads:      uint32(out.attention_heads),
		AttentionKVHeads:    uint32(out.attention_kv_heads),
		AttentionHeadLength: uint32(out.attention_head_length),
		DeltaNetKeyHeads:    uint32(out.delta_net_key_heads),
		DeltaNetValueHeads:  uint32(out.delta_net_value_heads),
		DeltaNetStateLength: uint32(out.delta_net_state_length),
		VocabularySize:      uint32(out.vocabulary_size),
		ContextLength:       uint32(out.context_length),
		MTPLayers:           uint32(out.mtp_layers),
		HasWeights:          out.has_weights != 0,
		HasTokenizer:        out.has_tokenizer != 0,
		ChatTemplate:        C.GoString(out.chat_template),
		KVType:              KVType(out.kv_type),
	}
}

// Info says what the file is.
func (f *File) Info() (info ModelInfo, err error) {
	err = f.use(func(ptr *C.inlay_file) error {
		out := C.inlay_model_info{struct_size: C.sizeof_inlay_model_info}
		if err := fail(C.inlay_file_get_info(ptr, &out), nil); err != nil {
			return err
		}
		info = newModelInfo(&out)
		return nil
	})
	return info, err
}

// TensorInfo is one tensor as the file has it.
type TensorInfo struct {
	Name, Type string
	// Dimensions are innermost first, 1 where there are fewer.
	Dimensions [4]uint64
	Bytes      uint64
}

// Tensors lists the file's tensors in its order.
func (f *File) Tensors() (tensors []TensorInfo, err error) {
	err = f.use(func(ptr *C.inlay_file) error {
		for i := C.uint32_t(0); i < C.inlay_file_tensor_count(ptr); i++ {
			out := C.inlay_tensor_info{struct_size: C.sizeof_inlay_tensor_info}
			if err := fail(C.inlay_file_get_tensor(ptr, i, &out), nil); err != nil {
				return err
			}
			info := TensorInfo{Name: C.GoStringN(out.name, C.int(out.name_bytes)), Type: C.GoString(out._type),
				Bytes: uint64(out.bytes)}
			for d := range info.Dimensions {
				info.Dimensions[d] = uint64(out.dimensions[d])
			}
			tensors = append(tensors, info)
		}
		return nil
	})
	return tensors, err
}

// MemoryPlan is every byte that a model and one session of it will take; the header says each field's meaning.
type MemoryPlan struct {
	WeightsMapped              uint64
	ModelHost, ModelDevice     uint64
	SessionHost, SessionDevice uint64
	ScratchHost, ScratchDevice uint64
	KVCache, DeltaNet, Window  uint64
	PooledSessionHost          uint64
	PooledSessionDevice        uint64
}

func newMemoryPlan(out *C.inlay_memory_plan) MemoryPlan {
	return MemoryPlan{
		WeightsMapped:       uint64(out.weights_mapped),
		ModelHost:           uint64(out.model_host),
		ModelDevice:         uint64(out.model_device),
		SessionHost:         uint64(out.session_host),
		SessionDevice:       uint64(out.session_device),
		ScratchHost:         uint64(out.scratch_host),
		ScratchDevice:       uint64(out.scratch_device),
		KVCache:             uint64(out.kv_cache),
		DeltaNet:            uint64(out.delta_net_state),
		Window:              uint64(out.window),
		PooledSessionHost:   uint64(out.pooled_session_host),
		PooledSessionDevice: uint64(out.pooled_session_device),
	}
}

// Plan says what this file's model and one such session will take, from the header alone. Takes nothing.
func (f *File) Plan(options SessionOptions) (plan MemoryPlan, err error) {
	err = f.use(func(ptr *C.inlay_file) error {
		out := C.inlay_memory_plan{struct_size: C.sizeof_inlay_memory_plan}
		params := options.params()
		status := C.inlay_file_plan(ptr, &params, &out)
		plan = newMemoryPlan(&out)
		return f.fail(status)
	})
	return plan, err
}

// ModelOptions say how a Model is made.
type ModelOptions struct {
	// ReadAhead reads the mapped weights into the page cache before the model is returned.
	ReadAhead bool
	// Progress is called between parts of the loading; an error, or a panic, stops it with ErrCancelled.
	Progress func(done, total uint64) error
	// Arena is memory of MemoryPlan.ModelHost bytes for the model to live in; nil: Inlay's own. The model takes it and
	// gives it back when it and all made from it are closed.
	Arena *Arena
}

// watcher is a progress callback behind a handle.
type watcher struct {
	report func(done, total uint64) error
	err    error
}

func watch(report func(done, total uint64) error) (*watcher, cgo.Handle, func()) {
	if report == nil {
		return nil, 0, func() {}
	}
	w := &watcher{report: report}
	handle := cgo.NewHandle(w)
	return w, handle, handle.Delete
}

func (w *watcher) cause() error {
	if w == nil {
		return nil
	}
	return w.err
}

//export inlayGoProgress
func inlayGoProgress(handle C.uintptr_t, done, total C.uint64_t) C.inlay_status {
	w := cgo.Handle(handle).Value().(*watcher)
	if w.err = guarded(func() error { return w.report(uint64(done), uint64(total)) }); w.err != nil {
		return C.INLAY_ERROR_CANCELLED
	}
	return C.INLAY_OK
}

// Verify compares all of a package with its checksums. progress may be nil.
func (f *File) Verify(progress func(done, total uint64) error) error {
	w, handle, done := watch(progress)
	defer done()
	return f.use(func(ptr *C.inlay_file) error {
		return caused(f.fail(C.bridge_file_verify(ptr, C.uintptr_t(handle))), w.cause())
	})
}

// Model is weights, immutable.
type Model struct {
	owned[C.inlay_model]
	core       *core
	runtime    *Runtime
	vocabulary int
	embedding  int
}

// NewModel makes a file's weights usable; the file may be closed afterwards. After an error the arena is still the
// caller's.
func NewModel(file *File, options ModelOptions) (*Model, error) {
	w, handle, done := watch(options.Progress)
	defer done()
	of, err := file.core.child(options.Arena)
	if err != nil {
		return nil, err
	}
	made := &Model{core: of, runtime: file.runtime}
	err = file.use(func(ptr *C.inlay_file) error {
		arena, bytes := options.Arena.parts()
		var out *C.inlay_model
		status := C.bridge_model_create(ptr, cBool(options.ReadAhead), arena, bytes, C.uintptr_t(handle), &out)
		made.ptr = out
		return caused(caused(file.fail(status), file.io.cause()), w.cause())
	})
	if err != nil {
		of.abandon()
		return nil, err
	}
	info := C.inlay_model_info{struct_size: C.sizeof_inlay_model_info}
	C.inlay_model_get_info(made.ptr, &info)
	made.vocabulary, made.embedding = int(info.vocabulary_size), int(info.embedding_length)
	return finalized(made, func(it *Model) { it.Close() }), nil
}

// OpenModel opens a file and makes its model.
func OpenModel(runtime *Runtime, source Source, options ModelOptions) (*Model, error) {
	file, err := OpenFile(runtime, source)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return NewModel(file, options)
}

// Close gives the model up; sessions of it keep what they need.
func (m *Model) Close() error {
	return m.close(func(ptr *C.inlay_model) { C.inlay_model_destroy(ptr) }, m.core)
}

// Info says what the model is.
func (m *Model) Info() (info ModelInfo, err error) {
	err = m.use(func(ptr *C.inlay_model) error {
		out := C.inlay_model_info{struct_size: C.sizeof_inlay_model_info}
		if err := fail(C.inlay_model_get_info(ptr, &out), nil); err != nil {
			return err
		}
		info = newModelInfo(&out)
		return nil
	})
	return info, err
}

// Plan says what the model and one such session take.
func (m *Model) Plan(options SessionOptions) (plan MemoryPlan, err error) {
	err = m.use(func(ptr *C.inlay_model) error {
		out := C.inlay_memory_plan{struct_size: C.sizeof_inlay_memory_plan}
		params := options.params()
		status := C.inlay_model_plan(ptr, &params, &out)
		plan = newMemoryPlan(&out)
		return failOf(m.runtime, status)
	})
	return plan, err
}

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
	"context"
	"sync"
	"time"
	"unsafe"
)

// KVType is how keys and values are stored.
type KVType int32

// The types of the header.
const (
	KVDefault KVType = C.INLAY_KV_DEFAULT
	KVF16     KVType = C.INLAY_KV_F16
	KVFP8     KVType = C.INLAY_KV_FP8
	KVQ8      KVType = C.INLAY_KV_Q8
)

// SessionOptions say how a Session is made; zeros are the header's defaults.
type SessionOptions struct {
	// ContextLength is the most tokens that the timeline holds; 0: 4,096, or the model's if that is less.
	ContextLength uint32
	KVType        KVType
	// MTP keeps the MTP head's own KV in step, so that it can draft.
	MTP bool
	// PrefillChunk is in tokens that a prompt's pass works on at once; 0: the device's choice.
	PrefillChunk uint32
	// State is memory of MemoryPlan.SessionHost bytes for the session to live in; nil: Inlay's own. The session takes
	// it and gives it back when it is closed.
	State *Arena
	// Scratch likewise, of MemoryPlan.ScratchHost bytes.
	Scratch *Arena
}

func (o SessionOptions) params() C.inlay_session_params {
	params := C.inlay_session_params{struct_size: C.sizeof_inlay_session_params}
	params.context_length = C.uint32_t(o.ContextLength)
	params.kv_type = C.int32_t(o.KVType)
	params.mtp = cBool(o.MTP)
	params.prefill_chunk = C.uint32_t(o.PrefillChunk)
	if o.State != nil {
		params.state_arena, params.state_arena_bytes = o.State.aligned, C.uint64_t(o.State.bytes)
	}
	if o.Scratch != nil {
		params.scratch_arena, params.scratch_arena_bytes = o.Scratch.aligned, C.uint64_t(o.Scratch.bytes)
	}
	return params
}

// Arena is memory outside Go's heap for a session, zeroed, so that no page fault waits in a frame.
type Arena struct {
	memory, aligned unsafe.Pointer
	bytes           uint64
}

// NewArena takes `bytes` bytes.
func NewArena(bytes uint64) (*Arena, error) {
	arena := &Arena{bytes: bytes}
	arena.memory = C.take(C.size_t(bytes), &arena.aligned)
	if arena.memory == nil {
		return nil, &Error{Status: ErrOutOfMemory, Message: "no memory for an arena"}
	}
	return arena, nil
}

// Close gives the memory back. A session that was made in an arena does this itself.
func (a *Arena) Close() error {
	if a != nil {
		C.free(a.memory)
		a.memory, a.aligned, a.bytes = nil, nil, 0
	}
	return nil
}

// Session is one timeline of tokens.
type Session struct {
	model  *Model
	inside sync.Mutex // one goroutine at a time; taken without waiting
	life   sync.Mutex // of what follows, for Cancel comes from anywhere
	ptr    *C.inlay_session
	users  int // generators that need ptr, and the session's own hold
	closed bool
	arenas [2]*Arena
}

// NewSession makes an empty timeline. All memory that it will ever use is taken here. After an error the arenas are
// still the caller's.
func NewSession(model *Model, options SessionOptions) (*Session, error) {
	var made *Session
	err := model.use(func(ptr *C.inlay_model) error {
		params := options.params()
		var out *C.inlay_session
		if err := failOf(model.runtime, C.inlay_session_create(ptr, &params, &out)); err != nil {
			return err
		}
		made = newSession(model, out)
		made.arenas = [2]*Arena{options.State, options.Scratch}
		return nil
	})
	return made, err
}

func newSession(model *Model, ptr *C.inlay_session) *Session {
	model.core.retain()
	return &Session{model: model, ptr: ptr, users: 1}
}

// enter keeps a second goroutine out, and callbacks of the first.
func (s *Session) enter() error {
	if !s.inside.TryLock() {
		return &Error{Status: ErrBusy, Message: "another goroutine, or a callback's caller, is inside"}
	}
	return nil
}

// with runs a call on the open session.
func (s *Session) with(call func(*C.inlay_session) C.inlay_status) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inside.Unlock()
	if s.closed {
		return errClosed
	}
	return s.fail(call(s.ptr))
}

func (s *Session) fail(status C.inlay_status) error {
	return fail(status, func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.inlay_session_message(s.ptr, buffer, capacity)
	})
}

// Close gives the session and its arenas back; a generator that drives it keeps them until it is closed too. ErrBusy
// while another goroutine is inside.
func (s *Session) Close() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inside.Unlock()
	if !s.closed {
		s.closed = true
		s.release()
	}
	return nil
}

// hold keeps the native session and its arenas until release.
func (s *Session) hold() {
	s.life.Lock()
	s.users++
	s.life.Unlock()
}

func (s *Session) release() {
	s.life.Lock()
	defer s.life.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	C.inlay_session_destroy(s.ptr)
	s.ptr = nil
	for _, arena := range s.arenas {
		_ = arena.Close()
	}
	s.model.core.release()
}

// Cancel stops the work under way within one slice. Any goroutine, at any time; without work it does nothing.
func (s *Session) Cancel() {
	s.life.Lock()
	defer s.life.Unlock()
	if s.ptr != nil {
		C.inlay_session_cancel(s.ptr)
	}
}

// during cancels the session's work when the context ends. The error is then the context's too.
func (s *Session) during(ctx context.Context, work func() error) error {
	if ctx == nil || ctx.Done() == nil {
		return work()
	}
	if err := ctx.Err(); err != nil {
		return &Error{Status: ErrCancelled, Cause: err}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-stop:
			return
		case <-ctx.Done():
		}
		// Again and again, for a cancel between two pieces of work does nothing.
		for {
			s.Cancel()
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	err := work()
	close(stop)
	<-stopped
	if failed, ok := err.(*Error); ok && failed.Status == ErrCancelled {
		failed.Cause = ctx.Err()
	}
	return err
}

// Fork makes a new session that stands where this one stands.
func (s *Session) Fork() (*Session, error) {
	var out *C.inlay_session
	err := s.with(func(ptr *C.inlay_session) C.inlay_status { return C.inlay_session_fork(ptr, &out) })
	if err != nil {
		return nil, err
	}
	return newSession(s.model, out), nil
}

// Prefill feeds a prompt; its logits are one row, after the last token. When the context ends, so does the work.
func (s *Session) Prefill(ctx context.Context, tokens []Token) error {
	return s.during(ctx, func() error {
		return s.with(func(ptr *C.inlay_session) C.inlay_status {
			return C.inlay_session_prefill(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)))
		})
	})
}

// Step feeds one token; its logits are one row.
func (s *Session) Step(ctx context.Context, token Token) error {
	return s.during(ctx, func() error {
		return s.with(func(ptr *C.inlay_session) C.inlay_status { return C.inlay_session_step(ptr, C.int32_t(token)) })
	})
}

// Verify feeds a certain token and up to 7 drafts; row i of the logits follows tokens[i]. Then Commit.
func (s *Session) Verify(ctx context.Context, tokens []Token) error {
	return s.during(ctx, func() error {
		return s.with(func(ptr *C.inlay_session) C.inlay_status {
			return C.inlay_session_verify(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)))
		})
	})
}

// BeginPrefill begins a prefill, for Advance to work on.
func (s *Session) BeginPrefill(tokens []Token) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status {
		return C.inlay_session_begin_prefill(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)))
	})
}

// BeginStep begins a step.
func (s *Session) BeginStep(token Token) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status {
		return C.inlay_session_begin_step(ptr, C.int32_t(token))
	})
}

// BeginVerify begins a verify.
func (s *Session) BeginVerify(tokens []Token) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status {
		return C.inlay_session_begin_verify(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)))
	})
}

// Progress is where a piece of work stands.
type Progress struct {
	SlicesDone, SlicesTotal uint64
	// LongestSlice is that since the session was made.
	LongestSlice time.Duration
	// Remaining is an estimate, from the slices measured so far.
	Remaining time.Duration
	// Position is in tokens kept so far, the others of the work under way.
	Position, TokensDone, TokensTotal uint64
}

// NoBudget lets work run to its end.
const NoBudget time.Duration = -1

func microseconds(budget time.Duration) C.uint64_t {
	if budget < 0 {
		return C.INLAY_NO_BUDGET
	}
	return C.uint64_t(budget.Microseconds())
}

// Advance goes on with the work that was begun for at most the budget, and says whether it is done.
func (s *Session) Advance(budget time.Duration) (done bool, progress Progress, err error) {
	out := C.inlay_progress{struct_size: C.sizeof_inlay_progress}
	err = s.with(func(ptr *C.inlay_session) C.inlay_status {
		status := C.inlay_session_advance(ptr, microseconds(budget), &out)
		done = status == C.INLAY_OK
		return status
	})
	progress = Progress{uint64(out.slices_done), uint64(out.slices_total), time.Duration(out.longest_slice_ns),
		time.Duration(out.remaining_ns), uint64(out.position), uint64(out.tokens_done), uint64(out.tokens_total)}
	return done, progress, err
}

// Commit keeps the first `count` tokens of the last verify and forgets the rest.
func (s *Session) Commit(count int) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status { return C.inlay_session_commit(ptr, C.size_t(count)) })
}

// Rewind takes back the last `count` tokens, at most Rewindable.
func (s *Session) Rewind(count int) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status { return C.inlay_session_rewind(ptr, C.size_t(count)) })
}

// Reset empties the timeline.
func (s *Session) Reset() error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status { return C.inlay_session_reset(ptr) })
}

// Save gives all of the session as bytes, for Load. Nothing may be under way.
func (s *Session) Save() (saved []byte, err error) {
	err = s.with(func(ptr *C.inlay_session) C.inlay_status {
		saved = make([]byte, C.inlay_session_save_bytes(ptr))
		var count C.uint64_t
		status := C.inlay_session_save_memory(ptr, unsafe.Pointer(data(saved)), C.uint64_t(len(saved)), &count)
		saved = saved[:count]
		return status
	})
	return saved, err
}

// Load replaces all of the session by what was saved; it refuses what is damaged or of another model.
func (s *Session) Load(saved []byte) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status {
		return C.inlay_session_load_memory(ptr, unsafe.Pointer(data(saved)), C.uint64_t(len(saved)))
	})
}

// RewindTo makes the session stand where `mark` stands, for example a fork of it made earlier.
func (s *Session) RewindTo(mark *Session) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status {
		status := C.inlay_status(C.INLAY_ERROR_WRONG_STATE)
		_ = mark.with(func(stands *C.inlay_session) C.inlay_status {
			status = C.inlay_session_rewind_to(ptr, stands)
			return C.INLAY_OK
		})
		return status
	})
}

// Estimate is what work would take if it began now and ran without a pause.
type Estimate struct {
	Expected time.Duration
	// P99: 99 of 100 times it takes no longer, on a machine as busy as lately.
	P99          time.Duration
	LongestSlice time.Duration
}

// Estimate says what a prompt of `prompt` tokens and then `rounds` passes of `width` tokens each would take.
func (s *Session) Estimate(prompt, rounds int, width uint32) (estimate Estimate, err error) {
	out := C.inlay_estimate{struct_size: C.sizeof_inlay_estimate}
	err = s.with(func(ptr *C.inlay_session) C.inlay_status {
		return C.inlay_session_estimate(ptr, C.size_t(prompt), C.size_t(rounds), C.uint32_t(width), &out)
	})
	return Estimate{time.Duration(out.expected_ns), time.Duration(out.p99_ns), time.Duration(out.longest_slice_ns)}, err
}

// Rewindable is how many tokens can be taken back.
func (s *Session) Rewindable() (count int) {
	_ = s.with(func(ptr *C.inlay_session) C.inlay_status {
		count = int(C.inlay_session_rewindable(ptr))
		return C.INLAY_OK
	})
	return count
}

// Position is how many tokens were kept so far.
func (s *Session) Position() (position uint64) {
	_ = s.with(func(ptr *C.inlay_session) C.inlay_status {
		position = uint64(C.inlay_session_position(ptr))
		return C.INLAY_OK
	})
	return position
}

// Tokens is a copy of the tokens kept so far.
func (s *Session) Tokens() (tokens []Token) {
	_ = s.with(func(ptr *C.inlay_session) C.inlay_status {
		tokens = append(tokens, unsafe.Slice((*Token)(C.inlay_session_tokens(ptr)), int(C.inlay_session_position(ptr)))...)
		return C.INLAY_OK
	})
	return tokens
}

// Logits appends row `row` of the last pass's logits to `to`, a number for each token of the vocabulary.
func (s *Session) Logits(row int, to []float32) (logits []float32, err error) {
	err = s.with(func(ptr *C.inlay_session) C.inlay_status {
		var out *C.float
		status := C.inlay_session_logits(ptr, C.size_t(row), &out)
		if status == C.INLAY_OK {
			to = append(to, unsafe.Slice((*float32)(out), s.model.vocabulary)...)
		}
		return status
	})
	return to, err
}

// Hidden appends the hidden state that a row of logits came from to `to`, embedding length numbers.
func (s *Session) Hidden(row int, to []float32) (hidden []float32, err error) {
	err = s.with(func(ptr *C.inlay_session) C.inlay_status {
		var out *C.float
		status := C.inlay_session_hidden(ptr, C.size_t(row), &out)
		if status == C.INLAY_OK {
			to = append(to, unsafe.Slice((*float32)(out), s.model.embedding)...)
		}
		return status
	})
	return to, err
}

package inlay

// #include "bridge.h"
import "C"

import (
	"context"
	"io"
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
	// Pool gives KV pages as the timeline grows; nil: pages of the session's own for its whole context. With a pool a
	// feed that needs more pages than are free is ErrMemoryLimit and leaves the session as it was.
	Pool *Pool
	// ShareScratch, where not nil, lets the session work in the scratch of this one, which has the same model and equal
	// options, and both or neither a pool. While one of them has work under way, the others refuse theirs with
	// ErrWrongState; a second goroutine inside any of them gets ErrBusy.
	ShareScratch *Session
}

func (o SessionOptions) params() C.inlay_session_params {
	params := C.inlay_session_params{struct_size: C.sizeof_inlay_session_params}
	params.context_length = C.uint32_t(o.ContextLength)
	params.kv_type = C.int32_t(o.KVType)
	params.mtp = cBool(o.MTP)
	params.prefill_chunk = C.uint32_t(o.PrefillChunk)
	params.state_arena, params.state_arena_bytes = o.State.parts()
	params.scratch_arena, params.scratch_arena_bytes = o.Scratch.parts()
	return params
}

// Session is one timeline of tokens.
type Session struct {
	model  *Model
	inside *sync.Mutex // one goroutine at a time, of all that share the scratch; taken without waiting
	life   sync.Mutex  // of what follows, for Cancel comes from anywhere
	ptr    *C.inlay_session
	users  int // generators that need ptr, and the session's own hold
	closed bool
	core   *core // the model's or the pool's child, with the state's arena
	bench  *core // the model's child, with the scratch's arena; shared with the scratch
}

// NewSession makes an empty timeline. All memory that it will ever use is taken here. After an error the arenas are
// still the caller's.
func NewSession(model *Model, options SessionOptions) (made *Session, err error) {
	params := options.params()
	err = model.use(func(ptr *C.inlay_model) error {
		return options.Pool.lend(func(pool *C.inlay_pool) error {
			return options.ShareScratch.lend(func(shared *C.inlay_session) error {
				params.pool, params.share_scratch = pool, shared
				home := model.core
				if options.Pool != nil {
					home = options.Pool.core
				}
				made, err = newSession(model, home, options.State, options.Scratch, options.ShareScratch,
					func(out **C.inlay_session) error {
						return failOf(model.runtime, C.inlay_session_create(ptr, &params, out))
					})
				return err
			})
		})
	})
	return made, err
}

// newSession keeps the arenas, and with home the pool or the model, for what create makes; shared is whose scratch it
// works in, or nil.
func newSession(model *Model, home *core, state, scratch *Arena, shared *Session,
	create func(out **C.inlay_session) error) (made *Session, err error) {
	made = &Session{model: model, inside: &sync.Mutex{}, users: 1}
	if made.core, err = home.child(state); err != nil {
		return nil, err
	}
	if shared != nil {
		made.inside, made.bench = shared.inside, shared.bench.retain()
	} else if made.bench, err = model.core.child(scratch); err != nil {
		made.core.abandon()
		return nil, err
	}
	var out *C.inlay_session
	if err = create(&out); err != nil {
		made.core.abandon()
		if shared != nil {
			made.bench.release()
		} else {
			made.bench.abandon()
		}
		return nil, err
	}
	made.ptr = out
	return finalized(made, (*Session).finalize), nil
}

// finalize is Close for who forgot it; it waits where a session that shares the scratch is in use.
func (s *Session) finalize() {
	go func() {
		s.inside.Lock()
		defer s.inside.Unlock()
		if !s.closed {
			s.closed = true
			s.release()
		}
	}()
}

// enter keeps a second goroutine out, and callbacks of the first.
func (s *Session) enter() error {
	if !s.inside.TryLock() {
		return &Error{Status: ErrBusy, Message: "another goroutine, or a callback's caller, is inside"}
	}
	return nil
}

// lend gives the open native session, nil for nil, and keeps others out meanwhile.
func (s *Session) lend(call func(*C.inlay_session) error) error {
	if s == nil {
		return call(nil)
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inside.Unlock()
	if s.closed {
		return errClosed
	}
	return call(s.ptr)
}

// with runs a call on the open session.
func (s *Session) with(call func(*C.inlay_session) C.inlay_status) error {
	return s.lend(func(ptr *C.inlay_session) error { return s.fail(call(ptr)) })
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
	s.core.release()
	s.bench.release()
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

// Fork makes a new session that stands where this one stands, in memory of its own, as much as this one has. In a pool
// it has this one's full pages too.
func (s *Session) Fork() (*Session, error) { return s.ForkWith(ForkOptions{}) }

// ForkOptions say where a fork lives and works; zeros are memory of Inlay's own.
type ForkOptions struct {
	// ShareScratch lets it work in the scratch of the session that is forked, as in SessionOptions.
	ShareScratch bool
	// State and Scratch are as in SessionOptions.
	State, Scratch *Arena
}

// ForkWith makes a new session that stands where this one stands. After an error the arenas are still the caller's.
func (s *Session) ForkWith(options ForkOptions) (fork *Session, err error) {
	params := C.inlay_fork_params{struct_size: C.sizeof_inlay_fork_params}
	params.share_scratch = cBool(options.ShareScratch)
	params.state_arena, params.state_arena_bytes = options.State.parts()
	params.scratch_arena, params.scratch_arena_bytes = options.Scratch.parts()
	var shared *Session
	if options.ShareScratch {
		shared = s
	}
	err = s.lend(func(ptr *C.inlay_session) error {
		fork, err = newSession(s.model, s.core.parent, options.State, options.Scratch, shared,
			func(out **C.inlay_session) error { return s.fail(C.inlay_session_fork_with(ptr, &params, out)) })
		return err
	})
	return fork, err
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

// BeginSteps begins a step of each of several sessions that share their scratch, in one pass over the weights: tokens[i]
// for sessions[i], at most MaxWidth of them. The work is then the first one's to Advance, Poll, Finish or Cancel; the
// others are busy meanwhile. Each has its own row of logits afterwards. Where one can't take its token, none is begun.
func BeginSteps(sessions []*Session, tokens []Token) error {
	if len(sessions) == 0 || len(sessions) != len(tokens) {
		return &Error{Status: ErrInvalidArgument, Message: "each of the sessions takes one token"}
	}
	leader, pointers := sessions[0], make([]*C.inlay_session, len(sessions))
	return leader.lend(func(*C.inlay_session) error {
		for i, session := range sessions {
			if session.inside != leader.inside {
				return &Error{Status: ErrInvalidArgument, Message: "the sessions do not share their scratch"}
			}
			if session.closed {
				return errClosed
			}
			pointers[i] = session.ptr
		}
		return leader.fail(C.inlay_session_begin_steps(data(pointers), (*C.int32_t)(data(tokens)), C.size_t(len(tokens))))
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

func newProgress(out *C.inlay_progress) Progress {
	return Progress{uint64(out.slices_done), uint64(out.slices_total), time.Duration(out.longest_slice_ns),
		time.Duration(out.remaining_ns), uint64(out.position), uint64(out.tokens_done), uint64(out.tokens_total)}
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
	return done, newProgress(&out), err
}

// Poll goes on without waiting, and says whether the work is done: a device with a queue of its own is handed it, the CPU
// does one slice.
func (s *Session) Poll() (done bool, err error) {
	err = s.with(func(ptr *C.inlay_session) C.inlay_status {
		status := C.inlay_session_poll(ptr)
		done = status == C.INLAY_OK
		return status
	})
	return done, err
}

// Finish waits for the end of the work that was begun. When the context ends, so does the work.
func (s *Session) Finish(ctx context.Context) error {
	return s.during(ctx, func() error {
		return s.with(func(ptr *C.inlay_session) C.inlay_status { return C.inlay_session_finish(ptr) })
	})
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
	err = s.with(func(ptr *C.inlay_session) (status C.inlay_status) {
		saved, status = saveBytes(C.inlay_session_save_bytes(ptr),
			func(place unsafe.Pointer, room C.uint64_t, count *C.uint64_t) C.inlay_status {
				return C.inlay_session_save_memory(ptr, place, room, count)
			})
		return status
	})
	return saved, err
}

// SaveTo writes the same in pieces of at most some hundred kilobytes. An error of the writer's is the cause of
// ErrCallback.
func (s *Session) SaveTo(to io.Writer) error {
	return streaming(to, nil, func(handle C.uintptr_t) error {
		return s.with(func(ptr *C.inlay_session) C.inlay_status { return C.bridge_session_save(ptr, handle) })
	})
}

// Load replaces all of the session by what was saved; it refuses what is damaged or of another model.
func (s *Session) Load(saved []byte) error {
	return s.with(func(ptr *C.inlay_session) C.inlay_status {
		return C.inlay_session_load_memory(ptr, unsafe.Pointer(data(saved)), C.uint64_t(len(saved)))
	})
}

// LoadFrom reads the same, as far as what was saved goes. What is damaged after its first 512 bytes, or a reader that
// fails, leaves the session empty.
func (s *Session) LoadFrom(from io.Reader) error {
	return streaming(nil, from, func(handle C.uintptr_t) error {
		return s.with(func(ptr *C.inlay_session) C.inlay_status { return C.bridge_session_load(ptr, handle) })
	})
}

// RewindTo makes the session stand where `mark` stands, for example a fork of it made earlier.
func (s *Session) RewindTo(mark *Session) error {
	return s.lend(func(ptr *C.inlay_session) error {
		if mark.inside != s.inside {
			if err := mark.enter(); err != nil {
				return err
			}
			defer mark.inside.Unlock()
		}
		if mark.closed {
			return errClosed
		}
		return s.fail(C.inlay_session_rewind_to(ptr, mark.ptr))
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

// ContextLength is the most tokens that it holds.
func (s *Session) ContextLength() (length int) {
	_ = s.with(func(ptr *C.inlay_session) C.inlay_status {
		length = int(C.inlay_session_context_length(ptr))
		return C.INLAY_OK
	})
	return length
}

// Tokens is a copy of the tokens kept so far.
func (s *Session) Tokens() (tokens []Token) {
	_ = s.with(func(ptr *C.inlay_session) C.inlay_status {
		tokens = append(tokens, unsafe.Slice((*Token)(C.inlay_session_tokens(ptr)), int(C.inlay_session_position(ptr)))...)
		return C.INLAY_OK
	})
	return tokens
}

// Logits appends row `row` of the last pass's logits to `to`, a number for each token of the vocabulary. After a pass of
// another session in the same scratch there are none: ErrWrongState.
func (s *Session) Logits(row int, to []float32) ([]float32, error) {
	return s.row(to, s.model.vocabulary, func(ptr *C.inlay_session, out **C.float) C.inlay_status {
		return C.inlay_session_logits(ptr, C.size_t(row), out)
	})
}

// Hidden appends the hidden state that a row of logits came from to `to`, embedding length numbers.
func (s *Session) Hidden(row int, to []float32) ([]float32, error) {
	return s.row(to, s.model.embedding, func(ptr *C.inlay_session, out **C.float) C.inlay_status {
		return C.inlay_session_hidden(ptr, C.size_t(row), out)
	})
}

func (s *Session) row(to []float32, width int,
	ask func(*C.inlay_session, **C.float) C.inlay_status) ([]float32, error) {
	err := s.with(func(ptr *C.inlay_session) C.inlay_status {
		var out *C.float
		status := ask(ptr, &out)
		if status == C.INLAY_OK {
			to = append(to, unsafe.Slice((*float32)(out), width)...)
		}
		return status
	})
	return to, err
}

// MTPLogits gives the MTP head's logits after each of these tokens but the last, a row of vocabulary size numbers each,
// for tests and tools. The session must be empty, with MTP on; it is empty again afterwards.
func (s *Session) MTPLogits(tokens []Token) ([]float32, error) {
	rows := 0
	if len(tokens) > 1 {
		rows = len(tokens) - 1
	}
	logits := make([]float32, rows*s.model.vocabulary)
	err := s.with(func(ptr *C.inlay_session) C.inlay_status {
		return C.inlay_session_mtp_logits(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)), (*C.float)(data(logits)))
	})
	return logits, err
}

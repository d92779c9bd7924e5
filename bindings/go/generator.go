package inlay

// #include "bridge.h"
import "C"

import (
	"context"
	"io"
	"runtime/cgo"
	"time"
	"unsafe"
)

// Bias is added to a token's logit; negative infinity forbids it.
type Bias struct {
	Token Token
	Bias  float32
}

// SamplerOptions say how tokens are drawn; zeros are the header's defaults, and the default is greedy.
type SamplerOptions struct {
	Temperature      float32
	TopK             uint32
	TopP, MinP       float32
	RepeatPenalty    float32
	FrequencyPenalty float32
	PresencePenalty  float32
	PenaltyWindow    uint32
	// Seed: equal seeds give equal texts.
	Seed   uint64
	Biases []Bias
}

func (o *SamplerOptions) params() (C.inlay_sampler_params, []C.inlay_logit_bias) {
	params := C.inlay_sampler_params{struct_size: C.sizeof_inlay_sampler_params}
	params.temperature = C.float(o.Temperature)
	params.top_k = C.uint32_t(o.TopK)
	params.top_p = C.float(o.TopP)
	params.min_p = C.float(o.MinP)
	params.repeat_penalty = C.float(o.RepeatPenalty)
	params.frequency_penalty = C.float(o.FrequencyPenalty)
	params.presence_penalty = C.float(o.PresencePenalty)
	params.penalty_window = C.uint32_t(o.PenaltyWindow)
	params.seed = C.uint64_t(o.Seed)
	biases := make([]C.inlay_logit_bias, len(o.Biases))
	for i, bias := range o.Biases {
		biases[i] = C.inlay_logit_bias{token: C.int32_t(bias.Token), bias: C.float(bias.Bias)}
	}
	return params, biases
}

// Sampler turns logits into a token. One goroutine at a time.
type Sampler struct {
	owned[C.inlay_sampler]
	model *Model
}

// NewSampler makes a sampler.
func NewSampler(model *Model, options SamplerOptions) (*Sampler, error) {
	made := &Sampler{model: model}
	err := model.use(func(ptr *C.inlay_model) error {
		params, biases := options.params()
		var out *C.inlay_sampler
		status := C.bridge_sampler_create(ptr, &params, data(biases), C.size_t(len(biases)), &out)
		made.ptr = out
		return failOf(model.runtime, status)
	})
	if err != nil {
		return nil, err
	}
	model.core.retain()
	return made, nil
}

// Close gives the sampler up.
func (s *Sampler) Close() error {
	return s.close(func(ptr *C.inlay_sampler) { C.inlay_sampler_destroy(ptr) }, s.model.core)
}

// Sample draws the token at `position` from its logits and the tokens before it.
func (s *Sampler) Sample(logits []float32, history []Token, position uint64) (token Token, err error) {
	if len(logits) != s.model.vocabulary {
		return 0, &Error{Status: ErrInvalidArgument, Message: "a row of logits has a number for each token"}
	}
	err = s.use(func(ptr *C.inlay_sampler) error {
		var out C.int32_t
		status := C.inlay_sampler_sample(ptr, (*C.float)(data(logits)), (*C.int32_t)(data(history)),
			C.size_t(len(history)), C.uint64_t(position), &out)
		token = Token(out)
		return fail(status, nil)
	})
	return token, err
}

// Drafter guesses at what comes next: a dialogue tree, an index, another model. What it proposes is verified, so it
// changes the speed and never the text.
type Drafter interface {
	// Propose gives up to `max` guesses at the tokens that follow `tokens`, all of the timeline, which live until it
	// returns. An error, or a panic, stops the generator's call with ErrCallback.
	Propose(tokens []Token, max int) ([]Token, error)
}

// Observer is a Drafter that wants to know what was appended to the timeline, prompts included; the first `accepted`
// of the tokens came from the last proposal.
type Observer interface {
	Observe(tokens []Token, accepted int)
}

// Resetter is an Observer that wants to know when the timeline was changed from outside; all of it is observed anew.
type Resetter interface {
	Reset()
}

// drafting is a drafter behind a handle, and what went wrong in it last.
type drafting struct {
	drafter Drafter
	err     error
}

//export inlayGoPropose
func inlayGoPropose(handle C.uintptr_t, tokens *C.int32_t, count, max C.size_t, outTokens *C.int32_t,
	outCount *C.size_t) C.inlay_status {
	d := cgo.Handle(handle).Value().(*drafting)
	// A panic in Observe, which can't report one, is reported here.
	if d.err == nil {
		d.err = guarded(func() error {
			guesses, err := d.drafter.Propose(unsafe.Slice((*Token)(tokens), int(count)), int(max))
			if err == nil {
				*outCount = C.size_t(copy(unsafe.Slice((*Token)(outTokens), int(max)), guesses))
			}
			return err
		})
	}
	if d.err != nil {
		*outCount = 0
		return C.INLAY_ERROR_CALLBACK
	}
	return C.INLAY_OK
}

//export inlayGoObserve
func inlayGoObserve(handle C.uintptr_t, tokens *C.int32_t, count, accepted C.size_t) {
	d := cgo.Handle(handle).Value().(*drafting)
	if observer, ok := d.drafter.(Observer); ok {
		if err := guarded(func() error {
			observer.Observe(unsafe.Slice((*Token)(tokens), int(count)), int(accepted))
			return nil
		}); err != nil {
			d.err = err
		}
	}
}

//export inlayGoReset
func inlayGoReset(handle C.uintptr_t) {
	d := cgo.Handle(handle).Value().(*drafting)
	if resetter, ok := d.drafter.(Resetter); ok {
		if err := guarded(func() error {
			resetter.Reset()
			return nil
		}); err != nil {
			d.err = err
		}
	}
}

// Mask has a say in what may come next: a game's rules, a list of names, a language of its own.
type Mask interface {
	// Allow takes from `allowed` what must not follow `tokens`, all of the timeline; both live until it returns. False:
	// all may follow, whatever was taken. An error, or a panic, stops the generator's call with ErrCallback.
	Allow(tokens []Token, allowed *Allowed) (bool, error)
}

// Allowed is the tokens that may follow; at first all of them.
type Allowed struct {
	words []uint32
	// Vocabulary is how many tokens there are.
	Vocabulary int
}

// Forbid says that this one must not follow.
func (a *Allowed) Forbid(token Token) { a.words[token/32] &^= 1 << (token % 32) }

// Only says that none but these may follow.
func (a *Allowed) Only(tokens ...Token) {
	for i := range a.words {
		a.words[i] = 0
	}
	for _, token := range tokens {
		a.words[token/32] |= 1 << (token % 32)
	}
}

// masking is a mask behind a handle, and what went wrong in it last.
type masking struct {
	mask Mask
	err  error
}

//export inlayGoAllow
func inlayGoAllow(handle C.uintptr_t, tokens *C.int32_t, count C.size_t, allowed *C.uint32_t,
	vocabulary C.uint32_t) C.inlay_status {
	m := cgo.Handle(handle).Value().(*masking)
	some := false
	if m.err = guarded(func() (err error) {
		words := unsafe.Slice((*uint32)(allowed), (int(vocabulary)+31)/32)
		some, err = m.mask.Allow(unsafe.Slice((*Token)(tokens), int(count)), &Allowed{words, int(vocabulary)})
		return err
	}); m.err != nil {
		return C.INLAY_ERROR_CALLBACK
	}
	if !some {
		return C.INLAY_END
	}
	return C.INLAY_OK
}

// hosts are the callbacks that a native generator holds on to.
type hosts struct {
	drafts  *drafting
	masks   *masking
	handles [2]cgo.Handle
}

func newHosts(options *GeneratorOptions) (h hosts) {
	if options.Drafter != nil {
		h.drafts = &drafting{drafter: options.Drafter}
		h.handles[0] = cgo.NewHandle(h.drafts)
	}
	if options.Mask != nil {
		h.masks = &masking{mask: options.Mask}
		h.handles[1] = cgo.NewHandle(h.masks)
	}
	return h
}

func (h *hosts) drop() {
	for i, handle := range h.handles {
		if handle != 0 {
			handle.Delete()
			h.handles[i] = 0
		}
	}
}

// caused puts what a callback reported or panicked with into an error of the library's.
func (h *hosts) caused(status C.inlay_status, err error) error {
	if status != C.INLAY_ERROR_CALLBACK {
		return err
	}
	if h.drafts != nil {
		err = caused(err, h.drafts.err)
		h.drafts.err = nil
	}
	if h.masks != nil {
		err = caused(err, h.masks.err)
		h.masks.err = nil
	}
	return err
}

// Draft is who drafts for a Generator.
type Draft int32

// The kinds of the header but the host's, which is GeneratorOptions.Drafter.
const (
	DraftNone      Draft = C.INLAY_DRAFT_NONE
	DraftMTP       Draft = C.INLAY_DRAFT_MTP
	DraftLookup    Draft = C.INLAY_DRAFT_LOOKUP
	DraftLookupMTP Draft = C.INLAY_DRAFT_LOOKUP_MTP
)

// GeneratorOptions say how a Generator is made; zeros are the header's defaults.
type GeneratorOptions struct {
	Sampler SamplerOptions
	Draft   Draft
	// Drafter, where not nil, drafts instead.
	Drafter Drafter
	// DraftLength is the most drafts a round, 1 to 7; 0: chosen by what is accepted and costs.
	DraftLength uint32
	// DraftMinProbability: MTP stops drafting below this confidence; 0: never.
	DraftMinProbability float32
	// MaxTokens of an answer; 0: until the context is full.
	MaxTokens uint64
	// IgnoreEnd goes on after the token that ends the text.
	IgnoreEnd bool
	// ShowSpecial makes special tokens appear in the text.
	ShowSpecial bool
	// Mask, where not nil, has a say in what may come.
	Mask Mask
}

func (o *GeneratorOptions) params() C.inlay_generator_params {
	params := C.inlay_generator_params{struct_size: C.sizeof_inlay_generator_params}
	params.draft = C.int32_t(o.Draft)
	if o.Drafter != nil {
		params.draft = C.INLAY_DRAFT_HOST
	}
	params.draft_length = C.uint32_t(o.DraftLength)
	params.draft_min_probability = C.float(o.DraftMinProbability)
	params.max_tokens = C.uint64_t(o.MaxTokens)
	params.ignore_end = cBool(o.IgnoreEnd)
	params.show_special = cBool(o.ShowSpecial)
	return params
}

// Stop is why an answer ended.
type Stop int32

// The reasons of the header; NotStopped with every piece but an answer's last.
const (
	NotStopped         Stop = C.INLAY_STOP_NONE
	StoppedEndOfText   Stop = C.INLAY_STOP_END_OF_TEXT
	StoppedMaxTokens   Stop = C.INLAY_STOP_MAX_TOKENS
	StoppedContextFull Stop = C.INLAY_STOP_CONTEXT_FULL
	StoppedString      Stop = C.INLAY_STOP_STRING
	StoppedRepetition  Stop = C.INLAY_STOP_REPETITION
	StoppedByHost      Stop = C.INLAY_STOP_HOST
)

// Piece is what came: whole characters, and the tokens that they were made of.
type Piece struct {
	Text   string
	Tokens []Token
	Stop   Stop
}

// Generator is session, sampler, drafter and text stream: prompt to text.
type Generator struct {
	session *Session
	ptr     *C.inlay_generator
	hosts   hosts
	ended   bool
}

// NewGenerator makes a generator, which drives the session: leave that alone while it generates.
func NewGenerator(session *Session, options GeneratorOptions) (*Generator, error) {
	made := &Generator{session: session, hosts: newHosts(&options)}
	params := options.params()
	sampler, biases := options.Sampler.params()
	err := session.with(func(ptr *C.inlay_session) C.inlay_status {
		var out *C.inlay_generator
		status := C.bridge_generator_create(ptr, &sampler, data(biases), C.size_t(len(biases)), &params,
			C.uintptr_t(made.hosts.handles[0]), C.uintptr_t(made.hosts.handles[1]), &out)
		made.ptr = out
		return status
	})
	if err != nil {
		made.hosts.drop()
		return nil, err
	}
	session.hold()
	return made, nil
}

// Close gives the generator up. The session stays. ErrBusy while another goroutine is inside.
func (g *Generator) Close() error {
	if err := g.session.enter(); err != nil {
		return err
	}
	defer g.session.inside.Unlock()
	if g.ptr != nil {
		C.inlay_generator_destroy(g.ptr)
		g.ptr = nil
		g.hosts.drop()
		g.session.release()
	}
	return nil
}

// Session is the one that it drives.
func (g *Generator) Session() *Session { return g.session }

func (g *Generator) with(call func(*C.inlay_generator) C.inlay_status) error {
	if err := g.session.enter(); err != nil {
		return err
	}
	defer g.session.inside.Unlock()
	if g.ptr == nil {
		return errClosed
	}
	status := call(g.ptr)
	err := fail(status, func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.inlay_generator_message(g.ptr, buffer, capacity)
	})
	return g.hosts.caused(status, err)
}

func (g *Generator) prompt(text string, parseSpecial bool) error {
	err := g.with(func(ptr *C.inlay_generator) C.inlay_status {
		return C.inlay_generator_prompt_text(ptr, chars(text), C.size_t(len(text)), C.int32_t(cBool(parseSpecial)))
	})
	g.ended = g.ended && err != nil
	return err
}

// Prompt appends a prompt; it is fed when the next piece is asked for. The words of special tokens become those tokens.
func (g *Generator) Prompt(text string) error { return g.prompt(text, true) }

// PromptPlain appends a prompt whose special words stay text.
func (g *Generator) PromptPlain(text string) error { return g.prompt(text, false) }

// PromptTokens appends a prompt of tokens.
func (g *Generator) PromptTokens(tokens []Token) error {
	err := g.with(func(ptr *C.inlay_generator) C.inlay_status {
		return C.inlay_generator_prompt_tokens(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)))
	})
	g.ended = g.ended && err != nil
	return err
}

// Advance goes on generating for at most the budget, and says whether something came. The last piece of an answer has
// a Stop; the call after it gives io.EOF, until there is a new prompt.
func (g *Generator) Advance(budget time.Duration) (piece Piece, came bool, err error) {
	if g.ended {
		return Piece{}, false, io.EOF
	}
	// C fills the struct with addresses of its own memory, which Go may hold.
	out := C.inlay_output{struct_size: C.sizeof_inlay_output}
	err = g.with(func(ptr *C.inlay_generator) C.inlay_status {
		status := C.inlay_generator_next(ptr, microseconds(budget), &out)
		if came = status == C.INLAY_OK || status == C.INLAY_END; came {
			piece.Text = C.GoStringN(out.text, C.int(out.text_bytes))
			if out.token_count > 0 {
				piece.Tokens = append(piece.Tokens, unsafe.Slice((*Token)(out.tokens), int(out.token_count))...)
			}
		}
		if status == C.INLAY_END {
			piece.Stop = Stop(out.stop)
			g.ended = true
		}
		return status
	})
	return piece, came, err
}

// Save gives all of the generator and its session as bytes, at any time: in the middle of a sentence, of a prompt, of a
// round. What was generated since the last piece is taken back and computed again.
func (g *Generator) Save() (saved []byte, err error) {
	err = g.with(func(ptr *C.inlay_generator) C.inlay_status {
		saved = make([]byte, C.inlay_generator_save_bytes(ptr))
		var count C.uint64_t
		status := C.inlay_generator_save_memory(ptr, unsafe.Pointer(data(saved)), C.uint64_t(len(saved)), &count)
		saved = saved[:count]
		return status
	})
	return saved, err
}

// Load replaces all of it by what was saved: with equal options the text goes on with the same words.
func (g *Generator) Load(saved []byte) error {
	err := g.with(func(ptr *C.inlay_generator) C.inlay_status {
		return C.inlay_generator_load_memory(ptr, unsafe.Pointer(data(saved)), C.uint64_t(len(saved)))
	})
	g.ended = g.ended && err != nil
	return err
}

// Next waits for a piece, or until the context ends; then the work it stopped is as if it had not begun. io.EOF after
// the last piece of an answer.
func (g *Generator) Next(ctx context.Context) (piece Piece, err error) {
	err = g.session.during(ctx, func() error {
		for came := false; !came; {
			var err error
			if piece, came, err = g.Advance(NoBudget); err != nil {
				return err
			}
		}
		return nil
	})
	return piece, err
}

// Answer gives all of one answer.
func (g *Generator) Answer(ctx context.Context) (string, error) {
	var text []byte
	for {
		piece, err := g.Next(ctx)
		if err == io.EOF {
			return string(text), nil
		}
		if err != nil {
			return string(text), err
		}
		text = append(text, piece.Text...)
	}
}

// All gives the pieces of one answer, in the form that Go 1.23 can range over:
//
//	for piece, err := range generator.All(ctx) { … }
func (g *Generator) All(ctx context.Context) func(yield func(Piece, error) bool) {
	return func(yield func(Piece, error) bool) {
		for {
			piece, err := g.Next(ctx)
			if err == io.EOF {
				return
			}
			if !yield(piece, err) || err != nil {
				return
			}
		}
	}
}

// Event is a piece or the error that ended the stream.
type Event struct {
	Piece
	Err error
}

// Stream gives the pieces of one answer on a channel, which is closed after the last, or after an error. The generator
// is the stream's until then; who stops reading ends the context.
func (g *Generator) Stream(ctx context.Context) <-chan Event {
	events := make(chan Event)
	go func() {
		defer close(events)
		g.All(ctx)(func(piece Piece, err error) bool {
			select {
			case events <- Event{piece, err}:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return events
}

// GeneratorStats are counts and times since the generator was made.
type GeneratorStats struct {
	PromptTokens, GeneratedTokens uint64
	// Rounds are passes of the model while generating.
	Rounds            uint64
	Drafted, Accepted uint64
	PromptTime        time.Duration
	DraftTime         time.Duration
	VerifyTime        time.Duration
	RestTime          time.Duration
}

// Stats says what was done so far.
func (g *Generator) Stats() (stats GeneratorStats, err error) {
	out := C.inlay_generator_stats{struct_size: C.sizeof_inlay_generator_stats}
	err = g.with(func(ptr *C.inlay_generator) C.inlay_status { return C.inlay_generator_get_stats(ptr, &out) })
	return GeneratorStats{
		PromptTokens:    uint64(out.prompt_tokens),
		GeneratedTokens: uint64(out.generated_tokens),
		Rounds:          uint64(out.rounds),
		Drafted:         uint64(out.drafted),
		Accepted:        uint64(out.accepted),
		PromptTime:      time.Duration(out.prompt_ns),
		DraftTime:       time.Duration(out.draft_ns),
		VerifyTime:      time.Duration(out.verify_ns),
		RestTime:        time.Duration(out.rest_ns),
	}, err
}

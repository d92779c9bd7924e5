package inlay

// #include "bridge.h"
import "C"

import (
	"context"
	"io"
	"time"
	"unsafe"
)

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
	// Grammar, where not nil, is what every answer is of. It comes to its end before MaxTokens and the context do, where
	// they leave room for the shortest text at all. In a chat it is the default of AnswerOptions. Takes about 6 MB.
	Grammar *Grammar
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
	driver[C.inlay_generator]
}

// NewGenerator makes a generator, which drives the session: leave that alone while it generates.
func NewGenerator(session *Session, options GeneratorOptions) (*Generator, error) {
	made := &Generator{driver[C.inlay_generator]{session: session, hosts: newHosts(&options)}}
	made.destroy = func(ptr *C.inlay_generator) { C.inlay_generator_destroy(ptr) }
	made.message = func(ptr *C.inlay_generator, buffer *C.char, capacity C.size_t) C.size_t {
		return C.inlay_generator_message(ptr, buffer, capacity)
	}
	params := options.params()
	sampler, biases := options.Sampler.params()
	err := made.make(options.Grammar, func(ptr *C.inlay_session, grammar *C.inlay_grammar) C.inlay_status {
		params.grammar = grammar
		return C.bridge_generator_create(ptr, &sampler, data(biases), C.size_t(len(biases)), &params,
			C.uintptr_t(made.hosts.handles[0]), C.uintptr_t(made.hosts.handles[1]), &made.ptr)
	})
	if err != nil {
		return nil, err
	}
	return finalized(made, func(it *Generator) { it.finalize() }), nil
}

// Close gives the generator up. The session stays. ErrBusy while another goroutine is inside.
func (g *Generator) Close() error { return g.close() }

// Session is the one that it drives.
func (g *Generator) Session() *Session { return g.session }

func (g *Generator) prompt(text string, parseSpecial bool) error {
	return g.restart(func(ptr *C.inlay_generator) C.inlay_status {
		return C.inlay_generator_prompt_text(ptr, chars(text), C.size_t(len(text)), C.int32_t(cBool(parseSpecial)))
	})
}

// Prompt appends a prompt; it is fed when the next piece is asked for. The words of special tokens become those tokens.
func (g *Generator) Prompt(text string) error { return g.prompt(text, true) }

// PromptPlain appends a prompt whose special words stay text.
func (g *Generator) PromptPlain(text string) error { return g.prompt(text, false) }

// PromptTokens appends a prompt of tokens.
func (g *Generator) PromptTokens(tokens []Token) error {
	return g.restart(func(ptr *C.inlay_generator) C.inlay_status {
		return C.inlay_generator_prompt_tokens(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)))
	})
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
	err = g.with(func(ptr *C.inlay_generator) (status C.inlay_status) {
		saved, status = saveBytes(C.inlay_generator_save_bytes(ptr),
			func(place unsafe.Pointer, room C.uint64_t, count *C.uint64_t) C.inlay_status {
				return C.inlay_generator_save_memory(ptr, place, room, count)
			})
		return status
	})
	return saved, err
}

// SaveTo writes the same in pieces of at most some hundred kilobytes. An error of the writer's is the cause of
// ErrCallback.
func (g *Generator) SaveTo(to io.Writer) error {
	return streaming(to, nil, func(handle C.uintptr_t) error {
		return g.with(func(ptr *C.inlay_generator) C.inlay_status { return C.bridge_generator_save(ptr, handle) })
	})
}

// Load replaces all of it by what was saved: with equal options the text goes on with the same words.
func (g *Generator) Load(saved []byte) error {
	return g.restart(func(ptr *C.inlay_generator) C.inlay_status {
		return C.inlay_generator_load_memory(ptr, unsafe.Pointer(data(saved)), C.uint64_t(len(saved)))
	})
}

// LoadFrom reads the same, as far as what was saved goes. What is damaged after its first 512 bytes, or a reader that
// fails, leaves generator and session empty.
func (g *Generator) LoadFrom(from io.Reader) error {
	return streaming(nil, from, func(handle C.uintptr_t) error {
		return g.restart(func(ptr *C.inlay_generator) C.inlay_status { return C.bridge_generator_load(ptr, handle) })
	})
}

// Progress says where the round under way stands; its longest slice counts sampling, drafting and text too.
func (g *Generator) Progress() (Progress, error) {
	out := C.inlay_progress{struct_size: C.sizeof_inlay_progress}
	err := g.with(func(ptr *C.inlay_generator) C.inlay_status { return C.inlay_generator_get_progress(ptr, &out) })
	return newProgress(&out), err
}

// Next waits for a piece, or until the context ends; then the work it stopped is as if it had not begun. io.EOF after
// the last piece of an answer.
func (g *Generator) Next(ctx context.Context) (Piece, error) {
	return waitFor(ctx, g.session, g.Advance)
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
	return each(func() (Piece, error) { return g.Next(ctx) })
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

package inlay

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"io"
	"time"
	"unsafe"
)

// Sampling is as the model cards have it.
type Sampling int32

// The presets of the header.
const (
	SamplingPrecise Sampling = C.INLAY_SAMPLING_PRECISE
	SamplingLively  Sampling = C.INLAY_SAMPLING_LIVELY
)

// Options gives what a preset says.
func (s Sampling) Options() (SamplerOptions, error) {
	params := C.inlay_sampler_params{struct_size: C.sizeof_inlay_sampler_params}
	err := fail(C.inlay_sampler_preset(C.inlay_sampling(s), &params), nil)
	return SamplerOptions{Temperature: float32(params.temperature), TopK: uint32(params.top_k),
		TopP: float32(params.top_p), MinP: float32(params.min_p), RepeatPenalty: float32(params.repeat_penalty)}, err
}

// ChatOptions say how a Chat is made.
type ChatOptions struct {
	// Format nil: what the model's file has.
	Format *ChatFormat
	// Generator nil: SamplingPrecise and no drafts.
	Generator *GeneratorOptions
	// Tools is JSON, an array of tool definitions.
	Tools string
	// KeepReasoning: reasoning of earlier turns stays in the timeline, where the format knows that.
	KeepReasoning bool
}

// Thinking is whether an answer begins with reasoning.
type Thinking int32

// The choices of the header.
const (
	ThinkingDefault Thinking = C.INLAY_THINKING_DEFAULT
	ThinkingOn      Thinking = C.INLAY_THINKING_ON
	ThinkingOff     Thinking = C.INLAY_THINKING_OFF
)

// AnswerOptions say how an answer is to be; zeros are the header's defaults.
type AnswerOptions struct {
	Thinking Thinking
	// ThinkBudget is in tokens of reasoning, after which it is closed; 0: any number.
	ThinkBudget uint64
	// ThinkClosing is put before the closing tag then.
	ThinkClosing string
	// StopStrings of the answer end it; they are not shown.
	StopStrings []string
	// MaxTokens of the answer, reasoning included; 0: the generator's.
	MaxTokens uint64
	// RepetitionLimit is in tokens that a loop may last before it ends the answer; 0: 512.
	RepetitionLimit uint32
	// Grammar, where not nil, is what the answer is of, once it has been thought; nil: the generator's, or anything.
	// Where the conversation has tools, a tool call may come instead. The first one takes about 6 MB.
	Grammar *Grammar
	// StrictCalls: a tool call names one of the conversation's tools, and its arguments are what that tool's "parameters"
	// say. The first time takes about 6 MB.
	StrictCalls bool
}

// ChatEventKind is what an event is.
type ChatEventKind int32

// The kinds of the header.
const (
	ChatReasoning    ChatEventKind = C.INLAY_CHAT_REASONING
	ChatAnswer       ChatEventKind = C.INLAY_CHAT_ANSWER
	ChatCallBegin    ChatEventKind = C.INLAY_CHAT_CALL_BEGIN
	ChatArgument     ChatEventKind = C.INLAY_CHAT_ARGUMENT
	ChatArgumentText ChatEventKind = C.INLAY_CHAT_ARGUMENT_TEXT
	ChatCallEnd      ChatEventKind = C.INLAY_CHAT_CALL_END
	ChatCallBroken   ChatEventKind = C.INLAY_CHAT_CALL_BROKEN
	ChatWarning      ChatEventKind = C.INLAY_CHAT_WARNING
	ChatEnd          ChatEventKind = C.INLAY_CHAT_END
)

// ChatEvent is what an answer brought.
type ChatEvent struct {
	Kind ChatEventKind
	// Text of the reasoning, of the answer, of an argument's value; the name of a tool or an argument.
	Text string
	// Call is the number of the tool call, from 0, where the event is of one.
	Call int
	// Stop is why the answer ended, with ChatEnd.
	Stop Stop
	// Of the answer so far:
	PromptTokens, ReusedTokens, RewoundTokens, ReasoningTokens, AnswerTokens uint64
	PromptTime, ReasoningTime, AnswerTime                                    time.Duration
	// ThoughtClosed: reasoning was closed by the budget.
	ThoughtClosed bool
}

// Chat is a conversation: messages go in, events come out. One goroutine at a time.
type Chat struct {
	driver[C.inlay_chat]
}

// NewChat makes a conversation on an empty session, which it drives: leave that alone.
func NewChat(session *Session, options ChatOptions) (*Chat, error) {
	made := &Chat{driver[C.inlay_chat]{session: session, ended: true}}
	made.destroy = func(ptr *C.inlay_chat) { C.inlay_chat_destroy(ptr) }
	made.message = func(ptr *C.inlay_chat, buffer *C.char, capacity C.size_t) C.size_t {
		return C.inlay_chat_message(ptr, buffer, capacity)
	}
	var given *C.inlay_generator_params
	var generator GeneratorOptions
	if options.Generator != nil {
		generator = *options.Generator
		made.hosts = newHosts(&generator)
		params := generator.params()
		given = &params
	}
	sampler, biases := generator.Sampler.params()
	format := options.Format.params()
	err := made.make(generator.Grammar, func(ptr *C.inlay_session, grammar *C.inlay_grammar) C.inlay_status {
		if given != nil {
			given.grammar = grammar
		}
		return C.bridge_chat_create(ptr, &sampler, data(biases), C.size_t(len(biases)), given,
			C.uintptr_t(made.hosts.handles[0]), C.uintptr_t(made.hosts.handles[1]), format, chars(options.Tools),
			C.size_t(len(options.Tools)), cBool(options.KeepReasoning), &made.ptr)
	})
	if err != nil {
		return nil, err
	}
	return finalized(made, func(it *Chat) { it.finalize() }), nil
}

// Close gives the conversation up. The session stays. ErrBusy while another goroutine is inside.
func (c *Chat) Close() error { return c.close() }

// Session is the one that it drives.
func (c *Chat) Session() *Session { return c.session }

// Add adds what `role`, "system", "user" or "tool", says.
func (c *Chat) Add(role, content string) error {
	of, err := cString(role)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(of))
	return c.with(func(ptr *C.inlay_chat) C.inlay_status {
		return C.inlay_chat_add(ptr, of, chars(content), C.size_t(len(content)))
	})
}

// AddJSON adds a message, or an array of them, as JSON.
func (c *Chat) AddJSON(json string) error {
	return c.with(func(ptr *C.inlay_chat) C.inlay_status {
		return C.inlay_chat_add_json(ptr, chars(json), C.size_t(len(json)))
	})
}

// Answer begins the answer to all that was said; Next goes on with it.
func (c *Chat) Answer(options AnswerOptions) error {
	closing, err := cString(options.ThinkClosing)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(closing))
	// An array of C's memory, for Go's may not hold addresses while C reads it.
	stops := (**C.char)(C.calloc(C.size_t(len(options.StopStrings)+1), C.size_t(unsafe.Sizeof(closing))))
	defer C.free(unsafe.Pointer(stops))
	for i, text := range options.StopStrings {
		word, err := cString(text)
		if err != nil {
			return err
		}
		defer C.free(unsafe.Pointer(word))
		unsafe.Slice(stops, len(options.StopStrings))[i] = word
	}
	params := C.inlay_chat_answer_params{struct_size: C.sizeof_inlay_chat_answer_params}
	params.thinking = C.int32_t(options.Thinking)
	params.think_budget = C.uint64_t(options.ThinkBudget)
	params.max_tokens = C.uint64_t(options.MaxTokens)
	params.repetition_limit = C.uint32_t(options.RepetitionLimit)
	params.strict_calls = cBool(options.StrictCalls)
	return options.Grammar.lend(func(grammar *C.inlay_grammar) error {
		params.grammar = grammar
		return c.restart(func(ptr *C.inlay_chat) C.inlay_status {
			return C.bridge_chat_answer(ptr, &params, closing, stops, C.size_t(len(options.StopStrings)))
		})
	})
}

// Advance gives the next event, after at most the budget; false where that is used up. After ChatEnd it gives io.EOF,
// until the next answer is begun.
func (c *Chat) Advance(budget time.Duration) (event ChatEvent, came bool, err error) {
	if c.ended {
		return event, false, io.EOF
	}
	out := C.inlay_chat_event{struct_size: C.sizeof_inlay_chat_event}
	err = c.with(func(ptr *C.inlay_chat) C.inlay_status {
		status := C.inlay_chat_next(ptr, microseconds(budget), &out)
		if came = status == C.INLAY_OK || status == C.INLAY_END; came {
			event = ChatEvent{Kind: ChatEventKind(out.kind), Text: C.GoStringN(out.text, C.int(out.text_bytes)),
				Call: int(out.call), Stop: Stop(out.stop), PromptTokens: uint64(out.prompt_tokens),
				ReusedTokens: uint64(out.reused_tokens), RewoundTokens: uint64(out.rewound_tokens),
				ReasoningTokens: uint64(out.reasoning_tokens), AnswerTokens: uint64(out.answer_tokens),
				PromptTime: time.Duration(out.prompt_ns), ReasoningTime: time.Duration(out.reasoning_ns),
				AnswerTime: time.Duration(out.answer_ns), ThoughtClosed: out.thought_closed != 0}
		}
		c.ended = status == C.INLAY_END
		return status
	})
	return event, came, err
}

// Next waits for an event, or until the context ends. io.EOF after ChatEnd.
func (c *Chat) Next(ctx context.Context) (ChatEvent, error) {
	return waitFor(ctx, c.session, c.Advance)
}

// All gives the events of one answer, in the form that Go 1.23 can range over:
//
//	for event, err := range chat.All(ctx) { … }
func (c *Chat) All(ctx context.Context) func(yield func(ChatEvent, error) bool) {
	return each(func() (ChatEvent, error) { return c.Next(ctx) })
}

// Stop ends the answer where it is; the next event is then its end.
func (c *Chat) Stop() error {
	return c.with(func(ptr *C.inlay_chat) C.inlay_status { return C.inlay_chat_stop(ptr) })
}

// Save gives all of the conversation and its session as bytes, between two answers.
func (c *Chat) Save() (saved []byte, err error) {
	err = c.with(func(ptr *C.inlay_chat) (status C.inlay_status) {
		saved, status = saveBytes(C.inlay_chat_save_bytes(ptr),
			func(place unsafe.Pointer, room C.uint64_t, count *C.uint64_t) C.inlay_status {
				return C.inlay_chat_save_memory(ptr, place, room, count)
			})
		return status
	})
	return saved, err
}

// SaveTo writes the same in pieces. An error of the writer's is the cause of ErrCallback.
func (c *Chat) SaveTo(to io.Writer) error {
	return streaming(to, nil, func(handle C.uintptr_t) error {
		return c.with(func(ptr *C.inlay_chat) C.inlay_status { return C.bridge_chat_save(ptr, handle) })
	})
}

// Load replaces all of it by what a chat with equal options saved: it goes on with the same words.
func (c *Chat) Load(saved []byte) error {
	return c.with(func(ptr *C.inlay_chat) C.inlay_status {
		return C.inlay_chat_load_memory(ptr, unsafe.Pointer(data(saved)), C.uint64_t(len(saved)))
	})
}

// LoadFrom reads the same, as far as what was saved goes. What is damaged after its first part, or a reader that fails,
// leaves the conversation as it was made.
func (c *Chat) LoadFrom(from io.Reader) error {
	return streaming(nil, from, func(handle C.uintptr_t) error {
		return c.with(func(ptr *C.inlay_chat) C.inlay_status { return C.bridge_chat_load(ptr, handle) })
	})
}

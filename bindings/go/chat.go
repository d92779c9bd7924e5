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

// RenderChat renders a chat, a JSON object with "messages" and perhaps "tools" and the template's own words, to the
// text that chatTemplate (a model's is in its ModelInfo) gives.
func (r *Runtime) RenderChat(chatTemplate, json string) (text string, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		format := C.inlay_chat_format{struct_size: C.sizeof_inlay_chat_format}
		status := C.inlay_chat_format_of(ptr, chars(chatTemplate), C.size_t(len(chatTemplate)), &format)
		if err := failRuntime(ptr, status); err != nil {
			return err
		}
		buffer := make([]byte, 2*len(json)+4096)
		for {
			var count C.size_t
			status := C.inlay_chat_render(ptr, &format, chars(json), C.size_t(len(json)),
				(*C.char)(unsafe.Pointer(data(buffer))), C.size_t(len(buffer)), &count)
			if err := failRuntime(ptr, status); err != nil {
				return err
			}
			if int(count) <= len(buffer) {
				text = string(buffer[:count])
				return nil
			}
			buffer = make([]byte, count)
		}
	})
	return text, err
}

// ChatOptions say how a Chat is made.
type ChatOptions struct {
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
	// ThoughtClosed: reasoning was closed by the budget.
	ThoughtClosed bool
}

// Chat is a conversation: messages go in, events come out. One goroutine at a time.
type Chat struct {
	session *Session
	ptr     *C.inlay_chat
	hosts   hosts
	ended   bool
}

// NewChat makes a conversation on an empty session, which it drives: leave that alone.
func NewChat(session *Session, options ChatOptions) (*Chat, error) {
	made := &Chat{session: session, ended: true}
	var given *C.inlay_generator_params
	var generator GeneratorOptions
	if options.Generator != nil {
		generator = *options.Generator
		made.hosts = newHosts(&generator)
		params := generator.params()
		given = &params
	}
	sampler, biases := generator.Sampler.params()
	err := session.with(func(ptr *C.inlay_session) C.inlay_status {
		var out *C.inlay_chat
		status := C.bridge_chat_create(ptr, &sampler, data(biases), C.size_t(len(biases)), given,
			C.uintptr_t(made.hosts.handles[0]), C.uintptr_t(made.hosts.handles[1]), chars(options.Tools),
			C.size_t(len(options.Tools)), cBool(options.KeepReasoning), &out)
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

// Close gives the conversation up. The session stays. ErrBusy while another goroutine is inside.
func (c *Chat) Close() error {
	if err := c.session.enter(); err != nil {
		return err
	}
	defer c.session.inside.Unlock()
	if c.ptr != nil {
		C.inlay_chat_destroy(c.ptr)
		c.ptr = nil
		c.hosts.drop()
		c.session.release()
	}
	return nil
}

func (c *Chat) with(call func(*C.inlay_chat) C.inlay_status) error {
	if err := c.session.enter(); err != nil {
		return err
	}
	defer c.session.inside.Unlock()
	if c.ptr == nil {
		return errClosed
	}
	status := call(c.ptr)
	return c.hosts.caused(status, fail(status, func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.inlay_chat_message(c.ptr, buffer, capacity)
	}))
}

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
	err = c.with(func(ptr *C.inlay_chat) C.inlay_status {
		return C.bridge_chat_answer(ptr, &params, closing, stops, C.size_t(len(options.StopStrings)))
	})
	c.ended = c.ended && err != nil
	return err
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
				ThoughtClosed: out.thought_closed != 0}
		}
		c.ended = status == C.INLAY_END
		return status
	})
	return event, came, err
}

// Next waits for an event, or until the context ends. io.EOF after ChatEnd.
func (c *Chat) Next(ctx context.Context) (event ChatEvent, err error) {
	err = c.session.during(ctx, func() error {
		for came := false; !came; {
			var err error
			if event, came, err = c.Advance(NoBudget); err != nil {
				return err
			}
		}
		return nil
	})
	return event, err
}

// Stop ends the answer where it is; the next event is then its end.
func (c *Chat) Stop() error {
	return c.with(func(ptr *C.inlay_chat) C.inlay_status { return C.inlay_chat_stop(ptr) })
}

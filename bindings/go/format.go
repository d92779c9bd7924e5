package inlay

// #include "bridge.h"
import "C"

import "unsafe"

// ChatFormat is how a chat template turns messages into text: what the published templates of the family do, where they
// differ. A host that knows better may change it.
type ChatFormat struct {
	// Name is "qwen3.5", "qwen3.6" or "tavern", as it was recognised.
	Name string
	// ThinksByDefault: a missing enable_thinking means on.
	ThinksByDefault bool
	// JSONArguments: a tool call's arguments are written as JSON (true), else as Python prints them (True).
	JSONArguments bool
	// MayKeepReasoning: preserve_thinking is known.
	MayKeepReasoning bool
	// KeepsReasoning of earlier turns unless preserve_thinking is false.
	KeepsReasoning bool
	// OpensFirstTool: a tool's answer may open a conversation.
	OpensFirstTool bool
	// ThinkMarks: <|think_on|> and <|think_off|> in the system message switch thinking and are taken out.
	ThinkMarks bool
}

// params is nil for nil. The name says where a format came from; rendering does not ask for it.
func (f *ChatFormat) params() *C.inlay_chat_format {
	if f == nil {
		return nil
	}
	params := &C.inlay_chat_format{struct_size: C.sizeof_inlay_chat_format}
	params.thinks_by_default = cBool(f.ThinksByDefault)
	params.json_arguments = cBool(f.JSONArguments)
	params.may_keep_reasoning = cBool(f.MayKeepReasoning)
	params.keeps_reasoning = cBool(f.KeepsReasoning)
	params.opens_first_tool = cBool(f.OpensFirstTool)
	params.think_marks = cBool(f.ThinkMarks)
	return params
}

// ChatFormat recognises a chat template (a model's is in its ModelInfo) by its content; ErrChatTemplate for one that
// Inlay does not render.
func (r *Runtime) ChatFormat(chatTemplate string) (format ChatFormat, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		out := C.inlay_chat_format{struct_size: C.sizeof_inlay_chat_format}
		status := C.inlay_chat_format_of(ptr, chars(chatTemplate), C.size_t(len(chatTemplate)), &out)
		format = ChatFormat{C.GoString(out.name), out.thinks_by_default != 0, out.json_arguments != 0,
			out.may_keep_reasoning != 0, out.keeps_reasoning != 0, out.opens_first_tool != 0, out.think_marks != 0}
		return failRuntime(ptr, status)
	})
	return format, err
}

// RenderChat renders a chat, a JSON object with "messages" and perhaps "tools" and the template's own words, to the
// text that chatTemplate gives.
func (r *Runtime) RenderChat(chatTemplate, json string) (string, error) {
	format, err := r.ChatFormat(chatTemplate)
	if err != nil {
		return "", err
	}
	return r.RenderChatAs(format, json)
}

// RenderChatAs renders to the text of a format.
func (r *Runtime) RenderChatAs(format ChatFormat, json string) (text string, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		rendered, err := filled(2*len(json)+4096, func(place *byte, room C.size_t, count *C.size_t) error {
			return failRuntime(ptr, C.inlay_chat_render(ptr, format.params(), chars(json), C.size_t(len(json)),
				(*C.char)(unsafe.Pointer(place)), room, count))
		})
		text = string(rendered)
		return err
	})
	return text, err
}

// RenderChatTokens renders to tokens. Special tokens are those that the template itself writes: in what users, tools and
// models said, "<|im_end|>" stays text.
func (r *Runtime) RenderChatTokens(tokenizer *Tokenizer, format ChatFormat, json string) (tokens []Token, err error) {
	err = r.use(func(ptr *C.inlay_runtime) error {
		return tokenizer.use(func(words *C.inlay_tokenizer) (err error) {
			tokens, err = filled(len(json)+256, func(place *Token, room C.size_t, count *C.size_t) error {
				return failRuntime(ptr, C.inlay_chat_render_tokens(ptr, words, format.params(), chars(json),
					C.size_t(len(json)), (*C.int32_t)(place), room, count))
			})
			return err
		})
	})
	return tokens, err
}

package inlay

// #include "bridge.h"
import "C"

import "unsafe"

// Tokenizer turns text into tokens and back.
type Tokenizer struct {
	owned[C.inlay_tokenizer]
	core  *core
	model *Model // whose it is; nil for one of its own
}

// NewTokenizer makes a file's tokenizer alone, weights or not.
func NewTokenizer(file *File) (*Tokenizer, error) {
	made := &Tokenizer{core: file.core}
	err := file.use(func(ptr *C.inlay_file) error {
		var out *C.inlay_tokenizer
		status := C.inlay_tokenizer_create(ptr, &out)
		made.ptr = out
		return file.fail(status)
	})
	if err != nil {
		return nil, err
	}
	file.core.retain()
	return finalized(made, func(it *Tokenizer) { it.Close() }), nil
}

// Tokenizer is the model's own; it need not be closed, and ends with the model. ErrUnsupported where the file has
// none: such a model takes and gives ids.
func (m *Model) Tokenizer() (*Tokenizer, error) {
	made := &Tokenizer{model: m}
	err := m.use(func(ptr *C.inlay_model) error {
		if C.inlay_model_tokenizer(ptr) == nil {
			return &Error{Status: ErrUnsupported, Message: "the model has no tokenizer"}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// Close gives a tokenizer of its own up.
func (t *Tokenizer) Close() error {
	return t.close(func(ptr *C.inlay_tokenizer) { C.inlay_tokenizer_destroy(ptr) }, t.core)
}

func (t *Tokenizer) use(call func(*C.inlay_tokenizer) error) error {
	if t.model == nil {
		return t.owned.use(call)
	}
	return t.model.use(func(ptr *C.inlay_model) error { return call(C.inlay_model_tokenizer(ptr)) })
}

func chars(text string) *C.char { return (*C.char)(unsafe.Pointer(data([]byte(text)))) }

// Encode turns text into tokens; with parseSpecial the words of special tokens in it become those tokens.
func (t *Tokenizer) Encode(text string, parseSpecial bool) (tokens []Token, err error) {
	err = t.use(func(ptr *C.inlay_tokenizer) (err error) {
		// No text has more tokens than bytes.
		tokens, err = filled(len(text), func(place *Token, room C.size_t, count *C.size_t) error {
			return fail(C.inlay_tokenizer_encode(ptr, chars(text), C.size_t(len(text)),
				C.int32_t(cBool(parseSpecial)), (*C.int32_t)(place), room, count), nil)
		})
		return err
	})
	return tokens, err
}

// Decode turns tokens into text, which need not be whole UTF-8; with showSpecial the words of special tokens too.
func (t *Tokenizer) Decode(tokens []Token, showSpecial bool) (text string, err error) {
	err = t.use(func(ptr *C.inlay_tokenizer) error {
		decoded, err := filled(8*len(tokens)+16, func(place *byte, room C.size_t, count *C.size_t) error {
			return fail(C.inlay_tokenizer_decode(ptr, (*C.int32_t)(data(tokens)), C.size_t(len(tokens)),
				C.int32_t(cBool(showSpecial)), (*C.char)(unsafe.Pointer(place)), room, count), nil)
		})
		text = string(decoded)
		return err
	})
	return text, err
}

// Size is the number of the vocabulary's tokens.
func (t *Tokenizer) Size() (size int) {
	_ = t.use(func(ptr *C.inlay_tokenizer) error {
		size = int(C.inlay_tokenizer_size(ptr))
		return nil
	})
	return size
}

// EndOfText is the token that ends a turn or the text, per the file; -1 where there is none.
func (t *Tokenizer) EndOfText() Token {
	token := Token(-1)
	_ = t.use(func(ptr *C.inlay_tokenizer) error {
		token = Token(C.inlay_tokenizer_end_of_text(ptr))
		return nil
	})
	return token
}

// IsEnd says whether generation should stop at this token.
func (t *Tokenizer) IsEnd(token Token) (end bool) {
	_ = t.use(func(ptr *C.inlay_tokenizer) error {
		end = C.inlay_tokenizer_is_end(ptr, C.int32_t(token)) != 0
		return nil
	})
	return end
}

// Find gives the token whose whole text this is, special or not; -1 where there is none.
func (t *Tokenizer) Find(text string) Token {
	token := Token(-1)
	_ = t.use(func(ptr *C.inlay_tokenizer) error {
		token = Token(C.inlay_tokenizer_find(ptr, chars(text), C.size_t(len(text))))
		return nil
	})
	return token
}

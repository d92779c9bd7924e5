package inlay

// #include "bridge.h"
import "C"

// GrammarKind is what a grammar is written in.
type GrammarKind int32

// The kinds of the header, which says what of them is known.
const (
	// GrammarJSONSchema is JSON that satisfies a schema.
	GrammarJSONSchema GrammarKind = C.INLAY_GRAMMAR_JSON_SCHEMA
	// GrammarGBNF is rules that begin with root.
	GrammarGBNF GrammarKind = C.INLAY_GRAMMAR_GBNF
)

// Grammar is what a text may be. Any number of generators and chats of its model may use it, on any goroutines, and keep
// what they need of it.
type Grammar struct {
	owned[C.inlay_grammar]
	core *core
}

// NewGrammar makes a grammar of a text of its kind. A model's first takes some 0.1 s.
func NewGrammar(model *Model, kind GrammarKind, text string) (*Grammar, error) {
	made := &Grammar{core: model.core}
	err := model.use(func(ptr *C.inlay_model) error {
		status := C.inlay_grammar_create(ptr, C.inlay_grammar_kind(kind), chars(text), C.size_t(len(text)), &made.ptr)
		return failOf(model.runtime, status)
	})
	if err != nil {
		return nil, err
	}
	made.core.retain()
	return finalized(made, func(it *Grammar) { it.Close() }), nil
}

// Close gives the grammar up; who uses it keeps what it needs.
func (g *Grammar) Close() error {
	return g.owned.close(func(ptr *C.inlay_grammar) { C.inlay_grammar_destroy(ptr) }, g.core)
}

// lend gives the native grammar, nil for nil, and keeps it open meanwhile.
func (g *Grammar) lend(call func(*C.inlay_grammar) error) error {
	if g == nil {
		return call(nil)
	}
	return g.use(call)
}

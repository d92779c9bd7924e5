package inlay

// #include "bridge.h"
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

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

package inlay

// #include "bridge.h"
import "C"

import (
	"context"
	"io"
	"time"
)

// driver is a native object that drives a session: a generator or a chat. The session's lock is its own too.
type driver[T any] struct {
	session *Session
	ptr     *T
	hosts   hosts
	ended   bool
	destroy func(*T)
	message func(*T, *C.char, C.size_t) C.size_t
}

// make makes the object with a grammar, which may be nil. Where it fails nothing is held on to.
func (d *driver[T]) make(grammar *Grammar, create func(*C.inlay_session, *C.inlay_grammar) C.inlay_status) error {
	err := grammar.lend(func(given *C.inlay_grammar) error {
		return d.session.lend(func(ptr *C.inlay_session) error {
			return failOf(d.session.model.runtime, create(ptr, given))
		})
	})
	if err != nil {
		d.hosts.drop()
		return err
	}
	d.session.hold()
	return nil
}

func (d *driver[T]) close() error {
	if err := d.session.enter(); err != nil {
		return err
	}
	defer d.session.inside.Unlock()
	d.drop()
	return nil
}

func (d *driver[T]) drop() {
	if d.ptr != nil {
		d.destroy(d.ptr)
		d.ptr = nil
		d.hosts.drop()
		d.session.release()
	}
}

// finalize is close for who forgot it; it waits where a session that shares the scratch is in use.
func (d *driver[T]) finalize() {
	go func() {
		d.session.inside.Lock()
		defer d.session.inside.Unlock()
		d.drop()
	}()
}

// with runs a call on the open object.
func (d *driver[T]) with(call func(*T) C.inlay_status) error {
	if err := d.session.enter(); err != nil {
		return err
	}
	defer d.session.inside.Unlock()
	if d.ptr == nil {
		return errClosed
	}
	status := call(d.ptr)
	return d.hosts.caused(status, fail(status, func(buffer *C.char, capacity C.size_t) C.size_t {
		return d.message(d.ptr, buffer, capacity)
	}))
}

// restart is with for a call after which more will come.
func (d *driver[T]) restart(call func(*T) C.inlay_status) error {
	err := d.with(call)
	d.ended = d.ended && err != nil
	return err
}

// waitFor goes on until something came, or until the context ends.
func waitFor[E any](ctx context.Context, session *Session,
	advance func(time.Duration) (E, bool, error)) (event E, err error) {
	err = session.during(ctx, func() error {
		for came := false; !came; {
			var err error
			if event, came, err = advance(NoBudget); err != nil {
				return err
			}
		}
		return nil
	})
	return event, err
}

// each gives what next gives until io.EOF; an error is the last.
func each[E any](next func() (E, error)) func(yield func(E, error) bool) {
	return func(yield func(E, error) bool) {
		for {
			event, err := next()
			if err == io.EOF {
				return
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

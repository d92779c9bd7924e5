package inlay

// #include "bridge.h"
import "C"

// PoolOptions say how a Pool is made.
type PoolOptions struct {
	// Tokens is room for so many, rounded up to pages of 256; at least 1.
	Tokens uint64
	// KVType is that of all its sessions.
	KVType KVType
	// MTP gives pages room for the MTP head's own; as in all its sessions.
	MTP bool
	// Arena is memory of PoolPlan.Host bytes for the pool to live in; nil: Inlay's own. The pool takes it and gives it
	// back when it and its sessions are closed.
	Arena *Arena
}

func (o PoolOptions) params() C.inlay_pool_params {
	params := C.inlay_pool_params{struct_size: C.sizeof_inlay_pool_params}
	params.tokens = C.uint64_t(o.Tokens)
	params.kv_type = C.int32_t(o.KVType)
	params.mtp = cBool(o.MTP)
	params.arena, params.arena_bytes = o.Arena.parts()
	return params
}

// PoolPlan is every byte of a pool, and its pages.
type PoolPlan struct {
	Host, Device      uint64
	Pages, PageTokens uint64
}

// PlanPool says what such a pool will take, from the header alone. Takes nothing.
func (f *File) PlanPool(options PoolOptions) (plan PoolPlan, err error) {
	err = f.use(func(ptr *C.inlay_file) error {
		out := C.inlay_pool_plan{struct_size: C.sizeof_inlay_pool_plan}
		params := options.params()
		status := C.inlay_file_plan_pool(ptr, &params, &out)
		plan = PoolPlan{uint64(out.host), uint64(out.device), uint64(out.pages), uint64(out.page_tokens)}
		return f.fail(status)
	})
	return plan, err
}

// Pool is KV pages that sessions share: each takes pages as its timeline grows, and forks have the full pages of what
// they have in common once. Any number of goroutines may use it at once, and sessions of several its pages.
type Pool struct {
	owned[C.inlay_pool]
	core *core
}

// NewPool makes a pool. All of its memory is taken here. After an error the arena is still the caller's.
func NewPool(model *Model, options PoolOptions) (*Pool, error) {
	made := &Pool{}
	err := model.use(func(ptr *C.inlay_model) error {
		of, err := model.core.child(options.Arena)
		if err != nil {
			return err
		}
		params := options.params()
		if err := failOf(model.runtime, C.inlay_pool_create(ptr, &params, &made.ptr)); err != nil {
			of.abandon()
			return err
		}
		made.core = of
		return nil
	})
	if err != nil {
		return nil, err
	}
	return finalized(made, func(it *Pool) { it.Close() }), nil
}

// Close gives the pool up; sessions of it keep what they need.
func (p *Pool) Close() error {
	return p.close(func(ptr *C.inlay_pool) { C.inlay_pool_destroy(ptr) }, p.core)
}

// FreePages is how many pages nobody has; 0 of a pool that is closed.
func (p *Pool) FreePages() (pages uint64) {
	_ = p.use(func(ptr *C.inlay_pool) error {
		pages = uint64(C.inlay_pool_free_pages(ptr))
		return nil
	})
	return pages
}

// lend gives the native pool, nil for nil, and keeps it open meanwhile.
func (p *Pool) lend(call func(*C.inlay_pool) error) error {
	if p == nil {
		return call(nil)
	}
	return p.use(call)
}

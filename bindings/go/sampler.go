package inlay

// #include "bridge.h"
import "C"

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
	return finalized(made, func(it *Sampler) { it.Close() }), nil
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

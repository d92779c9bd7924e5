use crate::native::{check_silent, params};
use crate::session::check_created;
use crate::{Error, Model, Result, Status, Token};
use std::marker::PhantomData;

/// How tokens are drawn; zeros are the header's defaults, and the default is greedy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplerOptions {
    /// 0: greedy.
    pub temperature: f32,
    /// 0: all.
    pub top_k: u32,
    /// 0 or 1: all.
    pub top_p: f32,
    /// 0: all; else drop what is below min_p times the likeliest.
    pub min_p: f32,
    /// 0 or 1: none.
    pub repeat_penalty: f32,
    /// Subtracted once for each time the token occurred.
    pub frequency_penalty: f32,
    /// Subtracted where the token occurred.
    pub presence_penalty: f32,
    /// Last tokens that the penalties look at; 0: 64.
    pub penalty_window: u32,
    /// Equal seeds give equal texts.
    pub seed: u64,
    /// Added to these tokens' logits; negative infinity forbids one.
    pub biases: Vec<(Token, f32)>,
}

impl SamplerOptions {
    /// Hands the C struct to `create`, which copies it.
    pub(crate) fn with<T>(&self, create: impl FnOnce(&inlay_sys::inlay_sampler_params) -> T) -> T {
        let as_c = |&(token, bias)| inlay_sys::inlay_logit_bias { token, bias };
        let biases: Vec<_> = self.biases.iter().map(as_c).collect();
        let mut given = params!(inlay_sampler_params);
        given.temperature = self.temperature;
        given.top_k = self.top_k;
        given.top_p = self.top_p;
        given.min_p = self.min_p;
        given.repeat_penalty = self.repeat_penalty;
        given.frequency_penalty = self.frequency_penalty;
        given.presence_penalty = self.presence_penalty;
        given.penalty_window = self.penalty_window;
        given.seed = self.seed;
        given.biases = biases.as_ptr();
        given.bias_count = biases.len();
        create(&given)
    }
}

/// Logits to a token.
pub struct Sampler<'m> {
    handle: *mut inlay_sys::inlay_sampler,
    model: &'m Model<'m>,
    _one_thread: PhantomData<std::cell::Cell<()>>,
}

// SAFETY: the header lets a sampler move between threads, one at a time.
unsafe impl Send for Sampler<'_> {}

impl Drop for Sampler<'_> {
    fn drop(&mut self) {
        // SAFETY: made by create, given back once, here.
        unsafe { inlay_sys::inlay_sampler_destroy(self.handle) }
    }
}

impl<'m> Sampler<'m> {
    /// As the options say.
    pub fn new(model: &'m Model<'_>, options: &SamplerOptions) -> Result<Sampler<'m>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the parameters live until the call returns.
        let status = options
            .with(|given| unsafe { inlay_sys::inlay_sampler_create(model.handle, given, &mut handle) });
        check_created(model, status)?;
        Ok(Sampler { handle, model, _one_thread: PhantomData })
    }

    /// The token at `position`, from its logits (vocabulary size of them) and the tokens before it.
    pub fn sample(&mut self, logits: &[f32], history: &[Token], position: u64) -> Result<Token> {
        if logits.len() != self.model.widths.0 {
            return Err(Error::new(Status::InvalidArgument, "a row of logits has a number for each token"));
        }
        let mut token = 0;
        // SAFETY: the handle lives; logits and history have their lengths.
        check_silent(unsafe {
            let (past, count) = (history.as_ptr(), history.len());
            inlay_sys::inlay_sampler_sample(self.handle, logits.as_ptr(), past, count, position, &mut token)
        })?;
        Ok(token)
    }
}

use crate::native::{panic_words, slice};
use crate::{Error, Token};
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// A say in what may come next: a game's rules, a list of names, a language of its own.
pub trait Mask: Send {
    /// Takes from `allowed` what must not follow `tokens`, all of the timeline. Ok(false): all may follow, whatever was
    /// taken. An error, or a panic, stops the generator's call with [`Status::Callback`](crate::Status::Callback).
    fn allow(&mut self, tokens: &[Token], allowed: &mut Allowed<'_>) -> Result<bool, Error>;
}

/// The tokens that may follow; at first all of them.
pub struct Allowed<'a> {
    words: &'a mut [u32],
    vocabulary: usize,
}

impl Allowed<'_> {
    /// Tokens of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// This one must not follow.
    pub fn forbid(&mut self, token: Token) {
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            *word &= !(1 << (token % 32));
        }
    }

    /// None but these may follow.
    pub fn only(&mut self, tokens: &[Token]) {
        self.words.fill(0);
        for &token in tokens {
            if let Some(word) = self.words.get_mut(token as usize / 32) {
                *word |= 1 << (token % 32);
            }
        }
    }
}

/// A mask, and the words of what went wrong in it last.
pub(crate) struct Host {
    mask: Box<dyn Mask>,
    failure: Option<String>,
}

impl Host {
    pub(crate) fn new(mask: Box<dyn Mask>) -> Box<Host> {
        Box::new(Host { mask, failure: None })
    }

    /// The C table; the host must outlive whom it is handed to.
    pub(crate) fn table(&mut self) -> inlay_sys::inlay_mask {
        let mut table = crate::native::params!(inlay_mask);
        table.user_data = (self as *mut Host).cast();
        table.allow = Some(allow);
        table
    }

    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}

unsafe extern "C" fn allow(
    user_data: *mut c_void,
    tokens: *const Token,
    count: usize,
    allowed: *mut u32,
    vocabulary: u32,
) -> inlay_sys::inlay_status {
    let vocabulary = vocabulary as usize;
    // SAFETY: user_data is that of a host's table; the library gives the tokens and a bit for each of the vocabulary,
    // all until we return, from one thread at a time.
    let (host, tokens, words) = unsafe {
        let words = std::slice::from_raw_parts_mut(allowed, (vocabulary + 31) / 32);
        (&mut *user_data.cast::<Host>(), slice(tokens, count), words)
    };
    let mask = &mut host.mask;
    let asked = catch_unwind(AssertUnwindSafe(|| mask.allow(tokens, &mut Allowed { words, vocabulary })));
    match asked {
        Ok(Ok(true)) => return inlay_sys::INLAY_OK,
        Ok(Ok(false)) => return inlay_sys::INLAY_END,
        Ok(Err(error)) => host.failure = Some(error.to_string()),
        Err(panic) => host.failure = Some(panic_words(panic)),
    }
    inlay_sys::INLAY_ERROR_CALLBACK
}

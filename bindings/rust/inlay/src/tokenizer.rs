use crate::native::{check_silent, fill};
use crate::runtime::RuntimeHandle;
use crate::{Result, Token};
use std::marker::PhantomData;
use std::sync::Arc;

/// Text to tokens and back: a file's own (`'static`), or borrowed from a model.
pub struct Tokenizer<'m> {
    pub(crate) handle: *const inlay_sys::inlay_tokenizer,
    owned: bool,
    _runtime: Arc<RuntimeHandle>,
    _model: PhantomData<&'m ()>,
}

// SAFETY: the header lets any number of threads use a tokenizer at once.
unsafe impl Send for Tokenizer<'_> {}
unsafe impl Sync for Tokenizer<'_> {}

impl Drop for Tokenizer<'_> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: made by create, given back once, here.
            unsafe { inlay_sys::inlay_tokenizer_destroy(self.handle as *mut _) }
        }
    }
}

impl<'m> Tokenizer<'m> {
    pub(crate) fn own(handle: *mut inlay_sys::inlay_tokenizer, runtime: Arc<RuntimeHandle>) -> Tokenizer<'m> {
        Tokenizer { handle, owned: true, _runtime: runtime, _model: PhantomData }
    }

    pub(crate) fn borrow(
        handle: *const inlay_sys::inlay_tokenizer,
        runtime: Arc<RuntimeHandle>,
    ) -> Tokenizer<'m> {
        Tokenizer { handle, owned: false, _runtime: runtime, _model: PhantomData }
    }

    /// Text to tokens; with `parse_special` the words of special tokens in it become those tokens.
    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<Token>> {
        // No text has more tokens than bytes.
        fill(text.len(), |place, room, count| {
            let special = parse_special as i32;
            // SAFETY: text and tokens have the lengths that are given.
            check_silent(unsafe {
                let (text, bytes) = (text.as_ptr().cast(), text.len());
                inlay_sys::inlay_tokenizer_encode(self.handle, text, bytes, special, place, room, count)
            })
        })
    }

    /// Tokens to bytes; with `show_special` the words of special tokens too. Need not be whole UTF-8 characters.
    pub fn decode_bytes(&self, tokens: &[Token], show_special: bool) -> Result<Vec<u8>> {
        fill(8 * tokens.len() + 16, |place: *mut u8, room, count| {
            let special = show_special as i32;
            // SAFETY: as above.
            check_silent(unsafe {
                let (from, tokens) = (tokens.as_ptr(), tokens.len());
                inlay_sys::inlay_tokenizer_decode(
                    self.handle,
                    from,
                    tokens,
                    special,
                    place.cast(),
                    room,
                    count,
                )
            })
        })
    }

    /// The same as text, with U+FFFD for what is no whole character.
    pub fn decode(&self, tokens: &[Token], show_special: bool) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.decode_bytes(tokens, show_special)?).into_owned())
    }

    /// Tokens of the vocabulary.
    pub fn size(&self) -> u32 {
        // SAFETY: the handle lives, here and below.
        unsafe { inlay_sys::inlay_tokenizer_size(self.handle) }
    }

    /// The token that ends a turn or the text, per the file.
    pub fn end_of_text(&self) -> Option<Token> {
        let token = unsafe { inlay_sys::inlay_tokenizer_end_of_text(self.handle) };
        (token >= 0).then_some(token)
    }

    /// Whether generation should stop at this token.
    pub fn is_end(&self, token: Token) -> bool {
        unsafe { inlay_sys::inlay_tokenizer_is_end(self.handle, token) != 0 }
    }

    /// The token whose whole text this is, special or not.
    pub fn find(&self, text: &str) -> Option<Token> {
        let token = unsafe { inlay_sys::inlay_tokenizer_find(self.handle, text.as_ptr().cast(), text.len()) };
        (token >= 0).then_some(token)
    }
}

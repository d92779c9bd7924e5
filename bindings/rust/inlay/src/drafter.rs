use crate::native::{panic_words, slice};
use crate::{Error, Token};
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Guesses at what comes next: a dialogue tree, an index, another model. What it proposes is verified, so it changes
/// the speed and never the text.
pub trait Drafter: Send {
    /// Pushes guesses at the tokens that follow `tokens`, all of the timeline. An error, or a panic, stops the
    /// generator's call with [`Status::Callback`](crate::Status::Callback); a panic in the other two does so at the next
    /// proposal.
    fn propose(&mut self, tokens: &[Token], drafts: &mut Drafts<'_>) -> Result<(), Error>;

    /// These tokens were appended to the timeline, prompts included; the first `accepted` came from the last proposal.
    fn observe(&mut self, tokens: &[Token], accepted: usize) {
        let _ = (tokens, accepted);
    }

    /// The timeline was changed from outside; observe tells of all of it anew.
    fn reset(&mut self) {}
}

/// Where a drafter puts its guesses.
pub struct Drafts<'a> {
    room: &'a mut [std::mem::MaybeUninit<Token>],
    count: usize,
}

impl Drafts<'_> {
    /// How many more are of use.
    pub fn room(&self) -> usize {
        self.room.len() - self.count
    }

    /// One more guess; what finds no room is left out.
    pub fn push(&mut self, token: Token) {
        if let Some(place) = self.room.get_mut(self.count) {
            place.write(token);
            self.count += 1;
        }
    }
}

impl Extend<Token> for Drafts<'_> {
    fn extend<T: IntoIterator<Item = Token>>(&mut self, tokens: T) {
        let room = self.room();
        tokens.into_iter().take(room).for_each(|token| self.push(token));
    }
}

/// Who drafts for a [`Generator`](crate::Generator).
#[derive(Default)]
pub enum Draft {
    /// Nobody.
    #[default]
    None,
    /// The model's own head; needs [`mtp`](crate::SessionOptions::mtp).
    Mtp,
    /// What followed the same words earlier in the timeline.
    Lookup,
    /// Lookup where it finds something, else MTP.
    LookupMtp,
    /// This one.
    Host(Box<dyn Drafter>),
}

/// A drafter, and the words of what went wrong in it last.
pub(crate) struct Host {
    drafter: Box<dyn Drafter>,
    failure: Option<String>,
}

impl Host {
    pub(crate) fn new(drafter: Box<dyn Drafter>) -> Box<Host> {
        Box::new(Host { drafter, failure: None })
    }

    /// The C table; the host must outlive whom it is handed to.
    pub(crate) fn table(&mut self) -> inlay_sys::inlay_drafter {
        let mut table = crate::native::params!(inlay_drafter);
        table.user_data = (self as *mut Host).cast();
        table.propose = Some(propose);
        table.observe = Some(observe);
        table.reset = Some(reset);
        table
    }

    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    fn guarded(&mut self, call: impl FnOnce(&mut dyn Drafter) -> Result<(), Error>) {
        let done = catch_unwind(AssertUnwindSafe(|| call(&mut *self.drafter)));
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failure = Some(error.to_string()),
            Err(panic) => self.failure = Some(panic_words(panic)),
        }
    }
}

/// # Safety
/// `user_data` is that of a host's table; the generator calls from one thread at a time.
unsafe fn host<'a>(user_data: *mut c_void) -> &'a mut Host {
    // SAFETY: as above.
    unsafe { &mut *user_data.cast::<Host>() }
}

unsafe extern "C" fn propose(
    user_data: *mut c_void,
    tokens: *const Token,
    count: usize,
    max: usize,
    out_tokens: *mut Token,
    out_count: *mut usize,
) -> inlay_sys::inlay_status {
    // SAFETY: the library gives `count` tokens and room for `max`, all until we return.
    let (host, tokens, room) = unsafe {
        (host(user_data), slice(tokens, count), std::slice::from_raw_parts_mut(out_tokens.cast(), max))
    };
    let mut drafts = Drafts { room, count: 0 };
    // A panic in observe, which can't report one, is reported here.
    if host.failure.is_none() {
        host.guarded(|drafter| drafter.propose(tokens, &mut drafts));
    }
    let failed = host.failure.is_some();
    // SAFETY: a place for the result.
    unsafe { *out_count = if failed { 0 } else { drafts.count } };
    if failed {
        inlay_sys::INLAY_ERROR_CALLBACK
    } else {
        inlay_sys::INLAY_OK
    }
}

unsafe extern "C" fn observe(user_data: *mut c_void, tokens: *const Token, count: usize, accepted: usize) {
    // SAFETY: as in propose.
    let (host, tokens) = unsafe { (host(user_data), slice(tokens, count)) };
    host.guarded(|drafter| {
        drafter.observe(tokens, accepted);
        Ok(())
    });
}

unsafe extern "C" fn reset(user_data: *mut c_void) {
    // SAFETY: as in propose.
    unsafe { host(user_data) }.guarded(|drafter| {
        drafter.reset();
        Ok(())
    });
}

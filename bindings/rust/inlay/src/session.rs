use crate::native::{check, check_silent, params};
use crate::{Error, Model, Result, Status, Token};
use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum KvType {
    /// What the model asks for; F16 where it asks for nothing.
    #[default]
    Default,
    F16,
    Fp8,
    Q8,
}

impl KvType {
    pub(crate) fn of(kind: i32) -> KvType {
        match kind as inlay_sys::inlay_kv_type {
            inlay_sys::INLAY_KV_F16 => KvType::F16,
            inlay_sys::INLAY_KV_FP8 => KvType::Fp8,
            inlay_sys::INLAY_KV_Q8 => KvType::Q8,
            _ => KvType::Default,
        }
    }
}

/// Memory that a session is to live in, aligned as it needs; zeroed, so that no page fault waits in a frame.
pub struct Arena {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for Arena {}

impl Arena {
    /// Takes `bytes` bytes; [`Status::OutOfMemory`] where there are none.
    pub fn new(bytes: u64) -> Result<Arena> {
        let wrong = |_| Error::new(Status::InvalidArgument, "an arena's size is out of range");
        let bytes = usize::try_from(bytes).map_err(|_| wrong(()))?.max(1);
        let layout = Layout::from_size_align(bytes, 64).map_err(|_| wrong(()))?;
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        let memory = memory.ok_or_else(|| Error::new(Status::OutOfMemory, "no memory for an arena"))?;
        Ok(Arena { memory, layout })
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.layout.size() as u64
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: of this layout, given back once, here.
        unsafe { std::alloc::dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// How a [`Session`] is made; zeros are the header's defaults.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    context_length: u32,
    kv_type: KvType,
    mtp: bool,
    prefill_chunk: u32,
}

impl SessionOptions {
    /// All defaults.
    pub fn new() -> SessionOptions {
        SessionOptions::default()
    }

    /// Most tokens that the timeline holds; 0: 4,096, or the model's if that is less.
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.context_length = tokens;
        self
    }

    /// How keys and values are stored.
    pub fn kv_type(mut self, kind: KvType) -> Self {
        self.kv_type = kind;
        self
    }

    /// Keep the MTP head's own KV in step, so that it can draft.
    pub fn mtp(mut self, on: bool) -> Self {
        self.mtp = on;
        self
    }

    /// Tokens that a prompt's pass works on at once; 0: the device's choice.
    pub fn prefill_chunk(mut self, tokens: u32) -> Self {
        self.prefill_chunk = tokens;
        self
    }

    pub(crate) fn plain(&self) -> inlay_sys::inlay_session_params {
        let mut given = params!(inlay_session_params);
        given.context_length = self.context_length;
        given.kv_type = match self.kv_type {
            KvType::Default => inlay_sys::INLAY_KV_DEFAULT,
            KvType::F16 => inlay_sys::INLAY_KV_F16,
            KvType::Fp8 => inlay_sys::INLAY_KV_FP8,
            KvType::Q8 => inlay_sys::INLAY_KV_Q8,
        } as i32;
        given.mtp = self.mtp as u32;
        given.prefill_chunk = self.prefill_chunk;
        given
    }
}

/// Where a piece of work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Slices of the work under way that are done.
    pub slices_done: u64,
    /// Slices of all of it.
    pub slices_total: u64,
    /// Since the session was made.
    pub longest_slice: Duration,
    /// Tokens kept so far.
    pub position: u64,
    /// Of the work under way: whole chunks of a prompt.
    pub tokens_done: u64,
    /// Tokens of all of it.
    pub tokens_total: u64,
    /// An estimate, from the slices measured so far.
    pub remaining: Duration,
}

/// What work would take if it began now and ran without a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The likely time.
    pub expected: Duration,
    /// 99 of 100 times it takes no longer, on a machine as busy as lately.
    pub p99: Duration,
    /// Of any slice of it, lately.
    pub longest_slice: Duration,
}

/// What [`Session::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The work is done.
    Done(Progress),
    /// The budget is used up; call again.
    Pending(Progress),
}

/// Stops a session's work within one slice, from any thread. Outlives the session: then it does nothing.
#[derive(Clone)]
pub struct Canceller {
    session: Arc<Mutex<SessionHandle>>,
}

struct SessionHandle(*mut inlay_sys::inlay_session);

// SAFETY: used for inlay_session_cancel alone, which any thread may call; the lock keeps the handle alive for it.
unsafe impl Send for SessionHandle {}

impl Canceller {
    /// Without work under way it does nothing.
    pub fn cancel(&self) {
        let session = self.session.lock().unwrap_or_else(|it| it.into_inner());
        if !session.0.is_null() {
            // SAFETY: alive while the lock is held.
            unsafe { inlay_sys::inlay_session_cancel(session.0) }
        }
    }
}

/// One timeline of tokens.
///
/// ```compile_fail
/// # fn main() -> inlay::Result<()> {
/// let runtime = inlay::Runtime::new()?;
/// let model = inlay::Model::open(&runtime, "tavern.gguf")?;
/// let session = inlay::Session::new(&model)?;
/// drop(model); // the session borrows it
/// println!("{}", session.position());
/// # Ok(())
/// # }
/// ```
pub struct Session<'m> {
    pub(crate) handle: *mut inlay_sys::inlay_session,
    pub(crate) model: &'m Model<'m>,
    cancel: Arc<Mutex<SessionHandle>>,
    // Given back after the session, for it lives in them.
    _arenas: [Option<Arena>; 2],
    // One thread at a time: Send, and not Sync.
    _one_thread: PhantomData<std::cell::Cell<()>>,
}

// SAFETY: the header lets a session move between threads, one at a time.
unsafe impl Send for Session<'_> {}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.cancel.lock().unwrap_or_else(|it| it.into_inner()).0 = std::ptr::null_mut();
        // SAFETY: made by create or fork, given back once, here; nobody cancels it any more.
        unsafe { inlay_sys::inlay_session_destroy(self.handle) }
    }
}

impl<'m> Session<'m> {
    /// An empty timeline with all defaults. All memory that it will ever use is taken here.
    pub fn new(model: &'m Model<'_>) -> Result<Session<'m>> {
        Session::with(model, &SessionOptions::new())
    }

    /// The same, as the options say.
    pub fn with(model: &'m Model<'_>, options: &SessionOptions) -> Result<Session<'m>> {
        Session::create(model, options, [None, None])
    }

    /// A session that lives in memory of yours: `state` of [`MemoryPlan::session_host`](crate::MemoryPlan) bytes,
    /// `scratch` of `scratch_host` bytes. Either may be None, which is Inlay's own.
    pub fn in_arenas(
        model: &'m Model<'_>,
        options: &SessionOptions,
        state: Option<Arena>,
        scratch: Option<Arena>,
    ) -> Result<Session<'m>> {
        Session::create(model, options, [state, scratch])
    }

    fn create(
        model: &'m Model<'_>,
        options: &SessionOptions,
        arenas: [Option<Arena>; 2],
    ) -> Result<Session<'m>> {
        let mut given = options.plain();
        if let Some(arena) = &arenas[0] {
            given.state_arena = arena.memory.as_ptr().cast();
            given.state_arena_bytes = arena.bytes();
        }
        if let Some(arena) = &arenas[1] {
            given.scratch_arena = arena.memory.as_ptr().cast();
            given.scratch_arena_bytes = arena.bytes();
        }
        let mut handle = std::ptr::null_mut();
        // SAFETY: the arenas are kept for as long as the session is.
        let status = unsafe { inlay_sys::inlay_session_create(model.handle, &given, &mut handle) };
        model.runtime.check(status)?;
        Ok(Session::own(handle, model, arenas))
    }

    fn own(
        handle: *mut inlay_sys::inlay_session,
        model: &'m Model<'m>,
        arenas: [Option<Arena>; 2],
    ) -> Session<'m> {
        let cancel = Arc::new(Mutex::new(SessionHandle(handle)));
        Session { handle, model, cancel, _arenas: arenas, _one_thread: PhantomData }
    }

    pub(crate) fn check(&self, status: inlay_sys::inlay_status) -> Result<inlay_sys::inlay_status> {
        check(status, |buffer, capacity| {
            // SAFETY: buffer has capacity bytes.
            unsafe { inlay_sys::inlay_session_message(self.handle, buffer, capacity) }
        })
    }

    /// The model that it borrows.
    pub fn model(&self) -> &'m Model<'m> {
        self.model
    }

    /// What stops its work from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller { session: self.cancel.clone() }
    }

    /// A new session that stands where this one stands.
    pub fn fork(&mut self) -> Result<Session<'m>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle lives, here and in all that follows.
        self.check(unsafe { inlay_sys::inlay_session_fork(self.handle, &mut handle) })?;
        Ok(Session::own(handle, self.model, [None, None]))
    }

    /// Feeds a prompt; its logits are one row, after the last token.
    pub fn prefill(&mut self, tokens: &[Token]) -> Result<()> {
        let status = unsafe { inlay_sys::inlay_session_prefill(self.handle, tokens.as_ptr(), tokens.len()) };
        self.check(status).map(|_| ())
    }

    /// Feeds one token; its logits are one row.
    pub fn step(&mut self, token: Token) -> Result<()> {
        self.check(unsafe { inlay_sys::inlay_session_step(self.handle, token) }).map(|_| ())
    }

    /// Feeds a certain token and up to 7 drafts; row i of the logits follows `tokens[i]`. Then [`commit`](Self::commit).
    pub fn verify(&mut self, tokens: &[Token]) -> Result<()> {
        let status = unsafe { inlay_sys::inlay_session_verify(self.handle, tokens.as_ptr(), tokens.len()) };
        self.check(status).map(|_| ())
    }

    /// Begins a prefill, for [`advance`](Self::advance) to work on.
    pub fn begin_prefill(&mut self, tokens: &[Token]) -> Result<()> {
        let status =
            unsafe { inlay_sys::inlay_session_begin_prefill(self.handle, tokens.as_ptr(), tokens.len()) };
        self.check(status).map(|_| ())
    }

    /// Begins a step.
    pub fn begin_step(&mut self, token: Token) -> Result<()> {
        self.check(unsafe { inlay_sys::inlay_session_begin_step(self.handle, token) }).map(|_| ())
    }

    /// Begins a verify.
    pub fn begin_verify(&mut self, tokens: &[Token]) -> Result<()> {
        let status =
            unsafe { inlay_sys::inlay_session_begin_verify(self.handle, tokens.as_ptr(), tokens.len()) };
        self.check(status).map(|_| ())
    }

    /// Goes on with the work that was begun for at most `budget`; None: to its end.
    pub fn advance(&mut self, budget: Option<Duration>) -> Result<Work> {
        let mut progress = params!(inlay_progress);
        let status =
            unsafe { inlay_sys::inlay_session_advance(self.handle, microseconds(budget), &mut progress) };
        let state = self.check(status)?;
        let progress = Progress {
            slices_done: progress.slices_done,
            slices_total: progress.slices_total,
            longest_slice: Duration::from_nanos(progress.longest_slice_ns),
            position: progress.position,
            tokens_done: progress.tokens_done,
            tokens_total: progress.tokens_total,
            remaining: Duration::from_nanos(progress.remaining_ns),
        };
        Ok(if state == inlay_sys::INLAY_PENDING { Work::Pending(progress) } else { Work::Done(progress) })
    }

    /// Keeps the first `count` tokens of the last verify and forgets the rest.
    pub fn commit(&mut self, count: usize) -> Result<()> {
        self.check(unsafe { inlay_sys::inlay_session_commit(self.handle, count) }).map(|_| ())
    }

    /// Takes back the last `count` tokens, at most [`rewindable`](Self::rewindable).
    pub fn rewind(&mut self, count: usize) -> Result<()> {
        self.check(unsafe { inlay_sys::inlay_session_rewind(self.handle, count) }).map(|_| ())
    }

    /// How many tokens can be taken back.
    pub fn rewindable(&self) -> usize {
        unsafe { inlay_sys::inlay_session_rewindable(self.handle) }
    }

    /// Back to an empty timeline.
    pub fn reset(&mut self) -> Result<()> {
        self.check(unsafe { inlay_sys::inlay_session_reset(self.handle) }).map(|_| ())
    }

    /// All of the session as bytes, for [`load`](Self::load). Nothing may be under way.
    pub fn save(&self) -> Result<Vec<u8>> {
        let mut saved = vec![0u8; unsafe { inlay_sys::inlay_session_save_bytes(self.handle) } as usize];
        let mut bytes = 0;
        let (place, room) = (saved.as_mut_ptr().cast(), saved.len() as u64);
        self.check(unsafe { inlay_sys::inlay_session_save_memory(self.handle, place, room, &mut bytes) })?;
        saved.truncate(bytes as usize);
        Ok(saved)
    }

    /// Replaces all of the session by what was saved; refuses what is damaged or of another model.
    pub fn load(&mut self, saved: &[u8]) -> Result<()> {
        let (data, bytes) = (saved.as_ptr().cast(), saved.len() as u64);
        self.check(unsafe { inlay_sys::inlay_session_load_memory(self.handle, data, bytes) }).map(|_| ())
    }

    /// Makes the session stand where `mark` stands, for example a fork of it made earlier.
    pub fn rewind_to(&mut self, mark: &mut Session<'_>) -> Result<()> {
        self.check(unsafe { inlay_sys::inlay_session_rewind_to(self.handle, mark.handle) }).map(|_| ())
    }

    /// What a prompt of `prompt` tokens and then `rounds` passes of `width` tokens each would take.
    pub fn estimate(&mut self, prompt: usize, rounds: usize, width: u32) -> Result<Estimate> {
        let mut estimate = params!(inlay_estimate);
        let status =
            unsafe { inlay_sys::inlay_session_estimate(self.handle, prompt, rounds, width, &mut estimate) };
        self.check(status)?;
        Ok(Estimate {
            expected: Duration::from_nanos(estimate.expected_ns),
            p99: Duration::from_nanos(estimate.p99_ns),
            longest_slice: Duration::from_nanos(estimate.longest_slice_ns),
        })
    }

    /// Tokens kept so far: the position of the next one.
    pub fn position(&self) -> u64 {
        unsafe { inlay_sys::inlay_session_position(self.handle) }
    }

    /// Most tokens that it holds.
    pub fn context_length(&self) -> u32 {
        unsafe { inlay_sys::inlay_session_context_length(self.handle) }
    }

    /// The tokens kept so far.
    pub fn tokens(&self) -> &[Token] {
        let tokens = unsafe { inlay_sys::inlay_session_tokens(self.handle) };
        // SAFETY: they live until a call that changes the session, which needs &mut self.
        unsafe { slice(tokens, self.position() as usize) }
    }

    /// Row `row` of the last pass's logits, vocabulary size numbers.
    pub fn logits(&self, row: usize) -> Result<&[f32]> {
        let mut logits = std::ptr::null();
        self.check(unsafe { inlay_sys::inlay_session_logits(self.handle, row, &mut logits) })?;
        // SAFETY: valid until the next pass, which needs &mut self; no other session shares the scratch.
        Ok(unsafe { slice(logits, self.model.widths.0) })
    }

    /// The hidden state that this row of logits came from, embedding length numbers.
    pub fn hidden(&self, row: usize) -> Result<&[f32]> {
        let mut hidden = std::ptr::null();
        self.check(unsafe { inlay_sys::inlay_session_hidden(self.handle, row, &mut hidden) })?;
        // SAFETY: as above.
        Ok(unsafe { slice(hidden, self.model.widths.1) })
    }
}

pub(crate) fn microseconds(budget: Option<Duration>) -> u64 {
    budget.map_or(inlay_sys::INLAY_NO_BUDGET, |it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX))
}

/// # Safety
/// `data` is null or has `count` elements that live for 'a.
pub(crate) unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(data, count) }
}

/// A sampler or a generator has no words of its own at create; the session's parent has.
pub(crate) fn check_created(model: &Model<'_>, status: inlay_sys::inlay_status) -> Result<()> {
    match model.runtime.check(status) {
        Err(error) if error.message().is_empty() => check_silent(status).map(|_| ()),
        other => other.map(|_| ()),
    }
}

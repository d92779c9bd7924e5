use crate::gate::Gate;
use crate::native::{check, microseconds, params, read_from, save_bytes, slice, write_to};
use crate::{Arena, Error, ForkMemory, Model, Pool, Result, SessionMemory, Status, Token};
use std::cell::RefCell;
use std::io::{Read, Write};
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

    pub(crate) fn raw(self) -> i32 {
        let kind = match self {
            KvType::Default => inlay_sys::INLAY_KV_DEFAULT,
            KvType::F16 => inlay_sys::INLAY_KV_F16,
            KvType::Fp8 => inlay_sys::INLAY_KV_FP8,
            KvType::Q8 => inlay_sys::INLAY_KV_Q8,
        };
        kind as i32
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
        given.kv_type = self.kv_type.raw();
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

impl From<inlay_sys::inlay_progress> for Progress {
    fn from(progress: inlay_sys::inlay_progress) -> Progress {
        Progress {
            slices_done: progress.slices_done,
            slices_total: progress.slices_total,
            longest_slice: Duration::from_nanos(progress.longest_slice_ns),
            position: progress.position,
            tokens_done: progress.tokens_done,
            tokens_total: progress.tokens_total,
            remaining: Duration::from_nanos(progress.remaining_ns),
        }
    }
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
/// ```compile_fail,E0505
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
    // Of all that work in its scratch.
    gate: Arc<Gate>,
    // Logits that were lent while another session, perhaps on another thread, could overwrite them; and RefCell keeps a
    // session to one thread at a time: Send, and not Sync.
    lent: RefCell<Vec<(usize, Box<[f32]>)>>,
    cancel: Arc<Mutex<SessionHandle>>,
    // Given back after the session, for it lives in them; the scratch's after the last that works in it.
    _state: Option<Arena>,
    scratch: Option<Arc<Arena>>,
}

// SAFETY: the header lets a session move between threads, one at a time; the gate keeps those of one scratch apart.
unsafe impl Send for Session<'_> {}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.cancel.lock().unwrap_or_else(|it| it.into_inner()).0 = std::ptr::null_mut();
        let _inside = self.gate.last();
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
        Session::with_memory(model, options, SessionMemory::default())
    }

    /// A session that lives in memory of yours: `state` of [`MemoryPlan::session_host`](crate::MemoryPlan) bytes,
    /// `scratch` of `scratch_host` bytes. Either may be None, which is Inlay's own.
    pub fn in_arenas(
        model: &'m Model<'_>,
        options: &SessionOptions,
        state: Option<Arena>,
        scratch: Option<Arena>,
    ) -> Result<Session<'m>> {
        let memory = SessionMemory { state, scratch, ..Default::default() };
        Session::with_memory(model, options, memory)
    }

    /// A session whose KV pages come from a pool.
    pub fn in_pool(pool: &'m Pool<'m>, options: &SessionOptions) -> Result<Session<'m>> {
        let memory = SessionMemory { pool: Some(pool), ..Default::default() };
        Session::with_memory(pool.model(), options, memory)
    }

    /// A session that lives and works where you say.
    pub fn with_memory(
        model: &'m Model<'_>,
        options: &SessionOptions,
        memory: SessionMemory<'m, '_>,
    ) -> Result<Session<'m>> {
        let mut given = options.plain();
        (given.state_arena, given.state_arena_bytes) = Arena::parts(&memory.state);
        (given.scratch_arena, given.scratch_arena_bytes) = Arena::parts(&memory.scratch);
        given.pool = memory.pool.map_or(std::ptr::null_mut(), |it| it.handle);
        let mut places = (Arc::default(), memory.scratch.map(Arc::new));
        let shared = memory.share_scratch;
        let _inside = match &shared {
            None => None,
            Some(shared) => {
                given.share_scratch = shared.handle;
                places = shared.places();
                Some(shared.gate.enter()?)
            }
        };
        let mut handle = std::ptr::null_mut();
        // SAFETY: the arenas are kept for as long as the session is, the pool for 'm.
        let status = unsafe { inlay_sys::inlay_session_create(model.handle, &given, &mut handle) };
        model.runtime.check(status)?;
        Ok(Session::own(handle, model, places, memory.state))
    }

    /// Where it works, for another one that works there too.
    fn places(&self) -> (Arc<Gate>, Option<Arc<Arena>>) {
        (self.gate.clone(), self.scratch.clone())
    }

    fn own(
        handle: *mut inlay_sys::inlay_session,
        model: &'m Model<'m>,
        (gate, scratch): (Arc<Gate>, Option<Arc<Arena>>),
        state: Option<Arena>,
    ) -> Session<'m> {
        let cancel = Arc::new(Mutex::new(SessionHandle(handle)));
        Session { handle, model, gate, lent: RefCell::default(), cancel, _state: state, scratch }
    }

    /// The gate of all that work in its scratch.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// A call that changes the session. What was lent of it is no longer borrowed.
    fn call(
        &mut self,
        call: impl FnOnce(*mut inlay_sys::inlay_session) -> inlay_sys::inlay_status,
    ) -> Result<inlay_sys::inlay_status> {
        self.lent.get_mut().clear();
        self.look(call)
    }

    /// A call that leaves what was lent of it alone.
    fn look(
        &self,
        call: impl FnOnce(*mut inlay_sys::inlay_session) -> inlay_sys::inlay_status,
    ) -> Result<inlay_sys::inlay_status> {
        let _inside = self.gate.enter()?;
        self.check(call(self.handle))
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

    /// A new session that stands where this one stands, in memory of its own, as much as this one has. In a pool it has
    /// this one's full pages too.
    pub fn fork(&mut self) -> Result<Session<'m>> {
        self.fork_with(ForkMemory::default())
    }

    /// The same, in memory that you say.
    pub fn fork_with(&mut self, memory: ForkMemory) -> Result<Session<'m>> {
        let mut given = params!(inlay_fork_params);
        given.share_scratch = memory.share_scratch as u32;
        (given.state_arena, given.state_arena_bytes) = Arena::parts(&memory.state);
        (given.scratch_arena, given.scratch_arena_bytes) = Arena::parts(&memory.scratch);
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle lives, here and in all that follows; the arenas are kept for as long as the fork is.
        self.call(|it| unsafe { inlay_sys::inlay_session_fork_with(it, &given, &mut handle) })?;
        let places = match memory.share_scratch {
            true => self.places(),
            false => (Arc::default(), memory.scratch.map(Arc::new)),
        };
        Ok(Session::own(handle, self.model, places, memory.state))
    }

    /// Feeds a prompt; its logits are one row, after the last token.
    pub fn prefill(&mut self, tokens: &[Token]) -> Result<()> {
        let (at, count) = (tokens.as_ptr(), tokens.len());
        self.call(|it| unsafe { inlay_sys::inlay_session_prefill(it, at, count) }).map(|_| ())
    }

    /// Feeds one token; its logits are one row.
    pub fn step(&mut self, token: Token) -> Result<()> {
        self.call(|it| unsafe { inlay_sys::inlay_session_step(it, token) }).map(|_| ())
    }

    /// Feeds a certain token and up to 7 drafts; row i of the logits follows `tokens[i]`. Then [`commit`](Self::commit).
    pub fn verify(&mut self, tokens: &[Token]) -> Result<()> {
        let (at, count) = (tokens.as_ptr(), tokens.len());
        self.call(|it| unsafe { inlay_sys::inlay_session_verify(it, at, count) }).map(|_| ())
    }

    /// Begins a prefill, for [`advance`](Self::advance) to work on.
    pub fn begin_prefill(&mut self, tokens: &[Token]) -> Result<()> {
        let (at, count) = (tokens.as_ptr(), tokens.len());
        self.call(|it| unsafe { inlay_sys::inlay_session_begin_prefill(it, at, count) }).map(|_| ())
    }

    /// Begins a step.
    pub fn begin_step(&mut self, token: Token) -> Result<()> {
        self.call(|it| unsafe { inlay_sys::inlay_session_begin_step(it, token) }).map(|_| ())
    }

    /// Begins a verify.
    pub fn begin_verify(&mut self, tokens: &[Token]) -> Result<()> {
        let (at, count) = (tokens.as_ptr(), tokens.len());
        self.call(|it| unsafe { inlay_sys::inlay_session_begin_verify(it, at, count) }).map(|_| ())
    }

    /// Begins a step of each of several sessions that share their scratch, in one pass over the weights: `tokens[i]` for
    /// `sessions[i]`, at most [`MAX_WIDTH`](crate::MAX_WIDTH) of them. The work is then the first one's to advance, poll,
    /// finish or cancel; the others are busy meanwhile. Each has its own row of logits afterwards. Where one can't take
    /// its token, none is begun.
    pub fn begin_steps(sessions: &mut [&mut Session<'m>], tokens: &[Token]) -> Result<()> {
        if sessions.is_empty() || sessions.len() != tokens.len() {
            return Err(Error::new(Status::InvalidArgument, "each of the sessions takes one token"));
        }
        let gate = sessions[0].gate.clone();
        if sessions.iter().any(|it| !Arc::ptr_eq(&it.gate, &gate)) {
            return Err(Error::new(Status::InvalidArgument, "the sessions do not share their scratch"));
        }
        sessions.iter_mut().for_each(|it| it.lent.get_mut().clear());
        let handles: Vec<_> = sessions.iter().map(|it| it.handle).collect();
        let (at, given, count) = (handles.as_ptr(), tokens.as_ptr(), tokens.len());
        sessions[0].look(|_| unsafe { inlay_sys::inlay_session_begin_steps(at, given, count) }).map(|_| ())
    }

    /// Goes on with the work that was begun for at most `budget`; None: to its end.
    pub fn advance(&mut self, budget: Option<Duration>) -> Result<Work> {
        let mut progress = params!(inlay_progress);
        let budget = microseconds(budget);
        let state = self.call(|it| unsafe { inlay_sys::inlay_session_advance(it, budget, &mut progress) })?;
        let progress = progress.into();
        Ok(if state == inlay_sys::INLAY_PENDING { Work::Pending(progress) } else { Work::Done(progress) })
    }

    /// Goes on without waiting, and says whether the work is done: a device with a queue of its own is handed it, the
    /// CPU does one slice.
    pub fn poll(&mut self) -> Result<bool> {
        let state = self.call(|it| unsafe { inlay_sys::inlay_session_poll(it) })?;
        Ok(state != inlay_sys::INLAY_PENDING)
    }

    /// Waits for the end of the work that was begun.
    pub fn finish(&mut self) -> Result<()> {
        self.call(|it| unsafe { inlay_sys::inlay_session_finish(it) }).map(|_| ())
    }

    /// Keeps the first `count` tokens of the last verify and forgets the rest.
    pub fn commit(&mut self, count: usize) -> Result<()> {
        self.call(|it| unsafe { inlay_sys::inlay_session_commit(it, count) }).map(|_| ())
    }

    /// Takes back the last `count` tokens, at most [`rewindable`](Self::rewindable).
    pub fn rewind(&mut self, count: usize) -> Result<()> {
        self.call(|it| unsafe { inlay_sys::inlay_session_rewind(it, count) }).map(|_| ())
    }

    /// How many tokens can be taken back.
    pub fn rewindable(&self) -> usize {
        let _inside = self.gate.last();
        unsafe { inlay_sys::inlay_session_rewindable(self.handle) }
    }

    /// Back to an empty timeline.
    pub fn reset(&mut self) -> Result<()> {
        self.call(|it| unsafe { inlay_sys::inlay_session_reset(it) }).map(|_| ())
    }

    /// Bytes that a save would write now; 0 while work is under way.
    pub fn saved_bytes(&self) -> u64 {
        let _inside = self.gate.last();
        unsafe { inlay_sys::inlay_session_save_bytes(self.handle) }
    }

    /// All of the session as bytes, for [`load`](Self::load). Nothing may be under way.
    pub fn save(&self) -> Result<Vec<u8>> {
        save_bytes(self.saved_bytes(), |place, room, bytes| {
            self.look(|it| unsafe { inlay_sys::inlay_session_save_memory(it, place, room, bytes) })
        })
    }

    /// The same, written in pieces of at most some hundred kilobytes. An error of the stream's is
    /// [`Status::Callback`] with its words.
    pub fn save_to(&self, to: impl Write) -> Result<()> {
        write_to(to, |table| self.look(|it| unsafe { inlay_sys::inlay_session_save(it, table) }))
    }

    /// Replaces all of the session by what was saved; refuses what is damaged or of another model.
    pub fn load(&mut self, saved: &[u8]) -> Result<()> {
        let (data, bytes) = (saved.as_ptr().cast(), saved.len() as u64);
        self.call(|it| unsafe { inlay_sys::inlay_session_load_memory(it, data, bytes) }).map(|_| ())
    }

    /// The same from a stream, which is read as far as what was saved goes. What is damaged after its first 512 bytes,
    /// or a stream that fails, leaves the session empty.
    pub fn load_from(&mut self, from: impl Read) -> Result<()> {
        read_from(from, |table| self.call(|it| unsafe { inlay_sys::inlay_session_load(it, table) }))
    }

    /// Makes the session stand where `mark` stands, for example a fork of it made earlier.
    pub fn rewind_to(&mut self, mark: &mut Session<'_>) -> Result<()> {
        let other = (!Arc::ptr_eq(&self.gate, &mark.gate)).then(|| mark.gate.clone());
        let _inside = other.as_ref().map(|it| it.enter()).transpose()?;
        let mark = mark.handle;
        self.call(|it| unsafe { inlay_sys::inlay_session_rewind_to(it, mark) }).map(|_| ())
    }

    /// What a prompt of `prompt` tokens and then `rounds` passes of `width` tokens each would take.
    pub fn estimate(&self, prompt: usize, rounds: usize, width: u32) -> Result<Estimate> {
        let mut estimate = params!(inlay_estimate);
        self.look(|it| unsafe {
            inlay_sys::inlay_session_estimate(it, prompt, rounds, width, &mut estimate)
        })?;
        Ok(Estimate {
            expected: Duration::from_nanos(estimate.expected_ns),
            p99: Duration::from_nanos(estimate.p99_ns),
            longest_slice: Duration::from_nanos(estimate.longest_slice_ns),
        })
    }

    /// Tokens kept so far: the position of the next one.
    pub fn position(&self) -> u64 {
        let _inside = self.gate.last();
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

    /// Row `row` of the last pass's logits, vocabulary size numbers. Of a session that shares its scratch it is a copy,
    /// and there is none after a pass of another one: [`Status::WrongState`].
    pub fn logits(&self, row: usize) -> Result<&[f32]> {
        let _inside = self.gate.enter()?;
        let mut logits = std::ptr::null();
        self.check(unsafe { inlay_sys::inlay_session_logits(self.handle, row, &mut logits) })?;
        // SAFETY: valid until the next pass of this session, which needs &mut self, or of one that shares the scratch,
        // which the gate keeps out.
        let there: &[f32] = unsafe { slice(logits, self.model.widths.0) };
        // To share the scratch needs &mut self, so a session that is alone here stays so while the row is borrowed.
        if Arc::strong_count(&self.gate) == 1 {
            return Ok(there);
        }
        let mut lent = self.lent.borrow_mut();
        let known = lent.iter().position(|(of, _)| *of == row);
        let at = known.unwrap_or_else(|| {
            lent.push((row, there.into()));
            lent.len() - 1
        });
        let copy: *const [f32] = &*lent[at].1;
        // SAFETY: a box stays where it is; they are dropped by calls that need &mut self.
        Ok(unsafe { &*copy })
    }

    /// The hidden state that this row of logits came from, embedding length numbers.
    pub fn hidden(&self, row: usize) -> Result<&[f32]> {
        let mut hidden = std::ptr::null();
        self.look(|it| unsafe { inlay_sys::inlay_session_hidden(it, row, &mut hidden) })?;
        // SAFETY: the session's own, valid until its next pass, which needs &mut self.
        Ok(unsafe { slice(hidden, self.model.widths.1) })
    }

    /// The MTP head's logits after each of these tokens but the last, a row of vocabulary size numbers each, for tests
    /// and tools. The session must be empty, with mtp on; it is empty again afterwards.
    pub fn mtp_logits(&mut self, tokens: &[Token]) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; tokens.len().saturating_sub(1) * self.model.widths.0];
        let (at, count, place) = (tokens.as_ptr(), tokens.len(), logits.as_mut_ptr());
        self.call(|it| unsafe { inlay_sys::inlay_session_mtp_logits(it, at, count, place) })?;
        Ok(logits)
    }
}

/// The words of a failed create are left with the runtime.
pub(crate) fn check_created(model: &Model<'_>, status: inlay_sys::inlay_status) -> Result<()> {
    model.runtime.check(status).map(|_| ())
}

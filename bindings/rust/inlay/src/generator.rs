use crate::native::{check, check_silent, microseconds, params, read_from, save_bytes, slice, write_to};
use crate::session::check_created;
use crate::{
    drafter, mask, Draft, Error, Grammar, Mask, Progress, Result, SamplerOptions, Session, Status, Token,
};
use std::io::{Read, Write};
use std::time::Duration;

/// How a [`Generator`] is made; zeros are the header's defaults.
#[derive(Default)]
pub struct GeneratorOptions<'g> {
    /// How tokens are drawn; the default is greedy.
    pub sampler: SamplerOptions,
    /// Who drafts.
    pub draft: Draft,
    /// Most drafts a round, 1 to 7; 0: chosen by what is accepted and costs.
    pub draft_length: u32,
    /// MTP stops drafting below this confidence; 0: never.
    pub draft_min_probability: f32,
    /// Of an answer; 0: until the context is full.
    pub max_tokens: u64,
    /// Go on after the token that ends the text.
    pub ignore_end: bool,
    /// Special tokens appear in the text.
    pub show_special: bool,
    /// A say in what may come.
    pub mask: Option<Box<dyn Mask>>,
    /// What every answer is of. It comes to its end before `max_tokens` and the context do, where they leave room for the
    /// shortest text at all. In a chat it is the default of [`AnswerOptions`](crate::AnswerOptions). Takes about 6 MB.
    pub grammar: Option<&'g Grammar<'g>>,
}

/// The callbacks that a native generator holds on to.
#[derive(Default)]
pub(crate) struct Hosts {
    drafter: Option<Box<drafter::Host>>,
    mask: Option<Box<mask::Host>>,
}

impl Hosts {
    /// Where a callback failed: an error with its words.
    pub(crate) fn explain<T>(&mut self, done: Result<T>) -> Result<T> {
        done.map_err(|error| {
            if error.status() != Status::Callback {
                return error;
            }
            let drafter = self.drafter.as_mut().and_then(|it| it.take_failure());
            let mask = self.mask.as_mut().and_then(|it| it.take_failure());
            match (drafter, mask) {
                (Some(words), _) => Error::new(Status::Callback, format!("the drafter failed: {words}")),
                (_, Some(words)) => Error::new(Status::Callback, format!("the mask failed: {words}")),
                _ => error,
            }
        })
    }
}

impl GeneratorOptions<'_> {
    /// Hands the C struct to `create`, which copies it; the hosts must outlive what is created.
    pub(crate) fn with<T>(self, create: impl FnOnce(&inlay_sys::inlay_generator_params) -> T) -> (T, Hosts) {
        let mut given = params!(inlay_generator_params);
        let mut hosts = Hosts { drafter: None, mask: self.mask.map(mask::Host::new) };
        given.draft = match self.draft {
            Draft::None => inlay_sys::INLAY_DRAFT_NONE,
            Draft::Mtp => inlay_sys::INLAY_DRAFT_MTP,
            Draft::Lookup => inlay_sys::INLAY_DRAFT_LOOKUP,
            Draft::LookupMtp => inlay_sys::INLAY_DRAFT_LOOKUP_MTP,
            Draft::Host(drafter) => {
                hosts.drafter = Some(drafter::Host::new(drafter));
                inlay_sys::INLAY_DRAFT_HOST
            }
        } as i32;
        let drafter = hosts.drafter.as_mut().map(|it| it.table());
        let mask = hosts.mask.as_mut().map(|it| it.table());
        given.drafter = drafter.as_ref().map_or(std::ptr::null(), |it| it);
        given.mask = mask.as_ref().map_or(std::ptr::null(), |it| it);
        given.grammar = self.grammar.map_or(std::ptr::null_mut(), |it| it.handle);
        given.draft_length = self.draft_length;
        given.draft_min_probability = self.draft_min_probability;
        given.max_tokens = self.max_tokens;
        given.ignore_end = self.ignore_end as u32;
        given.show_special = self.show_special as u32;
        let created = self.sampler.with(|sampler| {
            given.sampler = sampler;
            create(&given)
        });
        (created, hosts)
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stop {
    EndOfText,
    MaxTokens,
    ContextFull,
    /// A chat's stop string came.
    StopString,
    /// A chat's answer went round in a loop.
    Repetition,
    /// [`Chat::stop`](crate::Chat::stop).
    Host,
    /// A reason that this crate does not know.
    Other(i32),
}

impl Stop {
    pub(crate) fn of(stop: i32) -> Stop {
        match stop as inlay_sys::inlay_stop {
            inlay_sys::INLAY_STOP_END_OF_TEXT => Stop::EndOfText,
            inlay_sys::INLAY_STOP_MAX_TOKENS => Stop::MaxTokens,
            inlay_sys::INLAY_STOP_CONTEXT_FULL => Stop::ContextFull,
            inlay_sys::INLAY_STOP_STRING => Stop::StopString,
            inlay_sys::INLAY_STOP_REPETITION => Stop::Repetition,
            inlay_sys::INLAY_STOP_HOST => Stop::Host,
            _ => Stop::Other(stop),
        }
    }
}

/// What came: whole characters, and the tokens that they were made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// May be empty though there are tokens.
    pub text: String,
    /// The new tokens.
    pub tokens: Vec<Token>,
    /// With the last piece of an answer: why it ended.
    pub stop: Option<Stop>,
}

/// What [`Generator::advance`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something new; `stop` says whether it was the last of the answer.
    Piece(Piece),
    /// The budget is used up; call again.
    Pending,
}

/// Counts and times since the generator was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct GeneratorStats {
    pub prompt_tokens: u64,
    pub prompt: Duration,
    pub generated_tokens: u64,
    /// Passes of the model while generating.
    pub rounds: u64,
    pub drafted: u64,
    /// Of the drafted.
    pub accepted: u64,
    pub draft: Duration,
    /// The model's passes.
    pub verify: Duration,
    /// Sampling, text, bookkeeping.
    pub rest: Duration,
}

/// Session, sampler, drafter and text stream: prompt to text. Takes the session along.
pub struct Generator<'m> {
    handle: *mut inlay_sys::inlay_generator,
    session: Option<Session<'m>>,
    hosts: Hosts,
}

// SAFETY: the header lets a generator move between threads, one at a time; the drafter is Send. The session keeps it
// from being Sync.
unsafe impl Send for Generator<'_> {}

impl Drop for Generator<'_> {
    fn drop(&mut self) {
        let session = self.session.take();
        let _inside = session.as_ref().and_then(|it| it.gate().last());
        // SAFETY: made by create, given back once, here, before its session and its drafter.
        unsafe { inlay_sys::inlay_generator_destroy(self.handle) }
    }
}

impl<'m> Generator<'m> {
    /// Greedy, without drafts.
    pub fn new(session: Session<'m>) -> Result<Generator<'m>> {
        Generator::with(session, GeneratorOptions::default())
    }

    /// As the options say.
    pub fn with(session: Session<'m>, options: GeneratorOptions<'_>) -> Result<Generator<'m>> {
        let inside = session.gate().enter()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: all that the parameters point to lives until the call returns, the callbacks until the destroy.
        let (status, hosts) = options
            .with(|given| unsafe { inlay_sys::inlay_generator_create(session.handle, given, &mut handle) });
        drop(inside);
        check_created(session.model, status)?;
        Ok(Generator { handle, session: Some(session), hosts })
    }

    fn call(
        &self,
        call: impl FnOnce(*mut inlay_sys::inlay_generator) -> inlay_sys::inlay_status,
    ) -> Result<inlay_sys::inlay_status> {
        let _inside = self.session().gate().enter()?;
        check(call(self.handle), |buffer, capacity| {
            // SAFETY: buffer has capacity bytes.
            unsafe { inlay_sys::inlay_generator_message(self.handle, buffer, capacity) }
        })
    }

    /// The session that it drives.
    pub fn session(&self) -> &Session<'m> {
        self.session.as_ref().expect("there until into_session")
    }

    /// Takes back the timeline's last `count` tokens; the generator notices.
    pub fn rewind(&mut self, count: usize) -> Result<()> {
        self.session_mut().rewind(count)
    }

    /// Empties the timeline; the generator notices.
    pub fn reset(&mut self) -> Result<()> {
        self.session_mut().reset()
    }

    /// A new session that stands where this one's stands. Nothing may be under way.
    pub fn fork_session(&mut self) -> Result<Session<'m>> {
        self.session_mut().fork()
    }

    /// All of the generator and its session as bytes, at any time: in the middle of a sentence, of a prompt, of a
    /// round. What was generated since the last piece is taken back and computed again.
    pub fn save(&mut self) -> Result<Vec<u8>> {
        // SAFETY: the handle lives, here and below.
        let room = unsafe { inlay_sys::inlay_generator_save_bytes(self.handle) };
        save_bytes(room, |place, room, bytes| {
            self.call(|it| unsafe { inlay_sys::inlay_generator_save_memory(it, place, room, bytes) })
        })
    }

    /// The same, written in pieces of at most some hundred kilobytes. An error of the stream's is
    /// [`Status::Callback`] with its words.
    pub fn save_to(&mut self, to: impl Write) -> Result<()> {
        write_to(to, |table| self.call(|it| unsafe { inlay_sys::inlay_generator_save(it, table) }))
    }

    /// Replaces all of it by what was saved: with equal options the text goes on with the same words.
    pub fn load(&mut self, saved: &[u8]) -> Result<()> {
        let (data, bytes) = (saved.as_ptr().cast(), saved.len() as u64);
        self.call(|it| unsafe { inlay_sys::inlay_generator_load_memory(it, data, bytes) }).map(|_| ())
    }

    /// The same from a stream, which is read as far as what was saved goes. What is damaged after its first 512 bytes,
    /// or a stream that fails, leaves generator and session empty.
    pub fn load_from(&mut self, from: impl Read) -> Result<()> {
        read_from(from, |table| self.call(|it| unsafe { inlay_sys::inlay_generator_load(it, table) }))
    }

    /// Where the round under way stands; its longest slice counts sampling, drafting and text too.
    pub fn progress(&self) -> Result<Progress> {
        let mut progress = params!(inlay_progress);
        self.call(|it| unsafe { inlay_sys::inlay_generator_get_progress(it, &mut progress) })?;
        Ok(progress.into())
    }

    // Not public: who has it could put another session in its place.
    fn session_mut(&mut self) -> &mut Session<'m> {
        self.session.as_mut().expect("there until into_session")
    }

    /// Gives the session back.
    pub fn into_session(mut self) -> Session<'m> {
        self.session.take().expect("there until into_session")
    }

    /// Appends a prompt; it is fed when the next piece is asked for. The words of special tokens become those tokens.
    pub fn prompt(&mut self, text: &str) -> Result<()> {
        self.prompt_text(text, true)
    }

    /// Appends a prompt whose special words stay text.
    pub fn prompt_plain(&mut self, text: &str) -> Result<()> {
        self.prompt_text(text, false)
    }

    fn prompt_text(&mut self, text: &str, parse_special: bool) -> Result<()> {
        let (data, bytes, special) = (text.as_ptr().cast(), text.len(), parse_special as i32);
        // SAFETY: the handle lives, here and below; the text has its length.
        self.call(|it| unsafe { inlay_sys::inlay_generator_prompt_text(it, data, bytes, special) })
            .map(|_| ())
    }

    /// Appends a prompt of tokens.
    pub fn prompt_tokens(&mut self, tokens: &[Token]) -> Result<()> {
        let (at, count) = (tokens.as_ptr(), tokens.len());
        self.call(|it| unsafe { inlay_sys::inlay_generator_prompt_tokens(it, at, count) }).map(|_| ())
    }

    /// Goes on generating for at most `budget`; None: until something came.
    pub fn advance(&mut self, budget: Option<Duration>) -> Result<Step> {
        let mut output = params!(inlay_output);
        let budget = microseconds(budget);
        let state = self.call(|it| unsafe { inlay_sys::inlay_generator_next(it, budget, &mut output) });
        let state = self.hosts.explain(state)?;
        if state == inlay_sys::INLAY_PENDING {
            return Ok(Step::Pending);
        }
        // SAFETY: text and tokens live until the next call on the generator; they are copied.
        let (text, tokens) = unsafe {
            let text = slice(output.text.cast::<u8>(), output.text_bytes);
            (String::from_utf8_lossy(text).into_owned(), slice(output.tokens, output.token_count).to_vec())
        };
        let stop = (state == inlay_sys::INLAY_END).then_some(Stop::of(output.stop));
        Ok(Step::Piece(Piece { text, tokens, stop }))
    }

    /// The pieces of one answer as they come; the last has a `stop`. After an error the iterator is at its end; a new
    /// one tries the work again.
    pub fn pieces(&mut self) -> Pieces<'_, 'm> {
        Pieces { generator: self, done: false }
    }

    /// All of one answer.
    pub fn answer(&mut self) -> Result<String> {
        self.pieces().map(|piece| piece.map(|it| it.text)).collect()
    }

    /// Counts and times since it was made.
    pub fn stats(&self) -> Result<GeneratorStats> {
        let mut stats = params!(inlay_generator_stats);
        check_silent(unsafe { inlay_sys::inlay_generator_get_stats(self.handle, &mut stats) })?;
        Ok(GeneratorStats {
            prompt_tokens: stats.prompt_tokens,
            prompt: Duration::from_nanos(stats.prompt_ns),
            generated_tokens: stats.generated_tokens,
            rounds: stats.rounds,
            drafted: stats.drafted,
            accepted: stats.accepted,
            draft: Duration::from_nanos(stats.draft_ns),
            verify: Duration::from_nanos(stats.verify_ns),
            rest: Duration::from_nanos(stats.rest_ns),
        })
    }
}

/// Of [`Generator::pieces`].
pub struct Pieces<'g, 'm> {
    generator: &'g mut Generator<'m>,
    done: bool,
}

impl Iterator for Pieces<'_, '_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        while !self.done {
            match self.generator.advance(None) {
                Ok(Step::Pending) => continue,
                Ok(Step::Piece(piece)) => {
                    self.done = piece.stop.is_some();
                    return Some(Ok(piece));
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

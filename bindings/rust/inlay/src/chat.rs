use crate::generator::Hosts;
use crate::native::{
    c_string, check, check_silent, microseconds, params, read_from, save_bytes, slice, write_to,
};
use crate::session::check_created;
use crate::{ChatFormat, GeneratorOptions, Grammar, Result, SamplerOptions, Session, Stop};
use std::ffi::CString;
use std::io::{Read, Write};
use std::time::Duration;

/// Sampling as the model cards have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Temperature 0.6, top-p 0.95.
    Precise,
    /// Temperature 0.7, top-p 0.95, top-k 20, repeat penalty 1.1.
    Lively,
}

impl SamplerOptions {
    /// What a preset says.
    pub fn preset(sampling: Sampling) -> Result<SamplerOptions> {
        let mut given = params!(inlay_sampler_params);
        let kind = match sampling {
            Sampling::Precise => inlay_sys::INLAY_SAMPLING_PRECISE,
            Sampling::Lively => inlay_sys::INLAY_SAMPLING_LIVELY,
        };
        // SAFETY: the struct has its size.
        check_silent(unsafe { inlay_sys::inlay_sampler_preset(kind, &mut given) })?;
        Ok(SamplerOptions {
            temperature: given.temperature,
            top_k: given.top_k,
            top_p: given.top_p,
            min_p: given.min_p,
            repeat_penalty: given.repeat_penalty,
            ..Default::default()
        })
    }
}

/// How a [`Chat`] is made.
#[derive(Default)]
pub struct ChatOptions<'g> {
    /// None: what the model's file has.
    pub format: Option<ChatFormat>,
    /// None: [`Sampling::Precise`] and no drafts.
    pub generator: Option<GeneratorOptions<'g>>,
    /// JSON: an array of tool definitions.
    pub tools: Option<String>,
    /// Reasoning of earlier turns stays in the timeline, where the format knows that.
    pub keep_reasoning: bool,
}

/// Whether an answer begins with reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Thinking {
    /// As the format has it.
    #[default]
    Default,
    /// It does.
    On,
    /// It does not.
    Off,
}

/// How an answer is to be; zeros are the header's defaults.
#[derive(Clone, Debug, Default)]
pub struct AnswerOptions<'g> {
    /// Whether it begins with reasoning.
    pub thinking: Thinking,
    /// Tokens of reasoning, after which it is closed; 0: any number.
    pub think_budget: u64,
    /// Words put before the closing tag then.
    pub think_closing: Option<String>,
    /// Strings of the answer that end it; they are not shown.
    pub stop_strings: Vec<String>,
    /// Of the answer, reasoning included; 0: the generator's.
    pub max_tokens: u64,
    /// Tokens that a loop may last before it ends the answer; 0: 512.
    pub repetition_limit: u32,
    /// What the answer is of, once it has been thought; None: the generator's, or anything. Where the conversation has
    /// tools, a tool call may come instead. The first one takes about 6 MB.
    pub grammar: Option<&'g Grammar<'g>>,
    /// A tool call names one of the conversation's tools, and its arguments are what that tool's "parameters" say. The
    /// first time takes about 6 MB.
    pub strict_calls: bool,
}

/// What an answer brought. `call` is the number of a tool call, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum ChatEvent {
    /// Text that was thought.
    Reasoning(String),
    /// Text that is said.
    Answer(String),
    CallBegin {
        call: u32,
        tool: String,
    },
    Argument {
        call: u32,
        name: String,
    },
    /// Of its value, as the model wrote it: JSON but for strings, which stand bare.
    ArgumentText {
        call: u32,
        text: String,
    },
    CallEnd {
        call: u32,
    },
    /// What looked like a call, or began as one, is none; what follows is answer.
    CallBroken {
        call: u32,
        text: String,
    },
    /// Words for the host's developer.
    Warning(String),
    /// The answer is complete.
    End(Stop),
    /// A kind that this crate does not know.
    Other(i32),
}

/// Counts of the answer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChatUsage {
    /// Fed before the answer.
    pub prompt_tokens: u64,
    /// Of the timeline that were kept.
    pub reused_tokens: u64,
    /// Of the timeline that were taken back first.
    pub rewound_tokens: u64,
    /// Tags included.
    pub reasoning_tokens: u64,
    /// What was said.
    pub answer_tokens: u64,
    /// Reasoning was closed by the budget.
    pub thought_closed: bool,
    /// Time that the prompt took.
    pub prompt: Duration,
    /// Time that reasoning took.
    pub reasoning: Duration,
    /// Time that the answer took.
    pub answer: Duration,
}

/// A conversation: messages go in, events come out. Takes its session, which must be empty, along.
///
/// ```
/// # fn main() -> inlay::Result<()> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/model/tavern.gguf");
/// # let runtime = inlay::Runtime::new()?;
/// # let model = inlay::Model::open(&runtime, path)?;
/// let session = inlay::Session::new(&model)?;
/// let mut chat = inlay::Chat::new(session, inlay::ChatOptions::default())?;
/// chat.add("user", "Good evening. What is there to eat?")?;
/// for event in chat.answer(&inlay::AnswerOptions::default())? {
///     if let inlay::ChatEvent::Answer(text) = event? {
///         print!("{text}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Chat<'m> {
    handle: *mut inlay_sys::inlay_chat,
    // There until into_session.
    session: Option<Session<'m>>,
    hosts: Hosts,
    usage: ChatUsage,
}

// SAFETY: one thread at a time, as its session and its generator.
unsafe impl Send for Chat<'_> {}

impl Drop for Chat<'_> {
    fn drop(&mut self) {
        let session = self.session.take();
        let _inside = session.as_ref().and_then(|it| it.gate().last());
        // SAFETY: made by create, given back once, here, before its session and its callbacks.
        unsafe { inlay_sys::inlay_chat_destroy(self.handle) }
    }
}

impl<'m> Chat<'m> {
    /// As the options say.
    pub fn new(session: Session<'m>, options: ChatOptions<'_>) -> Result<Chat<'m>> {
        let inside = session.gate().enter()?;
        let format = options.format.as_ref().map(ChatFormat::plain);
        let tools = options.tools.as_deref().unwrap_or("");
        let mut given = params!(inlay_chat_params);
        given.format = format.as_ref().map_or(std::ptr::null(), |it| it);
        given.tools = if tools.is_empty() { std::ptr::null() } else { tools.as_ptr().cast() };
        given.tools_bytes = tools.len();
        given.keep_reasoning = options.keep_reasoning as u32;
        let mut handle = std::ptr::null_mut();
        // SAFETY: all that the parameters point to lives until the call returns, the callbacks until the destroy.
        let mut create =
            |given: &_| unsafe { inlay_sys::inlay_chat_create(session.handle, given, &mut handle) };
        let (status, hosts) = match options.generator {
            None => (create(&given), Hosts::default()),
            Some(generator) => generator.with(|generator| {
                given.generator = generator;
                create(&given)
            }),
        };
        drop(inside);
        check_created(session.model, status)?;
        Ok(Chat { handle, session: Some(session), hosts, usage: ChatUsage::default() })
    }

    fn call(
        &mut self,
        call: impl FnOnce(*mut inlay_sys::inlay_chat) -> inlay_sys::inlay_status,
    ) -> Result<inlay_sys::inlay_status> {
        let inside = self.session().gate().enter()?;
        let done = check(call(self.handle), |buffer, capacity| {
            // SAFETY: buffer has capacity bytes.
            unsafe { inlay_sys::inlay_chat_message(self.handle, buffer, capacity) }
        });
        drop(inside);
        self.hosts.explain(done)
    }

    /// The session that it drives.
    pub fn session(&self) -> &Session<'m> {
        self.session.as_ref().expect("there until into_session")
    }

    /// Gives the session back, with all that was said.
    pub fn into_session(mut self) -> Session<'m> {
        self.session.take().expect("there until into_session")
    }

    /// Adds what `role`, "system", "user" or "tool", says.
    pub fn add(&mut self, role: &str, content: &str) -> Result<()> {
        let role = c_string(role)?;
        let (text, bytes) = (content.as_ptr().cast(), content.len());
        // SAFETY: the handle lives, here and below; the texts have their lengths.
        self.call(|it| unsafe { inlay_sys::inlay_chat_add(it, role.as_ptr(), text, bytes) }).map(|_| ())
    }

    /// Adds a message, or an array of them, as JSON.
    pub fn add_json(&mut self, json: &str) -> Result<()> {
        let (text, bytes) = (json.as_ptr().cast(), json.len());
        self.call(|it| unsafe { inlay_sys::inlay_chat_add_json(it, text, bytes) }).map(|_| ())
    }

    /// Begins the answer to all that was said; [`advance`](Self::advance) goes on with it.
    pub fn begin_answer(&mut self, options: &AnswerOptions<'_>) -> Result<()> {
        let closing = options.think_closing.as_deref().map(c_string).transpose()?;
        let stops = options.stop_strings.iter().map(|it| c_string(it)).collect::<Result<Vec<CString>>>()?;
        let stops: Vec<_> = stops.iter().map(|it| it.as_ptr()).collect::<Vec<_>>();
        let mut given = params!(inlay_chat_answer_params);
        given.thinking = match options.thinking {
            Thinking::Default => inlay_sys::INLAY_THINKING_DEFAULT,
            Thinking::On => inlay_sys::INLAY_THINKING_ON,
            Thinking::Off => inlay_sys::INLAY_THINKING_OFF,
        } as i32;
        given.think_budget = options.think_budget;
        given.think_closing = closing.as_deref().map_or(std::ptr::null(), |it| it.as_ptr());
        given.stop_strings = if stops.is_empty() { std::ptr::null() } else { stops.as_ptr() };
        given.stop_string_count = stops.len();
        given.max_tokens = options.max_tokens;
        given.repetition_limit = options.repetition_limit;
        given.grammar = options.grammar.map_or(std::ptr::null_mut(), |it| it.handle);
        given.strict_calls = options.strict_calls as u32;
        self.usage = ChatUsage::default();
        self.call(|it| unsafe { inlay_sys::inlay_chat_answer(it, &given) }).map(|_| ())
    }

    /// The next event, after at most `budget`; None where that is used up.
    pub fn advance(&mut self, budget: Option<Duration>) -> Result<Option<ChatEvent>> {
        let mut event = params!(inlay_chat_event);
        let budget = microseconds(budget);
        let state = self.call(|it| unsafe { inlay_sys::inlay_chat_next(it, budget, &mut event) })?;
        if state == inlay_sys::INLAY_PENDING {
            return Ok(None);
        }
        self.usage = ChatUsage {
            prompt_tokens: event.prompt_tokens,
            reused_tokens: event.reused_tokens,
            rewound_tokens: event.rewound_tokens,
            reasoning_tokens: event.reasoning_tokens,
            answer_tokens: event.answer_tokens,
            thought_closed: event.thought_closed != 0,
            prompt: Duration::from_nanos(event.prompt_ns),
            reasoning: Duration::from_nanos(event.reasoning_ns),
            answer: Duration::from_nanos(event.answer_ns),
        };
        // SAFETY: the text lives until the next call on the chat; it is copied.
        let text =
            unsafe { String::from_utf8_lossy(slice(event.text.cast::<u8>(), event.text_bytes)).into_owned() };
        let call = event.call;
        Ok(Some(match event.kind as inlay_sys::inlay_chat_event_kind {
            inlay_sys::INLAY_CHAT_REASONING => ChatEvent::Reasoning(text),
            inlay_sys::INLAY_CHAT_ANSWER => ChatEvent::Answer(text),
            inlay_sys::INLAY_CHAT_CALL_BEGIN => ChatEvent::CallBegin { call, tool: text },
            inlay_sys::INLAY_CHAT_ARGUMENT => ChatEvent::Argument { call, name: text },
            inlay_sys::INLAY_CHAT_ARGUMENT_TEXT => ChatEvent::ArgumentText { call, text },
            inlay_sys::INLAY_CHAT_CALL_END => ChatEvent::CallEnd { call },
            inlay_sys::INLAY_CHAT_CALL_BROKEN => ChatEvent::CallBroken { call, text },
            inlay_sys::INLAY_CHAT_WARNING => ChatEvent::Warning(text),
            inlay_sys::INLAY_CHAT_END => ChatEvent::End(Stop::of(event.stop)),
            _ => ChatEvent::Other(event.kind),
        }))
    }

    /// Begins an answer and gives its events as they come; the last is an [`End`](ChatEvent::End), or an error.
    pub fn answer(&mut self, options: &AnswerOptions<'_>) -> Result<ChatEvents<'_, 'm>> {
        self.begin_answer(options)?;
        Ok(ChatEvents { chat: self, done: false })
    }

    /// Ends the answer where it is; the next event is then its end.
    pub fn stop(&mut self) -> Result<()> {
        self.call(|it| unsafe { inlay_sys::inlay_chat_stop(it) }).map(|_| ())
    }

    /// All of the conversation and its session as bytes, between two answers.
    pub fn save(&mut self) -> Result<Vec<u8>> {
        let room = unsafe { inlay_sys::inlay_chat_save_bytes(self.handle) };
        save_bytes(room, |place, room, bytes| {
            self.call(|it| unsafe { inlay_sys::inlay_chat_save_memory(it, place, room, bytes) })
        })
    }

    /// The same, written in pieces. An error of the stream's is [`Status::Callback`](crate::Status::Callback) with its
    /// words.
    pub fn save_to(&mut self, to: impl Write) -> Result<()> {
        write_to(to, |table| self.call(|it| unsafe { inlay_sys::inlay_chat_save(it, table) }))
    }

    /// Replaces all of it by what a chat with equal options saved: it goes on with the same words.
    pub fn load(&mut self, saved: &[u8]) -> Result<()> {
        let (data, bytes) = (saved.as_ptr().cast(), saved.len() as u64);
        self.call(|it| unsafe { inlay_sys::inlay_chat_load_memory(it, data, bytes) }).map(|_| ())
    }

    /// The same from a stream, which is read as far as what was saved goes. What is damaged after its first part, or a
    /// stream that fails, leaves the chat as it was made.
    pub fn load_from(&mut self, from: impl Read) -> Result<()> {
        read_from(from, |table| self.call(|it| unsafe { inlay_sys::inlay_chat_load(it, table) }))
    }

    /// Counts of the answer so far.
    pub fn usage(&self) -> ChatUsage {
        self.usage
    }
}

/// Of [`Chat::answer`].
pub struct ChatEvents<'c, 'm> {
    chat: &'c mut Chat<'m>,
    done: bool,
}

impl Iterator for ChatEvents<'_, '_> {
    type Item = Result<ChatEvent>;

    fn next(&mut self) -> Option<Result<ChatEvent>> {
        while !self.done {
            match self.chat.advance(None) {
                Ok(None) => continue,
                Ok(Some(event)) => {
                    self.done = matches!(event, ChatEvent::End(_));
                    return Some(Ok(event));
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

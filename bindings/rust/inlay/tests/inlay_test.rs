//! Inlay from Rust with the bundled model: the objects, their errors, callbacks that panic, threads.
use inlay::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/model/tavern.gguf");

fn open() -> (Runtime, Model<'static>) {
    let runtime = RuntimeOptions::new().threads(1).create().unwrap();
    let model = Model::open(&runtime, MODEL).unwrap();
    (runtime, model)
}

fn small() -> SessionOptions {
    SessionOptions::new().context_length(256).mtp(true)
}

fn story(model: &Model<'_>, draft: Draft) -> Result<String> {
    let options = GeneratorOptions { draft, max_tokens: 40, ..Default::default() };
    let mut generator = Generator::with(Session::with(model, &small())?, options)?;
    generator.prompt("Once upon a time")?;
    generator.answer()
}

fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.to_string().contains("on purpose") {
                before(info);
            }
        }));
    });
}

#[test]
fn threads_are_as_the_header_says() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Runtime>();
    sync::<Runtime>();
    send::<File>();
    sync::<File>();
    send::<Model>();
    sync::<Model>();
    send::<Tokenizer>();
    sync::<Tokenizer>();
    send::<Session>();
    send::<Sampler>();
    send::<Generator>();
    send::<Canceller>();
    sync::<Canceller>();
}

#[test]
fn text_comes_with_and_without_drafts() {
    let (_runtime, model) = open();
    let plain = story(&model, Draft::None).unwrap();
    assert!(plain.starts_with(" there was a blind hunter"), "{plain}");
    assert_eq!(plain, story(&model, Draft::Mtp).unwrap());
    assert_eq!(plain, story(&model, Draft::Lookup).unwrap());
}

#[test]
fn errors_have_status_and_words() {
    let (runtime, model) = open();
    let error = Model::open(&runtime, "/nowhere/at/all.gguf").err().unwrap();
    assert_eq!(error.status(), Status::Io);
    assert!(error.message().contains("/nowhere/at/all.gguf"), "{error}");
    assert_eq!(Model::open(&runtime, "a\0b").err().unwrap().status(), Status::InvalidArgument);
    assert_eq!(Model::open(&runtime, &b"GGUF\x03"[..]).err().unwrap().status(), Status::CorruptFile);

    let mut session = Session::with(&model, &SessionOptions::new().context_length(8)).unwrap();
    assert_eq!(session.prefill(&[1; 9]).unwrap_err().status(), Status::ContextFull);
    assert_eq!(session.step(-1).unwrap_err().status(), Status::InvalidArgument);
    assert_eq!(session.position(), 0);
    let limited = RuntimeOptions::new().threads(1).memory_limit(1 << 16).create().unwrap();
    assert_eq!(Model::open(&limited, MODEL).err().unwrap().status(), Status::MemoryLimit);
    let wrong = RuntimeOptions::new().instruction_set("none such").create().err().unwrap();
    assert!(!wrong.message().is_empty());
}

#[test]
fn steps_and_verifies_agree_and_rewind() {
    let (_runtime, model) = open();
    let tokens = model.tokenizer().unwrap().encode("Once upon a time there was", false).unwrap();
    let mut by_steps = Session::with(&model, &small()).unwrap();
    for &token in &tokens {
        by_steps.step(token).unwrap();
    }
    let mut by_verify = Session::with(&model, &small()).unwrap();
    by_verify.verify(&tokens[..4]).unwrap();
    by_verify.commit(4).unwrap();
    let mut forked = by_verify.fork().unwrap();
    for session in [&mut by_verify, &mut forked] {
        session.step(tokens[0]).unwrap();
        session.rewind(1).unwrap();
        for &token in &tokens[4..] {
            session.begin_step(token).unwrap();
            while let Work::Pending(_) = session.advance(Some(Duration::from_millis(1))).unwrap() {}
        }
        assert_eq!(session.tokens(), tokens);
        assert_eq!(by_steps.logits(0).unwrap(), session.logits(0).unwrap());
    }
    let mut sampler = Sampler::new(&model, &SamplerOptions::default()).unwrap();
    let logits = by_steps.logits(0).unwrap();
    let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
    assert_eq!(sampler.sample(logits, &tokens, tokens.len() as u64).unwrap(), best as Token);
    assert_eq!(sampler.sample(&logits[1..], &[], 0).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn text_goes_to_tokens_and_back() {
    let (runtime, model) = open();
    let file = File::open(&runtime, MODEL).unwrap();
    let own = file.tokenizer().unwrap();
    for tokenizer in [&own, &model.tokenizer().unwrap()] {
        let text = "Grüß Gott, 三 ales! <|im_end|>";
        let tokens = tokenizer.encode(text, false).unwrap();
        assert_eq!(tokenizer.decode(&tokens, true).unwrap(), text);
        let end = tokenizer.find("<|im_end|>").unwrap();
        assert!(tokenizer.is_end(end));
        assert_eq!(tokenizer.encode("<|im_end|>", true).unwrap(), [end]);
        assert_eq!(tokenizer.encode("", true).unwrap(), []);
    }
    let info = file.info().unwrap();
    assert_eq!((info.architecture.as_str(), info.layers, own.size()), ("qwen35", 8, info.vocabulary_size));
    assert_eq!(file.tensors().map(|it| it.bytes).max(), file.tensors().map(|it| it.bytes).max());
    assert!(file.tensors().any(|it| it.name == "token_embd.weight" && it.kind == "Q8_0"));
}

#[test]
fn the_plan_is_what_is_taken() {
    let runtime = RuntimeOptions::new().threads(1).create().unwrap();
    let file = File::open(&runtime, MODEL).unwrap();
    let plan = file.plan(&small()).unwrap();
    let before = runtime.memory().now;
    let model = file.model(ModelOptions::new()).unwrap();
    let with_model = runtime.memory().now;
    assert_eq!(with_model - before, plan.model_host);
    let session = Session::with(&model, &small()).unwrap();
    assert_eq!(runtime.memory().now - with_model, plan.session_host + plan.scratch_host);
    drop(session);
    let (state, scratch) = (Arena::new(plan.session_host).unwrap(), Arena::new(plan.scratch_host).unwrap());
    let in_arenas = Session::in_arenas(&model, &small(), Some(state), Some(scratch)).unwrap();
    assert_eq!(runtime.memory().now, with_model);
    let mut generator = Generator::new(in_arenas).unwrap();
    generator.prompt("The tavern was").unwrap();
    assert!(generator.pieces().next().unwrap().is_ok());
    drop(generator);
    let short = Arena::new(plan.session_host - 1).unwrap();
    let refused = Session::in_arenas(&model, &small(), Some(short), None).err().unwrap();
    assert_eq!(refused.status(), Status::MemoryLimit);
}

struct Counting(Arc<AtomicU64>);
// SAFETY: the system's allocator, counted.
unsafe impl std::alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        self.0.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { std::alloc::System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: std::alloc::Layout) {
        self.0.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        unsafe { std::alloc::System.dealloc(memory, layout) }
    }
}

#[test]
fn the_hosts_allocator_and_log_are_used() {
    let held = Arc::new(AtomicU64::new(0));
    let lines = Arc::new(Mutex::new(0));
    let seen = lines.clone();
    let runtime = RuntimeOptions::new()
        .threads(1)
        .allocator(Counting(held.clone()))
        .log(move |_, _| *seen.lock().unwrap() += 1)
        .create()
        .unwrap();
    let model = Model::open(&runtime, MODEL).unwrap();
    assert!(Model::open(&runtime, "/nowhere").is_err());
    drop(runtime); // the model keeps it
    let text = story(&model, Draft::None).unwrap();
    assert!(!text.is_empty());
    assert!(held.load(Ordering::Relaxed) > 0);
    drop(model);
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

struct Archive {
    bytes: Vec<u8>,
    mapped: bool,
    fault: Option<&'static str>,
    dropped: Arc<AtomicBool>,
}

impl Io for Archive {
    fn size(&self) -> std::io::Result<u64> {
        Ok(self.bytes.len() as u64 - 3)
    }
    fn read_at(&self, offset: u64, destination: &mut [u8]) -> std::io::Result<()> {
        match self.fault {
            Some("panic") => panic!("on purpose"),
            Some(_) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
        let begin = offset as usize + 3;
        destination.copy_from_slice(&self.bytes[begin..begin + destination.len()]);
        Ok(())
    }
    fn map(&self) -> Option<&[u8]> {
        self.mapped.then(|| &self.bytes[3..])
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
    }
}

#[test]
fn models_come_from_memory_and_host_io() {
    quiet_panics();
    let (runtime, model) = open();
    let expected = story(&model, Draft::None).unwrap();
    let bytes = std::fs::read(MODEL).unwrap();
    let from_memory = Model::open(&runtime, &bytes[..]).unwrap();
    assert_eq!(story(&from_memory, Draft::None).unwrap(), expected);
    drop(from_memory);
    let mut archived = vec![7; 3];
    archived.extend(&bytes);
    for (mapped, fault) in [(false, None), (true, None), (false, Some("panic")), (false, Some("error"))] {
        let dropped = Arc::new(AtomicBool::new(false));
        let archive = Archive { bytes: archived.clone(), mapped, fault, dropped: dropped.clone() };
        match Model::open(&runtime, Source::io(archive)) {
            Ok(model) => assert_eq!(story(&model, Draft::None).unwrap(), expected),
            Err(error) => assert!(fault.is_some() && error.status() == Status::Io, "{error}"),
        }
        assert!(dropped.load(Ordering::Relaxed));
    }
}

struct Guess {
    answer: Vec<Token>,
    prompt: usize,
    fault: Option<&'static str>,
    observed: Arc<AtomicU64>,
}

impl Drafter for Guess {
    fn propose(&mut self, tokens: &[Token], drafts: &mut Drafts<'_>) -> Result<()> {
        match self.fault {
            Some("panic") => panic!("on purpose"),
            Some("error") => return Err(Error::new(Status::Io, "no tree")),
            _ => {}
        }
        drafts.extend(self.answer.iter().copied().skip(tokens.len() - self.prompt));
        Ok(())
    }
    fn observe(&mut self, tokens: &[Token], _accepted: usize) {
        self.observed.fetch_add(tokens.len() as u64, Ordering::Relaxed);
        if self.fault == Some("observe") {
            panic!("on purpose");
        }
    }
}

#[test]
fn a_drafter_of_the_host_changes_no_text_and_its_panic_is_an_error() {
    quiet_panics();
    let (_runtime, model) = open();
    let expected = story(&model, Draft::None).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    let answer = tokenizer.encode(&expected, false).unwrap();
    let prompt = tokenizer.encode("Once upon a time", false).unwrap().len();
    let observed = Arc::new(AtomicU64::new(0));
    let guess = |fault| {
        Draft::Host(Box::new(Guess { answer: answer.clone(), prompt, fault, observed: observed.clone() }))
    };
    assert_eq!(story(&model, guess(None)).unwrap(), expected);
    assert!(observed.load(Ordering::Relaxed) >= 40);
    for (fault, words) in [("panic", "on purpose"), ("error", "no tree"), ("observe", "on purpose")] {
        let error = story(&model, guess(Some(fault))).unwrap_err();
        assert_eq!(error.status(), Status::Callback);
        assert!(error.message().contains(words), "{error}");
    }
}

#[test]
fn loading_reports_and_stops() {
    quiet_panics();
    let (runtime, _model) = open();
    let mut calls = 0;
    let options = ModelOptions::new().read_ahead(true).progress(|done, total| {
        calls += 1;
        assert!(done <= total);
        true
    });
    Model::open_with(&runtime, MODEL, options).unwrap();
    assert!(calls > 0);
    for answer in [Some(false), None] {
        let options = ModelOptions::new()
            .read_ahead(true)
            .progress(move |_, _| answer.unwrap_or_else(|| panic!("on purpose")));
        assert_eq!(Model::open_with(&runtime, MODEL, options).err().unwrap().status(), Status::Cancelled);
    }
}

#[test]
fn another_thread_cancels() {
    let (_runtime, model) = open();
    let mut session = Session::with(&model, &SessionOptions::new().context_length(4096)).unwrap();
    let canceller = session.canceller();
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let other = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            canceller.cancel();
            std::thread::sleep(Duration::from_millis(1));
        }
        canceller
    });
    let error = session.prefill(&vec![5; 4000]).unwrap_err();
    assert_eq!(error.status(), Status::Cancelled);
    done.store(true, Ordering::Relaxed);
    let canceller = other.join().unwrap();
    let kept = session.position() as usize;
    session.prefill(&vec![5; 100.min(4096 - kept)]).unwrap();
    drop(session);
    canceller.cancel();
}

#[test]
fn sessions_of_one_model_run_on_many_threads() {
    let (_runtime, model) = open();
    let expected = story(&model, Draft::None).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(story(&model, Draft::Mtp).unwrap(), expected));
        }
    });
}

#[test]
fn budgets_and_following_prompts() {
    let (_runtime, model) = open();
    let options = GeneratorOptions { max_tokens: 10, ..Default::default() };
    let mut generator = Generator::with(Session::with(&model, &small()).unwrap(), options).unwrap();
    generator.prompt("Once upon a time").unwrap();
    let mut text = String::new();
    let stop = loop {
        match generator.advance(Some(Duration::from_micros(300))).unwrap() {
            Step::Pending => {}
            Step::Piece(piece) => {
                text += &piece.text;
                if let Some(stop) = piece.stop {
                    break stop;
                }
            }
        }
    };
    assert_eq!(stop, Stop::MaxTokens);
    let position = generator.session().position();
    generator.prompt(" and").unwrap();
    assert!(!generator.answer().unwrap().is_empty());
    assert!(generator.session().position() > position);
    assert_eq!(generator.stats().unwrap().generated_tokens, 20);
    generator.reset().unwrap();
    generator.prompt("Once upon a time").unwrap();
    assert_eq!(generator.answer().unwrap(), text);
    assert!(generator.fork_session().unwrap().position() > 0);
    let mut session = generator.into_session();
    session.step(1).unwrap();
}

#[test]
fn what_is_saved_goes_on_with_the_same_words() {
    let (_runtime, model) = open();
    let expected = story(&model, Draft::None).unwrap();
    let options = || GeneratorOptions { max_tokens: 40, ..Default::default() };
    let mut generator = Generator::with(Session::with(&model, &small()).unwrap(), options()).unwrap();
    generator.prompt("Once upon a time").unwrap();
    let begun: String = generator.pieces().take(7).map(|piece| piece.unwrap().text).collect();
    let saved = generator.save().unwrap();
    drop(generator);
    let mut again = Generator::with(Session::with(&model, &small()).unwrap(), options()).unwrap();
    let mut damaged = saved.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(again.load(&damaged).unwrap_err().status(), Status::CorruptFile);
    again.load(&saved).unwrap();
    assert_eq!(begun + &again.answer().unwrap(), expected);

    let mut session = again.into_session();
    let mut mark = session.fork().unwrap();
    let (saved, position) = (session.save().unwrap(), session.position());
    session.step(1).unwrap();
    let after = session.logits(0).unwrap().to_vec();
    session.rewind_to(&mut mark).unwrap();
    assert_eq!(session.position(), position);
    session.step(2).unwrap();
    session.load(&saved).unwrap();
    session.step(1).unwrap();
    assert_eq!(session.logits(0).unwrap(), after);
    assert!(session.estimate(10, 5, 1).unwrap().p99 > Duration::ZERO);
}

struct Only(Vec<Token>, Option<&'static str>);

impl Mask for Only {
    fn allow(&mut self, _tokens: &[Token], allowed: &mut Allowed<'_>) -> Result<bool> {
        match self.1 {
            Some("panic") => panic!("on purpose"),
            Some(_) => return Err(Error::new(Status::Io, "no rules")),
            None => allowed.only(&self.0),
        }
        allowed.forbid(self.0[0]);
        Ok(true)
    }
}

#[test]
fn a_mask_says_what_may_come_and_its_panic_is_an_error() {
    quiet_panics();
    let (_runtime, model) = open();
    let tokens = model.tokenizer().unwrap().encode("ale stew bread", false).unwrap();
    let generate = |fault| {
        let mask: Option<Box<dyn Mask>> = Some(Box::new(Only(tokens.clone(), fault)));
        let options = GeneratorOptions { mask, max_tokens: 12, draft: Draft::Mtp, ..Default::default() };
        let mut generator = Generator::with(Session::with(&model, &small())?, options)?;
        generator.prompt("Once upon a time")?;
        generator.pieces().map(|piece| piece.map(|it| it.tokens)).collect::<Result<Vec<_>>>()
    };
    let came = generate(None).unwrap().concat();
    assert!(came.len() == 12 && came.iter().all(|token| tokens[1..].contains(token)), "{came:?}");
    for (fault, words) in [("panic", "on purpose"), ("error", "no rules")] {
        let error = generate(Some(fault)).unwrap_err();
        assert!(error.status() == Status::Callback && error.message().contains(words), "{error}");
    }
}

const TOOLS: &str = r#"[{"type":"function","function":{"name":"look_up_price","description":"Price of an item",
    "parameters":{"type":"object","properties":{"item":{"type":"string"}},"required":["item"]}}}]"#;

#[test]
fn a_chat_thinks_calls_tools_and_answers() {
    let (runtime, model) = open();
    let options = ChatOptions {
        generator: Some(GeneratorOptions::default()),
        tools: Some(TOOLS.into()),
        ..Default::default()
    };
    let mut chat = Chat::new(Session::new(&model).unwrap(), options).unwrap();
    chat.add("user", "What does the ale cost today? Look it up.").unwrap();
    let answer = AnswerOptions { thinking: Thinking::Off, ..Default::default() };
    let events: Vec<_> = chat.answer(&answer).unwrap().map(|event| event.unwrap()).collect();
    assert!(events.contains(&ChatEvent::CallBegin { call: 0, tool: "look_up_price".into() }), "{events:?}");
    assert!(events.contains(&ChatEvent::ArgumentText { call: 0, text: "ale".into() }), "{events:?}");
    assert_eq!(events.last(), Some(&ChatEvent::End(Stop::EndOfText)));
    chat.add("tool", "9 coppers").unwrap();
    let said = |event: Result<ChatEvent>| match event.unwrap() {
        ChatEvent::Answer(text) => text,
        _ => String::new(),
    };
    let text: String = chat.answer(&answer).unwrap().map(said).collect();
    assert!(text.contains("9 coppers"), "{text}");
    assert!(chat.usage().answer_tokens > 0 && chat.usage().reused_tokens > 0);
    assert_eq!(chat.add_json("{").unwrap_err().status(), Status::InvalidArgument);
    chat.add("user", "Tell me a tale.").unwrap();
    chat.begin_answer(&answer).unwrap();
    chat.stop().unwrap();
    while !matches!(chat.advance(None).unwrap(), Some(ChatEvent::End(Stop::Host))) {}

    let template = model.info().unwrap().chat_template;
    let text = runtime.render_chat(&template, r#"{"messages":[{"role":"user","content":"Hi"}]}"#).unwrap();
    assert_eq!(text, "<|im_start|>user\nHi<|im_end|>\n");
    assert_eq!(runtime.render_chat("{{ other }}", "{}").unwrap_err().status(), Status::ChatTemplate);
    assert_eq!(SamplerOptions::preset(Sampling::Lively).unwrap().top_k, 20);
}

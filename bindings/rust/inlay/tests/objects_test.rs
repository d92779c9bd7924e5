//! Inlay from Rust with the bundled model: pools, grammars, batches, streams, arenas, and what comes of their misuse.
use inlay::*;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/model/tavern.gguf");

fn runtime() -> Runtime {
    RuntimeOptions::new().threads(1).create().unwrap()
}

fn open() -> (Runtime, Model<'static>) {
    let runtime = runtime();
    let model = Model::open(&runtime, MODEL).unwrap();
    (runtime, model)
}

fn small() -> SessionOptions {
    SessionOptions::new().context_length(1024)
}

fn status<T>(result: Result<T>) -> Status {
    result.err().expect("an error").status()
}

fn tokens(model: &Model<'_>, text: &str) -> Vec<Token> {
    model.tokenizer().unwrap().encode(text, false).unwrap()
}

#[test]
fn new_objects_keep_the_headers_thread_rules() {
    fn send_and_sync<T: Send + Sync>() {}
    fn send<T: Send>() {}
    send_and_sync::<Pool>();
    send_and_sync::<Grammar>();
    send_and_sync::<Arena>();
    send::<Chat>();
    send::<SessionMemory>();
}

#[test]
fn forks_share_a_pools_pages() {
    let (runtime, model) = open();
    let options = PoolOptions { tokens: 1024, ..Default::default() };
    let plan = File::open(&runtime, MODEL).unwrap().plan_pool(&options).unwrap();
    assert_eq!((plan.pages, plan.page_tokens), (4, 256));
    let before = runtime.memory_of(MemoryKind::State, false).now;
    let pool = Pool::new(&model, &options).unwrap();
    assert_eq!(runtime.memory_of(MemoryKind::State, false).now - before, plan.host);
    assert_eq!(pool.free_pages(), 4);
    let mut session = Session::in_pool(&pool, &small()).unwrap();
    session.prefill(&[5; 300]).unwrap();
    assert_eq!(pool.free_pages(), 2);
    let mut fork = session.fork_with(ForkMemory { share_scratch: true, ..Default::default() }).unwrap();
    assert_eq!(pool.free_pages(), 1);
    assert_eq!(status(fork.prefill(&[5; 600])), Status::MemoryLimit);
    assert_eq!(fork.position(), 300);
    let mut own = Session::with(&model, &small()).unwrap();
    own.prefill(&[5; 300]).unwrap();
    for it in [&mut own, &mut fork, &mut session] {
        it.step(7).unwrap();
    }
    assert_eq!(own.logits(0).unwrap(), session.logits(0).unwrap());
    drop(fork);
    drop(session);
    assert_eq!(pool.free_pages(), 4);

    let other = Model::open(&runtime, MODEL).unwrap();
    let memory = SessionMemory { pool: Some(&pool), ..Default::default() };
    assert_eq!(status(Session::with_memory(&other, &small(), memory)), Status::Mismatch);
    assert_eq!(status(Session::in_pool(&pool, &small().mtp(true))), Status::Mismatch);
    assert_eq!(status(Pool::new(&model, &PoolOptions::default())), Status::InvalidArgument);
    let arena = Arena::new(plan.host - 1).unwrap();
    assert_eq!(status(Pool::in_arena(&model, &options, arena)), Status::MemoryLimit);
    let before = runtime.memory().now;
    let pool = Pool::in_arena(&model, &options, Arena::new(plan.host).unwrap()).unwrap();
    assert_eq!(runtime.memory().now, before);
    Session::in_pool(&pool, &small()).unwrap().step(1).unwrap();
}

#[test]
fn a_batch_steps_sessions_that_share_their_scratch() {
    let (_runtime, model) = open();
    let mut first = Session::with(&model, &small()).unwrap();
    let mut alone = Session::with(&model, &small()).unwrap();
    let prompt = tokens(&model, "Once upon a time there was");
    first.prefill(&prompt).unwrap();
    let memory = SessionMemory { share_scratch: Some(&mut first), ..Default::default() };
    let mut second = Session::with_memory(&model, &small(), memory).unwrap();
    second.prefill(&prompt[..3]).unwrap();
    let mut third = first.fork_with(ForkMemory { share_scratch: true, ..Default::default() }).unwrap();

    let given = [prompt[0], prompt[1], prompt[2]];
    Session::begin_steps(&mut [&mut first, &mut second, &mut third], &given).unwrap();
    assert_eq!(status(second.step(1)), Status::WrongState);
    assert!(status(second.logits(0)) == Status::WrongState && second.position() == 3);
    while !first.poll().unwrap() {}
    alone.prefill(&prompt[..3]).unwrap();
    alone.step(given[1]).unwrap();
    let row = second.logits(0).unwrap();
    assert_eq!(row, alone.logits(0).unwrap());
    assert_eq!(row.as_ptr(), second.logits(0).unwrap().as_ptr());
    assert_ne!(row, first.logits(0).unwrap());
    third.step(9).unwrap();
    assert_eq!(status(first.logits(0)), Status::WrongState);
    assert_eq!(second.hidden(0).unwrap().len(), model.info().unwrap().embedding_length as usize);

    assert_eq!(status(Session::begin_steps(&mut [], &[])), Status::InvalidArgument);
    assert_eq!(status(Session::begin_steps(&mut [&mut first], &[1, 2])), Status::InvalidArgument);
    assert_eq!(status(Session::begin_steps(&mut [&mut first, &mut alone], &[1, 2])), Status::InvalidArgument);
    assert_eq!(
        status(Session::begin_steps(&mut [&mut first, &mut second], &[1, -2])),
        Status::InvalidArgument
    );
    // One that is dropped takes the batch with it; its leader stands where it stood.
    let position = first.position();
    Session::begin_steps(&mut [&mut first, &mut second, &mut third], &given).unwrap();
    drop(second);
    first.finish().unwrap();
    assert_eq!((first.position(), status(first.logits(0))), (position, Status::WrongState));
    Session::begin_steps(&mut [&mut first, &mut third], &[1, 2]).unwrap();
    drop(first);
    third.step(3).unwrap();
}

#[test]
fn another_thread_cancels_batches_and_answers() {
    let (_runtime, model) = open();
    let mut first = Session::with(&model, &small()).unwrap();
    let mut second = first.fork_with(ForkMemory { share_scratch: true, ..Default::default() }).unwrap();
    Session::begin_steps(&mut [&mut first, &mut second], &[1, 2]).unwrap();
    let canceller = first.canceller();
    std::thread::spawn(move || canceller.cancel()).join().unwrap();
    assert_eq!(status(first.finish()), Status::Cancelled);
    assert_eq!((first.position(), second.position()), (0, 0));
    second.step(1).unwrap();

    let options = ChatOptions {
        generator: Some(GeneratorOptions { ignore_end: true, ..Default::default() }),
        ..Default::default()
    };
    let mut chat = Chat::new(first, options).unwrap();
    chat.add("user", "Tell me a tale.").unwrap();
    let canceller = chat.session().canceller();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                canceller.cancel();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let answer = AnswerOptions { repetition_limit: u32::MAX, ..Default::default() };
        let heard = chat.answer(&answer).and_then(|events| events.collect::<Result<Vec<_>>>());
        done.store(true, Ordering::Relaxed);
        assert_eq!(status(heard), Status::Cancelled);
    });
    assert!(chat.advance(None).is_ok());
}

#[test]
fn sessions_of_one_scratch_keep_other_threads_out() {
    let (_runtime, model) = open();
    let mut first = Session::with(&model, &small()).unwrap();
    let memory = SessionMemory { share_scratch: Some(&mut first), ..Default::default() };
    let mut second = Session::with_memory(&model, &small(), memory).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                match second.step(1) {
                    Ok(()) => second.reset().unwrap_or(()),
                    Err(error) => {
                        assert!(matches!(error.status(), Status::Busy | Status::WrongState), "{error}")
                    }
                }
            }
        });
        let mut kept_out = 0;
        for _ in 0..200 {
            match first.step(1).and_then(|_| first.logits(0).map(|row| row.len())) {
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error.status(), Status::Busy | Status::WrongState), "{error}");
                    kept_out += 1;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        println!("kept out {kept_out} times of 200");
    });
    first.reset().unwrap();
    first.step(1).unwrap();
}

#[test]
fn a_grammar_says_what_an_answer_is() {
    let (runtime, model) = open();
    let schema = r#"{"type":"object","properties":{"item":{"enum":["ale","stew"]},"coppers":{"type":"integer",
        "minimum":1,"maximum":9}},"required":["item","coppers"]}"#;
    let grammar = Grammar::json_schema(&model, schema).unwrap();
    let generate = |model: &Model<'_>, grammar: &Grammar<'_>| {
        let options = GeneratorOptions { grammar: Some(grammar), max_tokens: 60, ..Default::default() };
        let mut generator = Generator::with(Session::with(model, &small())?, options)?;
        generator.prompt("The price, as JSON: ")?;
        generator.answer()
    };
    let text = generate(&model, &grammar).unwrap();
    assert!(text.starts_with("{\"item\":\"") || text.starts_with("{\"item\": \""), "{text}");
    assert!(text.ends_with('}'), "{text}");
    let rules = Grammar::gbnf(&model, "root ::= \"yes\" | \"no\"").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert!(["yes", "no"].contains(&generate(&model, &rules).unwrap().as_str())));
        }
    });

    let mut chat = Chat::new(Session::new(&model).unwrap(), ChatOptions::default()).unwrap();
    chat.add("user", "Is there ale?").unwrap();
    let answer = AnswerOptions { thinking: Thinking::Off, grammar: Some(&rules), ..Default::default() };
    chat.begin_answer(&answer).unwrap();
    drop(rules); // the answer keeps what it needs
    let mut said = String::new();
    loop {
        match chat.advance(None).unwrap() {
            Some(ChatEvent::Answer(text)) => said += &text,
            Some(ChatEvent::End(_)) => break,
            _ => {}
        }
    }
    assert!(["yes", "no"].contains(&said.as_str()), "{said}");
    assert!(chat.usage().answer > Duration::ZERO);
    assert!(chat.into_session().position() > 0);

    assert_eq!(status(Grammar::gbnf(&model, "root ::= \"open")), Status::InvalidArgument);
    let wrong = Grammar::json_schema(&model, r#"{"type":"object","patternProperties":{}}"#).unwrap_err();
    assert!(
        wrong.status() == Status::Unsupported && wrong.message().contains("patternProperties"),
        "{wrong}"
    );
    let other = Model::open(&runtime, MODEL).unwrap();
    let wrong = generate(&other, &grammar).unwrap_err();
    assert!(
        wrong.status() == Status::InvalidArgument && wrong.message().contains("another model"),
        "{wrong}"
    );
}

struct Faulty<'s>(&'s mut Vec<u8>, usize, bool);

impl Faulty<'_> {
    fn take(&mut self, bytes: usize) -> std::io::Result<()> {
        match self.1.checked_sub(bytes) {
            Some(left) => self.1 = left,
            None if self.2 => panic!("on purpose"),
            None => return Err(std::io::Error::new(std::io::ErrorKind::Other, "the disk is full")),
        }
        Ok(())
    }
}

impl Write for Faulty<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.take(data.len())?;
        self.0.write(data)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Read for Faulty<'_> {
    fn read(&mut self, place: &mut [u8]) -> std::io::Result<usize> {
        self.take(place.len())?;
        let read = self.0.as_slice().read(place)?;
        self.0.drain(..read);
        Ok(read)
    }
}

#[test]
fn sessions_and_generators_are_saved_to_streams() {
    std::panic::set_hook(Box::new(|_| {}));
    let (_runtime, model) = open();
    let mut session = Session::with(&model, &small()).unwrap();
    session.prefill(&tokens(&model, "Once upon a time")).unwrap();
    let mut file = Vec::new();
    session.save_to(&mut file).unwrap();
    assert_eq!(file, session.save().unwrap());
    assert_eq!(file.len() as u64, session.saved_bytes());
    for panics in [false, true] {
        let words = if panics { "on purpose" } else { "the disk is full" };
        let error = session.save_to(Faulty(&mut Vec::new(), 1000, panics)).unwrap_err();
        assert!(error.status() == Status::Callback && error.message().contains(words), "{error}");
        let mut again = Session::with(&model, &small()).unwrap();
        let error = again.load_from(Faulty(&mut file.clone(), 1000, panics)).unwrap_err();
        assert!(error.status() == Status::Callback && error.message().contains(words), "{error}");
        assert_eq!(again.position(), 0);
        // What follows in the stream is left there.
        let mut longer = file.clone();
        longer.extend(b"more");
        let mut stream = longer.as_slice();
        again.load_from(&mut stream).unwrap();
        assert_eq!((stream, again.tokens()), (&b"more"[..], session.tokens()));
        again.step(1).unwrap();
    }
    assert_eq!(status(session.load_from(&file[..file.len() / 2])), Status::Callback);

    let options = || GeneratorOptions { max_tokens: 20, ..Default::default() };
    let mut generator = Generator::with(Session::with(&model, &small()).unwrap(), options()).unwrap();
    generator.prompt("Once upon a time").unwrap();
    generator.advance(None).unwrap();
    let mut saved = Vec::new();
    generator.save_to(&mut saved).unwrap();
    assert!(generator.progress().unwrap().position > 0);
    let rest = generator.answer().unwrap();
    let mut again = Generator::with(Session::with(&model, &small()).unwrap(), options()).unwrap();
    assert_eq!(status(again.load_from(&file[..])), Status::Mismatch);
    again.load_from(&saved[..]).unwrap();
    assert_eq!(again.answer().unwrap(), rest);
    assert!(again.session().estimate(10, 5, 1).unwrap().p99 > Duration::ZERO);
}

#[test]
fn conversations_are_saved_and_their_calls_kept_to_their_schemas() {
    let (_runtime, model) = open();
    let tools = r#"[{"type":"function","function":{"name":"look_up_price","description":"Price of an item",
        "parameters":{"type":"object","properties":{"item":{"enum":["stew"]}},"required":["item"]}}}]"#;
    let new = || {
        let generator = Some(GeneratorOptions::default());
        let options = ChatOptions { generator, tools: Some(tools.into()), ..Default::default() };
        Chat::new(Session::new(&model).unwrap(), options).unwrap()
    };
    let hear = |chat: &mut Chat<'_>| {
        let answer = AnswerOptions { thinking: Thinking::Off, strict_calls: true, ..Default::default() };
        chat.answer(&answer).unwrap().map(|event| event.unwrap()).collect::<Vec<_>>()
    };
    let mut chat = new();
    chat.add("user", "What does the ale cost today? Look it up.").unwrap();
    let events = hear(&mut chat);
    let item = |event: &ChatEvent| match event {
        ChatEvent::ArgumentText { text, .. } => text.clone(),
        _ => String::new(),
    };
    assert_eq!(events.iter().map(item).collect::<String>(), "stew", "{events:?}");
    let (saved, mut streamed) = (chat.save().unwrap(), Vec::new());
    chat.save_to(&mut streamed).unwrap();
    assert_eq!(saved, streamed);
    chat.add("tool", "9 coppers").unwrap();
    let expected = hear(&mut chat);
    let (mut loaded, mut from_stream) = (new(), new());
    loaded.load(&saved).unwrap();
    from_stream.load_from(&streamed[..]).unwrap();
    for chat in [&mut loaded, &mut from_stream] {
        chat.add("tool", "9 coppers").unwrap();
        assert_eq!(hear(chat), expected);
    }
    let error = chat.save_to(Faulty(&mut Vec::new(), 1000, false)).unwrap_err();
    assert!(error.status() == Status::Callback && error.message().contains("the disk is full"), "{error}");
    let mut without = Chat::new(Session::new(&model).unwrap(), ChatOptions::default()).unwrap();
    assert_eq!(status(without.load(&saved)), Status::Mismatch);
    assert_eq!(status(loaded.load(&saved[..saved.len() - 1])), Status::CorruptFile);
    loaded.add("user", "And now?").unwrap();
    loaded.begin_answer(&AnswerOptions::default()).unwrap();
    assert_eq!(status(loaded.save_to(std::io::sink())), Status::WrongState);
}

#[test]
fn models_and_forks_live_in_arenas() {
    let runtime = runtime();
    let file = File::open(&runtime, MODEL).unwrap();
    let plan = file.plan(&small()).unwrap();
    let arena = |bytes| Arena::new(bytes).unwrap();
    let refused = file.model(ModelOptions::new().arena(arena(plan.model_host - 1)));
    assert_eq!(status(refused), Status::MemoryLimit);
    let before = runtime.memory_of(MemoryKind::Model, false).now;
    let model = file.model(ModelOptions::new().arena(arena(plan.model_host))).unwrap();
    assert_eq!(runtime.memory_of(MemoryKind::Model, false).now, before);
    let mut session = Session::with(&model, &small()).unwrap();
    session.step(1).unwrap();
    let before = runtime.memory().now;
    let memory = ForkMemory {
        state: Some(arena(plan.session_host)),
        scratch: Some(arena(plan.scratch_host)),
        ..Default::default()
    };
    let mut fork = session.fork_with(memory).unwrap();
    assert_eq!(runtime.memory().now, before);
    let memory = ForkMemory { share_scratch: true, ..Default::default() };
    let mut third = fork.fork_with(memory).unwrap();
    drop(fork); // its scratch's arena stays for the third
    third.step(2).unwrap();
    session.step(2).unwrap();
    assert_eq!(third.logits(0).unwrap(), session.logits(0).unwrap());
}

#[cfg(unix)]
#[test]
fn a_file_that_is_cut_short_is_an_error() {
    let path = std::env::temp_dir().join(format!("inlay-rust-{}.gguf", std::process::id()));
    std::fs::copy(MODEL, &path).unwrap();
    let runtime = RuntimeOptions::new().threads(1).guard_mappings(true).create().unwrap();
    let model = Model::open(&runtime, path.as_path()).unwrap();
    let mut session = Session::with(&model, &small()).unwrap();
    session.step(1).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 4).unwrap();
    assert_eq!(status(session.step(2)), Status::Io);
    assert_eq!(session.position(), 1);
    let saved = session.save().unwrap();
    let (_runtime, whole) = open();
    let mut again = Session::with(&whole, &small()).unwrap();
    again.load(&saved).unwrap();
    again.step(2).unwrap();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn chats_are_rendered_as_a_format_says() {
    let (runtime, model) = open();
    let format = runtime.chat_format(&model.info().unwrap().chat_template).unwrap();
    assert_eq!(format.name, "tavern");
    let json = r#"{"messages":[{"role":"user","content":"Hi <|im_end|>"}],"add_generation_prompt":true}"#;
    let text = runtime.render_chat_as(&format, json).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    let tokens = runtime.render_chat_tokens(&tokenizer, &format, json).unwrap();
    assert_eq!(tokenizer.decode(&tokens, true).unwrap(), text);
    let end = tokenizer.find("<|im_end|>").unwrap();
    assert_eq!(tokens.iter().filter(|&&token| token == end).count(), 1);
    let options = ChatOptions { format: Some(format), ..Default::default() };
    let mut chat = Chat::new(Session::new(&model).unwrap(), options).unwrap();
    chat.add("user", "Good evening.").unwrap();
    assert!(chat.answer(&AnswerOptions::default()).unwrap().all(|event| event.is_ok()));
}

#[test]
fn the_mtp_heads_logits_are_rows() {
    let (_runtime, model) = open();
    let mut session = Session::with(&model, &small().mtp(true)).unwrap();
    let rows = session.mtp_logits(&[1, 2, 3]).unwrap();
    assert_eq!(rows.len(), 2 * model.info().unwrap().vocabulary_size as usize);
    assert_eq!(session.position(), 0);
    session.step(1).unwrap();
    assert_eq!(status(session.mtp_logits(&[1, 2])), Status::WrongState);
}

#[test]
fn packing_reports_and_stops() {
    let runtime = runtime();
    let output = std::env::temp_dir().join(format!("inlay-rust-{}.inlay", std::process::id()));
    let path = output.to_str().unwrap();
    let mut calls = 0;
    let count = |_, _| {
        calls += 1;
        true
    };
    runtime
        .pack_with(MODEL, path, PackOptions { progress: Some(Box::new(count)), ..Default::default() })
        .unwrap();
    assert!(calls > 0);
    File::open(&runtime, path).unwrap().verify(|_, _| true).unwrap();
    std::fs::remove_file(path).unwrap();
    let stop = PackOptions { progress: Some(Box::new(|_, _| false)), ..Default::default() };
    assert_eq!(status(runtime.pack_with(MODEL, path, stop)), Status::Cancelled);
    assert!(!output.exists());
    let laid = PackOptions { layout: Some("cuda".into()), ..Default::default() };
    runtime.pack_with(MODEL, path, laid).unwrap();
    assert_eq!(status(Model::open(&runtime, path)), Status::Unsupported);
    std::fs::remove_file(path).unwrap();
    let unknown = PackOptions { layout: Some("none such".into()), ..Default::default() };
    assert_eq!(status(runtime.pack_with(MODEL, path, unknown)), Status::InvalidArgument);
    let missing = PackOptions {
        imatrix: Some("/nowhere".into()),
        quantisation: Some("q4_k_m".into()),
        ..Default::default()
    };
    assert_eq!(status(runtime.pack_with(MODEL, path, missing)), Status::Io);
}

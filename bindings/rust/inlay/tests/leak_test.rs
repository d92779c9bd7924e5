//! A thousand times opened, generated and closed: the process's memory is flat. A test program of its own, for other
//! tests' memory would show.
use inlay::*;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/model/tavern.gguf");

struct Nothing;
impl Drafter for Nothing {
    fn propose(&mut self, _: &[Token], drafts: &mut Drafts<'_>) -> Result<()> {
        drafts.push(1);
        Ok(())
    }
}

fn once(sharing: bool) {
    let runtime = RuntimeOptions::new().threads(1).log(|_, _| {}).create().unwrap();
    let held = runtime.memory().now;
    let model = Model::open(&runtime, MODEL).unwrap();
    let session = Session::with(&model, &SessionOptions::new().context_length(64)).unwrap();
    let options =
        GeneratorOptions { draft: Draft::Host(Box::new(Nothing)), max_tokens: 3, ..Default::default() };
    let mut generator = Generator::with(session, options).unwrap();
    generator.prompt("Good evening").unwrap();
    generator.answer().unwrap();
    if sharing {
        share(&model);
    }
    Model::open(&runtime, "/nowhere").err().unwrap();
    drop(generator);
    drop(model);
    assert_eq!(runtime.memory().now, held);
}

/// Pools, forks in one scratch, batches, grammars, streams, arenas and conversations.
fn share(model: &Model<'_>) {
    let small = SessionOptions::new().context_length(256);
    let pool = Pool::new(model, &PoolOptions { tokens: 512, ..Default::default() }).unwrap();
    let mut first = Session::in_pool(&pool, &small).unwrap();
    first.step(1).unwrap();
    let state = Arena::new(model.plan(&small).unwrap().pooled_session_host).unwrap();
    let memory = ForkMemory { share_scratch: true, state: Some(state), ..Default::default() };
    let mut second = first.fork_with(memory).unwrap();
    Session::begin_steps(&mut [&mut first, &mut second], &[1, 2]).unwrap();
    first.finish().unwrap();
    assert_eq!(first.logits(0).unwrap().len(), second.logits(0).unwrap().len());
    let mut saved = Vec::new();
    first.save_to(&mut saved).unwrap();
    second.load_from(&saved[..]).unwrap();
    second.load_from(&saved[..9]).unwrap_err();
    drop(second);
    first.reset().unwrap();
    let grammar = Grammar::gbnf(model, "root ::= \"yes\" | \"no\"").unwrap();
    Grammar::gbnf(model, "leaf").unwrap_err();
    let mut chat = Chat::new(first, ChatOptions::default()).unwrap();
    chat.add("user", "Ale?").unwrap();
    let answer = AnswerOptions { thinking: Thinking::Off, grammar: Some(&grammar), ..Default::default() };
    assert!(chat.answer(&answer).unwrap().all(|event| event.is_ok()));
}

/// Bytes that the C library has given out, which is Rust's allocator too; None where there is nobody to ask.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
fn in_use() -> Option<i64> {
    // In the order of <malloc.h>.
    #[repr(C)]
    struct Figures {
        before: [usize; 4],
        mapped_bytes: usize,
        between: [usize; 2],
        used_bytes: usize,
        after: [usize; 2],
    }
    extern "C" {
        fn mallinfo2() -> Figures;
    }
    // SAFETY: any thread, at any time; the struct is ten numbers of that size.
    let figures = unsafe { mallinfo2() };
    Some((figures.mapped_bytes + figures.used_bytes) as i64)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
fn in_use() -> Option<i64> {
    None
}

#[test]
fn a_thousand_rounds_leave_nothing() {
    // What leaks grows in every block of rounds; what is made once does not.
    let mut at = Vec::new();
    for _ in 0..10 {
        (0..100).for_each(|round| once(round % 4 == 0));
        at.extend(in_use());
    }
    let mut growths: Vec<i64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    growths.sort_unstable();
    println!("bytes that a hundred rounds add, sorted: {growths:?}");
    let median = growths.get(growths.len() / 2).copied().unwrap_or(0);
    assert!(median <= 1 << 10, "a hundred rounds leave {median} bytes");
}

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

fn once() {
    let runtime = RuntimeOptions::new().threads(1).log(|_, _| {}).create().unwrap();
    let model = Model::open(&runtime, MODEL).unwrap();
    let session = Session::with(&model, &SessionOptions::new().context_length(64)).unwrap();
    let options =
        GeneratorOptions { draft: Draft::Host(Box::new(Nothing)), max_tokens: 3, ..Default::default() };
    let mut generator = Generator::with(session, options).unwrap();
    generator.prompt("Good evening").unwrap();
    generator.answer().unwrap();
    Model::open(&runtime, "/nowhere").err().unwrap();
}

/// Bytes of the process in memory; None where the system does not say.
fn resident() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<i64>().ok()? * 4096)
}

#[test]
fn a_thousand_rounds_leave_nothing() {
    (0..200).for_each(|_| once());
    let before = resident();
    (0..800).for_each(|_| once());
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{before} bytes after 200 rounds, {after} after 1000");
        assert!(after - before < 1 << 20, "{before} bytes after 200 rounds, {after} after 1000");
    }
}

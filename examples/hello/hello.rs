// A file to text.
//
//   sh examples/run.sh hello rust
//
// builds the library, then this, and runs it with the bundled model. In a crate that depends on `inlay`:
//
//   cargo run --example hello MODEL.gguf

fn main() -> inlay::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("examples/model/tavern.gguf".into());
    let prompt = std::env::args().nth(2).unwrap_or("Once upon a time".into());

    let runtime = inlay::Runtime::new()?;
    let model = inlay::Model::open(&runtime, path)?;
    let session = inlay::Session::new(&model)?;
    let options = inlay::GeneratorOptions { max_tokens: 200, ..Default::default() };
    let mut generator = inlay::Generator::with(session, options)?;

    generator.prompt(&prompt)?;
    print!("{prompt}");
    for piece in generator.pieces() {
        print!("{}", piece?.text);
    }
    println!();
    Ok(())
}

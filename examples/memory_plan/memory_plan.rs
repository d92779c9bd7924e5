// Every byte before it is taken, and sessions in the host's own memory.
//
//   sh examples/run.sh memory_plan rust
//
// builds the library, then this, and runs it with the bundled model.
use inlay::{
    Arena, File, Generator, GeneratorOptions, KvType, ModelOptions, RuntimeOptions, Session, SessionOptions,
};

fn main() -> inlay::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("examples/model/tavern.gguf".into());
    let runtime = RuntimeOptions::new().threads(1).create()?;
    let file = File::open(&runtime, path)?;

    // From the file's header alone: nothing is loaded yet.
    for context in [512, 2048, 4096] {
        for (kind, name) in [(KvType::F16, "f16"), (KvType::Fp8, "fp8"), (KvType::Q8, "q8")] {
            let plan = file.plan(&SessionOptions::new().context_length(context).kv_type(kind))?;
            println!(
                "context {context}, {name}: session {}, of it keys and values {}",
                plan.session_host, plan.kv_cache
            );
        }
    }

    // What is then taken is what was planned.
    let options = SessionOptions::new().context_length(1024).kv_type(KvType::F16);
    let plan = file.plan(&options)?;
    println!(
        "planned: model {}, session {}, scratch {}",
        plan.model_host, plan.session_host, plan.scratch_host
    );
    let before = runtime.memory().now;
    let model = file.model(ModelOptions::new())?;
    let with_model = runtime.memory().now;
    let session = Session::with(&model, &options)?;
    println!(
        "taken: model {}, session and scratch {}",
        with_model - before,
        runtime.memory().now - with_model
    );
    drop(session);

    // In the game's own arenas, and with one byte too little.
    let short = Arena::new(plan.session_host - 1)?;
    let refused = Session::in_arenas(&model, &options, Some(short), None).err();
    println!("a byte too little: {}", refused.map_or("taken", |error| error.status().name()));
    let (state, scratch) = (Arena::new(plan.session_host)?, Arena::new(plan.scratch_host)?);
    let session = Session::in_arenas(&model, &options, Some(state), Some(scratch))?;
    println!("taken beside the arenas: {}", runtime.memory().now - with_model);

    let mut generator = Generator::with(session, GeneratorOptions { max_tokens: 30, ..Default::default() })?;
    let prompt = "The tavern was";
    generator.prompt(prompt)?;
    print!("{prompt}");
    for piece in generator.pieces() {
        print!("{}", piece?.text);
    }
    println!();
    Ok(())
}

// Three characters speak in a game that gives them 4 ms a frame, and is saved and loaded while they do.
//
//   sh examples/run.sh game_loop rust
//
// builds the library, then this, and runs it with the bundled model. Figures of the frames go to stderr.
use inlay::{Generator, Model, Result, Runtime, Session, SessionOptions, Step};
use std::time::{Duration, Instant};

const BUDGET: Duration = Duration::from_millis(4);
const CAST: [(&str, &str); 3] = [
    ("Bram", "<|im_start|>user\nAny rumours?"),
    (
        "Orla",
        "<|im_start|>system\nYou are Orla, keeper of the Blue Boar in Saltford. You are gruff. Prices: ale 7, stew 9, \
         torch 2.<|im_end|>\n<|im_start|>user\nWhat do you sell?",
    ),
    (
        "Tilda",
        "<|im_start|>system\nYou are Tilda, keeper of the Silver Swan in Oxmoor. You are poetic. Prices: ale 3, stew 5, \
         room 12.<|im_end|>\n<|im_start|>user\nGood evening! A room for the night, please.",
    ),
];
const TURN: &str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";

struct Character<'m> {
    name: &'static str,
    generator: Generator<'m>,
    text: String,
    done: bool,
}

fn create<'m>(model: &'m Model<'_>) -> Result<Generator<'m>> {
    Generator::new(Session::with(model, &SessionOptions::new().context_length(512))?)
}

/// Each speaks as far as the frame's time goes; returns how many have more to say.
fn frame(cast: &mut [Character<'_>], first: usize) -> Result<usize> {
    let began = Instant::now();
    let count = cast.len();
    for i in 0..count {
        let who = &mut cast[(first + i) % count];
        while !who.done && began.elapsed() < BUDGET {
            match who.generator.advance(Some(BUDGET.saturating_sub(began.elapsed())))? {
                Step::Pending => break,
                Step::Piece(piece) => {
                    who.text += &piece.text;
                    who.done = piece.stop.is_some();
                }
            }
        }
    }
    Ok(cast.iter().filter(|who| !who.done).count())
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or("examples/model/tavern.gguf".into());
    let runtime = Runtime::new()?;
    let model = Model::open(&runtime, path)?;
    let mut cast = Vec::new();
    for (name, prompt) in CAST {
        let mut generator = create(&model)?;
        generator.prompt(&format!("{prompt}{TURN}"))?;
        cast.push(Character { name, generator, text: String::new(), done: false });
    }

    let (mut frames, mut saved, mut longest) = (0, false, Duration::ZERO);
    let mut speaking = cast.len();
    while speaking > 0 {
        let began = Instant::now();
        speaking = frame(&mut cast, frames)?; // and here the game draws, moves, listens
        longest = longest.max(began.elapsed());
        if !saved && cast[0].text.len() > 20 && !cast[0].done {
            for who in &mut cast {
                // The words go on where they were, in a new session: another run of the game, or another machine.
                let bytes = who.generator.save()?;
                who.generator = create(&model)?;
                who.generator.load(&bytes)?;
            }
            println!("(saved and loaded while Bram speaks)");
            saved = true;
        }
        frames += 1;
    }
    for who in &cast {
        println!("{}: {}", who.name, who.text);
    }
    eprintln!(
        "{frames} frames of {} us for words; the longest took {} us",
        BUDGET.as_micros(),
        longest.as_micros()
    );
    Ok(())
}

// A dialogue tree drafts: the game knows what the keeper is likely to say, so the model need only agree.
//
//   sh examples/run.sh host_drafter rust
//
// builds the library, then this, and runs it with the bundled model.
use inlay::{Draft, Drafter, Drafts, Generator, GeneratorOptions, Model, Runtime, Session, Token};

const QUESTIONS: [&str; 3] = ["Hello!", "How much is an ale?", "Tell me a riddle."];
// What the writer has the keeper say; he may say something else.
const LINES: [&str; 5] = [
    "Good day, friend! What can I bring you?",
    "Good day, traveller! Sit down, the stew is hot.",
    "A mug of ale? 2 coppers.",
    "A bowl of stew? 4 coppers.",
    "Listen well: What has a bed but never sleeps?",
];

struct Tree {
    /// The answer begins with this token.
    think_end: Token,
    lines: Vec<Vec<Token>>,
}

impl Drafter for Tree {
    /// The rest of the line that the answer has begun with so far.
    fn propose(&mut self, tokens: &[Token], drafts: &mut Drafts<'_>) -> inlay::Result<()> {
        if let Some(begin) = tokens.iter().rposition(|&token| token == self.think_end) {
            let said = &tokens[begin..];
            let line = self.lines.iter().find(|line| line.len() > said.len() && line.starts_with(said));
            drafts.extend(line.into_iter().flat_map(|line| line[said.len()..].iter().copied()));
        }
        Ok(())
    }
}

fn talk(model: &Model<'_>, draft: Draft) -> inlay::Result<u64> {
    let options = GeneratorOptions { draft, draft_length: 7, ..Default::default() };
    let mut generator = Generator::with(Session::new(model)?, options)?;
    for (i, question) in QUESTIONS.iter().enumerate() {
        let before = if i > 0 { "\n" } else { "" };
        let turn = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
        generator.prompt(&format!("{before}<|im_start|>user\n{question}{turn}"))?;
        println!("> {question}");
        for piece in generator.pieces() {
            print!("{}", piece?.text);
        }
        println!();
    }
    Ok(generator.stats()?.rounds)
}

fn main() -> inlay::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("examples/model/tavern.gguf".into());
    let runtime = Runtime::new()?;
    let model = Model::open(&runtime, path)?;
    let tokenizer = model.tokenizer().expect("the model has one");
    let encode = |line| tokenizer.encode(&format!("</think>\n\n{line}<|im_end|>"), true);
    let tree = Tree {
        think_end: tokenizer.find("</think>").expect("a token of the format"),
        lines: LINES.iter().map(encode).collect::<Result<_, _>>()?,
    };

    let alone = talk(&model, Draft::None)?;
    let with_tree = talk(&model, Draft::Host(Box::new(tree)))?;
    println!("passes of the model: {alone} alone, {with_tree} with the tree");
    Ok(())
}

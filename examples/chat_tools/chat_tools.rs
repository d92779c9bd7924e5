// A conversation with two tools: the model asks for them, the game answers, the model goes on.
//
//   sh examples/run.sh chat_tools rust
//
// builds the library, then this, and runs it with the bundled model.
use inlay::{
    AnswerOptions, Chat, ChatEvent, ChatOptions, GeneratorOptions, Model, Result, Runtime, Session, Thinking,
};

const TOOLS: &str = r#"[
    {"type":"function","function":{"name":"look_up_price","description":"Price of an item",
     "parameters":{"type":"object","properties":{"item":{"type":"string"}},"required":["item"]}}},
    {"type":"function","function":{"name":"roll_dice","description":"Roll a die",
     "parameters":{"type":"object","properties":{"sides":{"type":"integer"}},"required":["sides"]}}}]"#;

/// What the game knows.
fn call(tool: &str, argument: &str) -> &'static str {
    match (tool, argument) {
        ("look_up_price", "ale") => "9 coppers",
        ("look_up_price", _) => "not found",
        ("roll_dice", _) => "17",
        _ => "no such tool",
    }
}

/// One answer of the model's; its calls are answered. Returns how many there were.
fn answer(chat: &mut Chat<'_>) -> Result<usize> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in chat.answer(&AnswerOptions { thinking: Thinking::Off, ..Default::default() })? {
        match event? {
            ChatEvent::Answer(text) => print!("{text}"),
            ChatEvent::CallBegin { tool, .. } => {
                print!("[{tool}");
                calls.push((tool, String::new()));
            }
            ChatEvent::Argument { name, .. } => print!(" {name}="),
            ChatEvent::ArgumentText { call, text } => {
                print!("{text}");
                calls[call as usize].1 += &text;
            }
            ChatEvent::CallEnd { .. } => print!("]"),
            _ => {}
        }
    }
    println!();
    for (tool, argument) in &calls {
        chat.add("tool", call(tool, argument))?;
    }
    Ok(calls.len())
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or("examples/model/tavern.gguf".into());
    let runtime = Runtime::new()?;
    let model = Model::open(&runtime, path)?;
    let greedy = Some(GeneratorOptions::default());
    let options = ChatOptions { generator: greedy, tools: Some(TOOLS.into()), ..Default::default() };
    let mut chat = Chat::new(Session::new(&model)?, options)?;
    for question in ["What does the ale cost today? Look it up.", "Roll a d20!"] {
        println!("> {question}");
        chat.add("user", question)?;
        while answer(&mut chat)? > 0 {}
    }
    Ok(())
}

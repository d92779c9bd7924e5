//! Inlay from Rust: Qwen3.5 hybrids inside your program, which stays in charge of memory, time and threads.
//!
//! ```
//! # fn main() -> inlay::Result<()> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/model/tavern.gguf");
//! let runtime = inlay::Runtime::new()?;
//! let model = inlay::Model::open(&runtime, path)?;
//! let session = inlay::Session::new(&model)?;
//! let mut generator = inlay::Generator::new(session)?;
//! generator.prompt("Once upon a time")?;
//! for piece in generator.pieces() {
//!     print!("{}", piece?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The objects are those of `inlay.h`, and so are their rules; what the header says by words, types say here:
//!
//! - A [`Session`] borrows its [`Model`] and its [`Pool`], so it can't outlive them. A [`Generator`] takes its session along.
//! - [`Runtime`], [`File`], [`Model`], [`Tokenizer`], [`Pool`] and [`Grammar`] are `Send` and `Sync`; [`Session`], [`Sampler`] and
//!   [`Generator`] are `Send` alone: one thread at a time. A [`Canceller`] stops a session's work from any thread.
//! - A panic in one of your callbacks ends there: the call that caused it returns [`Status::Callback`].
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod chat;
mod drafter;
mod error;
mod file;
mod format;
mod gate;
mod generator;
mod grammar;
mod mask;
mod memory;
mod model;
mod native;
mod pool;
mod runtime;
mod sampler;
mod session;
mod source;
mod tokenizer;

pub use chat::{AnswerOptions, Chat, ChatEvent, ChatEvents, ChatOptions, ChatUsage, Sampling, Thinking};
pub use drafter::{Draft, Drafter, Drafts};
pub use error::{Error, Result, Status};
pub use file::{File, MemoryPlan, ModelInfo, TensorInfo};
pub use format::ChatFormat;
pub use generator::{Generator, GeneratorOptions, GeneratorStats, Piece, Pieces, Step, Stop};
pub use grammar::Grammar;
pub use mask::{Allowed, Mask};
pub use memory::{Arena, ForkMemory, SessionMemory};
pub use model::{Model, ModelOptions};
pub use pool::{Pool, PoolOptions, PoolPlan};
pub use runtime::{
    Device, LogLevel, MemoryKind, MemoryUse, PackOptions, Runtime, RuntimeInfo, RuntimeOptions,
    WeightPlacement,
};
pub use sampler::{Sampler, SamplerOptions};
pub use session::{Canceller, Estimate, KvType, Progress, Session, SessionOptions, Work};
pub use source::{Io, Source};
pub use tokenizer::Tokenizer;

/// A token's id: 0 up to the vocabulary's size.
pub type Token = i32;

/// Most tokens of one verify, the certain one included.
pub const MAX_WIDTH: usize = inlay_sys::INLAY_MAX_WIDTH as usize;

/// The version of the library that runs: major, minor, patch.
pub fn version() -> (u32, u32, u32) {
    // SAFETY: takes nothing, any thread.
    let version = unsafe { inlay_sys::inlay_version() };
    (version >> 16, version >> 8 & 0xff, version & 0xff)
}

//! The declarations of `inlay.h`, as bindgen gives them; the header itself is their reference. Rust programs use the
//! `inlay` crate, which is safe.
#![allow(non_camel_case_types)]

#[rustfmt::skip]
mod bindings;
pub use bindings::*;

/// `INLAY_NO_BUDGET` of the header, which bindgen leaves out.
pub const INLAY_NO_BUDGET: u64 = u64::MAX;

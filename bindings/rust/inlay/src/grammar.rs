use crate::session::check_created;
use crate::{Model, Result};
use std::marker::PhantomData;

/// What a text may be: a JSON Schema, or rules in the notation of GBNF. Immutable; any number of generators and chats, on
/// any threads, may use it, and keep what they need of it.
///
/// ```
/// # fn main() -> inlay::Result<()> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/model/tavern.gguf");
/// # let runtime = inlay::Runtime::new()?;
/// # let model = inlay::Model::open(&runtime, path)?;
/// let grammar = inlay::Grammar::gbnf(&model, r#"root ::= "ale" | "stew""#)?;
/// let options = inlay::GeneratorOptions { grammar: Some(&grammar), ..Default::default() };
/// let mut generator = inlay::Generator::with(inlay::Session::new(&model)?, options)?;
/// generator.prompt("The innkeeper brought ")?;
/// assert!(["ale", "stew"].contains(&generator.answer()?.as_str()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Grammar<'m> {
    pub(crate) handle: *mut inlay_sys::inlay_grammar,
    _model: PhantomData<&'m ()>,
}

// SAFETY: the header lets any number of threads use a grammar at once.
unsafe impl Send for Grammar<'_> {}
unsafe impl Sync for Grammar<'_> {}

impl Drop for Grammar<'_> {
    fn drop(&mut self) {
        // SAFETY: made by create, given back once, here; who uses it has a hold of its own.
        unsafe { inlay_sys::inlay_grammar_destroy(self.handle) }
    }
}

impl<'m> Grammar<'m> {
    /// JSON that satisfies a schema; the header says which of its words are known.
    pub fn json_schema(model: &'m Model<'_>, schema: &str) -> Result<Grammar<'m>> {
        Grammar::create(model, inlay_sys::INLAY_GRAMMAR_JSON_SCHEMA, schema)
    }

    /// Rules that begin with `root`.
    pub fn gbnf(model: &'m Model<'_>, rules: &str) -> Result<Grammar<'m>> {
        Grammar::create(model, inlay_sys::INLAY_GRAMMAR_GBNF, rules)
    }

    fn create(model: &'m Model<'_>, kind: inlay_sys::inlay_grammar_kind, text: &str) -> Result<Grammar<'m>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle lives; the text has its length and is copied.
        let status = unsafe {
            let (data, bytes) = (text.as_ptr().cast(), text.len());
            inlay_sys::inlay_grammar_create(model.handle, kind, data, bytes, &mut handle)
        };
        check_created(model, status)?;
        Ok(Grammar { handle, _model: PhantomData })
    }
}

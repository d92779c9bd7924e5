use crate::native::{check_silent, params, progress, ProgressFn};
use crate::runtime::RuntimeHandle;
use crate::{Arena, MemoryPlan, ModelInfo, Result, Runtime, SessionOptions, Source, Tokenizer};
use std::marker::PhantomData;
use std::sync::Arc;

/// How a [`Model`] is made.
#[derive(Default)]
pub struct ModelOptions<'p> {
    read_ahead: bool,
    progress: Option<Box<ProgressFn<'p>>>,
    arena: Option<Arena>,
}

impl<'p> ModelOptions<'p> {
    /// All defaults.
    pub fn new() -> ModelOptions<'p> {
        ModelOptions::default()
    }

    /// Read the mapped weights into the page cache before the model is returned.
    pub fn read_ahead(mut self, on: bool) -> Self {
        self.read_ahead = on;
        self
    }

    /// Called with the bytes done and of all between parts of the loading; false stops it, and so does a panic, with
    /// [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn progress(mut self, report: impl FnMut(u64, u64) -> bool + 'p) -> Self {
        self.progress = Some(Box::new(report));
        self
    }

    /// The model lives in this memory of [`MemoryPlan::model_host`] bytes.
    pub fn arena(mut self, arena: Arena) -> Self {
        self.arena = Some(arena);
        self
    }

    /// Gives what `create` gave, and the arena for the model to keep.
    pub(crate) fn with<T>(
        mut self,
        create: impl FnOnce(&inlay_sys::inlay_model_params) -> T,
    ) -> (T, Option<Arena>) {
        let mut given = params!(inlay_model_params);
        (given.arena, given.arena_bytes) = Arena::parts(&self.arena);
        given.read_ahead = self.read_ahead as u32;
        if let Some(callback) = &mut self.progress {
            given.progress = Some(progress);
            given.progress_user_data = (callback as *mut Box<ProgressFn<'p>>).cast();
        }
        (create(&given), self.arena)
    }
}

/// Weights, immutable; shared by any number of sessions and threads. `'d` is the life of the bytes that it was
/// opened from, `'static` for a path.
pub struct Model<'d> {
    pub(crate) handle: *mut inlay_sys::inlay_model,
    pub(crate) runtime: Arc<RuntimeHandle>,
    /// Numbers in a row of logits, and in one of hidden states.
    pub(crate) widths: (usize, usize),
    // Given back after the model, for it lives in it.
    _arena: Option<Arena>,
    _data: PhantomData<&'d [u8]>,
}

// SAFETY: the header lets any number of threads use a model at once.
unsafe impl Send for Model<'_> {}
unsafe impl Sync for Model<'_> {}

impl Drop for Model<'_> {
    fn drop(&mut self) {
        // SAFETY: made by open or create, given back once, here.
        unsafe { inlay_sys::inlay_model_destroy(self.handle) }
    }
}

impl<'d> Model<'d> {
    pub(crate) fn own(
        handle: *mut inlay_sys::inlay_model,
        runtime: Arc<RuntimeHandle>,
        arena: Option<Arena>,
    ) -> Model<'d> {
        let mut info = params!(inlay_model_info);
        // SAFETY: the handle lives; a failure leaves zeros.
        unsafe { inlay_sys::inlay_model_get_info(handle, &mut info) };
        let widths = (info.vocabulary_size as usize, info.embedding_length as usize);
        Model { handle, runtime, widths, _arena: arena, _data: PhantomData }
    }

    /// Opens a file and makes its model, with all defaults.
    pub fn open(runtime: &Runtime, source: impl Into<Source<'d>>) -> Result<Model<'d>> {
        Model::open_with(runtime, source, ModelOptions::new())
    }

    /// The same, as the options say.
    pub fn open_with(
        runtime: &Runtime,
        source: impl Into<Source<'d>>,
        options: ModelOptions<'_>,
    ) -> Result<Model<'d>> {
        let runtime = runtime.shared.clone();
        let mut handle = std::ptr::null_mut();
        let (status, arena) = source.into().with(|source| {
            // SAFETY: source and parameters live until the call returns, the source's data for 'd.
            options.with(|given| unsafe {
                inlay_sys::inlay_model_open(runtime.handle, source, given, &mut handle)
            })
        })?;
        runtime.check(status)?;
        Ok(Model::own(handle, runtime, arena))
    }

    /// What it is.
    pub fn info(&self) -> Result<ModelInfo> {
        let mut info = params!(inlay_model_info);
        // SAFETY: the handle lives, and with it the strings, which are copied.
        unsafe {
            check_silent(inlay_sys::inlay_model_get_info(self.handle, &mut info))?;
            Ok(ModelInfo::of(&info))
        }
    }

    /// What it and one such session take.
    pub fn plan(&self, options: &SessionOptions) -> Result<MemoryPlan> {
        let mut plan = params!(inlay_memory_plan);
        // SAFETY: the handle lives.
        let status = unsafe { inlay_sys::inlay_model_plan(self.handle, &options.plain(), &mut plan) };
        self.runtime.check(status).map(|_| plan.into())
    }

    /// The model's own tokenizer; None where the file has none: such a model takes and gives ids.
    pub fn tokenizer(&self) -> Option<Tokenizer<'_>> {
        // SAFETY: the handle lives, and with it the tokenizer.
        let handle = unsafe { inlay_sys::inlay_model_tokenizer(self.handle) };
        (!handle.is_null()).then(|| Tokenizer::borrow(handle, self.runtime.clone()))
    }
}

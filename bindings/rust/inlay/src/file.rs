use crate::native::{check_silent, params, progress, to_string, ProgressFn};
use crate::runtime::RuntimeHandle;
use crate::{KvType, Model, ModelOptions, Result, Runtime, SessionOptions, Source, Tokenizer};
use std::marker::PhantomData;
use std::sync::Arc;

/// A model's file with its header read, and nothing more.
pub struct File<'d> {
    pub(crate) handle: *mut inlay_sys::inlay_file,
    pub(crate) runtime: Arc<RuntimeHandle>,
    _data: PhantomData<&'d [u8]>,
}

// SAFETY: the header lets any number of threads use a file at once.
unsafe impl Send for File<'_> {}
unsafe impl Sync for File<'_> {}

impl Drop for File<'_> {
    fn drop(&mut self) {
        // SAFETY: made by open, given back once, here.
        unsafe { inlay_sys::inlay_file_destroy(self.handle) }
    }
}

/// What a file or a model is; the header says each field's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ModelInfo {
    pub architecture: String,
    pub name: String,
    pub quantisation: String,
    pub file_bytes: u64,
    pub parameters: u64,
    pub layers: u32,
    pub attention_interval: u32,
    pub embedding_length: u32,
    pub feed_forward_length: u32,
    pub attention_heads: u32,
    pub attention_kv_heads: u32,
    pub attention_head_length: u32,
    pub delta_net_key_heads: u32,
    pub delta_net_value_heads: u32,
    pub delta_net_state_length: u32,
    pub vocabulary_size: u32,
    pub context_length: u32,
    pub mtp_layers: u32,
    pub has_weights: bool,
    pub has_tokenizer: bool,
    pub chat_template: String,
    pub kv_type: KvType,
}

impl ModelInfo {
    /// # Safety
    /// The strings are alive.
    pub(crate) unsafe fn of(info: &inlay_sys::inlay_model_info) -> ModelInfo {
        // SAFETY: as above.
        let text = |it| unsafe { to_string(it) };
        ModelInfo {
            architecture: text(info.architecture),
            name: text(info.name),
            quantisation: text(info.quantisation),
            file_bytes: info.file_bytes,
            parameters: info.parameters,
            layers: info.layers,
            attention_interval: info.attention_interval,
            embedding_length: info.embedding_length,
            feed_forward_length: info.feed_forward_length,
            attention_heads: info.attention_heads,
            attention_kv_heads: info.attention_kv_heads,
            attention_head_length: info.attention_head_length,
            delta_net_key_heads: info.delta_net_key_heads,
            delta_net_value_heads: info.delta_net_value_heads,
            delta_net_state_length: info.delta_net_state_length,
            vocabulary_size: info.vocabulary_size,
            context_length: info.context_length,
            mtp_layers: info.mtp_layers,
            has_weights: info.has_weights != 0,
            has_tokenizer: info.has_tokenizer != 0,
            chat_template: text(info.chat_template),
            kv_type: KvType::of(info.kv_type),
        }
    }
}

/// Every byte that a model and one session of it will take; the header says each field's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MemoryPlan {
    pub weights_mapped: u64,
    pub model_host: u64,
    pub model_device: u64,
    pub session_host: u64,
    pub session_device: u64,
    pub scratch_host: u64,
    pub scratch_device: u64,
    pub kv_cache: u64,
    pub delta_net_state: u64,
    pub window: u64,
    pub pooled_session_host: u64,
    pub pooled_session_device: u64,
}

impl From<inlay_sys::inlay_memory_plan> for MemoryPlan {
    fn from(plan: inlay_sys::inlay_memory_plan) -> MemoryPlan {
        MemoryPlan {
            weights_mapped: plan.weights_mapped,
            model_host: plan.model_host,
            model_device: plan.model_device,
            session_host: plan.session_host,
            session_device: plan.session_device,
            scratch_host: plan.scratch_host,
            scratch_device: plan.scratch_device,
            kv_cache: plan.kv_cache,
            delta_net_state: plan.delta_net_state,
            window: plan.window,
            pooled_session_host: plan.pooled_session_host,
            pooled_session_device: plan.pooled_session_device,
        }
    }
}

/// One tensor as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// "Q4_K", for example.
    pub kind: String,
    /// Innermost first, 1 where there are fewer.
    pub dimensions: [u64; 4],
    /// Bytes in the file.
    pub bytes: u64,
}

impl<'d> File<'d> {
    /// Opens a file and reads its header.
    pub fn open(runtime: &Runtime, source: impl Into<Source<'d>>) -> Result<File<'d>> {
        let runtime = runtime.shared.clone();
        let mut handle = std::ptr::null_mut();
        // SAFETY: the source lives until the call returns, and its data for 'd.
        let open = |source: &_| unsafe { inlay_sys::inlay_file_open(runtime.handle, source, &mut handle) };
        let status = source.into().with(open)?;
        runtime.check(status)?;
        Ok(File { handle, runtime, _data: PhantomData })
    }

    /// What the file is.
    pub fn info(&self) -> Result<ModelInfo> {
        let mut info = params!(inlay_model_info);
        // SAFETY: the handle lives, and with it the strings, which are copied.
        unsafe {
            check_silent(inlay_sys::inlay_file_get_info(self.handle, &mut info))?;
            Ok(ModelInfo::of(&info))
        }
    }

    /// Its tensors, in the file's order.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo> + '_ {
        // SAFETY: the handle lives.
        let count = unsafe { inlay_sys::inlay_file_tensor_count(self.handle) };
        (0..count).filter_map(move |index| {
            let mut tensor = params!(inlay_tensor_info);
            // SAFETY: as above; the name lives as long as the file and is copied.
            unsafe {
                check_silent(inlay_sys::inlay_file_get_tensor(self.handle, index, &mut tensor)).ok()?;
                let name = std::slice::from_raw_parts(tensor.name.cast::<u8>(), tensor.name_bytes);
                Some(TensorInfo {
                    name: String::from_utf8_lossy(name).into_owned(),
                    kind: to_string(tensor.type_),
                    dimensions: tensor.dimensions,
                    bytes: tensor.bytes,
                })
            }
        })
    }

    /// What this file's model and one such session will take, from the header alone. Takes nothing.
    pub fn plan(&self, options: &SessionOptions) -> Result<MemoryPlan> {
        let mut plan = params!(inlay_memory_plan);
        // SAFETY: the handle lives.
        let status = unsafe { inlay_sys::inlay_file_plan(self.handle, &options.plain(), &mut plan) };
        self.runtime.check(status).map(|_| plan.into())
    }

    /// Compares all of a package with its checksums; `progress(done, total)` stops it with false.
    pub fn verify(&self, report: impl FnMut(u64, u64) -> bool) -> Result<()> {
        let mut callback: Box<ProgressFn<'_>> = Box::new(report);
        let user_data = (&mut callback as *mut Box<ProgressFn<'_>>).cast();
        // SAFETY: the callback lives until the call returns.
        let status = unsafe { inlay_sys::inlay_file_verify(self.handle, Some(progress), user_data) };
        self.runtime.check(status).map(|_| ())
    }

    /// Makes its weights usable; the file may be dropped afterwards.
    pub fn model(&self, options: ModelOptions<'_>) -> Result<Model<'d>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the parameters live until the call returns.
        let (status, arena) =
            options.with(|given| unsafe { inlay_sys::inlay_model_create(self.handle, given, &mut handle) });
        self.runtime.check(status)?;
        Ok(Model::own(handle, self.runtime.clone(), arena))
    }

    /// Its tokenizer alone, weights or not.
    pub fn tokenizer(&self) -> Result<Tokenizer<'static>> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle lives.
        let status = unsafe { inlay_sys::inlay_tokenizer_create(self.handle, &mut handle) };
        self.runtime.check(status)?;
        Ok(Tokenizer::own(handle, self.runtime.clone()))
    }
}

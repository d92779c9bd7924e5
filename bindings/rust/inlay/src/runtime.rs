use crate::native::{check_silent, guarded, message, params, progress, to_string, ProgressFn};
use crate::{Error, Result, Status};
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_void, CStr, CString};
use std::os::raw::c_char;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

/// Where models compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device of this index.
    Cuda(u32),
}

/// Where a CUDA device keeps the weights of a package in its own layout ([`PackOptions::layout`]); every other weight is
/// copied to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WeightPlacement {
    /// In place where the device's memory is the host's, else copied.
    #[default]
    Default,
    /// To the device's own memory.
    Copied,
    /// Read where they are mapped, by every pass; [`Status::Unsupported`] on a device that can't.
    InPlace,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// A call failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// What was chosen.
    Info,
}

type HostAllocator = dyn GlobalAlloc + Send + Sync;
type LogFn = dyn Fn(LogLevel, &str) + Send + Sync;

/// How a [`Runtime`] is made; the defaults are the header's.
#[derive(Default)]
pub struct RuntimeOptions {
    device: Device,
    threads: u32,
    memory_limit: u64,
    instruction_set: Option<String>,
    low_priority: bool,
    guard_mappings: bool,
    weight_placement: WeightPlacement,
    log: Option<Box<LogFn>>,
    allocator: Option<Box<HostAllocator>>,
    cuda_stream: Option<NonNull<c_void>>,
}

impl RuntimeOptions {
    /// All defaults: the CPU, a thread a usable core, silent.
    pub fn new() -> RuntimeOptions {
        RuntimeOptions::default()
    }

    /// Where to compute.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Threads that compute, the caller's included; 0: one a usable core.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// Host bytes that the runtime and all made from it may hold; 0: no limit.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// "scalar", "avx2", "avx512", "amx" or "neon" instead of the best there is.
    pub fn instruction_set(mut self, name: impl Into<String>) -> Self {
        self.instruction_set = Some(name.into());
        self
    }

    /// Inlay's own CUDA stream gives way to the host's others.
    pub fn low_priority(mut self, low: bool) -> Self {
        self.low_priority = low;
        self
    }

    /// A mapped file that another program cuts short is [`Status::Io`], and not a SIGBUS that ends the process. While such
    /// a runtime lives, Inlay has the handler of SIGBUS, and passes on to the former one what is not its own.
    pub fn guard_mappings(mut self, on: bool) -> Self {
        self.guard_mappings = on;
        self
    }

    /// Where a CUDA device keeps the weights of a package in its own layout.
    pub fn weight_placement(mut self, placement: WeightPlacement) -> Self {
        self.weight_placement = placement;
        self
    }

    /// Takes each line of the log; called at create, open and destroy, by any thread that does these.
    pub fn log(mut self, log: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// Where host memory comes from; asked at create, open and drop, never while a session works.
    pub fn allocator(mut self, allocator: impl GlobalAlloc + Send + Sync + 'static) -> Self {
        self.allocator = Some(Box::new(allocator));
        self
    }

    /// Compute on this `cudaStream_t` of the device.
    ///
    /// # Safety
    /// The stream outlives everything that is made from the runtime.
    pub unsafe fn cuda_stream(mut self, stream: NonNull<c_void>) -> Self {
        self.cuda_stream = Some(stream);
        self
    }

    /// Makes the runtime: its threads are started here, once.
    pub fn create(self) -> Result<Runtime> {
        let (major, minor, patch) = crate::version();
        let header = (inlay_sys::INLAY_VERSION_MAJOR, inlay_sys::INLAY_VERSION_MINOR);
        if major != header.0 || minor < header.1 {
            let words =
                format!("libinlay is {major}.{minor}.{patch}; this crate needs {}.{}", header.0, header.1);
            return Err(Error::new(Status::Unsupported, words));
        }
        let instruction_set = self.instruction_set.as_deref().map(crate::native::c_string).transpose()?;
        let allocator = self.allocator.map(Box::new);
        let mut memory = params!(inlay_allocator);
        if let Some(allocator) = &allocator {
            memory.user_data = (&**allocator as *const Box<HostAllocator> as *mut Box<HostAllocator>).cast();
            memory.allocate = Some(allocate);
            memory.release = Some(release);
        }
        let log = Box::new(Log { callback: self.log, last_error: Mutex::new(String::new()) });
        let mut given = params!(inlay_runtime_params);
        given.device = match self.device {
            Device::Cpu => inlay_sys::INLAY_DEVICE_CPU as i32,
            Device::Cuda(_) => inlay_sys::INLAY_DEVICE_CUDA as i32,
        };
        given.device_index = if let Device::Cuda(index) = self.device { index } else { 0 };
        given.threads = self.threads;
        given.memory_limit = self.memory_limit;
        given.instruction_set = instruction_set.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
        given.weight_placement = match self.weight_placement {
            WeightPlacement::Default => inlay_sys::INLAY_WEIGHTS_DEFAULT,
            WeightPlacement::Copied => inlay_sys::INLAY_WEIGHTS_COPIED,
            WeightPlacement::InPlace => inlay_sys::INLAY_WEIGHTS_IN_PLACE,
        } as i32;
        given.guard_mappings = self.guard_mappings as u32;
        given.low_priority = self.low_priority as u32;
        given.allocator = if allocator.is_some() { &memory } else { std::ptr::null() };
        given.cuda_stream = self.cuda_stream.map_or(std::ptr::null_mut(), NonNull::as_ptr);
        given.log = Some(write_log);
        given.log_user_data = (&*log as *const Log as *mut Log).cast();
        let mut handle = std::ptr::null_mut();
        // SAFETY: the parameters live until the call returns; the log outlives the runtime (see RuntimeHandle).
        let status = unsafe { inlay_sys::inlay_runtime_create(&given, &mut handle) };
        if status < 0 {
            let words = log.last_error.lock().map(|it| it.clone()).unwrap_or_default();
            return Err(Error::new(Status::of(status), words));
        }
        Ok(Runtime { shared: Arc::new(RuntimeHandle { handle, _log: log, _allocator: allocator }) })
    }
}

struct Log {
    callback: Option<Box<LogFn>>,
    last_error: Mutex<String>,
}

unsafe extern "C" fn write_log(
    user_data: *mut c_void,
    level: inlay_sys::inlay_log_level,
    text: *const c_char,
) {
    guarded((), || {
        // SAFETY: user_data is the Log that the runtime keeps; text is zero terminated and lives until we return.
        let (log, text) = unsafe { (&*user_data.cast::<Log>(), to_string(text)) };
        let level = match level {
            inlay_sys::INLAY_LOG_ERROR => LogLevel::Error,
            inlay_sys::INLAY_LOG_WARNING => LogLevel::Warning,
            _ => LogLevel::Info,
        };
        if level == LogLevel::Error {
            if let Ok(mut last) = log.last_error.lock() {
                last.clone_from(&text);
            }
        }
        if let Some(callback) = &log.callback {
            callback(level, &text);
        }
    });
}

unsafe extern "C" fn allocate(user_data: *mut c_void, size: usize, alignment: usize) -> *mut c_void {
    guarded(std::ptr::null_mut(), || match Layout::from_size_align(size.max(1), alignment) {
        // SAFETY: user_data is the allocator that the runtime keeps; the size is not zero.
        Ok(layout) => unsafe { (*user_data.cast::<Box<HostAllocator>>()).alloc(layout).cast() },
        Err(_) => std::ptr::null_mut(),
    })
}

unsafe extern "C" fn release(user_data: *mut c_void, memory: *mut c_void, size: usize, alignment: usize) {
    guarded((), || {
        if let Ok(layout) = Layout::from_size_align(size.max(1), alignment) {
            // SAFETY: memory came from allocate with the same layout.
            unsafe { (*user_data.cast::<Box<HostAllocator>>()).dealloc(memory.cast(), layout) }
        }
    });
}

/// Every object made from a runtime holds this, for the log may be called until the last of them is gone.
pub(crate) struct RuntimeHandle {
    pub(crate) handle: *mut inlay_sys::inlay_runtime,
    _log: Box<Log>,
    _allocator: Option<Box<Box<HostAllocator>>>,
}

// SAFETY: the header lets any number of threads use a runtime at once; the log is Sync.
unsafe impl Send for RuntimeHandle {}
unsafe impl Sync for RuntimeHandle {}

impl Drop for RuntimeHandle {
    fn drop(&mut self) {
        // SAFETY: made by create, given back once, here.
        unsafe { inlay_sys::inlay_runtime_destroy(self.handle) }
    }
}

impl RuntimeHandle {
    pub(crate) fn check(&self, status: inlay_sys::inlay_status) -> Result<inlay_sys::inlay_status> {
        crate::native::check(status, |buffer, capacity| {
            // SAFETY: buffer has capacity bytes.
            unsafe { inlay_sys::inlay_runtime_message(self.handle, buffer, capacity) }
        })
    }
}

/// A device, its threads and its memory. Clones are the same runtime. Everything made from it keeps it alive.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) shared: Arc<RuntimeHandle>,
}

/// Host memory of a runtime and everything made from it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Held now.
    pub now: u64,
    /// Most held at once since create or the last reset.
    pub high_water: u64,
}

/// What host memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// The runtime itself, files, samplers, generators, what is only passing.
    Other,
    /// Models.
    Model,
    /// Sessions and pools.
    State,
    /// What passes work in.
    Scratch,
}

/// How [`Runtime::pack_with`] packs.
#[derive(Default)]
pub struct PackOptions<'p> {
    /// None: every tensor as it is; else "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k", "fp8" or "nvfp4".
    pub quantisation: Option<String>,
    /// Path of an importance matrix in llama.cpp's GGUF form, for the K types.
    pub imatrix: Option<String>,
    /// None: every device opens the package; "cuda": as CUDA devices read it, and they alone.
    pub layout: Option<String>,
    /// Called with the bytes done and of all; false stops it, and so does a panic, with [`Status::Cancelled`].
    pub progress: Option<Box<dyn FnMut(u64, u64) -> bool + 'p>>,
}

/// What a runtime computes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// Where.
    pub device: Device,
    /// Threads, the caller's included.
    pub threads: u32,
    /// Of the CPU kernels in use.
    pub instruction_set: String,
    /// The device's own name.
    pub device_name: String,
}

impl Runtime {
    /// With all defaults.
    pub fn new() -> Result<Runtime> {
        RuntimeOptions::new().create()
    }

    /// Bytes held now and at most.
    pub fn memory(&self) -> MemoryUse {
        self.read_memory(false)
    }

    /// The same; the high water starts again from now.
    pub fn reset_high_water(&self) -> MemoryUse {
        self.read_memory(true)
    }

    /// Bytes of one kind alone; with `reset` its high water starts again from now. Arenas are not counted.
    pub fn memory_of(&self, kind: MemoryKind, reset: bool) -> MemoryUse {
        let kind = match kind {
            MemoryKind::Other => inlay_sys::INLAY_MEMORY_OTHER,
            MemoryKind::Model => inlay_sys::INLAY_MEMORY_MODEL,
            MemoryKind::State => inlay_sys::INLAY_MEMORY_STATE,
            MemoryKind::Scratch => inlay_sys::INLAY_MEMORY_SCRATCH,
        };
        let mut use_ = params!(inlay_memory_use);
        // SAFETY: the handle lives; the struct has its size. It can't fail with these.
        unsafe { inlay_sys::inlay_runtime_memory_of(self.shared.handle, kind, reset as i32, &mut use_) };
        MemoryUse { now: use_.now, high_water: use_.high_water }
    }

    fn read_memory(&self, reset: bool) -> MemoryUse {
        let mut use_ = params!(inlay_memory_use);
        // SAFETY: the handle lives; the struct has its size. It can't fail with these.
        unsafe { inlay_sys::inlay_runtime_memory(self.shared.handle, reset as i32, &mut use_) };
        MemoryUse { now: use_.now, high_water: use_.high_water }
    }

    /// What it computes with.
    pub fn info(&self) -> Result<RuntimeInfo> {
        let mut info = params!(inlay_runtime_info);
        // SAFETY: as above; the strings live as long as the runtime and are copied here.
        unsafe {
            check_silent(inlay_sys::inlay_runtime_get_info(self.shared.handle, &mut info))?;
            Ok(RuntimeInfo {
                device: match info.device {
                    0 => Device::Cpu,
                    _ => Device::Cuda(info.device_index),
                },
                threads: info.threads,
                instruction_set: to_string(info.instruction_set),
                device_name: to_string(info.device_name),
            })
        }
    }

    /// Measures a plain streaming read of the memory that weights lie in, in bytes a second.
    pub fn measure_bandwidth(&self) -> Result<f64> {
        let mut bytes = 0.0;
        // SAFETY: the handle lives.
        let status = unsafe { inlay_sys::inlay_runtime_measure_bandwidth(self.shared.handle, &mut bytes) };
        self.shared.check(status).map(|_| bytes)
    }

    /// Makes a package of a model in any form; see `inlay_pack` in the header. `quantisation` None: as it is.
    pub fn pack(&self, input: &str, output: &str, quantisation: Option<&str>) -> Result<()> {
        let options = PackOptions { quantisation: quantisation.map(Into::into), ..Default::default() };
        self.pack_with(input, output, options)
    }

    /// The same, as the options say.
    pub fn pack_with(&self, input: &str, output: &str, mut options: PackOptions<'_>) -> Result<()> {
        let text = |it: &str| crate::native::c_string(it);
        let (input, output) = (text(input)?, text(output)?);
        let kind: Option<CString> = options.quantisation.as_deref().map(text).transpose()?;
        let imatrix: Option<CString> = options.imatrix.as_deref().map(text).transpose()?;
        let layout: Option<CString> = options.layout.as_deref().map(text).transpose()?;
        let mut given = params!(inlay_pack_params);
        given.layout = layout.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
        given.quantisation = kind.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
        given.imatrix = imatrix.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
        if let Some(callback) = &mut options.progress {
            given.progress = Some(progress);
            given.progress_user_data = (callback as *mut Box<ProgressFn<'_>>).cast();
        }
        // SAFETY: all strings, and the callback, live until the call returns.
        let status =
            unsafe { inlay_sys::inlay_pack(self.shared.handle, input.as_ptr(), output.as_ptr(), &given) };
        self.shared.check(status).map(|_| ())
    }

    /// The words of the last failed create or open under this runtime.
    pub fn message(&self) -> String {
        // SAFETY: buffer has capacity bytes.
        message(|buffer, capacity| unsafe {
            inlay_sys::inlay_runtime_message(self.shared.handle, buffer, capacity)
        })
    }
}

use std::fmt;

/// What a call came to, by the names of `inlay_status` without the states that are no errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// A number out of range, or text with a zero byte where none can be.
    InvalidArgument,
    /// The allocator or the device gave no memory.
    OutOfMemory,
    /// More than the runtime's memory limit or an arena.
    MemoryLimit,
    /// A file could not be opened or read.
    Io,
    /// A file contradicts itself or ends early.
    CorruptFile,
    /// Well formed, and not Inlay's.
    Unsupported,
    /// The session's context has no room for the tokens.
    ContextFull,
    /// The call does not fit where the object stands.
    WrongState,
    /// Another thread, or a callback's caller, is inside.
    Busy,
    /// The work was cancelled; the session is as before it.
    Cancelled,
    /// A callback reported an error or panicked.
    Callback,
    /// The device failed; the session can only be dropped.
    Device,
    /// A saved state is of another model or another layout.
    Mismatch,
    /// The file's chat template is none that Inlay renders.
    ChatTemplate,
    /// A defect of Inlay's own, or a status that this crate does not know.
    Internal,
}

impl Status {
    pub(crate) fn of(status: inlay_sys::inlay_status) -> Status {
        match status {
            inlay_sys::INLAY_ERROR_INVALID_ARGUMENT => Status::InvalidArgument,
            inlay_sys::INLAY_ERROR_OUT_OF_MEMORY => Status::OutOfMemory,
            inlay_sys::INLAY_ERROR_MEMORY_LIMIT => Status::MemoryLimit,
            inlay_sys::INLAY_ERROR_IO => Status::Io,
            inlay_sys::INLAY_ERROR_CORRUPT_FILE => Status::CorruptFile,
            inlay_sys::INLAY_ERROR_UNSUPPORTED => Status::Unsupported,
            inlay_sys::INLAY_ERROR_CONTEXT_FULL => Status::ContextFull,
            inlay_sys::INLAY_ERROR_WRONG_STATE => Status::WrongState,
            inlay_sys::INLAY_ERROR_BUSY => Status::Busy,
            inlay_sys::INLAY_ERROR_CANCELLED => Status::Cancelled,
            inlay_sys::INLAY_ERROR_CALLBACK => Status::Callback,
            inlay_sys::INLAY_ERROR_DEVICE => Status::Device,
            inlay_sys::INLAY_ERROR_MISMATCH => Status::Mismatch,
            inlay_sys::INLAY_ERROR_CHAT_TEMPLATE => Status::ChatTemplate,
            _ => Status::Internal,
        }
    }

    pub(crate) fn raw(self) -> inlay_sys::inlay_status {
        match self {
            Status::InvalidArgument => inlay_sys::INLAY_ERROR_INVALID_ARGUMENT,
            Status::OutOfMemory => inlay_sys::INLAY_ERROR_OUT_OF_MEMORY,
            Status::MemoryLimit => inlay_sys::INLAY_ERROR_MEMORY_LIMIT,
            Status::Io => inlay_sys::INLAY_ERROR_IO,
            Status::CorruptFile => inlay_sys::INLAY_ERROR_CORRUPT_FILE,
            Status::Unsupported => inlay_sys::INLAY_ERROR_UNSUPPORTED,
            Status::ContextFull => inlay_sys::INLAY_ERROR_CONTEXT_FULL,
            Status::WrongState => inlay_sys::INLAY_ERROR_WRONG_STATE,
            Status::Busy => inlay_sys::INLAY_ERROR_BUSY,
            Status::Cancelled => inlay_sys::INLAY_ERROR_CANCELLED,
            Status::Callback => inlay_sys::INLAY_ERROR_CALLBACK,
            Status::Device => inlay_sys::INLAY_ERROR_DEVICE,
            Status::Mismatch => inlay_sys::INLAY_ERROR_MISMATCH,
            Status::ChatTemplate => inlay_sys::INLAY_ERROR_CHAT_TEMPLATE,
            Status::Internal => inlay_sys::INLAY_ERROR_INTERNAL,
        }
    }

    /// The name that the header has, `"INLAY_ERROR_IO"` for example.
    pub fn name(self) -> &'static str {
        // SAFETY: never null, and lives as long as the library.
        unsafe { std::ffi::CStr::from_ptr(inlay_sys::inlay_status_name(self.raw())) }.to_str().unwrap_or("")
    }
}

/// A status and the words that the library left with the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: String,
}

impl Error {
    /// An error of your own, for callbacks that report one.
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error { status, message: message.into() }
    }

    /// What to decide by.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What to show a person; may be empty.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.is_empty() {
            true => f.write_str(self.status.name()),
            false => write!(f, "{}: {}", self.status.name(), self.message),
        }
    }
}

impl std::error::Error for Error {}

/// Inlay's results.
pub type Result<T> = std::result::Result<T, Error>;

//! What the other modules share: handles, messages, parameter structs, callbacks.
use crate::{Error, Result, Status};
use std::ffi::{c_void, CStr, CString};
use std::os::raw::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// A struct of the header's with every field zero, which is its default, and its size.
macro_rules! params {
    ($type:ident) => {{
        // SAFETY: every struct of the header is plain data, and zero is each field's default.
        let mut it: inlay_sys::$type = unsafe { std::mem::zeroed() };
        it.struct_size = std::mem::size_of::<inlay_sys::$type>() as u32;
        it
    }};
}
pub(crate) use params;

/// The words of a handle's last error; `ask` is one of the `_message` calls.
pub(crate) fn message(ask: impl Fn(*mut c_char, usize) -> usize) -> String {
    let mut buffer = vec![0u8; 512];
    loop {
        let length = ask(buffer.as_mut_ptr().cast(), buffer.len());
        if length < buffer.len() {
            buffer.truncate(length);
            return String::from_utf8_lossy(&buffer).into_owned();
        }
        buffer.resize(length + 1, 0);
    }
}

/// An error for a negative status; states pass through.
pub(crate) fn check(
    status: inlay_sys::inlay_status,
    ask: impl Fn(*mut c_char, usize) -> usize,
) -> Result<inlay_sys::inlay_status> {
    if status >= 0 {
        return Ok(status);
    }
    Err(Error::new(Status::of(status), message(ask)))
}

/// For objects without words of their own.
pub(crate) fn check_silent(status: inlay_sys::inlay_status) -> Result<inlay_sys::inlay_status> {
    check(status, |_, _| 0)
}

pub(crate) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(Status::InvalidArgument, "a zero byte inside a text"))
}

/// A string of the library's that lives as long as the object that was asked.
///
/// # Safety
/// `text` is null or zero terminated.
pub(crate) unsafe fn to_string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Runs a callback so that no panic leaves it.
pub(crate) fn guarded<T>(on_panic: T, callback: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(callback)).unwrap_or(on_panic)
}

/// The host's progress callback, behind the C one.
pub(crate) type ProgressFn<'a> = dyn FnMut(u64, u64) -> bool + 'a;

pub(crate) unsafe extern "C" fn progress(
    user_data: *mut c_void,
    done: u64,
    total: u64,
) -> inlay_sys::inlay_status {
    // SAFETY: user_data is the &mut Box<ProgressFn> that the call in progress was given.
    let callback = unsafe { &mut *user_data.cast::<Box<ProgressFn<'_>>>() };
    match guarded(false, || callback(done, total)) {
        true => inlay_sys::INLAY_OK,
        false => inlay_sys::INLAY_ERROR_CANCELLED,
    }
}

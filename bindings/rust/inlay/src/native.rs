//! What the other modules share: handles, messages, parameter structs, callbacks.
use crate::{Error, Result, Status};
use std::ffi::{c_void, CStr, CString};
use std::io;
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

/// A stream of the host's behind a C table, and the words of what went wrong in it.
struct Streamed<S> {
    stream: S,
    failure: Option<String>,
}

impl<S> Streamed<S> {
    /// # Safety
    /// `user_data` is that of a table whose call is under way.
    unsafe fn run(
        user_data: *mut c_void,
        work: impl FnOnce(&mut S) -> io::Result<()>,
    ) -> inlay_sys::inlay_status {
        // SAFETY: as above.
        let it = unsafe { &mut *user_data.cast::<Streamed<S>>() };
        let stream = &mut it.stream;
        match catch_unwind(AssertUnwindSafe(|| work(stream))) {
            Ok(Ok(())) => return inlay_sys::INLAY_OK,
            Ok(Err(error)) => it.failure = Some(error.to_string()),
            Err(panic) => it.failure = Some(panic_words(panic)),
        }
        inlay_sys::INLAY_ERROR_CALLBACK
    }

    /// Puts the stream's own words into the error that they caused.
    fn end(self, done: Result<inlay_sys::inlay_status>) -> Result<()> {
        match (done, self.failure) {
            (Err(error), Some(words)) if error.status() == Status::Callback => {
                Err(Error::new(Status::Callback, format!("the stream failed: {words}")))
            }
            (done, _) => done.map(|_| ()),
        }
    }
}

unsafe extern "C" fn write<W: io::Write>(
    user_data: *mut c_void,
    data: *const c_void,
    bytes: usize,
) -> inlay_sys::inlay_status {
    // SAFETY: user_data is of write_to below; the library gives `bytes` bytes until we return.
    unsafe { Streamed::<W>::run(user_data, |to| to.write_all(slice(data.cast::<u8>(), bytes))) }
}

unsafe extern "C" fn read<R: io::Read>(
    user_data: *mut c_void,
    destination: *mut c_void,
    bytes: usize,
) -> inlay_sys::inlay_status {
    // SAFETY: user_data is of read_from below; the destination has `bytes` bytes, written before anyone reads them.
    unsafe {
        std::ptr::write_bytes(destination.cast::<u8>(), 0, bytes);
        let place = std::slice::from_raw_parts_mut(destination.cast::<u8>(), bytes);
        Streamed::<R>::run(user_data, |from| from.read_exact(place))
    }
}

/// Hands a C table that writes to `stream` to a saving call.
pub(crate) fn write_to<W: io::Write>(
    stream: W,
    save: impl FnOnce(&inlay_sys::inlay_writer) -> Result<inlay_sys::inlay_status>,
) -> Result<()> {
    let mut streamed = Streamed { stream, failure: None };
    let mut table = params!(inlay_writer);
    table.user_data = (&mut streamed as *mut Streamed<W>).cast();
    table.write = Some(write::<W>);
    let done = save(&table);
    streamed.end(done)
}

/// Hands a C table that reads from `stream` to a loading call.
pub(crate) fn read_from<R: io::Read>(
    stream: R,
    load: impl FnOnce(&inlay_sys::inlay_reader) -> Result<inlay_sys::inlay_status>,
) -> Result<()> {
    let mut streamed = Streamed { stream, failure: None };
    let mut table = params!(inlay_reader);
    table.user_data = (&mut streamed as *mut Streamed<R>).cast();
    table.read = Some(read::<R>);
    let done = load(&table);
    streamed.end(done)
}

/// What was saved as bytes; `save` is one of the `_save_memory` calls, `room` what it asks for.
pub(crate) fn save_bytes(
    room: u64,
    save: impl FnOnce(*mut c_void, u64, &mut u64) -> Result<inlay_sys::inlay_status>,
) -> Result<Vec<u8>> {
    let mut saved = vec![0u8; room as usize];
    let mut bytes = 0;
    save(saved.as_mut_ptr().cast(), room, &mut bytes)?;
    saved.truncate(bytes as usize);
    Ok(saved)
}

/// Asks twice where the first room was too small: `ask` is given room and says how much all of it is.
pub(crate) fn fill<T: Clone + Default>(
    room: usize,
    mut ask: impl FnMut(*mut T, usize, &mut usize) -> Result<inlay_sys::inlay_status>,
) -> Result<Vec<T>> {
    let mut filled = vec![T::default(); room];
    loop {
        let mut count = 0;
        ask(filled.as_mut_ptr(), filled.len(), &mut count)?;
        let fits = count <= filled.len();
        filled.resize(count, T::default());
        if fits {
            return Ok(filled);
        }
    }
}

pub(crate) fn panic_words(panic: Box<dyn std::any::Any + Send>) -> String {
    let words = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(words), _) => words.to_string(),
        (_, Some(words)) => words.clone(),
        _ => "no words".into(),
    };
    // What a panic carries may panic in its drop.
    std::mem::forget(panic);
    format!("a panic: {words}")
}

/// # Safety
/// `data` is null or has `count` elements that live for 'a.
pub(crate) unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(data, count) }
}

pub(crate) fn microseconds(budget: Option<std::time::Duration>) -> u64 {
    budget.map_or(inlay_sys::INLAY_NO_BUDGET, |it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX))
}

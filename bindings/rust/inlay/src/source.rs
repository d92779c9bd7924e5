use crate::native::{c_string, guarded, params};
use crate::{Result, Status};
use std::ffi::{c_void, CString};
use std::io;
use std::marker::PhantomData;

/// A file in a storage of the host's: an archive, an asset system. Called by the thread that opens the file or makes
/// the model; dropped when nothing needs the file any more. A panic inside is an error of the open.
pub trait Io: Send {
    /// Bytes of the whole file.
    fn size(&self) -> io::Result<u64>;
    /// Fills `destination` from `offset`.
    fn read_at(&self, offset: u64, destination: &mut [u8]) -> io::Result<()>;
    /// The whole file, where it lies in memory; else weights are read into memory of the runtime's.
    fn map(&self) -> Option<&[u8]> {
        None
    }
}

/// Where a file comes from. A path makes one, `Source::from("model.gguf")`, and so do bytes.
pub struct Source<'d> {
    kind: Kind,
    _data: PhantomData<&'d [u8]>,
}

enum Kind {
    Path(String),
    Data(*const u8, usize),
    Io(Box<dyn Io + Send>),
}

impl<'d> Source<'d> {
    /// A whole file in memory, used where it lies.
    pub fn bytes(data: &'d [u8]) -> Source<'d> {
        Source { kind: Kind::Data(data.as_ptr(), data.len()), _data: PhantomData }
    }

    /// A file in a storage of the host's.
    pub fn io(io: impl Io + 'static) -> Source<'static> {
        Source { kind: Kind::Io(Box::new(io)), _data: PhantomData }
    }

    /// Hands the C struct to `open`. Its callbacks own the Io from the first moment: the library calls close once,
    /// also where the open fails.
    pub(crate) fn with<T>(self, open: impl FnOnce(&inlay_sys::inlay_source) -> T) -> Result<T> {
        let mut source = params!(inlay_source);
        let path: CString;
        let mut table = params!(inlay_io);
        match self.kind {
            Kind::Path(text) => {
                path = c_string(&text)?;
                source.path = path.as_ptr();
                Ok(open(&source))
            }
            Kind::Data(data, bytes) => {
                source.data = data.cast();
                source.data_size = bytes as u64;
                Ok(open(&source))
            }
            Kind::Io(io) => {
                table.user_data = Box::into_raw(Box::new(io)).cast();
                table.size = Some(size);
                table.read_at = Some(read_at);
                // SAFETY: user_data is what was made two lines above.
                if guarded(false, || unsafe { host(table.user_data) }.map().is_some()) {
                    table.map = Some(map);
                }
                table.close = Some(close);
                source.io = &table;
                Ok(open(&source))
            }
        }
    }
}

impl From<&str> for Source<'static> {
    fn from(path: &str) -> Self {
        Source { kind: Kind::Path(path.to_owned()), _data: PhantomData }
    }
}

impl From<String> for Source<'static> {
    fn from(path: String) -> Self {
        Source { kind: Kind::Path(path), _data: PhantomData }
    }
}

impl From<&std::path::Path> for Source<'static> {
    fn from(path: &std::path::Path) -> Self {
        Source::from(path.to_string_lossy().into_owned())
    }
}

impl<'d> From<&'d [u8]> for Source<'d> {
    fn from(data: &'d [u8]) -> Self {
        Source::bytes(data)
    }
}

/// # Safety
/// `user_data` is that of a table which `with` filled, before its close.
unsafe fn host<'a>(user_data: *mut c_void) -> &'a (dyn Io + Send) {
    // SAFETY: as above.
    unsafe { &**user_data.cast::<Box<dyn Io + Send>>() }
}

unsafe extern "C" fn size(user_data: *mut c_void, out_bytes: *mut u64) -> inlay_sys::inlay_status {
    guarded(Status::Callback.raw(), || {
        // SAFETY: the library gives a place for the result.
        match unsafe { host(user_data) }.size() {
            Ok(bytes) => {
                unsafe { *out_bytes = bytes };
                inlay_sys::INLAY_OK
            }
            Err(_) => inlay_sys::INLAY_ERROR_IO,
        }
    })
}

unsafe extern "C" fn read_at(
    user_data: *mut c_void,
    offset: u64,
    destination: *mut c_void,
    bytes: usize,
) -> inlay_sys::inlay_status {
    guarded(Status::Callback.raw(), || {
        if bytes == 0 {
            return inlay_sys::INLAY_OK;
        }
        // SAFETY: the destination has `bytes` bytes; they are written before anyone reads them.
        let destination = unsafe {
            std::ptr::write_bytes(destination.cast::<u8>(), 0, bytes);
            std::slice::from_raw_parts_mut(destination.cast::<u8>(), bytes)
        };
        // SAFETY: of `host`.
        match unsafe { host(user_data) }.read_at(offset, destination) {
            Ok(()) => inlay_sys::INLAY_OK,
            Err(_) => inlay_sys::INLAY_ERROR_IO,
        }
    })
}

unsafe extern "C" fn map(user_data: *mut c_void, out_base: *mut *const c_void) -> inlay_sys::inlay_status {
    guarded(Status::Callback.raw(), || {
        // SAFETY: the library gives a place for the result; the bytes live as long as the Io, until close.
        match unsafe { host(user_data) }.map() {
            Some(data) => {
                unsafe { *out_base = data.as_ptr().cast() };
                inlay_sys::INLAY_OK
            }
            None => inlay_sys::INLAY_ERROR_IO,
        }
    })
}

unsafe extern "C" fn close(user_data: *mut c_void) {
    // SAFETY: called once, last.
    guarded((), || drop(unsafe { Box::from_raw(user_data.cast::<Box<dyn Io + Send>>()) }));
}

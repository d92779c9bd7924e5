//! Every struct and enumerator of the header, as Rust lays it out, against what C says (`bindings/layout.txt`).
#![allow(clippy::all)]
use inlay_sys::*;
use std::fmt::Write;
use std::mem::size_of;

macro_rules! structure {
    ($text:ident, $name:ident $(, $field:ident)*) => {
        writeln!($text, "{} {}", stringify!($name), size_of::<$name>()).unwrap();
        let whole = std::mem::MaybeUninit::<$name>::uninit();
        $( {
            // SAFETY: an address within `whole`; nothing is read.
            let field = unsafe { std::ptr::addr_of!((*whole.as_ptr()).$field) };
            let offset = field as usize - whole.as_ptr() as usize;
            writeln!($text, "{}.{} {} {}", stringify!($name), stringify!($field).trim_end_matches('_'),
                     offset, size_of_pointed(field)).unwrap();
        } )*
    };
}

macro_rules! constant {
    ($text:ident, $name:ident) => {
        writeln!($text, "{} {}", stringify!($name), $name as i64).unwrap();
    };
}

fn size_of_pointed<T>(_: *const T) -> usize {
    size_of::<T>()
}

include!("list.rs");

#[test]
fn every_struct_is_as_in_c() {
    let mut text = String::new();
    describe(&mut text);
    let of_c = include_str!("../../../../layout.txt");
    for (ours, theirs) in text.lines().zip(of_c.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(text.lines().count(), of_c.lines().count());
}

#[test]
fn the_library_is_of_the_header() {
    let version = unsafe { inlay_version() };
    assert_eq!(version >> 16, INLAY_VERSION_MAJOR);
}

//! Every struct and enumerator of the header, as Rust lays it out, against what C says (`bindings/layout.txt`).
#![allow(clippy::all)]
use inlay_sys::*;
use std::fmt::Write;
use std::mem::{offset_of, size_of};

macro_rules! structure {
    ($text:ident, $name:ident $(, $field:ident)*) => {
        writeln!($text, "{} {}", stringify!($name), size_of::<$name>()).unwrap();
        $( writeln!($text, "{}.{} {} {}", stringify!($name), stringify!($field).trim_end_matches('_'),
                    offset_of!($name, $field), size_of_field(|it: &$name| &it.$field as *const _)).unwrap(); )*
    };
}

macro_rules! constant {
    ($text:ident, $name:ident) => {
        writeln!($text, "{} {}", stringify!($name), $name as i64).unwrap();
    };
}

fn size_of_field<T, F>(_: impl Fn(&T) -> *const F) -> usize {
    size_of::<F>()
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

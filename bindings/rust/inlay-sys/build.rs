//! Finds libinlay: in the folder that `INLAY_LIB_DIR` names, else by `pkg-config` (or what `PKG_CONFIG` names).
//!
//! A shared library that is found is linked into `OUT_DIR` too, where `cargo run` and `cargo test` let the loader
//! look. A program that is started otherwise needs the library where its system's loader looks.
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["INLAY_LIB_DIR", "PKG_CONFIG", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let folders = match std::env::var_os("INLAY_LIB_DIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => ask_pkg_config(),
    };
    println!("cargo:rustc-link-lib=dylib=inlay");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for folder in &folders {
        println!("cargo:rerun-if-changed={}", folder.join("libinlay.so").display());
        place_beside(folder, &out);
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
    println!("cargo:rustc-link-search=native={}", out.display());
}

/// The folders of `-L`; none where the library lies where the linker looks anyway.
fn ask_pkg_config() -> Vec<PathBuf> {
    let program = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let header = format!("{}.{}", env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    let answer = Command::new(&program)
        .args(["--libs", "--cflags", &format!("inlay >= {header}")])
        .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
        .output();
    let answer = match answer {
        Ok(answer) if answer.status.success() => answer.stdout,
        Ok(answer) => panic!(
            "libinlay was not found: set INLAY_LIB_DIR to its folder, or PKG_CONFIG_PATH to that of inlay.pc\n{}",
            String::from_utf8_lossy(&answer.stderr)
        ),
        Err(error) => panic!("INLAY_LIB_DIR is not set and {program} can't be run: {error}"),
    };
    let words = String::from_utf8_lossy(&answer).into_owned();
    words.split_whitespace().filter_map(|word| word.strip_prefix("-L")).map(PathBuf::from).collect()
}

fn place_beside(folder: &Path, out: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let shared =
            name.starts_with("libinlay.so") || name.starts_with("libinlay.") && name.ends_with("dylib");
        if !shared && name != "inlay.dll" {
            continue;
        }
        let place = out.join(&name);
        let _ = std::fs::remove_file(&place);
        #[cfg(unix)]
        let placed =
            std::os::unix::fs::symlink(folder.canonicalize().unwrap_or(folder.into()).join(&name), &place);
        #[cfg(not(unix))]
        let placed = std::fs::copy(entry.path(), &place).map(|_| ());
        if let Err(error) = placed {
            println!("cargo:warning=could not place {}: {error}", place.display());
        }
    }
}

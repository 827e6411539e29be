//! Builds the guest's init, static and for size, and leaves it where the library embeds it.

use std::env::var_os;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let out = PathBuf::from(var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let manifest = PathBuf::from(var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let guest = manifest.join("guest");
    for input in ["Cargo.toml", "src", "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", guest.join(input).display());
    }
    let target = var_os("TARGET")
        .expect("cargo sets TARGET")
        .into_string()
        .expect("an ASCII name");
    let init = out.join("init");
    // The machine that is emulated is an x86-64 one; elsewhere the library says so when asked.
    if target.starts_with("x86_64-") && target.contains("-linux-") {
        fs::copy(build(&guest, &out.join("guest"), &target), init).expect("copy the guest's init");
    } else {
        fs::write(init, []).expect("write an empty init");
    }
}

/// Builds the guest in a target directory of its own, where it waits for no lock of the outer
/// cargo and disturbs nothing of it.
fn build(guest: &Path, target_dir: &Path, target: &str) -> PathBuf {
    let mut cargo = Command::new(var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--target",
            target,
        ])
        .arg("--manifest-path")
        .arg(guest.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir)
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C relocation-model=static",
        )
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    // What the outer cargo, clippy or a coverage run set for their own build is not for the guest.
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "LLVM_PROFILE_FILE",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
    ] {
        cargo.env_remove(name);
    }
    let status = cargo.status().expect("run cargo for the guest");
    assert!(
        status.success(),
        "the guest's init did not build; it is linked statically, which needs the static C \
         library (Debian: libc6-dev, Fedora: glibc-static)"
    );
    target_dir.join(target).join("release").join("guest")
}

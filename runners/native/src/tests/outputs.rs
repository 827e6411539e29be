//! What is left after success and after failure.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::archive::tar;
use super::image::Image;
use super::{formats, run};
use crate::Format;

#[test]
fn an_existing_output_is_never_touched() {
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    Image::of([tar("f a")]).write(&layout);
    let out = place.path().join("out");
    for format in formats() {
        fs::write(&out, "mine").unwrap();
        let error = run(&layout, &out, format).unwrap_err().to_string();
        assert!(error.contains("File exists"), "{error}");
        assert_eq!(fs::read(&out).unwrap(), b"mine");
        fs::remove_file(&out).unwrap();
        std::os::unix::fs::symlink("nowhere", &out).unwrap();
        assert!(run(&layout, &out, format).is_err());
        assert!(!place.path().join("nowhere").exists());
        fs::remove_file(&out).unwrap();
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn outputs_without_a_place() {
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    Image::of([tar("f a")]).write(&layout);
    for format in formats() {
        for bad in ["missing/out", "out/..", "/", ""] {
            let output = match bad {
                "/" | "" => bad.into(),
                _ => place.path().join(bad),
            };
            assert!(run(&layout, &output, format).is_err(), "{bad}");
        }
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn the_tar_is_the_same_each_time() {
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    let layers = [
        "d b/, f b/x, d b-a/, f a, h c=>a",
        "w a, f b/y {SCHILY.xattr.user.k=v}",
    ];
    Image::of(layers.map(tar)).write(&layout);
    let outputs = ["one", "two"].map(|name| {
        let out = place.path().join(name);
        run(&layout, &out, Format::Tar).unwrap();
        assert_eq!(fs::metadata(&out).unwrap().mode() & 0o7777, 0o644);
        fs::read(out).unwrap()
    });
    assert_eq!(outputs[0], outputs[1]);
    // Everything in a directory comes before its next sibling.
    let mut archive = &outputs[0][..];
    let mut reader = crate::tar::Reader::new(&mut archive);
    let mut paths = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        paths.push(String::from_utf8(entry.path).unwrap());
    }
    assert_eq!(paths, ["./", "b/", "b/x", "b/y", "b-a/", "c"]);
}

#[test]
fn the_tar_holds_what_fields_cannot() {
    let long = "n".repeat(90);
    let layer = format!(
        "f a 1:1 {{uid=4294967294}} {{mtime=-1.5}}, f b {{path={long}/{long}}}, \
         l c->cut {{linkpath={long}/{long}}}, h d=>cut {{linkpath={long}/{long}}}"
    );
    super::check(
        &[&layer],
        &format!(
            "f a=x 4294967294:1 @-2.500000000, l c->{long}/{long}, f d=x, d {long} @0, \
             h {long}/{long}=>d"
        ),
    );
}

#[test]
fn directories_hand_nothing_down() {
    if !formats().contains(&Format::Dir) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    Image::of([tar("f a, d d/, f d/x")]).write(&layout);
    let parent = place.path().join("setgid");
    fs::create_dir(&parent).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o2777);
    rustix::fs::chown(&parent, None, Some(rustix::fs::Gid::from_raw(7))).unwrap();
    rustix::fs::chmod(&parent, mode).unwrap();
    let out = parent.join("out");
    run(&layout, &out, Format::Dir).unwrap();
    assert_eq!(super::listing::of_dir(&out), "f a=x, d d, f d/x=x");
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o7777, 0o755);
}

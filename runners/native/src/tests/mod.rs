//! Every rule as data: layers in the notation of [`archive`], the tree they make in the notation of
//! [`listing`]. Each check runs with the tar output and, as root, with the directory output too.

mod archive;
mod image;
mod listing;

mod attributes;
mod dialect;
mod documents;
mod links;
mod names;
mod outputs;
mod properties;
mod replace;
mod selection;
mod streams;
mod whiteouts;

use std::path::Path;

use crate::{Error, Format, Request, Summary, convert};

use self::archive::tar;
use self::image::Image;

/// The layers must make this tree.
#[track_caller]
fn check(layers: &[&str], expected: &str) {
    check_image(&Image::of(layers.iter().map(|text| tar(text))), expected);
}

/// One layer of these bytes must make this tree.
#[track_caller]
fn check_tar(layer: &[u8], expected: &str) {
    check_image(&Image::of([layer.to_vec()]), expected);
}

#[track_caller]
fn check_image(image: &Image, expected: &str) {
    for (format, result) in outcomes(image) {
        match result {
            Ok(listing) => assert_eq!(listing, expected, "as {format:?}"),
            Err(error) => panic!("as {format:?}: {error}"),
        }
    }
}

/// The layers must be refused, for this reason.
#[track_caller]
fn reject(layers: &[&str], reason: &str) {
    reject_image(&Image::of(layers.iter().map(|text| tar(text))), reason);
}

#[track_caller]
fn reject_tar(layer: &[u8], reason: &str) {
    reject_image(&Image::of([layer.to_vec()]), reason);
}

#[track_caller]
fn reject_image(image: &Image, reason: &str) {
    for (format, result) in outcomes(image) {
        match result {
            Ok(listing) => panic!("as {format:?}: accepted as {listing}"),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(reason), "as {format:?}: {message}");
            }
        }
    }
}

/// What each format makes of an image: a listing, or an error that left nothing behind.
#[track_caller]
fn outcomes(image: &Image) -> Vec<(Format, Result<String, Error>)> {
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    image.write(&layout);
    let mut outcomes = Vec::new();
    for format in formats() {
        let result = run(&layout, &place.path().join("out"), format);
        let listing = result.map(|_| {
            let out = place.path().join("out");
            let listing = match format {
                Format::Dir => listing::of_dir(&out),
                Format::Tar => listing::of_tar(&std::fs::read(&out).unwrap()),
            };
            match format {
                Format::Dir => std::fs::remove_dir_all(&out).unwrap(),
                Format::Tar => std::fs::remove_file(&out).unwrap(),
            }
            listing
        });
        let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "something is left: {left:?}");
        outcomes.push((format, listing));
    }
    outcomes
}

/// A directory with owners and devices needs root; the tar holds the same tree without.
fn formats() -> Vec<Format> {
    match rustix::process::geteuid().is_root() {
        true => vec![Format::Tar, Format::Dir],
        false => vec![Format::Tar],
    }
}

fn run(layout: &Path, output: &Path, format: Format) -> Result<Summary, Error> {
    convert(&Request {
        layout,
        reference: None,
        output,
        format,
        stop: None,
    })
}

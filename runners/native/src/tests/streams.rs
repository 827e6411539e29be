//! Compression, digests and sizes of layer blobs.

use std::os::unix::fs::MetadataExt;

use super::archive::{Member, tar};
use super::image::{Image, LAYER, Layer, gzip, zstd};
use super::{check_image, outcomes, reject_image};

fn gzip_layer(blob: Vec<u8>) -> Image {
    Image::with([Layer::new(&format!("{LAYER}+gzip"), blob, tar("f a"))])
}

fn zstd_layer(blob: Vec<u8>) -> Image {
    Image::with([Layer::new(&format!("{LAYER}+zstd"), blob, tar("f a"))])
}

#[test]
fn each_compression_in_one_image() {
    let layers = [
        Layer::new(LAYER, tar("f a"), tar("f a")),
        Layer::gzip(tar("f b")),
        Layer::zstd(tar("f c")),
    ];
    check_image(&Image::with(layers), "f a=x, f b=x, f c=x");
}

#[test]
fn several_gzip_members() {
    let stream = tar("f a");
    let (one, two) = stream.split_at(700);
    check_image(&gzip_layer([gzip(one), gzip(two)].concat()), "f a=x");
    check_image(
        &gzip_layer([gzip(one), gzip(b""), gzip(two)].concat()),
        "f a=x",
    );
    check_image(&gzip_layer([gzip(&stream), vec![0; 512]].concat()), "f a=x");
    for junk in [&b"JUNK"[..], b"\0\0JUNK", b"\x1f", b"\x1f\x8b\x08\x00"] {
        reject_image(
            &gzip_layer([&gzip(&stream)[..], junk].concat()),
            "not a gzip stream",
        );
    }
}

#[test]
fn gzip_headers_with_everything() {
    let plain = gzip(&tar("f a"));
    let mut header = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x04\0extrname\0comment\0".to_vec();
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    header.extend_from_slice(&crc.sum().to_le_bytes()[..2]);
    check_image(&gzip_layer([&header[..], &plain[10..]].concat()), "f a=x");
    *header.last_mut().unwrap() ^= 1;
    reject_image(
        &gzip_layer([&header[..], &plain[10..]].concat()),
        "wrong header CRC",
    );
    let mut reserved = plain.clone();
    reserved[3] = 0x20;
    reject_image(&gzip_layer(reserved), "reserved flags");
}

#[test]
fn damaged_gzip() {
    let plain = gzip(&tar("f a"));
    let flipped = |from_end: usize| {
        let mut blob = plain.clone();
        let at = blob.len() - from_end;
        blob[at] ^= 1;
        blob
    };
    reject_image(&gzip_layer(flipped(8)), "wrong CRC");
    reject_image(&gzip_layer(flipped(4)), "wrong length");
    for length in 0..plain.len() {
        let outcome = outcomes(&gzip_layer(plain[..length].to_vec()));
        assert!(
            outcome.into_iter().all(|(_, result)| result.is_err()),
            "{length} bytes"
        );
    }
}

#[test]
fn several_zstd_frames() {
    let stream = tar("f a");
    let (one, two) = stream.split_at(700);
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    check_image(&zstd_layer([zstd(one), zstd(two)].concat()), "f a=x");
    let frames = [
        skippable.clone(),
        zstd(one),
        skippable.clone(),
        zstd(two),
        skippable,
    ]
    .concat();
    check_image(&zstd_layer(frames), "f a=x");
    reject_image(
        &zstd_layer([&zstd(&stream)[..], b"JUNK"].concat()),
        "not a zstd stream",
    );
    reject_image(
        &zstd_layer([&zstd(&stream)[..], &[0; 16]].concat()),
        "not a zstd stream",
    );
    reject_image(
        &zstd_layer([&zstd(&stream)[..], b"\x28"].concat()),
        "ends inside a frame",
    );
    for length in 0..zstd(&stream).len() {
        let outcome = outcomes(&zstd_layer(zstd(&stream)[..length].to_vec()));
        assert!(
            outcome.into_iter().all(|(_, result)| result.is_err()),
            "{length} bytes"
        );
    }
}

#[test]
fn windows_and_dictionaries() {
    // A frame header with a window of 2^31 bytes, then one that asks for dictionary 1.
    let window = b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00".to_vec();
    reject_image(&zstd_layer(window), "not a zstd stream");
    let dictionary = b"\x28\xb5\x2f\xfd\x01\x58\x01\x01\x00\x00".to_vec();
    reject_image(&zstd_layer(dictionary), "not a zstd stream");
}

#[test]
fn labels_must_match_bytes() {
    let stream = tar("f a");
    let kinds = [
        ("", stream.clone()),
        ("+gzip", gzip(&stream)),
        ("+zstd", zstd(&stream)),
    ];
    for (label, _) in &kinds {
        for (kind, blob) in kinds.iter().filter(|(kind, _)| kind != label) {
            let layer = Layer::new(&format!("{LAYER}{label}"), blob.clone(), stream.clone());
            for (_, result) in outcomes(&Image::with([layer])) {
                assert!(result.is_err(), "`{kind}` labelled `{label}`");
            }
        }
    }
}

#[test]
fn digests() {
    let other = Layer::new(LAYER, tar("f a"), tar("f b"));
    reject_image(&Image::with([other]), "but the diff ID is");
    let swapped = [("f a", "f b"), ("f b", "f a")]
        .map(|(blob, stream)| Layer::new(&format!("{LAYER}+gzip"), gzip(&tar(blob)), tar(stream)));
    reject_image(&Image::with(swapped), "but the diff ID is");
    // Same size, one bit, in the padding after a content, which no entry is made of.
    let mut image = Image::of([tar("f a")]);
    let digest = super::image::descriptor(image.algorithm, LAYER, &tar("f a"))["digest"].clone();
    let mut flipped = tar("f a");
    flipped[1000] ^= 1;
    image
        .extra
        .insert(digest.as_str().unwrap().to_owned(), flipped);
    reject_image(&image, "the blob has digest");
    let mut image = Image::with([
        Layer::new(LAYER, tar("f a"), tar("f a")),
        Layer::gzip(tar("f b")),
        Layer::zstd(tar("f c")),
    ]);
    image.algorithm = crate::digest::Algorithm::Sha512;
    check_image(&image, "f a=x, f b=x, f c=x");
}

#[test]
fn repeated_layers() {
    check_image(&Image::of([tar("f a"), tar("f a")]), "f a=x");
    check_image(
        &Image::of([tar("f a"), tar("w a, f b"), tar("f a")]),
        "f a=x, f b=x",
    );
    check_image(&Image::of([]), "");
    let many: Vec<_> = (0..300).map(|n| tar(&format!("d d/, f d/{n}"))).collect();
    for (_, result) in outcomes(&Image::of(many)) {
        assert_eq!(result.unwrap().split(", ").count(), 301);
    }
}

#[test]
fn zeros_take_no_room() {
    let size = 16 << 20;
    let mut entry = Member::new(b'0', "zeros", b"");
    entry.octal(124..136, size);
    let zeros = vec![0; usize::try_from(size).unwrap()];
    let image = Image::with([Layer::gzip([entry.bytes(), zeros, tar("f end")].concat())]);
    check_image(&image, "f end=x, f zeros=<16777216>");
    let place = tempfile::tempdir().unwrap();
    image.write(&place.path().join("layout"));
    for format in super::formats() {
        let out = place.path().join(format!("{format:?}"));
        super::run(&place.path().join("layout"), &out, format).unwrap();
        let file = if out.is_dir() { out.join("zeros") } else { out };
        let metadata = file.metadata().unwrap();
        assert!(metadata.len() >= size);
        assert!(
            metadata.blocks() * 512 < size / 8,
            "{} blocks",
            metadata.blocks()
        );
    }
}

#[test]
fn bombs_end_at_their_budget() {
    // One zstd frame of run-length blocks: four bytes for each 128 KiB.
    let header = (128u32 << 10) << 3 | 1 << 1;
    let block = [&header.to_le_bytes()[..3], &[0]].concat();
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    for _ in 0..1000 {
        frame.extend_from_slice(&block);
    }
    let mut entry = Member::new(b'0', "zeros", b"");
    entry.base256(124..136, 1 << 40);
    let blob = [zstd(&entry.bytes()), frame].concat();
    let image = zstd_layer(blob);
    let place = tempfile::tempdir().unwrap();
    image.write(&place.path().join("layout"));
    let out = place.path().join("out");
    let error = super::run(&place.path().join("layout"), &out, crate::Format::Tar).unwrap_err();
    assert!(
        error.to_string().contains("expands to more than"),
        "{error}"
    );
    assert!(!out.exists());
}

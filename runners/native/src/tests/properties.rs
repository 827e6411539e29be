//! What must hold for every image, tried on many small ones from fixed seeds.

use std::fs;

use super::archive::tar;
use super::image::{Image, Layer};
use super::{listing, run};
use crate::Format;

/// Numbers that look random and are always the same (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % limit
    }

    fn path(&mut self, depth: usize) -> String {
        let names = (0..=self.below(depth)).map(|_| ["a", "b", "c"][self.below(3)]);
        names.collect::<Vec<_>>().join("/")
    }

    fn entry(&mut self) -> String {
        let path = self.path(3);
        match self.below(9) {
            0..3 => format!("d {path}/ 07{}0", self.below(8)),
            3..6 => format!("f {path}={}", self.below(10)),
            6 => format!("l {path}->{}", self.path(2)),
            7 => format!("l {path}->/{}", self.path(2)),
            _ => format!("h {path}=>{}", self.path(2)),
        }
    }

    fn whiteout(&mut self) -> String {
        match self.below(3) {
            0 => format!("o {}", self.path(2)),
            _ => format!("w {}", self.path(3)),
        }
    }

    fn list(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> String) -> Vec<String> {
        (0..self.below(most + 1)).map(|_| one(self)).collect()
    }
}

/// Runs over many images in one place.
fn outcome(place: &tempfile::TempDir, layers: &[String]) -> Result<String, String> {
    let (layout, out) = (place.path().join("layout"), place.path().join("out"));
    Image::of(layers.iter().map(|text| tar(text))).write(&layout);
    let result = run(&layout, &out, Format::Tar);
    fs::remove_dir_all(&layout).unwrap();
    result.map_err(|e| e.to_string())?;
    let listing = listing::of_tar(&fs::read(&out).unwrap());
    fs::remove_file(&out).unwrap();
    Ok(listing)
}

#[test]
fn the_place_of_a_whiteout_in_its_layer_does_not_matter() {
    let place = tempfile::tempdir().unwrap();
    let mut accepted = 0;
    for seed in 0..300 {
        let mut numbers = Numbers::new(seed);
        let lower = numbers.list(6, Numbers::entry).join(", ");
        let entries = numbers.list(3, Numbers::entry);
        let whiteouts = numbers.list(2, Numbers::whiteout);
        let upper = |before: usize| {
            let (front, back) = entries.split_at(before.min(entries.len()));
            [front, &whiteouts, back].concat().join(", ")
        };
        let first = outcome(&place, &[lower.clone(), upper(0)]);
        for before in 1..=entries.len() {
            let later = outcome(&place, &[lower.clone(), upper(before)]);
            match (&first, &later) {
                (Ok(first), Ok(later)) => {
                    assert_eq!(first, later, "seed {seed}: {lower} | {}", upper(before));
                    accepted += 1;
                }
                (Err(_), Err(_)) => {}
                // What a link in the same layer makes of a target that is hidden is left open.
                _ if entries.iter().any(|entry| entry.starts_with('h')) => {}
                _ => panic!(
                    "{first:?}, {later:?}, seed {seed}: {lower} | {}",
                    upper(before)
                ),
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn damaged_archives_are_refused_or_read_and_leave_nothing() {
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    let good = tar(
        "d d/ {SCHILY.xattr.user.k=v}, f d/f=content {mtime=1.5} {path=d/g}, \
                    l d/l->f, h d/h=>d/g, q d/q, c d/c 1,3, w x, o d",
    );
    let (mut read, mut refused) = (0, 0);
    for seed in 0..300 {
        let mut numbers = Numbers::new(seed);
        let mut bytes = good.clone();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(bytes.len());
            match numbers.below(4) {
                0 => bytes[at] ^= 1 << numbers.below(8),
                1 => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.copy_within(at.., 0),
            }
            fix_checksums(&mut bytes);
        }
        Image::with([Layer::gzip(bytes)]).write(&layout);
        let out = place.path().join("out");
        match run(&layout, &out, Format::Tar) {
            Ok(_) => {
                read += 1;
                listing::of_tar(&fs::read(&out).unwrap());
                fs::remove_file(&out).unwrap();
            }
            Err(_) => refused += 1,
        }
        fs::remove_dir_all(&layout).unwrap();
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            0,
            "seed {seed}"
        );
    }
    assert!(read > 30 && refused > 30, "{read} read, {refused} refused");
}

/// Makes what is wrong in a block that may be a header be found by something else than its checksum.
fn fix_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }
}

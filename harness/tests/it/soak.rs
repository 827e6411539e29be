//! Ten thousand mutated images, and what none of our readers may do about them.

use crate::project::{Said, checkout};
use crate::require::HARNESS;

/// Runs `harness soak` on the checkout's corpus, which it only reads.
fn soak(arguments: &[&str]) -> Said {
    let mut command = std::process::Command::new(HARNESS);
    command
        .arg("--home")
        .arg(checkout())
        .arg("soak")
        .args(arguments);
    Said::of(command)
}

#[test]
fn nothing_panics_hangs_or_takes_all_memory() {
    let said = soak(&["--count", "10000"])
        .is(0)
        .prints("10000 mutated images");
    // A mutation that is always refused at the same place would find nothing.
    for reader in ["native", "layout", "archive", "case", "mtree"] {
        let line = said.stdout.lines().find(|line| line.starts_with(reader));
        let words: Vec<&str> = line.unwrap().split_whitespace().collect();
        let count = |index: usize| words[index].parse::<u64>().unwrap();
        let (accepted, refused, panicked) = (count(1), count(3), count(5));
        assert_eq!(panicked, 0, "{}", said.stdout);
        assert_eq!(accepted + refused, 10_000, "{}", said.stdout);
        assert!(accepted > 500 && refused > 500, "{}", said.stdout);
    }
}

#[test]
fn an_item_is_asked_again_by_its_number() {
    let one = soak(&["--only", "7", "--seed", "3"]).is(0);
    assert_eq!(
        one.stdout,
        soak(&["--only", "7", "--seed", "3"]).is(0).stdout
    );
}

#[test]
fn seeds_are_for_every_target() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().display().to_string();
    soak(&["--seeds", &to]).is(0).prints("seeds in");
    let fuzz = checkout().join("harness/fuzz/fuzz_targets");
    for target in std::fs::read_dir(fuzz).unwrap() {
        let target = target.unwrap().path();
        let seeds = folder.path().join(target.file_stem().unwrap());
        let count = std::fs::read_dir(&seeds).unwrap().count();
        assert!(count > 100, "{}: {count}", seeds.display());
    }
}

//! Images that share a machine: what one is, or does, changes nothing of what is seen of another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use harness::boot::{Arrangement, Boot, Job, Machine, Mode, Outcome};
use harness::case::{Content, Time};
use harness::image::erofs::{Inode, Kind};
use harness::runner::Profile;

use super::images::{self, Image, SHELL, Tree};
use super::machine::{LONG, boot, machine};
use super::{HELLO, hostile};

/// What is seen of these images by one guest.
fn shelf(machine: &Machine, images: &[&Image], commands: &[&str]) -> Boot {
    let paths: Vec<PathBuf> = images.iter().map(|image| image.path().to_owned()).collect();
    several(machine, images[0], &paths, commands)
}

/// The same of files that are of the type of `like`.
fn several(machine: &Machine, like: &Image, paths: &[PathBuf], commands: &[&str]) -> Boot {
    let commands: Vec<Vec<u8>> = commands.iter().map(|one| one.as_bytes().into()).collect();
    let job = Job {
        images: paths,
        arrangement: Arrangement::Shelf(&vec![0; paths.len()]),
        ..like.job(&commands)
    };
    machine.boot(&job).unwrap()
}

#[test]
fn each_image_is_seen_as_if_it_were_alone() {
    let tree = Tree::new();
    let (Some(machine), Some(whole)) = (machine(Mode::Snapshot), tree.erofs(&[])) else {
        return;
    };
    let mut garbage = whole.copy();
    garbage.zero(0, 4096);
    let folder = tempfile::tempdir().unwrap();
    let without = folder.path().join("without.erofs");
    let bytes = images::layer(&[("etc/name", "other\n")]).write().unwrap();
    std::fs::write(&without, bytes).unwrap();
    let paths = [whole.path(), garbage.path(), &without, whole.path()].map(PathBuf::from);
    let commands = [HELLO, "exit 3"];
    let seen = several(machine, &whole, &paths, &commands);
    assert_eq!((&seen.failure, seen.stacks.len()), (&None, 4));
    let why = seen.stacks[1].as_ref().unwrap_err();
    assert!(why.starts_with("mount as erofs: "), "{why}");
    for number in [0, 2, 3] {
        let walked = seen.stacks[number].as_ref().unwrap();
        let alone = machine
            .boot(&Job {
                images: &paths[number..=number],
                ..whole.job(&commands.map(|one| one.as_bytes().into()))
            })
            .unwrap();
        assert_eq!(alone.failure, None);
        assert_eq!(Some(&walked.mtree), alone.mtree.as_ref());
        assert_eq!(walked.commands, alone.commands);
        assert_eq!(walked.read_errors, []);
    }
    let walked = seen.stacks[2].as_ref().unwrap();
    assert!(matches!(walked.commands[0].outcome, Outcome::NotStarted(_)));
    let only_read = several(machine, &whole, &paths, &[]);
    for (asked, read) in seen.stacks.iter().zip(&only_read.stacks) {
        let tree = |walked: &Result<harness::boot::Walked, String>| {
            walked.as_ref().map(|walked| walked.mtree.clone()).ok()
        };
        assert_eq!(tree(asked), tree(read));
    }
}

#[test]
fn an_unreadable_file_is_told_of_its_own_image() {
    let tree = Tree::new();
    tree.big_file();
    let (Some(machine), Some(whole)) = (machine(Mode::Snapshot), tree.erofs(&["-zlz4"])) else {
        return;
    };
    let mut damaged = whole.copy();
    let length = std::fs::metadata(damaged.path()).unwrap().len();
    damaged.truncate(2);
    let seen = shelf(machine, &[&whole, &damaged, &whole], &["echo hello"]);
    assert_eq!(seen.failure, None, "{length} bytes");
    let errors = |number: usize| match &seen.stacks[number] {
        Ok(walked) => walked.read_errors.len(),
        Err(_) => usize::MAX,
    };
    assert_eq!((errors(0), errors(2)), (0, 0));
    assert!(errors(1) > 0);
}

#[test]
fn a_hostile_program_reaches_nothing_of_the_next_image() {
    let whole = Tree::new().ext4();
    let (Some(machine), Some(hostile), Some(whole)) = (machine(Mode::Snapshot), hostile(), whole)
    else {
        return;
    };
    let commands = ["/hostile look", "echo hello"];
    let seen = shelf(machine, &[&hostile, &whole], &commands);
    assert_eq!(seen.failure, None);
    let walked = |number: usize| seen.stacks[number].as_ref().unwrap();
    let output = String::from_utf8_lossy(&walked(0).commands[0].output).into_owned();
    assert!(output.ends_with("looked\n"), "{output}");
    assert!(!output.contains("reached"), "{output}");
    let alone = boot(machine, &whole, &commands);
    assert_eq!(alone.mtree.as_ref(), Some(&walked(1).mtree));
    assert_eq!(alone.commands, walked(1).commands);
    assert_eq!(alone.commands[1].output, b"hello\n");
}

/// What a guest sees of roots, each of these files, that are made up so, and of each by itself.
#[track_caller]
fn check(machine: &Machine, job: &Job<'_>, roots: &[&[PathBuf]], is_stack: bool) {
    let images: Vec<PathBuf> = roots.concat();
    let layers = roots.iter().map(|root| match is_stack {
        true => root.len() as u32,
        false => 0,
    });
    let seen = machine
        .boot(&Job {
            images: &images,
            arrangement: Arrangement::Shelf(&layers.collect::<Vec<_>>()),
            ..*job
        })
        .unwrap();
    assert_eq!((&seen.failure, seen.stacks.len()), (&None, roots.len()));
    for (root, walked) in roots.iter().zip(&seen.stacks) {
        let walked = walked.as_ref().unwrap();
        let alone = machine
            .boot(&Job {
                images: root,
                arrangement: match is_stack {
                    true => Arrangement::Stack,
                    false => Arrangement::Single,
                },
                ..*job
            })
            .unwrap();
        assert_eq!(alone.failure, None);
        assert_eq!(Some(&walked.mtree), alone.mtree.as_ref(), "{}", job.profile);
        assert_eq!(walked.commands, alone.commands);
        assert_eq!(walked.written, alone.written);
        let is_written = matches!(walked.written, Some(Ok(_)));
        assert_eq!(
            is_written,
            job.profile.is_writable(),
            "{:?}",
            walked.written
        );
    }
}

#[test]
fn every_profile_shows_an_image_among_others_as_it_shows_it_alone() {
    let tree = Tree::new();
    let (Some(machine), Some(ext4), Some(erofs)) =
        (machine(Mode::Snapshot), tree.ext4(), tree.erofs(&[]))
    else {
        return;
    };
    // What one shell leaves in its root no other may see.
    let commands = [HELLO, "echo left >/left; exit 3"].map(|one| one.as_bytes().to_vec());
    for (image, profiles) in [
        (&ext4, &[Profile::Ro, Profile::Overlay, Profile::Rw][..]),
        (&erofs, &[Profile::Ro, Profile::Overlay]),
    ] {
        let one = [image.path().to_owned()];
        for profile in profiles {
            let job = Job {
                profile: *profile,
                ..image.job(&commands)
            };
            check(machine, &job, &[&one, &one, &one], false);
        }
    }
}

#[test]
fn stacks_of_layers_are_told_apart() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let layer = |name: &str, files: &[(&str, &str)]| {
        let path = folder.path().join(name);
        std::fs::write(&path, images::layer(files).write().unwrap()).unwrap();
        path
    };
    let base = layer("base", &[("bin/sh", SHELL), ("a", "base"), ("b", "base")]);
    let top = layer("top", &[("a", "top"), ("!b", "")]);
    let other = layer("other", &[("c", "other")]);
    let roots = [
        &[base.clone(), top.clone()][..],
        std::slice::from_ref(&base),
        &[base.clone(), other, top],
    ];
    let transcript = folder.path().join("transcript");
    let commands = [HELLO.as_bytes().to_vec()];
    for profile in [Profile::Layers, Profile::Overlay] {
        let job = Job {
            images: &[],
            arrangement: Arrangement::Stack,
            filesystem: "erofs",
            profile,
            upper: None,
            walk: true,
            stacks: &[],
            commands: &commands,
            transcript: &transcript,
            time_limit: LONG,
        };
        check(machine, &job, &roots, true);
    }
    // A layer that is none leaves nothing mounted for the next.
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, [0; 8192]).unwrap();
    let images = [base.clone(), garbage, base.clone()];
    let seen = machine
        .boot(&Job {
            images: &images,
            arrangement: Arrangement::Shelf(&[2, 1]),
            filesystem: "erofs",
            profile: Profile::Layers,
            upper: None,
            walk: true,
            stacks: &[],
            commands: &commands,
            transcript: &transcript,
            time_limit: LONG,
        })
        .unwrap();
    assert!(
        seen.stacks[0].is_err() && seen.stacks[1].is_ok(),
        "{seen:?}"
    );
}

#[test]
fn a_file_of_nobody_at_all_is_read() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut tree = images::layer(&[("bin/sh", SHELL)]);
    let root = tree.root();
    for (name, kind) in [
        ("file", Kind::File(Content::Bytes(b"text".to_vec()))),
        ("folder", Kind::Dir(BTreeMap::new())),
    ] {
        let nobody = tree.add(Inode {
            kind,
            mode: 0o755,
            uid: u32::MAX,
            gid: u32::MAX,
            mtime: Time::default(),
            xattrs: BTreeMap::new(),
        });
        tree.link(root, name, nobody);
    }
    let image = folder.path().join("image");
    std::fs::write(&image, tree.write().unwrap()).unwrap();
    let seen = machine
        .boot(&Job {
            images: &[image],
            arrangement: Arrangement::Single,
            filesystem: "erofs",
            profile: Profile::Ro,
            upper: None,
            walk: true,
            stacks: &[],
            commands: &[],
            transcript: &folder.path().join("transcript"),
            time_limit: LONG,
        })
        .unwrap();
    assert_eq!((seen.failure, seen.read_errors), (None, Vec::new()));
    let listing = String::from_utf8(seen.mtree.unwrap()).unwrap();
    // So stat(2) shows a number that is no owner.
    assert!(listing.contains("./file type=file uid=65534"), "{listing}");
}

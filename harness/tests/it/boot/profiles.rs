//! The ways in which an image becomes the root, and the file that is written into a writable one.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::boot::{Arrangement, Boot, Failure, Job, Machine, Mode, Outcome, Writer};
use harness::runner::Profile;

use super::images::{self, Image, Tree};
use super::machine::{LONG, machine};
use super::{HELLO, check_whole, hostile, text};
use crate::require::tool;

/// Boots an image in a profile, walks it and runs commands in it.
#[track_caller]
fn boot(machine: &Machine, image: &Image, profile: Profile, commands: &[&str]) -> Boot {
    boot_over(machine, image, profile, commands, None)
}

#[track_caller]
fn boot_over(
    machine: &Machine,
    image: &Image,
    profile: Profile,
    commands: &[&str],
    upper: Option<&Path>,
) -> Boot {
    let commands: Vec<Vec<u8>> = commands.iter().map(|one| one.as_bytes().into()).collect();
    let job = Job {
        profile,
        upper,
        ..image.job(&commands)
    };
    machine.boot(&job).unwrap()
}

/// A file's bytes and times, as far as a write would change them.
fn state(image: &Image) -> (Vec<u8>, std::time::SystemTime) {
    let modified = std::fs::metadata(image.path()).unwrap().modified().unwrap();
    (std::fs::read(image.path()).unwrap(), modified)
}

#[test]
fn every_profile_shows_the_same_tree_and_writes_nothing_to_the_image() {
    let tree = Tree::new();
    let (Some(machine), Some(ext4), Some(erofs)) =
        (machine(Mode::Snapshot), tree.ext4(), tree.erofs(&[]))
    else {
        return;
    };
    for (image, profiles) in [
        (ext4, &[Profile::Ro, Profile::Overlay, Profile::Rw][..]),
        (erofs, &[Profile::Ro, Profile::Overlay]),
    ] {
        let before = state(&image);
        let plain = boot(machine, &image, Profile::Ro, &[HELLO, "exit 3"]);
        for profile in profiles {
            let seen = boot(machine, &image, *profile, &[HELLO, "exit 3"]);
            check_whole(&seen);
            assert_eq!(text(&seen), text(&plain), "{profile}");
            let written = profile.is_writable().then_some(Ok(Writer::Init));
            assert_eq!(seen.written, written, "{profile}");
        }
        assert!(state(&image) == before, "the image was written to");
    }
    // What was restored was restored: nothing fell back to a cold boot.
    assert_eq!(machine.take_notes(), [""; 0]);
}

#[test]
fn a_cold_boot_writes_as_well() {
    let (Some(cold), Some(image)) = (machine(Mode::Cold), Tree::new().ext4()) else {
        return;
    };
    for profile in [Profile::Overlay, Profile::Rw] {
        let seen = boot(cold, &image, profile, &[HELLO, "exit 3"]);
        check_whole(&seen);
        assert_eq!(seen.written, Some(Ok(Writer::Init)), "{profile}");
    }
}

#[test]
fn the_root_of_an_overlay_is_the_root_of_the_image() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new();
    std::fs::set_permissions(tree.path(), PermissionsExt::from_mode(0o1711)).unwrap();
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), tree.erofs(&[])) else {
        return;
    };
    let [plain, overlay] =
        [Profile::Ro, Profile::Overlay].map(|profile| text(&boot(machine, &image, profile, &[])));
    assert!(plain.contains(" mode=1711 "), "{plain}");
    assert_eq!(overlay, plain);
}

/// An image whose shell writes as `/behave` says.
fn with_writer(behaviour: &str) -> Option<Image> {
    let tree = Tree::new();
    images::compile("writer", &tree.path().join("usr/bin/sh"));
    std::fs::write(tree.path().join("behave"), behaviour).unwrap();
    tree.ext4()
}

#[test]
fn the_shell_of_the_image_writes_where_it_can() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let not_removed = "it cannot be written: Is a directory (os error 21)".to_owned();
    for (behaviour, written) in [
        ("write", Ok(Writer::Shell)),
        ("nothing", Ok(Writer::Init)),
        // Whatever else it leaves there is neither believed nor followed.
        ("other", Ok(Writer::Init)),
        ("link", Ok(Writer::Init)),
        ("absolute", Ok(Writer::Init)),
        ("directory", Err(not_removed)),
    ] {
        let Some(image) = with_writer(behaviour) else {
            return;
        };
        for profile in [Profile::Overlay, Profile::Rw] {
            let seen = boot(machine, &image, profile, &["echo hello"]);
            assert_eq!(seen.failure, None);
            assert_eq!(seen.commands[0].output, b"hello\n");
            assert_eq!(
                seen.written.as_ref(),
                Some(&written),
                "{behaviour} {profile}"
            );
        }
    }
}

#[test]
fn what_cannot_be_written_is_said() {
    let tree = Tree::new();
    let (Some(machine), Some(erofs)) = (machine(Mode::Snapshot), tree.erofs(&[])) else {
        return;
    };
    let read_only = boot(machine, &erofs, Profile::Rw, &[]);
    let why = "it cannot be written: Read-only file system (os error 30)";
    assert_eq!(read_only.written, Some(Err(why.to_owned())));

    let Some(full) = full(&tree) else { return };
    let no_room = "it cannot be written: No space left on device (os error 28)";
    let seen = boot(machine, &full, Profile::Rw, &["echo hello"]);
    assert_eq!(seen.commands[0].output, b"hello\n");
    assert_eq!(seen.written, Some(Err(no_room.to_owned())));
}

/// A filesystem in which no file can be made, as it has no inode left.
fn full(tree: &Tree) -> Option<Image> {
    use std::os::unix::fs::FileExt as _;
    let image = tree.ext4_with(&["-N", "64"])?;
    let mut free = [0; 4];
    let file = std::fs::File::open(image.path()).unwrap();
    file.read_exact_at(&mut free, 1024 + 16).unwrap();
    for number in 0..u32::from_le_bytes(free) {
        std::fs::write(tree.path().join(format!("filler{number}")), "").unwrap();
    }
    tree.ext4_with(&["-N", "64"])
}

#[test]
fn a_writable_layer_of_no_use_is_no_fault_of_the_image() {
    let tree = Tree::new();
    let (Some(machine), Some(image), Some(mut upper)) =
        (machine(Mode::Snapshot), tree.erofs(&[]), tree.ext4())
    else {
        return;
    };
    // A layer that was used before may hold anything but what stands in its way.
    let before = state(&upper);
    let seen = boot_over(
        machine,
        &image,
        Profile::Overlay,
        &["echo hello"],
        Some(upper.path()),
    );
    assert_eq!(seen.commands[0].output, b"hello\n");
    assert_eq!(seen.written, Some(Ok(Writer::Init)));
    assert!(state(&upper) == before, "the layer below was written to");

    upper.zero(1024, 1024);
    let seen = boot_over(
        machine,
        &image,
        Profile::Overlay,
        &[HELLO],
        Some(upper.path()),
    );
    let Some(Failure::Upper(why)) = &seen.failure else {
        panic!("{seen:?}")
    };
    assert!(
        why.starts_with("mount the disk of the writable layer: "),
        "{why}"
    );
    assert_eq!((seen.mtree, seen.written), (None, None));
}

#[test]
fn a_full_writable_layer_is_said_to_be_full() {
    let tree = Tree::new();
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), tree.erofs(&[])) else {
        return;
    };
    for name in ["upper", "work/work"] {
        std::fs::create_dir_all(tree.path().join(name)).unwrap();
    }
    let Some(upper) = full(&tree) else { return };
    let seen = boot_over(
        machine,
        &image,
        Profile::Overlay,
        &["echo hello"],
        Some(upper.path()),
    );
    let why = match (&seen.failure, &seen.written) {
        (None, Some(Err(why))) | (Some(Failure::Upper(why)), None) => why,
        _ => panic!("{seen:?}"),
    };
    assert!(why.contains("No space left"), "{why}");
}

#[test]
fn a_hostile_program_reaches_nothing_in_any_profile() {
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), hostile()) else {
        return;
    };
    for (profile, root) in [
        (Profile::Overlay, "mount overlay / overlay"),
        (Profile::Rw, "mount /dev/vda / ext4"),
        (Profile::Layers, "mount overlay / overlay"),
    ] {
        let commands = [b"/hostile look".to_vec()];
        let job = Job {
            profile,
            arrangement: match profile {
                Profile::Layers => Arrangement::Stack,
                _ => Arrangement::Single,
            },
            ..image.job(&commands)
        };
        let seen = machine.boot(&job).unwrap();
        let output = String::from_utf8_lossy(&seen.commands[0].output).into_owned();
        assert!(output.ends_with("looked\n"), "{seen:?}");
        assert!(!output.contains("reached"), "{output}");
        let mut mounts: Vec<&str> = output
            .lines()
            .filter(|line| line.starts_with("mount "))
            .collect();
        mounts.sort_unstable();
        let mut expected = vec!["mount dev /dev tmpfs", "mount proc /proc proc", root];
        expected.sort_unstable();
        assert_eq!(mounts, expected, "{profile}");
    }
}

/// EROFS images of directories that hold these files, each with its content; a name that begins with `!`
/// is a whiteout.
fn layers(files: &[&[(&str, &str)]]) -> Option<(tempfile::TempDir, Vec<PathBuf>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    for (number, files) in files.iter().enumerate() {
        let image = folder.path().join(format!("{number}.erofs"));
        let tree = images::layer(files);
        std::fs::write(&image, tree.write().unwrap()).unwrap();
        images.push(image);
    }
    Some((folder, images))
}

/// What a stack of layers is, and what its shell says to these commands.
#[track_caller]
fn stack(machine: &Machine, images: &[PathBuf], profile: Profile, commands: &[&str]) -> Boot {
    let folder = tempfile::tempdir().unwrap();
    let commands: Vec<Vec<u8>> = commands.iter().map(|one| one.as_bytes().into()).collect();
    let job = Job {
        images,
        arrangement: Arrangement::Stack,
        filesystem: "erofs",
        profile,
        upper: None,
        walk: true,
        stacks: &[],
        commands: &commands,
        transcript: &folder.path().join("transcript"),
        time_limit: LONG,
    };
    machine.boot(&job).unwrap()
}

#[test]
fn layers_are_stacked_in_their_order() {
    let (Some(machine), Some((_folder, images))) = (
        machine(Mode::Snapshot),
        layers(&[
            &[
                ("bin/sh", images::SHELL),
                ("a", "lower"),
                ("b", "lower"),
                ("d/x", "x"),
            ],
            &[("a", "middle"), ("!b", ""), ("d/y", "y")],
            &[("c", "top"), ("!d/x", "")],
        ]),
    ) else {
        return;
    };
    for profile in [Profile::Layers, Profile::Overlay] {
        let seen = stack(machine, &images, profile, &["cat /a /c /d/y; test -e /b"]);
        assert_eq!(seen.failure, None);
        assert_eq!(seen.commands[0].outcome, Outcome::Exited(1));
        assert_eq!(seen.commands[0].output, b"middletopy");
        let mtree = text(&seen);
        let paths: Vec<&str> = mtree
            .lines()
            .skip(1)
            .filter_map(|l| l.split(' ').next())
            .collect();
        assert_eq!(
            paths,
            [".", "./a", "./bin", "./bin/sh", "./c", "./d", "./d/y"]
        );
        let written = (profile == Profile::Overlay).then_some(Ok(Writer::Init));
        assert_eq!(seen.written, written);
    }
    // Another order is another tree.
    let turned: Vec<PathBuf> = images.iter().rev().cloned().collect();
    let seen = stack(machine, &turned, Profile::Layers, &["cat /a"]);
    assert_eq!(seen.commands[0].output, b"lower");
    assert_eq!(machine.take_notes(), [""; 0]);
}

#[test]
fn one_layer_is_a_stack_too() {
    let (Some(machine), Some((_folder, images))) = (
        machine(Mode::Snapshot),
        layers(&[&[("bin/sh", images::SHELL), ("!gone", "")]]),
    ) else {
        return;
    };
    for profile in [Profile::Layers, Profile::Overlay] {
        let seen = stack(machine, &images, profile, &["echo hello"]);
        assert_eq!(seen.commands[0].output, b"hello\n");
        assert!(!text(&seen).contains("gone"), "a whiteout shows: {seen:?}");
    }
}

#[test]
fn a_broken_layer_is_named() {
    let (Some(machine), Some((_folder, images))) = (
        machine(Mode::Snapshot),
        layers(&[&[("bin/sh", images::SHELL)], &[("a", "a")], &[("b", "b")]]),
    ) else {
        return;
    };
    let mut bytes = std::fs::read(&images[1]).unwrap();
    bytes[1024] ^= 0xff;
    std::fs::write(&images[1], bytes).unwrap();
    let seen = stack(machine, &images, Profile::Layers, &["echo hello"]);
    let Some(Failure::Mount(why)) = seen.failure else {
        panic!("{seen:?}")
    };
    assert!(why.starts_with("mount layer 1 as erofs: "), "{why}");
}

/// So many layers, each with a file of its own and one that all have.
fn many(count: usize) -> Option<(tempfile::TempDir, Vec<PathBuf>)> {
    let names: Vec<(String, String)> = (0..count)
        .map(|number| (format!("f{number}"), number.to_string()))
        .collect();
    let files: Vec<Vec<(&str, &str)>> = names
        .iter()
        .map(|(name, number)| vec![(name.as_str(), "x"), ("who", number.as_str())])
        .chain([vec![("bin/sh", images::SHELL)]])
        .collect();
    let files: Vec<&[(&str, &str)]> = files.iter().map(Vec::as_slice).collect();
    layers(&files)
}

#[test]
fn as_many_layers_as_the_kernel_stacks() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    for (count, profile) in [
        (130, Profile::Layers),
        (500, Profile::Layers),
        (500, Profile::Overlay),
    ] {
        let Some((_folder, images)) = many(count - 1) else {
            return;
        };
        let seen = stack(machine, &images, profile, &["cat /who"]);
        assert_eq!(seen.failure, None, "{count} {profile}");
        assert_eq!(seen.commands[0].output, (count - 2).to_string().as_bytes());
        let files = text(&seen).matches("./f").count();
        assert_eq!(files, count - 1);
    }
    let Some((folder, images)) = many(500) else {
        return;
    };
    let job = Job {
        images: &images,
        arrangement: Arrangement::Stack,
        filesystem: "erofs",
        profile: Profile::Layers,
        upper: None,
        walk: true,
        stacks: &[],
        commands: &[],
        transcript: &folder.path().join("transcript"),
        time_limit: LONG,
    };
    let error = machine.boot(&job).unwrap_err().to_string();
    assert!(
        error.ends_with("a machine takes 1 to 500 images, not 501"),
        "{error}"
    );
}

#[test]
fn what_is_written_below_is_whole_to_fsck() {
    let Some(fsck) = tool("e2fsck", "the disk of the writable layer") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upper");
    let mut copy = std::fs::File::create(&path).unwrap();
    std::io::copy(&mut harness::boot::empty_upper().unwrap(), &mut copy).unwrap();
    let output = Command::new(fsck)
        .args(["-f", "-n"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("Fix"), "{said}");
}

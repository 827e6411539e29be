//! Several images in one conversation.

use super::{hear_as, job};
use crate::boot::Writer;
use crate::boot::conversation::Broken;
use crate::boot::wire::{CommandResult, Job, Kind, Outcome, Written, encode_error};

#[test]
fn a_shelf_is_told_image_by_image() {
    let shelf = Job {
        partitions: 2,
        shelf: vec![0, 0],
        commands: vec![b"one".to_vec(), b"two".to_vec()],
        ..job()
    };
    let said = |text: &str| {
        let result = CommandResult {
            outcome: Outcome::Exited(0),
            output: text.into(),
        };
        (Kind::Command, result.encode())
    };
    let tree = [
        (Kind::SmallContents, b"\x03\0\0\0abc".to_vec()),
        (Kind::Entries, b"./a type=file size=0 sha256=@0\n".to_vec()),
        (Kind::WalkDone, 1u64.to_le_bytes().to_vec()),
    ];
    let one = [&tree[..], &[said("1"), said("2")]].concat();
    let refused = (Kind::StackFailed, encode_error(22, b"mount as erofs: bad"));
    let last = [&one[..], std::slice::from_ref(&refused)].concat();
    let (boot, broken) = hear_as(&shelf, &last, None);
    assert_eq!(broken, None);
    assert_eq!((boot.mtree, boot.commands), (None, Vec::new()));
    let walked = boot.stacks[0].as_ref().unwrap();
    let outputs: Vec<&[u8]> = walked.commands.iter().map(|one| &one.output[..]).collect();
    assert_eq!(outputs, [b"1", b"2"]);
    assert_eq!(boot.stacks[1], Err("mount as erofs: bad".to_owned()));

    let forged = |frames: &[&[(Kind, Vec<u8>)]], because: &str| match hear_as(
        &shelf,
        &frames.concat(),
        None,
    )
    .1
    {
        Some(Broken::Forged(what)) => assert!(what.contains(because), "{what}"),
        other => panic!("{other:?}"),
    };
    let refused = std::slice::from_ref(&refused);
    forged(&[&one], "before all was answered");
    forged(&[&one, &tree], "before all was answered");
    forged(&[refused, &one, &tree], "out of turn");
    forged(&[&tree, &tree], "before the commands of the last");
    forged(&[&tree, refused], "StackFailed out of turn");
    forged(&[&one, &[said("3")]], "a command too many");
    forged(&[&[said("0")], &one], "a command too many");
    forged(&[refused, &[said("0")]], "a command too many");
    forged(&[&tree, &[said("1")], refused], "StackFailed out of turn");
    forged(&[&one, &tree[..2], &[said("3")]], "a command too many");
}

#[test]
fn on_a_shelf_each_image_says_what_became_of_its_file() {
    let shelf = Job {
        partitions: 3,
        shelf: vec![0, 2],
        commands: Vec::new(),
        mark: b"word".to_vec(),
        ..job()
    };
    let tree = [
        (Kind::Entries, b"./a type=dir\n".to_vec()),
        (Kind::WalkDone, 1u64.to_le_bytes().to_vec()),
    ];
    let written = |text: &[u8]| {
        let read = Ok(text.to_vec());
        let by_shell = false;
        [(Kind::Written, Written { by_shell, read }.encode())]
    };
    let (right, wrong) = (written(b"word\n"), written(b"other\n"));
    let frames = [&tree[..], &right, &tree, &wrong].concat();
    let (boot, broken) = hear_as(&shelf, &frames, None);
    assert_eq!((broken, boot.written), (None, None));
    let of = |number: usize| {
        boot.stacks[number]
            .as_ref()
            .unwrap()
            .written
            .clone()
            .unwrap()
    };
    assert_eq!(of(0), Ok(Writer::Init));
    assert!(of(1).unwrap_err().contains("another one"));

    let forged = |frames: &[&[(Kind, Vec<u8>)]], because: &str| {
        let (_, broken) = hear_as(&shelf, &frames.concat(), None);
        let is_forged = matches!(&broken, Some(Broken::Forged(what)) if what.contains(because));
        assert!(is_forged, "{broken:?}");
    };
    forged(&[&tree, &right, &tree], "before all was answered");
    forged(&[&tree, &tree], "before the commands of the last");
    forged(&[&right], "a file too many");
    forged(&[&tree, &right, &right], "a file too many");
    forged(&[&tree, &right, &tree[..1], &right], "a file too many");
}

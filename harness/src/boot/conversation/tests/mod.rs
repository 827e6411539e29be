//! A guest that is played by the test: only the true conversation is believed.

mod shelf;

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Broken, collect, hand_over, wait_ready};
use crate::boot::port::Port;
use crate::boot::wire::{
    Chain, CommandResult, Job, Kind, Outcome, Written, encode_error, read_frame, write_frame,
};
use crate::boot::{Boot, Failure, ReadError, Writer};

const NONCE: [u8; 32] = [7; 32];

fn job() -> Job {
    Job {
        nonce: NONCE,
        filesystem: "ext4".to_owned(),
        profile: "ro".to_owned(),
        partitions: 0,
        shelf: Vec::new(),
        walk: true,
        stacks: Vec::new(),
        command_time_limit: Duration::from_secs(1),
        commands: vec![b"echo hi".to_vec()],
        mark: Vec::new(),
    }
}

fn result() -> CommandResult {
    CommandResult {
        outcome: Outcome::Exited(0),
        output: b"hi\n".to_vec(),
    }
}

/// The frames of a guest that does all it should.
fn answers() -> Vec<(Kind, Vec<u8>)> {
    vec![
        (Kind::SmallContents, b"\0\0\0\0\x03\0\0\0abc".to_vec()),
        (Kind::Piece, b"ab".to_vec()),
        (Kind::Piece, b"c".to_vec()),
        (Kind::PieceEnd, vec![1]),
        (
            Kind::Entries,
            b". type=dir\n./a type=file size=3 sha256=@1\n".to_vec(),
        ),
        (Kind::ReadError, encode_error(5, b"a/b")),
        (Kind::Xattrs, b"#@ xattr ./a user.x aGk=\n".to_vec()),
        (Kind::Hardlinks, b"#@ hardlink ./a ./b\n".to_vec()),
        (Kind::WalkDone, 2u64.to_le_bytes().to_vec()),
        (Kind::Command, result().encode()),
    ]
}

/// Where in the answers these are.
const ENTRIES: usize = 4;
const READ_ERROR: usize = 5;
const WALK_DONE: usize = 8;
const COMMAND: usize = 9;

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Has the host collect these frames, ended by a sentinel over them or by `sentinel`.
fn hear(frames: &[(Kind, Vec<u8>)], sentinel: Option<&[u8]>) -> (Boot, Option<Broken>) {
    hear_as(&job(), frames, sentinel)
}

/// As [`hear`], for another job.
fn hear_as(
    job: &Job,
    frames: &[(Kind, Vec<u8>)],
    sentinel: Option<&[u8]>,
) -> (Boot, Option<Broken>) {
    let (host, mut guest) = UnixStream::pair().unwrap();
    let mut chain = Chain::new(&NONCE);
    for (kind, payload) in frames {
        write_frame(&mut guest, *kind, payload).unwrap();
        add(&mut chain, *kind, payload);
    }
    let right = chain.sentinel();
    write_frame(&mut guest, Kind::Sentinel, sentinel.unwrap_or(&right)).unwrap();
    drop(guest);
    let mut port = Port::until(&host, Instant::now() + Duration::from_secs(10));
    collect(&mut port, job, Chain::new(&NONCE))
}

fn add(chain: &mut Chain, kind: Kind, payload: &[u8]) {
    match kind {
        Kind::SmallContents | Kind::Piece => chain.add_content(kind, payload.len()),
        _ => chain.add(kind, payload),
    }
}

#[track_caller]
fn check_forged(frames: &[(Kind, Vec<u8>)], sentinel: Option<&[u8]>, because: &str) {
    match hear(frames, sentinel).1 {
        Some(Broken::Forged(what)) => assert!(what.contains(because), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_complete_answer_is_put_together() {
    let (boot, broken) = hear(&answers(), None);
    assert_eq!(broken, None);
    let mtree = format!(
        "#mtree v2.0\n. type=dir\n./a type=file size=3 sha256={ABC}\n#@ hardlink ./a ./b\n\
         #@ xattr ./a user.x aGk=\n"
    );
    assert_eq!(boot.mtree.as_deref(), Some(mtree.as_bytes()));
    assert_eq!(
        boot.read_errors,
        [ReadError {
            path: b"a/b".to_vec(),
            errno: 5
        }]
    );
    assert_eq!(boot.commands, [result()]);
    assert_eq!(boot.failure, None);
}

#[test]
fn a_sentinel_counts_only_over_the_nonce_and_all_frames() {
    let other_nonce = Chain::new(&[8; 32]);
    check_forged(&answers(), Some(&other_nonce.sentinel()), "does not match");
    check_forged(&answers(), Some(b""), "does not match");
    // The sentinel of a run that had one frame less.
    let mut chain = Chain::new(&NONCE);
    for (kind, payload) in &answers()[..COMMAND] {
        add(&mut chain, *kind, payload);
    }
    check_forged(&answers(), Some(&chain.sentinel()), "does not match");
}

#[test]
fn an_early_end_is_not_an_end() {
    check_forged(&answers()[..COMMAND], None, "before all was answered");
    check_forged(&answers()[COMMAND..], None, "before all was answered");
    check_forged(&[], None, "before all was answered");
}

#[test]
fn frames_out_of_turn_are_refused() {
    let with = |kind: Kind, payload: &[u8]| {
        let mut frames = answers();
        frames.push((kind, payload.to_vec()));
        frames
    };
    check_forged(
        &with(Kind::Command, &result().encode()),
        None,
        "Command out of turn",
    );
    check_forged(
        &with(Kind::Entries, b"./z type=dir\n"),
        None,
        "Entries out of turn",
    );
    check_forged(
        &with(Kind::WalkDone, &2u64.to_le_bytes()),
        None,
        "WalkDone out of turn",
    );
    check_forged(
        &with(Kind::MountFailed, &encode_error(22, b"x")),
        None,
        "MountFailed out of turn",
    );
    check_forged(&with(Kind::Ready, b""), None, "Ready out of turn");
    check_forged(&with(Kind::Job, b""), None, "Job out of turn");
}

#[test]
fn a_walk_that_lost_lines_is_refused() {
    let mut frames = answers();
    frames[ENTRIES].1 = b". type=dir\n".to_vec();
    check_forged(&frames, None, "a walk of 1 lines");
}

#[test]
fn contents_are_hashed_in_the_order_of_their_numbers() {
    let digests = |answers: &[(Kind, Vec<u8>)], lines: &[u8]| {
        let mut frames = answers[..ENTRIES].to_vec();
        frames.push((Kind::Entries, lines.to_vec()));
        frames.push((Kind::WalkDone, 1u64.to_le_bytes().to_vec()));
        frames.push((Kind::Command, result().encode()));
        hear(&frames, None)
    };
    let line = |text: &[u8]| String::from_utf8(text[12..].to_vec()).unwrap();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (number, digest) in [(0, empty), (1, ABC), (2, ABC)] {
        let (boot, broken) = digests(&answers(), format!("./a sha256=@{number}\n").as_bytes());
        assert_eq!(broken, None);
        assert_eq!(line(&boot.mtree.unwrap()), format!("./a sha256={digest}\n"));
    }
    // A file that could not be read to its end has no number.
    let mut answers = answers();
    answers[ENTRIES - 1].1 = vec![0];
    for number in ["2", "99999999999999999999", "-1", ""] {
        let (_, broken) = digests(&answers, format!("./a sha256=@{number}\n").as_bytes());
        assert!(
            matches!(broken, Some(Broken::Forged(_))),
            "{number}: {broken:?}"
        );
    }
}

#[test]
fn a_payload_cut_short_is_refused() {
    for index in [0, READ_ERROR, WALK_DONE, COMMAND] {
        let mut frames = answers();
        frames[index].1.truncate(3);
        assert!(
            matches!(hear(&frames, None).1, Some(Broken::Forged(_))),
            "frame {index}"
        );
    }
}

#[test]
fn a_guest_that_is_gone_ends_the_conversation() {
    let (host, mut guest) = UnixStream::pair().unwrap();
    write_frame(&mut guest, Kind::Entries, b". type=dir\n").unwrap();
    drop(guest);
    let mut port = Port::until(&host, Instant::now() + Duration::from_secs(10));
    let (boot, broken) = collect(&mut port, &job(), Chain::new(&NONCE));
    assert_eq!((boot.mtree, broken), (None, Some(Broken::Ended)));
}

#[test]
fn silence_ends_at_the_deadline_and_says_what_went_on() {
    let (host, mut guest) = UnixStream::pair().unwrap();
    write_frame(
        &mut guest,
        Kind::Entries,
        b". type=dir\n./last\\040one type=dir\n",
    )
    .unwrap();
    let mut port = Port::until(&host, Instant::now() + Duration::from_millis(50));
    let (_, broken) = collect(&mut port, &job(), Chain::new(&NONCE));
    let doing = "walking, somewhere after ./last\\040one".to_owned();
    assert_eq!(broken, Some(Broken::TimedOut(doing)));
}

#[test]
fn garbage_and_lengths_without_end_are_refused() {
    use std::io::Write;

    for garbage in [&b"Linux version 6.1.0\n"[..], b"t\xff\xff\xff\xff"] {
        let (host, mut guest) = UnixStream::pair().unwrap();
        guest.write_all(garbage).unwrap();
        let mut port = Port::until(&host, Instant::now() + Duration::from_secs(10));
        let (_, broken) = collect(&mut port, &job(), Chain::new(&NONCE));
        assert!(matches!(broken, Some(Broken::Forged(_))), "{broken:?}");
    }
}

#[test]
fn an_image_that_cannot_be_mounted_answers_nothing_else() {
    let refused = (Kind::MountFailed, encode_error(22, b"mount as ext4: bad"));
    let (boot, broken) = hear(std::slice::from_ref(&refused), None);
    assert_eq!(broken, None);
    assert_eq!(
        boot.failure,
        Some(Failure::Mount("mount as ext4: bad".to_owned()))
    );
    check_forged(
        &[refused, answers()[ENTRIES].clone()],
        None,
        "Entries out of turn",
    );
}

/// A job with a file to write, answered by what else there is to answer and then by these frames.
fn hear_of_writing(frames: &[(Kind, Vec<u8>)]) -> (Boot, Option<Broken>) {
    let job = Job {
        mark: b"word".to_vec(),
        ..job()
    };
    hear_as(&job, &[&answers()[..], frames].concat(), None)
}

#[test]
fn a_file_that_was_written_must_be_what_it_was() {
    let frame = |by_shell, read: Result<&[u8], &str>| {
        let read = read.map(<[u8]>::to_vec).map_err(str::to_owned);
        (Kind::Written, Written { by_shell, read }.encode())
    };
    let another = "it is another one after a remount: `Word`";
    for (written, expected) in [
        (frame(true, Ok(b"word\n")), Ok(Writer::Shell)),
        (frame(false, Ok(b"word\n")), Ok(Writer::Init)),
        (frame(true, Ok(b"Word")), Err(another.to_owned())),
        (frame(false, Err("no room")), Err("no room".to_owned())),
    ] {
        let (boot, broken) = hear_of_writing(&[written]);
        assert_eq!((boot.written, broken), (Some(expected), None));
    }

    let whole = frame(true, Ok(b"word\n"));
    let forged = |frames: &[(Kind, Vec<u8>)], because: &str| match hear_of_writing(frames).1 {
        Some(Broken::Forged(what)) => assert!(what.contains(because), "{what}"),
        other => panic!("{other:?}"),
    };
    forged(&[], "before all was answered");
    forged(&[whole.clone(), whole.clone()], "Written out of turn");
    forged(&[(Kind::Written, vec![1])], "ends early");
    // Nobody asked for it, or it comes before the commands.
    check_forged(
        &[&answers()[..], std::slice::from_ref(&whole)].concat(),
        None,
        "Written out of turn",
    );
    check_forged(&[whole], None, "Written out of turn");
}

#[test]
fn a_disk_of_our_own_that_fails_is_told_from_the_image() {
    let failed = (Kind::UpperFailed, encode_error(22, b"no disk"));
    let (boot, broken) = hear(std::slice::from_ref(&failed), None);
    assert_eq!(broken, None);
    assert_eq!(boot.failure, Some(Failure::Upper("no disk".to_owned())));
    check_forged(
        &[answers(), vec![failed]].concat(),
        None,
        "UpperFailed out of turn",
    );
}

/// A job of two stacks, answered by these frames.
fn hear_of_stacks(frames: &[(Kind, Vec<u8>)]) -> (Boot, Option<Broken>) {
    let job = Job {
        stacks: vec![b"1:0".to_vec(), b"2:0".to_vec()],
        commands: Vec::new(),
        ..job()
    };
    hear_as(&job, frames, None)
}

#[test]
fn stacks_are_told_one_by_one() {
    let line = |path: &str| format!("{path} type=file size=0 sha256=@0\n").into_bytes();
    let done = (Kind::WalkDone, 1u64.to_le_bytes().to_vec());
    let one = [
        (Kind::SmallContents, b"\x03\0\0\0abc".to_vec()),
        (Kind::Entries, line("./a")),
        (Kind::ReadError, encode_error(5, b"a")),
        done.clone(),
    ];
    let refused = (
        Kind::StackFailed,
        encode_error(22, b"mount as overlay: bad"),
    );
    let (boot, broken) = hear_of_stacks(&[&one[..], std::slice::from_ref(&refused)].concat());
    assert_eq!(broken, None);
    assert_eq!((boot.mtree, boot.read_errors), (None, Vec::new()));
    let walked = boot.stacks[0].as_ref().unwrap();
    let mtree = format!("#mtree v2.0\n./a type=file size=0 sha256={ABC}\n");
    assert_eq!(walked.mtree, mtree.as_bytes());
    assert_eq!(walked.read_errors.len(), 1);
    assert_eq!(boot.stacks[1], Err("mount as overlay: bad".to_owned()));

    let forged = |frames: &[(Kind, Vec<u8>)], because: &str| match hear_of_stacks(frames).1 {
        Some(Broken::Forged(what)) => assert!(what.contains(because), "{what}"),
        other => panic!("{other:?}"),
    };
    forged(&one, "before all was answered");
    // Contents are numbered anew: the second tree has none of the first's.
    let again = [&one[..], &[(Kind::Entries, line("./b"))]].concat();
    forged(&again, "not sent");
    forged(&[&one[..], &one, &one].concat(), "out of turn");
    let half = [one[0].clone(), one[1].clone(), refused.clone()];
    forged(&half, "StackFailed out of turn");
    check_forged(&[refused], None, "StackFailed out of turn");
}

#[test]
fn the_job_is_handed_to_an_init_that_asks_for_it() {
    let (host, mut guest) = UnixStream::pair().unwrap();
    let init = std::thread::spawn(move || {
        write_frame(
            &mut guest,
            Kind::Ready,
            &crate::boot::wire::VERSION.to_le_bytes(),
        )
        .unwrap();
        let job = Job::decode(&read_frame(&mut guest).unwrap().payload).unwrap();
        write_frame(&mut guest, Kind::Accepted, &[]).unwrap();
        job
    });
    let mut port = Port::until(&host, Instant::now() + Duration::from_secs(10));
    wait_ready(&mut port).unwrap();
    let chain = hand_over(&mut port, &job()).unwrap();
    assert_eq!(init.join().unwrap(), job());
    let mut expected = Chain::new(&NONCE);
    expected.add(Kind::Accepted, &[]);
    assert_eq!(chain.sentinel(), expected.sentinel());
}

#[test]
fn an_init_of_another_version_is_refused() {
    let (host, mut guest) = UnixStream::pair().unwrap();
    write_frame(&mut guest, Kind::Ready, &99u32.to_le_bytes()).unwrap();
    let mut port = Port::until(&host, Instant::now() + Duration::from_secs(10));
    assert!(wait_ready(&mut port).is_err());
}

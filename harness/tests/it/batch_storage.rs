//! Batches that keep what they have from image to image, and batches that tell nothing.

use crate::batch::{ALL, RIGHT, WRONG, project, run};
use crate::project::Project;
use crate::require::contained;

/// That of three images two are in the batch: the plain one and the altered one's twin, but not the altered one, of which a
/// blob is not what its descriptor says.
const WITHOUT_ALTERED: &str = "test $(ls \"$2\" | wc -l) = 2 || exit 1";

fn share(project: &Project) {
    let descriptor = project.path("runners/daemon/runner.toml");
    let text = fs_err::read_to_string(descriptor).unwrap();
    project.write(
        "runners/daemon/runner.toml",
        &format!("{text}shared-storage = true\n"),
    );
}

#[test]
fn what_could_be_taken_for_another_images_is_no_part_of_a_batch_with_one_storage() {
    if !contained("batches") {
        return;
    }
    let project = project(RIGHT, &format!("{WITHOUT_ALTERED}\n{ALL}"));
    let lost = "slow: daemon told nothing in 1 of its batches";
    run(&project, &["--once"])
        .is(0)
        .prints(lost)
        .prints("2 pass");
    share(&project);
    let said = run(&project, &["--once"]).is(0).prints("2 pass");
    assert!(!said.stdout.contains("slow: "), "{}", said.stdout);
}

#[test]
fn what_is_converted_with_one_storage_counts_as_in_any_batch() {
    if !contained("batches") {
        return;
    }
    let project = project(WRONG, ALL);
    share(&project);
    // The altered image is asked alone.
    run(&project, &["--once"]).is(1).prints("1 pass   1 fail");
}

#[test]
fn a_batch_that_tells_nothing_is_told_of() {
    if !contained("batches") {
        return;
    }
    let project = project(RIGHT, "exit 1");
    run(&project, &["--once"])
        .is(0)
        .prints("slow: daemon told nothing in 1 of its batches");
    let said = run(&project, &[]).is(0);
    assert!(!said.stdout.contains("slow: "), "{}", said.stdout);
}

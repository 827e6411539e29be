//! The main job: a corpus image and a real one through the native converter, packed, checked, booted.

use anyhow::Result;
use xshell::cmd;

use crate::workspace::Workspace;
use crate::{console, real_image, setup, tools, unpack};

/// `ci try`: sets the machine up and does the main job; true when nothing was red.
pub(crate) fn try_it(workspace: &Workspace) -> Result<bool> {
    setup::setup(workspace)?;
    let dirs = tools::search_path(&unpack::programs(workspace));
    tools::put_on_path(&workspace.shell, &dirs)?;
    run(workspace, None)
}

/// The main job on the corpus's python image, then on a real one made of distribution packages, whose
/// own shell and Python must answer inside the machine. `required` is handed to `--require`.
pub(crate) fn run(workspace: &Workspace, required: Option<&str>) -> Result<bool> {
    let require: Vec<&str> = required.map_or(Vec::new(), |names| vec!["--require", names]);
    let harness = [
        "run",
        "-q",
        "-p",
        "harness",
        "--",
        "run",
        "--converter",
        "native",
    ];
    let synthetic = ["--image", "python"];
    if !cargo(workspace, &[&harness[..], &synthetic, &require].concat()) {
        return Ok(false);
    }
    if let Err(error) = real_image::real_image(workspace, false) {
        // Without root and user namespaces there is no real image; the job above stands by itself.
        console::problem(&format!("try: no real image here: {error:#}"));
        return Ok(required.is_none());
    }
    let layout = workspace.target("real").display().to_string();
    let real = [
        "--layout",
        &layout,
        "--sh",
        "echo from the real shell",
        "from the real shell",
        "--sh",
        "python3 -c 'print(6 * 7)'",
        "42",
    ];
    Ok(cargo(workspace, &[&harness[..], &real, &require].concat()))
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> bool {
    console::progress(&format!("cargo {}", arguments.join(" ")));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match cmd!(workspace.shell, "{cargo} {arguments...}")
        .quiet()
        .run()
    {
        Ok(()) => true,
        Err(error) => {
            console::problem(&format!("{error}"));
            false
        }
    }
}

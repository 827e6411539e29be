//! The `harness` command.

use std::process::ExitCode;

use harness::runner::contain;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|first| first == contain::SUBCOMMAND)
    {
        return contain::main_inside(arguments);
    }
    harness::command::main()
}

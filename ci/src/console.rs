//! The two streams a person reads: results on standard output, progress and trouble on the other.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place that prints"
)]

/// Prints one line of result.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints one line of progress.
pub(crate) fn progress(line: &str) {
    eprintln!("{line}");
}

/// Prints one line about something that went wrong.
pub(crate) fn problem(line: &str) {
    eprintln!("{line}");
}

/// The last `count` lines of a program's output that say something, for an error message.
pub(crate) fn tail(output: &str, count: usize) -> String {
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn tail_keeps_the_last_lines_that_say_something() {
        for (output, count, want) in [
            ("", 2, ""),
            ("one\n", 2, "one"),
            ("one\ntwo\nthree\n", 2, "two\nthree"),
            ("one\n\n \ntwo  \n\n", 1, "two"),
        ] {
            assert_eq!(tail(output, count), want, "tail({output:?}, {count})");
        }
    }
}

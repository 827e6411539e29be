//! Converts one image, for measurements: `native-convert LAYOUT[:REF] OUTPUT dir|tar`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layout, output, format] = arguments.as_slice() else {
        return fail("usage: native-convert LAYOUT[:REF] OUTPUT dir|tar");
    };
    let (layout, reference) = match layout.rsplit_once(':') {
        Some((layout, reference)) => (layout, Some(reference)),
        None => (layout.as_str(), None),
    };
    let format = match format.parse::<native::Format>() {
        Ok(format) => format,
        Err(problem) => return fail(&problem),
    };
    let (layout, output) = (Path::new(layout), Path::new(output));
    match native::convert(&native::Request {
        layout,
        reference,
        output,
        format,
        stop: None,
    }) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "a command of its own")]
fn fail(message: &str) -> ExitCode {
    eprintln!("native-convert: {message}");
    ExitCode::FAILURE
}

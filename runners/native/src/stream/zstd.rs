//! RFC 8878: any number of frames, skippable ones among them, checksums verified.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{Input, Output, StreamError};
use crate::limits;

/// Decompresses all frames.
pub(super) fn decompress(
    input: &mut Input<'_>,
    output: &mut Output<'_>,
) -> Result<(), StreamError> {
    let error = |e: std::io::Error| StreamError::Zstd(e.to_string());
    let mut decoder = Decoder::new().map_err(error)?;
    let window = DParameter::WindowLogMax(limits::ZSTD_WINDOW_LOG);
    decoder.set_parameter(window).map_err(error)?;
    // Nothing at all is not a frame, so the stream does not begin between two frames.
    let mut inside_frame = true;
    loop {
        let compressed = input.fill()?;
        let at_end = compressed.is_empty();
        if at_end && !inside_frame {
            return Ok(());
        }
        let mut source = InBuffer::around(compressed);
        let mut target = OutBuffer::around(output.room()?);
        let hint = decoder.run(&mut source, &mut target).map_err(error)?;
        let (consumed, produced) = (source.pos(), target.pos());
        if at_end && produced == 0 && hint != 0 {
            return Err(StreamError::Zstd("ends inside a frame".to_owned()));
        }
        inside_frame = hint != 0;
        input.consume(consumed);
        output.keep(produced);
    }
}

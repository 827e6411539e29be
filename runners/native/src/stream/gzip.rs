//! RFC 1952: any number of members, each with its header, CRC and length verified.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Input, Output, StreamError};

const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

/// Decompresses all members. Zeros after the last one are padding; anything else is refused.
pub(super) fn decompress(
    input: &mut Input<'_>,
    output: &mut Output<'_>,
) -> Result<(), StreamError> {
    let mut inflate = Decompress::new(false);
    loop {
        header(input)?;
        inflate.reset(false);
        member(input, output, &mut inflate)?;
        match input.fill()?.first() {
            None => return Ok(()),
            Some(0) => return padding(input),
            Some(_) => {}
        }
    }
}

fn member(
    input: &mut Input<'_>,
    output: &mut Output<'_>,
    inflate: &mut Decompress,
) -> Result<(), StreamError> {
    let mut crc = Crc::new();
    loop {
        let compressed = input.fill()?;
        let at_end = compressed.is_empty();
        let room = output.room()?;
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(compressed, room, FlushDecompress::None)
            .map_err(|_| StreamError::Gzip("damaged deflate data"))?;
        let in_buffer = |bytes: u64| usize::try_from(bytes).expect("a part of one buffer");
        let consumed = in_buffer(inflate.total_in() - read);
        let produced = in_buffer(inflate.total_out() - written);
        crc.update(&room[..produced]);
        input.consume(consumed);
        output.keep(produced);
        let stuck = consumed == 0 && produced == 0;
        match status {
            Status::StreamEnd => break,
            _ if stuck && at_end => return Err(StreamError::Gzip("ends inside a member")),
            _ if stuck => return Err(StreamError::Gzip("no progress")),
            _ => {}
        }
    }
    if le32(input)? != crc.sum() {
        return Err(StreamError::Gzip("wrong CRC"));
    }
    // ISIZE is the length modulo 2^32, and so is `amount`.
    if le32(input)? != crc.amount() {
        return Err(StreamError::Gzip("wrong length after a member"));
    }
    Ok(())
}

fn header(input: &mut Input<'_>) -> Result<(), StreamError> {
    let mut crc = Crc::new();
    let mut fixed = [0; 10];
    for byte in &mut fixed {
        *byte = next(input, &mut crc)?;
    }
    let [0x1f, 0x8b, 8, flags, ..] = fixed else {
        return Err(StreamError::Gzip("no member header"));
    };
    if flags & FLAGS_RESERVED != 0 {
        return Err(StreamError::Gzip("reserved flags are set"));
    }
    if flags & FLAG_EXTRA != 0 {
        let length = u16::from_le_bytes([next(input, &mut crc)?, next(input, &mut crc)?]);
        for _ in 0..length {
            next(input, &mut crc)?;
        }
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        while flags & flag != 0 && next(input, &mut crc)? != 0 {}
    }
    if flags & FLAG_HEADER_CRC != 0 {
        let sum = crc.sum();
        let found = [next(input, &mut crc)?, next(input, &mut crc)?];
        if u32::from(u16::from_le_bytes(found)) != sum & 0xffff {
            return Err(StreamError::Gzip("wrong header CRC"));
        }
    }
    Ok(())
}

fn padding(input: &mut Input<'_>) -> Result<(), StreamError> {
    loop {
        let rest = input.fill()?;
        if rest.is_empty() {
            return Ok(());
        }
        if rest.iter().any(|&byte| byte != 0) {
            return Err(StreamError::Gzip("bytes after the last member"));
        }
        let length = rest.len();
        input.consume(length);
    }
}

fn next(input: &mut Input<'_>, crc: &mut Crc) -> Result<u8, StreamError> {
    let Some(&byte) = input.fill()?.first() else {
        return Err(StreamError::Gzip("ends inside a header"));
    };
    crc.update(&[byte]);
    input.consume(1);
    Ok(byte)
}

fn le32(input: &mut Input<'_>) -> Result<u32, StreamError> {
    let mut bytes = [0; 4];
    for byte in &mut bytes {
        let Some(&found) = input.fill()?.first() else {
            return Err(StreamError::Gzip("ends inside a member's trailer"));
        };
        *byte = found;
        input.consume(1);
    }
    Ok(u32::from_le_bytes(bytes))
}

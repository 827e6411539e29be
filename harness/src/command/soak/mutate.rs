//! Mutations of bytes and texts, and the numbers they follow from.

/// splitmix64: small, and the same on every machine.
pub(super) struct Random(u64);

impl Random {
    /// The numbers of one item.
    pub(super) fn new(seed: u64, item: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ item);
        // Neighbouring items begin far from each other.
        random.0 = random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.next() % end).expect("it is below a usize")
    }
}

/// Numbers at which readers go wrong.
const BOUNDARIES: [&str; 8] = [
    "0",
    "-1",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e999",
    "00",
];

/// Does one to four things to bytes.
pub(super) fn bytes(data: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        one(data, random);
    }
}

fn one(data: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(data.len());
    let length = 1 + random.below(600);
    let end = (at + length).min(data.len());
    match random.below(8) {
        _ if data.is_empty() => data.push(random.next().to_le_bytes()[0]),
        0 => data[at] ^= 1 << random.below(8),
        1 => data[at] = random.next().to_le_bytes()[0],
        2 => data.truncate(at),
        3 => drop(data.drain(at..end)),
        4 => {
            let copy = data[at..end].to_vec();
            let to = random.below(data.len());
            data.splice(to..to, copy);
        }
        5 => data[at..end].fill(0),
        // Whole tar blocks, so that what follows is still in step.
        6 => {
            let blocks = data.len() / 512;
            let (a, b) = (random.below(blocks) * 512, random.below(blocks) * 512);
            if blocks > 0 {
                let block = data[a..a + 512].to_vec();
                data[b..b + 512].copy_from_slice(&block);
            }
        }
        _ => data[at..end].fill(0xff),
    }
}

/// Changes one field of a random tar header, and mends its checksum so that the change is looked at.
pub(super) fn header(data: &mut [u8], random: &mut Random) {
    const FIELDS: [(usize, usize); 10] = [
        (0, 100),
        (100, 8),
        (108, 8),
        (124, 12),
        (136, 12),
        (156, 1),
        (157, 100),
        (257, 8),
        (329, 8),
        (345, 155),
    ];
    let blocks = data.len() / 512;
    if blocks == 0 {
        return;
    }
    // Headers are few among blocks of content, so look for one.
    let start = random.below(blocks);
    let is_header = |index: &usize| &data[index * 512 + 257..index * 512 + 262] == b"ustar";
    let Some(index) = (start..blocks).chain(0..start).find(is_header) else {
        return;
    };
    let block = &mut data[index * 512..(index + 1) * 512];
    let (offset, length) = FIELDS[random.below(FIELDS.len())];
    let field = &mut block[offset..offset + length];
    match random.below(4) {
        0 => field.fill(b'7'),
        1 => field.fill(0xff),
        2 => field[random.below(length)] = b"0123457gxLKSVM\x80/. "[random.below(18)],
        _ => field[random.below(length)] ^= 1 << random.below(8),
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Does one to four things to a text, which stays one.
pub(super) fn text(text: &str, random: &mut Random) -> String {
    let mut data = text.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        if random.below(3) == 0 {
            number(&mut data, random);
        } else {
            one(&mut data, random);
        }
    }
    String::from_utf8_lossy(&data).into_owned()
}

/// Puts another number in the place of one.
fn number(data: &mut Vec<u8>, random: &mut Random) {
    let start = random.below(data.len());
    let Some(at) = data[start.min(data.len())..]
        .iter()
        .position(u8::is_ascii_digit)
    else {
        return;
    };
    let at = start + at;
    let length = data[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let boundary = BOUNDARIES[random.below(BOUNDARIES.len())];
    data.splice(at..at + length, boundary.bytes());
}

#[cfg(test)]
mod tests {
    use super::{Random, bytes, header, text};

    #[test]
    fn an_item_is_always_the_same_and_no_two_are() {
        let make = |item| {
            let mut data = b"0123456789".repeat(200);
            let mut random = Random::new(1, item);
            bytes(&mut data, &mut random);
            (data, text("size=12 uid=0\n", &mut random))
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
        for item in 0..2000 {
            make(item);
            let mut random = Random::new(2, item);
            bytes(&mut Vec::new(), &mut random);
            text("", &mut random);
        }
    }

    #[test]
    fn a_changed_header_keeps_a_right_checksum() {
        let mut archive = vec![0; 1024];
        archive[257..262].copy_from_slice(b"ustar");
        let before = archive.clone();
        for item in 0..100 {
            header(&mut archive, &mut Random::new(1, item));
        }
        assert_ne!(archive, before);
        let stated = std::str::from_utf8(&archive[148..154]).unwrap();
        let mut blank = archive[..512].to_vec();
        blank[148..156].fill(b' ');
        let sum: u32 = blank.iter().map(|&byte| u32::from(byte)).sum();
        assert_eq!(u32::from_str_radix(stated, 8).unwrap(), sum);
    }
}

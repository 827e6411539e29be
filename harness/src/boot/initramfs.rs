//! The archive that the guest's kernel unpacks: a cpio of the `newc` form, written field by field.

/// An initramfs being written. The bytes depend on nothing but the entries and their order.
pub(super) struct Initramfs {
    bytes: Vec<u8>,
    inode: u32,
}

impl Initramfs {
    /// An empty archive.
    pub(super) fn new() -> Initramfs {
        Initramfs {
            bytes: Vec::new(),
            inode: 0,
        }
    }

    /// Adds a directory; those above it must be there already.
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, 0o040_755, 0, &[]);
    }

    /// Adds a file with these permissions.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, 0o100_000 | mode, 0, content);
    }

    /// Adds a character device, as its device number `major:minor`.
    pub(super) fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, 0o020_600, major << 16 | minor, &[]);
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: u32, content: &[u8]) {
        self.inode += 1;
        let fields = [
            self.inode,
            mode,
            0, // uid
            0, // gid
            1, // nlink
            0, // mtime
            content.len() as u32,
            0, // device of the archive: major and minor
            0,
            device >> 16,
            device & 0xffff,
            path.len() as u32 + 1,
            0, // checksum, unused in this form
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Initramfs;

    #[test]
    fn an_entry_is_a_header_of_hexadecimal_fields_padded_to_four_bytes() {
        let mut archive = Initramfs::new();
        archive.file("init", 0o700, b"hello");
        let bytes = archive.finish();
        let header = "070701\
                      00000001000081c0000000000000000000000001000000000000000500000000\
                      0000000000000000000000000000000500000000";
        let entry = [header.as_bytes(), b"init\0\0", b"hello\0\0\0"].concat();
        assert_eq!(bytes[..entry.len()], entry);
        let trailer = &bytes[entry.len()..];
        assert!(trailer.starts_with(b"07070100000002"));
        assert!(trailer.ends_with(b"TRAILER!!!\0\0\0\0"));
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_device_has_its_number_in_two_fields() {
        let mut archive = Initramfs::new();
        archive.character_device("c", 5, 1);
        let bytes = archive.finish();
        assert_eq!(bytes[6 + 9 * 8..6 + 11 * 8], *b"0000000500000001");
    }
}

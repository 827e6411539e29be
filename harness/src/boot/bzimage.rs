//! The uncompressed ELF kernel that a bzImage carries.
//!
//! Started through its PVH entry, the ELF kernel needs no firmware-time loader and no
//! self-decompression, which under emulation is more than half of a boot. The fields are those of
//! the kernel's `Documentation/arch/x86/boot.rst`.

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

use super::decompress::decompress;

/// `XEN_ELFNOTE_PHYS32_ENTRY`: where a PVH loader enters the kernel.
const NOTE_PHYS32_ENTRY: u32 = 18;

/// Takes the ELF kernel out of a bzImage. A file that is an ELF kernel already is taken as it is.
///
/// # Errors
///
/// One phrase for what the file is not: no bzImage, a broken payload, a kernel without PVH entry.
pub(super) fn elf_kernel(file: &[u8]) -> Result<Vec<u8>, String> {
    let kernel = if file.starts_with(&elf::ELFMAG) {
        file.to_vec()
    } else {
        decompress(payload(file)?).map_err(|error| format!("its payload is broken: {error}"))?
    };
    if has_pvh_entry(&kernel).ok_or("its payload is no ELF kernel")? {
        Ok(kernel)
    } else {
        Err("it has no PVH entry (CONFIG_PVH is off)".to_owned())
    }
}

fn payload(file: &[u8]) -> Result<&[u8], String> {
    let not = || "it is no bzImage".to_owned();
    if file.get(0x202..0x206) != Some(b"HdrS") {
        return Err(not());
    }
    let version = u16::from_le_bytes(array(file, 0x206).ok_or_else(not)?);
    if version < 0x208 {
        return Err(format!("its boot protocol {version:#x} is older than 2.08"));
    }
    // Zero means four, for the sake of very old loaders.
    let sectors = file
        .get(0x1f1)
        .map(|count| if *count == 0 { 4 } else { usize::from(*count) });
    let protected_mode = (sectors.ok_or_else(not)? + 1) * 512;
    let offset = u32::from_le_bytes(array(file, 0x248).ok_or_else(not)?) as usize;
    let length = u32::from_le_bytes(array(file, 0x24c).ok_or_else(not)?) as usize;
    let start = protected_mode + offset;
    file.get(start..start + length)
        .ok_or_else(|| "it ends before its payload does".to_owned())
}

fn array<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at + N)?.try_into().ok()
}

/// `None` for what is no ELF file.
fn has_pvh_entry(kernel: &[u8]) -> Option<bool> {
    let header = elf::FileHeader64::<Endianness>::parse(kernel).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, kernel).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, kernel) else {
            continue;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"Xen" && note.n_type(endian) == NOTE_PHYS32_ENTRY {
                return Some(true);
            }
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::elf_kernel;

    /// A bzImage of protocol 2.15 with one setup sector and this payload at offset 16.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 1024 + 16];
        file[0x1f1] = 1;
        file[0x202..0x206].copy_from_slice(b"HdrS");
        file[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
        file[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        file.extend(payload);
        file
    }

    /// The smallest ELF kernel: a header, one note segment, and this note in it.
    fn elf(note_type: u32) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        file.extend([0u64, 64, 0].map(u64::to_le_bytes).concat());
        file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
        file.extend([4, 0, 0, 0, 4, 0, 0, 0]);
        file.extend([120u64, 0, 0, 20, 20, 4].map(u64::to_le_bytes).concat());
        file.extend([4, 4, note_type].map(u32::to_le_bytes).concat());
        file.extend(b"Xen\0\0\0\x10\0");
        file
    }

    #[test]
    fn the_kernel_is_what_the_payload_holds() {
        assert_eq!(elf_kernel(&bzimage(&elf(18))).unwrap(), elf(18));
        assert_eq!(elf_kernel(&elf(18)).unwrap(), elf(18));
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        let check = |file: &[u8], because: &str| {
            let refused = elf_kernel(file).unwrap_err();
            assert!(refused.contains(because), "{refused}");
        };
        check(b"", "no bzImage");
        check(&vec![0; 4096], "no bzImage");
        check(&bzimage(&elf(17)), "no PVH entry");
        check(&bzimage(b"no kernel"), "no ELF kernel");
        check(&bzimage(b"\x1f\x8b\x08 broken"), "payload is broken");
        let mut cut = bzimage(&elf(18));
        cut.pop();
        check(&cut, "ends before its payload");
        let mut far = bzimage(&elf(18));
        far[0x248..0x24c].copy_from_slice(&u32::MAX.to_le_bytes());
        check(&far, "ends before its payload");
        let mut old = bzimage(&elf(18));
        old[0x206] = 7;
        check(&old, "older than 2.08");
        for length in 0..elf(18).len() {
            assert!(elf_kernel(&elf(18)[..length]).is_err(), "{length}");
        }
    }
}

//! Attributes of an entry, as a fault gets them wrong.

use super::Applier;
use crate::Fault;
use crate::tar::{Attributes, Entry, Kind};

const CAPABILITY: &[u8] = b"security.capability";
/// The largest value that `large-xattrs-dropped` keeps.
const SMALL_XATTR_BYTES: usize = 1024;

impl Applier {
    /// The attributes that a node made from `entry` gets.
    pub(super) fn prepared(&self, entry: &Entry, name: &[u8]) -> Attributes {
        let mut attributes = entry.attributes.clone();
        self.spoil_mode(&mut attributes, &entry.kind, name);
        self.spoil_time(&mut attributes, &entry.kind);
        self.spoil_xattrs(&mut attributes);
        attributes
    }

    fn spoil_mode(&self, attributes: &mut Attributes, kind: &Kind, name: &[u8]) {
        match self.fault {
            Some(Fault::OwnersDropped) => (attributes.uid, attributes.gid) = (0, 0),
            Some(Fault::LinkOwnersDropped) if matches!(kind, Kind::Symlink(_)) => {
                (attributes.uid, attributes.gid) = (0, 0);
            }
            Some(Fault::ZeroModeIsUsual) if attributes.mode == 0 => {
                attributes.mode = match kind {
                    Kind::Directory => 0o755,
                    _ => 0o644,
                };
            }
            Some(Fault::UmaskApplied) => attributes.mode &= !self.surroundings.umask,
            Some(Fault::SetuidLost) if matches!(kind, Kind::File(_)) => attributes.mode &= !0o6000,
            Some(Fault::LostAndFoundReset) if name == b"lost+found" => {
                *attributes = Attributes {
                    mode: 0o700,
                    ..Attributes::default()
                };
            }
            _ => {}
        }
    }

    fn spoil_time(&self, attributes: &mut Attributes, kind: &Kind) {
        let Attributes { seconds, nanos, .. } = attributes;
        let is_special = !matches!(kind, Kind::File(_) | Kind::Directory);
        match self.fault {
            Some(Fault::TimesDropped) => (*seconds, *nanos) = (0, 0),
            Some(Fault::TimeFractionDropped) => *nanos = 0,
            Some(Fault::TimeBefore1970IsZero) if *seconds < 0 => (*seconds, *nanos) = (0, 0),
            Some(Fault::TimeCutTo32Bits) => *seconds = i64::from(*seconds as i32),
            Some(Fault::TimeCutToUnsigned) => *seconds = i64::from(*seconds as u32),
            Some(Fault::ZeroTimeIsNow) if *seconds == 0 => *seconds = self.surroundings.now,
            Some(Fault::SpecialTimesDropped) if is_special => (*seconds, *nanos) = (0, 0),
            _ => {}
        }
    }

    fn spoil_xattrs(&self, attributes: &mut Attributes) {
        let fault = self.fault;
        attributes.xattrs.retain(|name, value| match fault {
            Some(Fault::XattrsDropped) => false,
            Some(Fault::XattrsButCapabilityDropped) => name == CAPABILITY,
            Some(Fault::CapabilityLost) => name != CAPABILITY,
            Some(Fault::AclsDropped) => !name.starts_with(b"system.posix_acl_"),
            Some(Fault::TrustedXattrsDropped) => !name.starts_with(b"trusted."),
            Some(Fault::EmptyXattrsDropped) => !value.is_empty(),
            Some(Fault::LargeXattrsDropped) => value.len() <= SMALL_XATTR_BYTES,
            Some(Fault::OverlayXattrsObeyed) => !name.starts_with(b"trusted.overlay."),
            _ => true,
        });
    }
}

//! Small images made at random, the same ones in every run: the model and overlayfs must agree on all.

use harness::case::{Content, Entry, Kind, Layer, pattern_bytes};
use harness::tree::{Tree, apply_layers};

use super::{Disk, differences, translate};

/// How many images are made.
const IMAGES: u64 = 2000;

/// Bytes that look random and are the same everywhere.
struct Dice(Vec<u8>);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(pattern_bytes(seed, 4096).flatten().collect())
    }

    /// A number below `count`.
    fn roll(&mut self, count: u8) -> u8 {
        self.0.pop().expect("enough bytes for any image") % count
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.roll(3);
        let names: Vec<&str> = (0..depth)
            .map(|_| ["a", "b", "c"][usize::from(self.roll(3))])
            .collect();
        names.join("/")
    }

    fn entry(&mut self) -> Entry {
        let path = self.path();
        let empty = || Kind::File(Content::Bytes(Vec::new()));
        let mut entry = match self.roll(16) {
            0..4 => Entry::new(Kind::File(Content::Bytes(vec![self.roll(255)])), path),
            4..8 => Entry::new(Kind::Dir(None), path),
            8 | 9 => {
                let root = ["", "/"][usize::from(self.roll(2))];
                let to = format!("{root}{}", self.path());
                Entry::new(Kind::Symlink(to.into()), path)
            }
            10 => Entry::new(Kind::Hardlink(self.path().into(), None), path),
            11..15 => {
                let (parent, name) = path.rsplit_once('/').unwrap_or((".", &path));
                Entry::new(empty(), format!("{parent}/.wh.{name}"))
            }
            _ => Entry::new(empty(), format!("{path}/.wh..wh..opq")),
        };
        if !matches!(entry.kind, Kind::Symlink(_)) {
            entry.mode ^= u32::from(self.roll(8));
        }
        entry.uid = u64::from(self.roll(4));
        entry.mtime.seconds = i64::from(self.roll(100));
        entry
    }

    fn layers(&mut self) -> Vec<Layer> {
        let count = 2 + self.roll(3);
        let layer = |_| Layer {
            entries: (0..2 + self.roll(6)).map(|_| self.entry()).collect(),
            ..Layer::default()
        };
        (0..count).map(layer).collect()
    }
}

/// The images that mean something, with their trees. Both must take the same ones for meaningless: those
/// with a link to nothing, or a file for a parent.
fn images() -> (Vec<Vec<Layer>>, Vec<Tree>) {
    let (mut images, mut trees) = (Vec::new(), Vec::new());
    for seed in 0..IMAGES {
        let layers = Dice::new(seed).layers();
        match (apply_layers(&layers, false), translate(&layers)) {
            (Ok(tree), Ok(_)) => {
                images.push(layers);
                trees.push(tree);
            }
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => panic!("seed {seed}: only the model refuses: {error}"),
            (Ok(_), Err(why)) => panic!("seed {seed}: only the translation refuses: {why}"),
        }
    }
    (images, trees)
}

#[test]
fn the_model_and_overlayfs_agree_on_images_made_at_random() {
    let (images, trees) = images();
    assert!(images.len() > 400, "only {} images", images.len());
    let mut disk = Disk::new();
    for layers in &images {
        disk.add(&translate(layers).unwrap());
    }
    let Some(seen) = disk.walk() else { return };
    let mut complaints = Vec::new();
    for ((layers, want), seen) in images.iter().zip(&trees).zip(&seen) {
        let lines = differences(want, seen);
        if !lines.is_empty() {
            complaints.push(format!("{}{lines:#?}", show(layers)));
        }
    }
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        images.len(),
        complaints.join("\n")
    );
}

fn show(layers: &[Layer]) -> String {
    let line = |entry: &Entry| match &entry.kind {
        Kind::Symlink(to) => format!("  {} -> {to}\n", entry.path),
        Kind::Hardlink(to, _) => format!("  {} = {to}\n", entry.path),
        Kind::Dir(_) => format!("  {}/\n", entry.path),
        _ => format!("  {}\n", entry.path),
    };
    let layer = |layer: &Layer| {
        format!(
            "layer\n{}",
            layer.entries.iter().map(line).collect::<String>()
        )
    };
    layers.iter().map(layer).collect()
}

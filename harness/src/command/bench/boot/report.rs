//! What `harness bench boot` found, as JSON and as text.

use std::fmt::Write as _;

use serde::Serialize;

use super::way::{FIRMWARE, PVH};
use crate::command::bench::Host;
use crate::command::bench::figures::{median, paired_ratio, seconds, times};
use crate::command::bench::race::{Sample, Standing};
use crate::command::bench::table::Table;

/// The whole run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) host: Host,
    pub(super) image: String,
    pub(super) rounds: usize,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) ways: Vec<About>,
    pub(super) boots: Vec<Entry>,
    pub(super) notes: Vec<String>,
}

/// A way of booting and the machine it has.
#[derive(Serialize)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) machine: String,
}

/// A way on an image, and how it stands.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) way: &'static str,
    pub(super) format: &'static str,
    pub(super) standing: Standing,
}

impl Report {
    /// Whether somebody failed.
    pub(super) fn is_red(&self) -> bool {
        let mut boots = self.boots.iter();
        boots.any(|entry| matches!(entry.standing, Standing::Failed(_)))
    }

    /// One table, below what a reader must know to believe it.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "image    {}\nharness  {} · {} processors\n\
             load     average {} before, {} after\n\
             rounds   {}, after one that is not counted; in each, everyone once, in rotating order\n\
             timed    QEMU from start to end; the guest reads the whole image and runs its shell\n\
             ratios   are medians of the ratios within each round\n\n",
            self.image,
            self.host.harness,
            self.host.processors,
            self.load_before,
            self.load_after,
            self.rounds,
        );
        for About { name, machine } in &self.ways {
            writeln!(text, "{name:13} {machine}").expect("a string takes all");
        }
        for note in &self.notes {
            writeln!(text, "note: {note}").expect("a string takes all");
        }
        text.push('\n');
        text.push_str(&self.table().render());
        for Entry {
            way,
            format,
            standing,
        } in &self.boots
        {
            if let Standing::Failed(why) = standing {
                writeln!(text, "  {way}, {format}: failed and is not timed: {why}")
                    .expect("a string takes all");
            }
        }
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new(vec![
            "",
            "image",
            "median",
            "least",
            "most",
            "of bzImage",
            "of PVH",
        ]);
        for (way, format, samples) in self.timed() {
            let against = |other: &str| {
                let mut timed = self.timed();
                let other = timed.find(|(way, its, _)| *way == other && *its == format);
                other.and_then(|(_, _, its)| paired_ratio(samples, its))
            };
            let times_of = || samples.iter().map(|sample| sample.seconds);
            table.row(vec![
                Some(way.to_owned()),
                Some(format.to_owned()),
                median(times_of()).map(seconds),
                times_of().min_by(f64::total_cmp).map(seconds),
                times_of().max_by(f64::total_cmp).map(seconds),
                against(FIRMWARE).map(times),
                against(PVH).map(times),
            ]);
        }
        table
    }

    fn timed(&self) -> impl Iterator<Item = (&str, &str, &[Sample])> {
        self.boots.iter().filter_map(|entry| match &entry.standing {
            Standing::Timed(samples) => Some((entry.way, entry.format, samples.as_slice())),
            Standing::Failed(_) | Standing::Missing(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{About, Entry, FIRMWARE, Host, PVH, Report, Sample, Standing};
    use crate::command::bench::boot::way::SNAPSHOT;

    #[test]
    fn a_report_compares_ways_of_the_same_image() {
        let timed = |seconds: [f64; 2]| {
            let sample = |seconds| Sample {
                seconds,
                ..Sample::default()
            };
            Standing::Timed(seconds.map(sample).to_vec())
        };
        let entry = |way, format, standing| Entry {
            way,
            format,
            standing,
        };
        let report = Report {
            host: Host {
                harness: "0.1.0, release build".to_owned(),
                processors: 2,
            },
            image: "image/python".to_owned(),
            rounds: 2,
            load_before: "1.00 2.00 3.00".to_owned(),
            load_after: "1.50 2.00 3.00".to_owned(),
            ways: vec![About {
                name: PVH,
                machine: "QEMU emulator version 7.2 · /boot/vmlinuz · kvm".to_owned(),
            }],
            boots: vec![
                entry(FIRMWARE, "ext4", timed([8.0, 10.0])),
                entry(PVH, "ext4", timed([4.0, 5.0])),
                entry(SNAPSHOT, "ext4", timed([0.5, 0.5])),
                entry(FIRMWARE, "erofs", timed([9.0, 9.0])),
                entry(
                    SNAPSHOT,
                    "erofs",
                    Standing::Failed("it panicked".to_owned()),
                ),
            ],
            notes: vec!["the cache was made again".to_owned()],
        };
        assert!(report.is_red());
        let expected = "\
image    image/python
harness  0.1.0, release build · 2 processors
load     average 1.00 2.00 3.00 before, 1.50 2.00 3.00 after
rounds   2, after one that is not counted; in each, everyone once, in rotating order
timed    QEMU from start to end; the guest reads the whole image and runs its shell
ratios   are medians of the ratios within each round

cold, PVH     QEMU emulator version 7.2 · /boot/vmlinuz · kvm
note: the cache was made again

                 image   median    least      most  of bzImage  of PVH
  cold, bzImage   ext4  9.000 s  8.000 s  10.000 s       1.00×   2.00×
  cold, PVH       ext4  4.500 s  4.000 s   5.000 s      0.500×   1.00×
  snapshot        ext4  0.500 s  0.500 s   0.500 s      0.056×  0.113×
  cold, bzImage  erofs  9.000 s  9.000 s   9.000 s       1.00×       -
  snapshot, erofs: failed and is not timed: it panicked
";
        assert_eq!(report.text(), expected);
    }
}

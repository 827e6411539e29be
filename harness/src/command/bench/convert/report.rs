//! What `harness bench convert` found, as JSON and as text.

use std::path::PathBuf;

use serde::Serialize;

use super::blobs::Blob;
use super::contender::{About, FLOOR, REFERENCE};
use crate::command::bench::Host;
use crate::command::bench::figures::{mebibytes, median, paired_ratio, seconds, times};
use crate::command::bench::race::{Sample, Standing};
use crate::command::bench::table::Table;

/// The whole run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) host: Host,
    pub(super) image: Image,
    /// How many rounds count.
    pub(super) rounds: usize,
    pub(super) contenders: Vec<About>,
    pub(super) places: Vec<Place>,
    /// What was not done and why.
    pub(super) notes: Vec<String>,
}

/// What was converted.
#[derive(Debug, Serialize)]
pub(super) struct Image {
    pub(super) layout: PathBuf,
    pub(super) reference: String,
    pub(super) layers: Vec<Blob>,
    /// Tar entries of all layers.
    pub(super) entries: usize,
    /// Paths of the root filesystem.
    pub(super) paths: usize,
}

/// A folder that outputs were made in.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) filesystem: String,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) standings: Vec<Entry>,
}

/// A contender and how it stands.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) standing: Standing,
}

impl Report {
    /// Whether somebody failed.
    pub(super) fn is_red(&self) -> bool {
        let mut standings = self.places.iter().flat_map(|place| &place.standings);
        standings.any(|entry| matches!(entry.standing, Standing::Failed(_)))
    }

    /// A table for each place, below what a reader must know to believe it.
    pub(super) fn text(&self) -> String {
        let mut text = self.heading();
        for place in &self.places {
            text.push_str(&place.text());
        }
        text
    }

    fn heading(&self) -> String {
        let Image {
            layout, reference, ..
        } = &self.image;
        let bytes: u64 = self.image.layers.iter().map(|layer| layer.bytes).sum();
        let mut text = format!(
            "image    {} {reference}: {} layers, {} compressed, {} entries, {} paths\n\
             harness  {} · {} processors\n\
             rounds   {}, after one that is not counted; in each, everyone once, in rotating order\n\
             timed    from start to exit, the layers in the page cache; all is synced before, and \
             the output\n         is synced and removed after\n\
             memory   of the largest process, not below the few MiB of the process that measures\n\
             ratios   are medians of the ratios within each round\n\n",
            layout.display(),
            self.image.layers.len(),
            mebibytes(bytes as f64),
            self.image.entries,
            self.image.paths,
            self.host.harness,
            self.host.processors,
            self.rounds,
        );
        for About {
            name,
            what,
            version,
        } in &self.contenders
        {
            let version = match version.as_str() {
                "" => String::new(),
                version => format!(" ({version})"),
            };
            text.push_str(&format!("{name:10} {what}{version}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text
    }
}

impl Place {
    fn text(&self) -> String {
        let mut text = format!(
            "\n{} ({}), load average {} before, {} after\n",
            self.folder.display(),
            self.filesystem,
            self.load_before,
            self.load_after
        );
        text.push_str(&self.table().render());
        for Entry { name, standing } in &self.standings {
            match standing {
                Standing::Timed(samples) => {
                    let remark = samples.iter().find_map(|sample| sample.remark.as_ref());
                    if let Some(remark) = remark {
                        text.push_str(&format!("  {name}: {remark}\n"));
                    }
                }
                Standing::Failed(why) => {
                    text.push_str(&format!("  {name} failed and is not timed: {why}\n"));
                }
                Standing::Missing(why) => {
                    text.push_str(&format!("  {name} is missing: {why}\n"));
                }
            }
        }
        text
    }

    fn table(&self) -> Table {
        let has_sync = self
            .timed()
            .flat_map(|(_, samples)| samples)
            .any(|sample| sample.sync_seconds.is_some());
        let mut columns = vec!["", "median", "least", "most", "× umoci's speed"];
        columns.extend(["× floor's time", "CPU", "peak memory"]);
        columns.extend(has_sync.then_some("then sync"));
        let mut table = Table::new(columns);
        for (name, samples) in self.timed() {
            let times_of = || samples.iter().map(|sample| sample.seconds);
            let middle =
                |figure: fn(&Sample) -> Option<f64>| median(samples.iter().filter_map(figure));
            let against = |other: &str| self.timed().find(|(name, _)| *name == other);
            let speed = against(REFERENCE).and_then(|(_, its)| paired_ratio(its, samples));
            let floors = against(FLOOR).and_then(|(_, its)| paired_ratio(samples, its));
            let mut cells = vec![
                Some(name.to_owned()),
                median(times_of()).map(seconds),
                times_of().min_by(f64::total_cmp).map(seconds),
                times_of().max_by(f64::total_cmp).map(seconds),
                speed.map(times),
                floors.map(times),
                middle(|sample| sample.cpu_seconds).map(seconds),
                middle(|sample| sample.peak_bytes.map(|bytes| bytes as f64)).map(mebibytes),
            ];
            if has_sync {
                cells.push(middle(|sample| sample.sync_seconds).map(seconds));
            }
            table.row(cells);
        }
        table
    }

    fn timed(&self) -> impl Iterator<Item = (&str, &[Sample])> {
        self.standings
            .iter()
            .filter_map(|entry| match &entry.standing {
                Standing::Timed(samples) => Some((entry.name.as_str(), samples.as_slice())),
                Standing::Failed(_) | Standing::Missing(_) => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{About, Blob, Entry, Host, Image, Place, Report, Sample, Standing};
    use crate::command::bench::convert::blobs::Compression;

    fn timed(seconds: [f64; 3], mebibytes: u64, sync: Option<f64>) -> Standing {
        let sample = |seconds| Sample {
            seconds,
            cpu_seconds: Some(seconds * 1.5),
            peak_bytes: Some(mebibytes << 20),
            sync_seconds: sync,
            remark: (mebibytes == 12).then(|| "2 directories stay".to_owned()),
        };
        Standing::Timed(seconds.map(sample).to_vec())
    }

    fn blob(mebibytes: u64) -> Blob {
        Blob {
            path: "/real/blobs/sha256/ab".into(),
            bytes: mebibytes << 20,
            compression: Compression::Gzip,
        }
    }

    fn report() -> Report {
        let entry = |name: &str, standing| Entry {
            name: name.to_owned(),
            standing,
        };
        let place = |folder: &str, filesystem: &str, sync| Place {
            folder: folder.into(),
            filesystem: filesystem.to_owned(),
            load_before: "1.00 2.00 3.00".to_owned(),
            load_after: "1.50 2.00 3.00".to_owned(),
            standings: vec![
                entry("native", timed([1.0, 1.5, 2.0], 12, sync)),
                entry("umoci", timed([2.0, 6.0, 4.0], 30, sync)),
                entry(
                    "tar xpf",
                    Standing::Failed("`tar`: exit status: 2".to_owned()),
                ),
                entry("floor", timed([0.5; 3], 4, None)),
                entry("gzip -dc", Standing::Missing("not installed".to_owned())),
            ],
        };
        Report {
            host: Host {
                harness: "0.1.0, release build".to_owned(),
                processors: 2,
            },
            image: Image {
                layout: "/real".into(),
                reference: "latest".to_owned(),
                layers: [3, 1].map(blob).to_vec(),
                entries: 7,
                paths: 5,
            },
            rounds: 3,
            contenders: vec![About {
                name: "umoci".to_owned(),
                what: "umoci raw unpack".to_owned(),
                version: "umoci version 0.4.7".to_owned(),
            }],
            places: vec![
                place("/dev/shm", "tmpfs", None),
                place("/disk", "ext4", Some(0.25)),
            ],
            notes: vec!["something is missing".to_owned()],
        }
    }

    #[test]
    fn a_report_says_who_was_timed_who_failed_and_who_is_missing() {
        let expected = "\
image    /real latest: 2 layers, 4.0 MiB compressed, 7 entries, 5 paths
harness  0.1.0, release build · 2 processors
rounds   3, after one that is not counted; in each, everyone once, in rotating order
timed    from start to exit, the layers in the page cache; all is synced before, and the output
         is synced and removed after
memory   of the largest process, not below the few MiB of the process that measures
ratios   are medians of the ratios within each round

umoci      umoci raw unpack (umoci version 0.4.7)
note: something is missing

/dev/shm (tmpfs), load average 1.00 2.00 3.00 before, 1.50 2.00 3.00 after
           median    least     most  × umoci's speed  × floor's time      CPU  peak memory
  native  1.500 s  1.000 s  2.000 s            2.00×           3.00×  2.250 s     12.0 MiB
  umoci   4.000 s  2.000 s  6.000 s            1.00×           8.00×  6.000 s     30.0 MiB
  floor   0.500 s  0.500 s  0.500 s            8.00×           1.00×  0.750 s      4.0 MiB
  native: 2 directories stay
  tar xpf failed and is not timed: `tar`: exit status: 2
  gzip -dc is missing: not installed

/disk (ext4), load average 1.00 2.00 3.00 before, 1.50 2.00 3.00 after
           median    least     most  × umoci's speed  × floor's time      CPU  peak memory  then sync
  native  1.500 s  1.000 s  2.000 s            2.00×           3.00×  2.250 s     12.0 MiB    0.250 s
  umoci   4.000 s  2.000 s  6.000 s            1.00×           8.00×  6.000 s     30.0 MiB    0.250 s
  floor   0.500 s  0.500 s  0.500 s            8.00×           1.00×  0.750 s      4.0 MiB          -
  native: 2 directories stay
  tar xpf failed and is not timed: `tar`: exit status: 2
  gzip -dc is missing: not installed
";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn a_report_is_red_if_somebody_failed() {
        let mut report = report();
        assert!(report.is_red());
        for place in &mut report.places {
            place.standings.remove(2);
        }
        assert!(!report.is_red());
    }
}

//! `harness soak`: mutated layouts and texts for our own readers, to see that none of them panics, hangs
//! or takes memory without bound.
//!
//! Every item follows from the seed and its number alone, so `--only` asks a single one again. Half of
//! the mutated streams get new digests all the way up: else nothing past the digests would be reached.

mod image;
mod mutate;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;
use rustix::process::{Resource, Rlimit, setrlimit};

use self::image::{Damaged, Pool};
use self::mutate::Random;
use super::interrupt::Unfinished;
use super::{EXIT_GREEN, EXIT_RED, Home};
use crate::case::{Case, Content, Entry, Kind};
use crate::check::{Finding, WorkFolder};
use crate::image::read_layout;
use crate::read;
use crate::tree::{Tree, apply_layers, diff, mtree};

/// Feeds mutated layouts, archives, case files and mtree files to native and to every reader of the
/// harness: no panic, no hang, bounded memory.
#[derive(Args)]
pub(super) struct Soak {
    /// How many mutated images.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    count: u64,
    /// What the mutations follow from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only the item of this number.
    #[arg(long, value_name = "N")]
    only: Option<u64>,
    /// How many threads work.
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: u64,
    /// Mutate nothing: write what mutations start from into this folder, as seeds for cargo-fuzz.
    #[arg(long, value_name = "DIR")]
    seeds: Option<PathBuf>,
    /// Name the items on which native and the model differ.
    #[arg(long, short)]
    verbose: bool,
}

/// How long one reader may take for one item before it counts as hanging.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The address space of the whole process. Threads and their arenas take most of what is used.
const MEMORY: u64 = 4 << 30;

/// Who is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    Native,
    Layout,
    Archive,
    Case,
    Mtree,
    /// Native and the model, on an image that both accept.
    Both,
}

/// What came of feeding one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Accepted,
    Refused,
    Panicked,
}

impl Soak {
    /// Exit 0: no panic; 1: some. A hang ends the program with 1 and the item's number.
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let limit = Rlimit {
            current: Some(MEMORY),
            maximum: Some(MEMORY),
        };
        setrlimit(Resource::As, limit).context("failed to limit the memory")?;
        let corpus = home.corpus()?;
        let work = work_folder(home)?;
        let _unfinished = Unfinished::new(work.path());
        let pool = Pool::new(&corpus.cases, home, work.path())?;
        if let Some(folder) = &self.seeds {
            let count = pool.write_seeds(folder)?;
            super::print(&format!("{count} seeds in {}\n", folder.display()))?;
            return Ok(EXIT_GREEN);
        }
        let totals = Mutex::new(BTreeMap::new());
        let next = AtomicU64::new(0);
        let items: Vec<u64> = match self.only {
            Some(only) => vec![only],
            None => (0..self.count).collect(),
        };
        let watched = Watched::default();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let workers = (0..self.jobs.max(1)).map(|worker| {
                let (pool, totals, next, items) = (&pool, &totals, &next, &items);
                let cell = work.path().join(format!("cell-{worker}"));
                let watched = &watched;
                scope.spawn(move || -> anyhow::Result<()> {
                    while let Some(&item) = usize::try_from(next.fetch_add(1, Ordering::Relaxed))
                        .ok()
                        .and_then(|index| items.get(index))
                    {
                        let watch = watched.begin(item);
                        let answers = self.item(pool, item, &cell)?;
                        watched.end(watch);
                        let mut totals = totals.lock().expect("no panic holds it");
                        for answer in answers {
                            *totals.entry(answer).or_insert(0_u64) += 1;
                        }
                    }
                    Ok(())
                })
            });
            let workers: Vec<_> = workers.collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                std::thread::sleep(Duration::from_millis(20));
                if let Some(item) = watched.hanging() {
                    let seed = self.seed;
                    super::complain(&format!(
                        "item {item} hangs; again: harness soak --seed {seed} --only {item}"
                    ));
                    std::process::exit(EXIT_RED.into());
                }
            }
            for worker in workers {
                worker.join().expect("panics are caught")?;
            }
            Ok(())
        })?;
        let parent = work.path().parent().map(Path::to_owned);
        drop(work);
        if let Some(parent) = parent {
            // Only where nobody else soaks.
            let _ = std::fs::remove_dir(parent);
        }
        let totals = totals.into_inner().expect("no panic held it");
        super::print(&report(&totals, items.len())?)?;
        let panicked = totals.keys().any(|(_, answer)| *answer == Answer::Panicked);
        Ok(if panicked { EXIT_RED } else { EXIT_GREEN })
    }

    /// Makes one item and feeds it to every reader.
    fn item(&self, pool: &Pool, item: u64, cell: &Path) -> anyhow::Result<Vec<(Reader, Answer)>> {
        let mut random = Random::new(self.seed, item);
        let damaged = pool.damaged(&mut random);
        fs::create_dir_all(cell)?;
        let layout = cell.join("layout");
        damaged.write(&layout)?;
        let output = cell.join("out.tar");
        let (mut made, mut expected) = (None, None);
        let mut answers = vec![
            self.feed(Reader::Native, item, || {
                let converted = native::convert(&native::Request {
                    layout: &layout,
                    reference: None,
                    output: &output,
                    format: native::Format::Tar,
                    stop: None,
                });
                made = converted.ok().and_then(|_| read::tar(&output).ok());
                made.is_some()
            }),
            self.feed(Reader::Layout, item, || {
                let layers = read_layout(&layout, None).ok();
                expected = layers.and_then(|layers| apply_layers(&layers, false).ok());
                expected.is_some()
            }),
            self.feed(Reader::Archive, item, || archive(&damaged, cell)),
            self.feed(Reader::Case, item, || {
                crate::case::parse("soak/item", &damaged.case, &|_| Some(Vec::new())).is_ok()
            }),
            self.feed(Reader::Mtree, item, || {
                mtree::parse(&damaged.mtree).is_ok_and(|tree| !mtree::print(&tree, &[]).is_empty())
            }),
        ];
        fs::remove_dir_all(cell)?;
        if let (Some(made), Some(expected)) = (made, expected) {
            answers.push((Reader::Both, self.compare(item, &expected, &made)));
        }
        Ok(answers)
    }

    /// What native makes of an image that the model has a tree for, too. A difference is no failure here:
    /// mutations hit what the spec leaves open, and only a case of the corpus can say who is right.
    fn compare(&self, item: u64, expected: &Tree, made: &Tree) -> Answer {
        let differences = diff(expected, made);
        if differences.is_empty() {
            return Answer::Accepted;
        }
        if self.verbose {
            let first = Finding::difference(differences[0].clone()).safe_line();
            super::complain(&format!("item {item}: {first}"));
        }
        Answer::Refused
    }

    fn feed(&self, reader: Reader, item: u64, read: impl FnOnce() -> bool) -> (Reader, Answer) {
        let answer = match catch_unwind(AssertUnwindSafe(read)) {
            Ok(true) => Answer::Accepted,
            Ok(false) => Answer::Refused,
            Err(_) => {
                let seed = self.seed;
                super::complain(&format!(
                    "{reader:?} panicked; again: harness soak --seed {seed} --only {item}"
                ));
                Answer::Panicked
            }
        };
        (reader, answer)
    }
}

/// In memory where that is to be had: each conversion flushes its output.
fn work_folder(home: &Home) -> anyhow::Result<WorkFolder> {
    let in_memory = Path::new("/dev/shm");
    if in_memory.is_dir()
        && let Ok(work) = WorkFolder::create(&in_memory.join("harness-soak"))
    {
        return Ok(work);
    }
    WorkFolder::create(&home.scratch().join("work"))
}

/// The archive of the damaged layer by itself, as a converter's output would be read.
fn archive(damaged: &Damaged, cell: &Path) -> bool {
    let path = cell.join("layer.tar");
    fs::write(&path, &damaged.archive).is_ok() && read::tar(&path).is_ok()
}

/// The items being worked on, with the time each began.
#[derive(Default)]
struct Watched(Mutex<BTreeMap<u64, Instant>>);

impl Watched {
    fn begin(&self, item: u64) -> u64 {
        let mut items = self.0.lock().expect("no panic holds it");
        items.insert(item, Instant::now());
        item
    }

    fn end(&self, item: u64) {
        self.0.lock().expect("no panic holds it").remove(&item);
    }

    fn hanging(&self) -> Option<u64> {
        let items = self.0.lock().expect("no panic holds it");
        let late = items.iter().find(|(_, began)| began.elapsed() > TIME_LIMIT);
        late.map(|(item, _)| *item)
    }
}

fn report(totals: &BTreeMap<(Reader, Answer), u64>, items: usize) -> anyhow::Result<String> {
    let mut out = format!("{items} mutated images\n");
    for reader in [
        Reader::Native,
        Reader::Layout,
        Reader::Archive,
        Reader::Case,
        Reader::Mtree,
    ] {
        let count = |answer| totals.get(&(reader, answer)).copied().unwrap_or(0);
        writeln!(
            out,
            "{:8} {:6} accepted {:6} refused {:6} panicked",
            format!("{reader:?}").to_lowercase(),
            count(Answer::Accepted),
            count(Answer::Refused),
            count(Answer::Panicked),
        )?;
    }
    let count = |answer| totals.get(&(Reader::Both, answer)).copied().unwrap_or(0);
    writeln!(
        out,
        "native and the model: {} trees alike, {} different",
        count(Answer::Accepted),
        count(Answer::Refused)
    )?;
    Ok(out)
}

/// Whether a case is small enough to be mutated many times.
fn is_small(case: &Case) -> bool {
    const BYTES_MAX: u64 = 64 << 10;
    let entries = case.layers.iter().flat_map(|layer| &layer.entries);
    entries.map(|entry| 1024 + size(entry)).sum::<u64>() < BYTES_MAX
}

/// About how many bytes of content an entry has.
fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File(content)
        | Kind::Raw(content)
        | Kind::Dir(Some(content))
        | Kind::Hardlink(_, Some(content)) => match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(size) | Content::Pattern { size, .. } | Content::Digest { size, .. } => {
                *size
            }
            Content::Tar(entries) => entries.iter().map(|entry| 1024 + size(entry)).sum(),
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Answer, Reader, Soak, TIME_LIMIT, Watched};

    const SOAK: Soak = Soak {
        count: 1,
        seed: 1,
        only: None,
        jobs: 1,
        seeds: None,
        verbose: false,
    };

    #[test]
    fn a_panic_is_an_answer_of_its_own() {
        for (reader, answer) in [
            (|| true) as fn() -> bool,
            || false,
            || panic!("as a reader might"),
        ]
        .into_iter()
        .zip([Answer::Accepted, Answer::Refused, Answer::Panicked])
        {
            assert_eq!(SOAK.feed(Reader::Case, 0, reader), (Reader::Case, answer));
        }
    }

    #[test]
    fn what_takes_too_long_hangs() {
        let watched = Watched::default();
        watched.begin(1);
        assert_eq!(watched.hanging(), None);
        let long_ago = Instant::now().checked_sub(TIME_LIMIT * 2).unwrap();
        watched.0.lock().unwrap().insert(2, long_ago);
        assert_eq!(watched.hanging(), Some(2));
        watched.end(2);
        assert_eq!(watched.hanging(), None);
    }
}

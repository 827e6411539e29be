//! How far a run is: one line on a terminal, and one more for each converter that is done.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::check::Trial;
use crate::report::TrialRecord;
use crate::suite::{Progress, Suite};

/// How often a second the line is drawn at most: more would flicker.
const DRAWN_PER_SECOND: u8 = 5;
/// How often it is drawn though nothing ended, so that the time left goes on.
const TICK: Duration = Duration::from_millis(500);

/// The line on standard error; nothing where that is no terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    tallies: Mutex<BTreeMap<String, Tally>>,
}

/// What the trials of one converter came to so far.
#[derive(Default)]
struct Tally {
    planned: usize,
    verdicts: BTreeMap<String, usize>,
}

impl Bar {
    /// A line for the trials of a suite.
    pub(super) fn new(suite: &Suite) -> Bar {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = Bar::on(target, &suite.trials());
        if !bar.bar.is_hidden() {
            bar.bar.enable_steady_tick(TICK);
        }
        bar
    }

    fn on(target: ProgressDrawTarget, trials: &[Trial<'_>]) -> Bar {
        let names = trials.iter().map(|trial| trial.chain.name.as_str());
        Bar::of(target, names)
    }

    /// A line for trials of these chains.
    fn of<'a>(target: ProgressDrawTarget, chains: impl Iterator<Item = &'a str>) -> Bar {
        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        let mut all = 0;
        for chain in chains {
            tallies.entry(chain.to_owned()).or_default().planned += 1;
            all += 1;
        }
        let bar = ProgressBar::with_draw_target(Some(all), target);
        let template = "{bar:12} {pos}/{len} {rate} {left} {prefix}{wide_msg}";
        let style = ProgressStyle::with_template(template).expect("a constant template");
        bar.set_style(style.with_key("rate", rate).with_key("left", left));
        Bar {
            bar,
            tallies: Mutex::new(tallies),
        }
    }

    /// What is to be told of the run.
    pub(super) fn tell(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Begun(trial) => self.bar.set_message(trial.name()),
            Progress::Done(record) => self.done(record),
        }
    }

    /// The line goes away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn done(&self, record: &TrialRecord) {
        let finished = {
            let mut tallies = self.tallies();
            let tally = tallies.entry(record.chain.clone()).or_default();
            *tally.verdicts.entry(record.verdict.clone()).or_default() += 1;
            tally.is_finished().then(|| tally.line(&record.chain))
        };
        if let Some(line) = finished {
            self.bar.println(line);
        }
        if record.is_red() {
            let red: usize = self.tallies().values().map(Tally::red).sum();
            self.bar.set_prefix(format!("{red} red  "));
        }
        self.bar.inc(1);
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<String, Tally>> {
        self.tallies.lock().expect("no panic holds it")
    }
}

impl Tally {
    fn is_finished(&self) -> bool {
        self.verdicts.values().sum::<usize>() == self.planned
    }

    fn red(&self) -> usize {
        let count = |verdict| self.verdicts.get(verdict).copied().unwrap_or(0);
        count("fail") + count("fixed") + count("error")
    }

    fn line(&self, chain: &str) -> String {
        let mut line = chain.to_owned();
        let mut separator = ':';
        for verdict in ["pass", "fail", "known", "fixed", "skip", "error"] {
            if let Some(count) = self.verdicts.get(verdict) {
                let _ = write!(line, "{separator} {count} {verdict}");
                separator = ',';
            }
        }
        line
    }
}

/// Trials in a second; of slow ones how many in a minute.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let _ = out.write_str(&rate_in_words(state.per_sec()));
}

fn rate_in_words(per_second: f64) -> String {
    match per_second >= 1.0 {
        true => format!("{per_second:.1}/s"),
        false => format!("{:.1}/min", per_second * 60.0),
    }
}

/// The time left, once some trial gave an idea of it.
fn left(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let words = match state.pos() {
        0 => "… left".to_owned(),
        _ => format!("{} left", time_in_words(state.eta())),
    };
    let _ = out.write_str(&words);
}

fn time_in_words(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
    match minutes {
        0 => format!("{seconds}s"),
        1..60 => format!("{minutes}m{seconds:02}s"),
        _ => format!("{}h{:02}m", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::{Bar, rate_in_words, time_in_words};
    use crate::report::TrialRecord;

    /// A terminal of 80 columns that remembers what was written to it.
    #[derive(Debug, Default, Clone)]
    struct Terminal(Arc<Mutex<Vec<String>>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.to_owned());
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn record(chain: &str, verdict: &str) -> TrialRecord {
        serde_json::from_value(serde_json::json!({
            "chain": chain, "case": "a/b", "title": "", "rule": "", "level": "must", "format": "dir",
            "verdict": verdict, "findings": [], "known": null, "seen": [], "unchecked": {},
            "answer": "", "error": null, "kept": null, "embargo": false,
        }))
        .unwrap()
    }

    #[test]
    fn the_line_fits_and_each_converter_gets_one_when_it_is_done() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 250);
        let bar = Bar::of(target, ["one", "two", "one"].into_iter());
        let name = format!("one/{}", "a-very-long-name".repeat(20));
        bar.bar.set_message(name);
        let done = [
            record("one", "pass"),
            record("two", "known"),
            record("one", "fail"),
        ];
        for record in &done {
            bar.done(record);
            bar.bar.force_draw();
        }
        let written = terminal.0.lock().unwrap().clone();
        let has = |text: &str| written.iter().any(|line| line.contains(text));
        for text in [
            "one: 1 pass, 1 fail",
            "two: 1 known",
            " 3/3 ",
            " left ",
            " 1 red  one/a-very",
        ] {
            assert!(has(text), "{text}\n{written:#?}");
        }
        assert_eq!(
            written.iter().filter(|line| line.contains("one: ")).count(),
            1
        );
        for line in &written {
            assert!(line.trim_end().chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn rates_and_times_are_short() {
        assert_eq!(rate_in_words(12.345), "12.3/s");
        assert_eq!(rate_in_words(0.25), "15.0/min");
        let words = [5, 65, 3700].map(|seconds| time_in_words(Duration::from_secs(seconds)));
        assert_eq!(words, ["5s", "1m05s", "1h01m"]);
    }
}

//! Rounds in which every contender runs once.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// What one run of one contender took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Wall-clock time.
    pub(super) seconds: f64,
    /// Processor time, of user and system, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_seconds: Option<f64>,
    /// The largest resident set of one process, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_bytes: Option<u64>,
    /// How long it took afterwards until the file system had written all to its device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sync_seconds: Option<f64>,
    /// What it did not do of its work, where that is forgiven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remark: Option<String>,
}

/// How a contender stands at the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// One sample per round.
    Timed(Vec<Sample>),
    /// It did not do its work in some round, so that its times mean nothing.
    Failed(String),
    /// It could not run here at all.
    Missing(String),
}

/// Runs every contender once per round, after a round that is not counted, each round beginning
/// with another contender. One that fails is not run again.
///
/// `time` runs a contender: its sample, or why the contender failed.
///
/// # Errors
///
/// Those of `time`: trouble of the harness or the host, never of a contender.
pub(super) fn race<C>(
    contenders: &[C],
    rounds: usize,
    name: impl Fn(&C) -> String,
    mut time: impl FnMut(&C) -> anyhow::Result<Result<Sample, String>>,
) -> anyhow::Result<Vec<Standing>> {
    let bar = progress((contenders.len() * (rounds + 1)) as u64);
    let mut standings = vec![Standing::Timed(Vec::new()); contenders.len()];
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let at = (turn + round) % contenders.len();
            let Standing::Timed(samples) = &mut standings[at] else {
                continue;
            };
            bar.set_message(name(&contenders[at]));
            match time(&contenders[at])? {
                Ok(_) if round == 0 => {}
                Ok(sample) => samples.push(sample),
                Err(why) => standings[at] = Standing::Failed(why),
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(standings)
}

/// It draws on standard error, and only if that is a terminal.
fn progress(turns: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    ProgressBar::new(turns).with_style(style.expect("a constant template"))
}

#[cfg(test)]
mod tests {
    use super::{Sample, Standing, race};

    fn sample(seconds: f64) -> Sample {
        Sample {
            seconds,
            ..Sample::default()
        }
    }

    #[test]
    fn the_order_rotates_and_the_first_round_is_not_counted() {
        let mut order = String::new();
        let standings = race(&["a", "b", "c"], 2, ToString::to_string, |name| {
            order.push_str(name);
            Ok(Ok(sample(order.len() as f64)))
        });
        assert_eq!(order, "abcbcacab");
        let timed = |seconds: [f64; 2]| Standing::Timed(seconds.map(sample).to_vec());
        let expected = [timed([6.0, 8.0]), timed([4.0, 9.0]), timed([5.0, 7.0])];
        assert_eq!(standings.unwrap(), expected);
    }

    #[test]
    fn a_contender_that_fails_once_is_failed_and_not_run_again() {
        for fails_at in [1, 3] {
            let mut runs = 0;
            let standings = race(&["good", "bad"], 3, ToString::to_string, |name| {
                if *name == "bad" {
                    runs += 1;
                    if runs == fails_at {
                        return Ok(Err("exit status: 1".to_owned()));
                    }
                }
                Ok(Ok(sample(1.0)))
            });
            let standings = standings.unwrap();
            assert_eq!(standings[0], Standing::Timed(vec![sample(1.0); 3]));
            assert_eq!(standings[1], Standing::Failed("exit status: 1".to_owned()));
            assert_eq!(runs, fails_at);
        }
    }

    #[test]
    fn trouble_of_the_harness_ends_the_race() {
        let error = race(&["a"], 1, ToString::to_string, |_| {
            anyhow::bail!("no room for the output")
        });
        assert_eq!(error.unwrap_err().to_string(), "no room for the output");
    }
}

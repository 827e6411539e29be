//! JUnit XML, which every CI system shows: a suite for each chain, a test case for each trial.

use super::{Record, Report, TrialRecord};

/// The JUnit report. Known failures are passed test cases that say so; times are left out, so that equal
/// results are equal text.
pub struct Junit;

impl Report for Junit {
    fn render(&self, record: &Record) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
        for chain in &record.chains {
            let trials: Vec<_> = record
                .trials
                .iter()
                .filter(|trial| trial.chain == chain.name)
                .collect();
            let count = |verdicts: &[&str]| {
                let hit = |trial: &&&TrialRecord| verdicts.contains(&trial.verdict.as_str());
                trials.iter().filter(hit).count()
            };
            out.push_str(&format!(
                "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
                escape(&chain.name),
                trials.len(),
                count(&["fail", "fixed"]),
                count(&["error"]),
                count(&["skip"]),
            ));
            for trial in trials {
                out.push_str(&test_case(trial));
            }
            out.push_str("  </testsuite>\n");
        }
        out + "</testsuites>\n"
    }
}

fn test_case(trial: &TrialRecord) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        escape(&trial.chain),
        escape(&trial.case)
    );
    let lines: Vec<String> = trial
        .findings
        .iter()
        .map(|finding| format!("{} {}", finding.kind, finding.line))
        .collect();
    let worst = trial.findings.first().map_or("", |finding| &finding.kind);
    let body = match trial.verdict.as_str() {
        "fail" => element(
            "failure",
            worst,
            &format!("{}\n{}", trial.rule, lines.join("\n")),
        ),
        "fixed" => element(
            "failure",
            "fixed",
            "passes, yet it is known to fail: delete the line",
        ),
        "error" => element(
            "error",
            "harness",
            trial.error.as_deref().unwrap_or_default(),
        ),
        "skip" => {
            let causes: Vec<&str> = trial.unchecked.values().map(String::as_str).collect();
            format!(
                "      <skipped message=\"{}\"/>\n",
                escape(&causes.join("; "))
            )
        }
        "known" => {
            let reason = trial.known.as_ref().map_or("", |known| &known.reason);
            let text = format!("known: {reason}\n{}", lines.join("\n"));
            format!("      <system-out>{}</system-out>\n", escape(&text))
        }
        _ => return format!("{head}/>\n"),
    };
    format!("{head}>\n{body}    </testcase>\n")
}

fn element(name: &str, message: &str, text: &str) -> String {
    let (message, text) = (escape(message), escape(text));
    format!("      <{name} message=\"{message}\">{text}</{name}>\n")
}

/// A text as XML 1.0 can hold it. Findings have no control characters left, but what was read from a
/// record may.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn no_text_can_end_its_element() {
        assert_eq!(escape("a<b>&\"\n\u{1b}"), "a&lt;b&gt;&amp;&quot;\n\u{fffd}");
    }
}

//! Known failures of a runner: `runners/<name>/expectations.toml`, never in the cases.

use serde::Deserialize;

/// The known failures of one runner.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// Texts, one of which the version of a tool contains whose failures were looked at, all of them; empty
    /// means that nobody has finished looking.
    pub rated: Vec<String>,
    /// The entries, in the order of the file.
    pub known: Vec<Known>,
    /// What it does whatever the image.
    pub everywhere: Vec<Everywhere>,
}

/// One thing that a runner does wrong with images of any case. An entry for cases would hide all else of its kind
/// in nearly all of them; this one covers nothing but what it says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Everywhere {
    /// The kind of finding.
    pub kind: String,
    /// What the finding's line begins with.
    pub line: String,
    /// The reason, found by looking.
    pub reason: String,
    /// An issue, a commit or the line of a document that says so.
    pub link: String,
    /// See [`Known::version`].
    pub version: Option<String>,
    /// See [`Known::runners`].
    #[serde(default)]
    pub runners: Vec<String>,
}

/// Some cases a runner is known to fail, why, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Known {
    /// The ids of the cases.
    pub cases: Vec<String>,
    /// The kinds of finding that are known; any other is red all the same.
    pub kinds: Vec<String>,
    /// The reason, found by looking.
    pub reason: String,
    /// An issue, a commit or the line of a document that says so.
    pub link: String,
    /// A text the runner's version contains where the entry holds; absent means every version.
    pub version: Option<String>,
    /// Only with outputs of this format; absent means every format.
    pub format: Option<super::Format>,
    /// Only of these runners of the folder, without `@` and root; empty means all of them.
    #[serde(default)]
    pub runners: Vec<String>,
    /// Whether findings are shown by kind only, until the maintainers know.
    #[serde(default)]
    pub embargo: bool,
}

/// What `harness baseline` puts where a person must say why, and what [`Expectations::parse`] refuses.
pub const NOT_LOOKED_AT: &str = "not looked at yet";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectationsFile {
    #[serde(default)]
    rated: Vec<String>,
    #[serde(default)]
    known: Vec<Known>,
    #[serde(default)]
    everywhere: Vec<Everywhere>,
}

impl Everywhere {
    /// Whether it speaks of this runner of the folder in this version.
    pub fn holds_for(&self, runner: &str, version: &str) -> bool {
        is_of(&self.runners, runner) && is_version(self.version.as_ref(), version)
    }
}

fn is_of(runners: &[String], runner: &str) -> bool {
    runners.is_empty() || runners.iter().any(|name| name == runner)
}

fn is_version(part: Option<&String>, version: &str) -> bool {
    part.is_none_or(|part| version.contains(part.as_str()))
}

impl Known {
    /// Whether it speaks of a case, as this runner of the folder has it in this version and output.
    pub fn holds_for(
        &self,
        runner: &str,
        case: &str,
        version: &str,
        format: super::Format,
    ) -> bool {
        self.cases.iter().any(|id| id == case)
            && is_of(&self.runners, runner)
            && is_version(self.version.as_ref(), version)
            && self.format.is_none_or(|only| only == format)
    }

    /// Whether a person has written reason and link.
    pub fn is_looked_at(&self) -> bool {
        ![&self.reason, &self.link]
            .into_iter()
            .any(|text| text.trim() == NOT_LOOKED_AT)
    }
}

impl Expectations {
    /// Reads the text of an expectations file.
    ///
    /// # Errors
    ///
    /// Text that is not TOML, an unknown key, an entry without cases, kinds, reason or link, or one whose
    /// reason or link nobody has written yet.
    pub fn parse(text: &str) -> Result<Expectations, String> {
        let expectations = Expectations::parse_proposed(text)?;
        for known in &expectations.known {
            let empty = known.cases.is_empty()
                || known.kinds.is_empty()
                || known.reason.trim().is_empty()
                || known.link.trim().is_empty();
            if empty {
                let cases = known.cases.join(", ");
                return Err(format!(
                    "the entry for `{cases}` needs cases, kinds, a reason and a link"
                ));
            }
            if !known.is_looked_at() {
                let cases = known.cases.join(", ");
                return Err(format!(
                    "the entry for `{cases}` is {NOT_LOOKED_AT}: look at what fails, then write reason and \
                     link"
                ));
            }
        }
        for every in &expectations.everywhere {
            let texts = [&every.kind, &every.line, &every.reason, &every.link];
            if texts.iter().any(|text| text.trim().is_empty()) {
                return Err(format!(
                    "the entry for `{}` everywhere needs a kind, a line, a reason and a link",
                    every.line
                ));
            }
        }
        Ok(expectations)
    }

    /// Reads a text that may have entries nobody has looked at yet.
    ///
    /// # Errors
    ///
    /// Text that is not TOML, or an unknown key.
    pub fn parse_proposed(text: &str) -> Result<Expectations, String> {
        let file: ExpectationsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(Expectations {
            rated: file.rated,
            known: file.known,
            everywhere: file.everywhere,
        })
    }

    /// Whether the failures of this version were looked at.
    pub fn rates(&self, version: &str) -> bool {
        self.rated
            .iter()
            .any(|text| version.contains(text.as_str()))
    }

    /// Whether a case's findings are held back: of every version and output, since the next may have them too.
    pub fn is_embargoed(&self, case: &str) -> bool {
        let mut held_back = self.known.iter().filter(|known| known.embargo);
        held_back.any(|known| known.cases.iter().any(|id| id == case))
    }

    /// The entry for a case that holds for this runner of the folder, its version and its output.
    pub fn find(
        &self,
        runner: &str,
        case: &str,
        version: &str,
        format: super::Format,
    ) -> Option<&Known> {
        self.known
            .iter()
            .find(|known| known.holds_for(runner, case, version, format))
    }
}

#[cfg(test)]
mod tests {
    use super::{Expectations, NOT_LOOKED_AT};
    use crate::runner::Format;

    const TEXT: &str = "
        [[known]]
        cases = ['a/one', 'a/two']
        kinds = ['silent']
        reason = 'because'
        link = 'here'
        version = '0.4.7'
        format = 'erofs'

        [[known]]
        cases = ['a/two']
        kinds = ['crash']
        reason = 'any'
        link = 'here'
    ";

    #[test]
    fn an_entry_holds_for_its_cases_version_and_format_only() {
        let known = Expectations::parse(TEXT).unwrap();
        let reason = |case, version, format| {
            let entry = known.find("umoci", case, version, format);
            entry.map(|entry| entry.reason.as_str())
        };
        let version = "umoci version 0.4.7+ds-3";
        assert_eq!(reason("a/one", version, Format::Erofs), Some("because"));
        assert_eq!(reason("a/one", "0.5.0", Format::Erofs), None);
        assert_eq!(reason("a/one", version, Format::Dir), None);
        assert_eq!(reason("a/three", version, Format::Erofs), None);
        assert_eq!(reason("a/two", version, Format::Erofs), Some("because"));
        assert_eq!(reason("a/two", version, Format::Dir), Some("any"));
        let only = TEXT.replace("version = '0.4.7'", "runners = ['umoci-rootless']");
        let only = Expectations::parse(&only).unwrap();
        let find = |runner| only.find(runner, "a/one", version, Format::Erofs);
        assert!(find("umoci-rootless").is_some());
        assert!(find("umoci").is_none());
    }

    #[test]
    fn what_is_done_everywhere_is_said_by_its_line() {
        let text = "[[everywhere]]\nkind = 'silent'\nline = 'modified  .  time'\nreason = 'r'\nlink = 'l'\n\
                    version = '1.2'\nrunners = ['x']";
        let every = &Expectations::parse(text).unwrap().everywhere[0];
        assert!(every.holds_for("x", "x 1.2.3"));
        assert!(!every.holds_for("y", "x 1.2.3") && !every.holds_for("x", "x 1.3"));
        for (key, value) in [
            ("line", "modified  .  time"),
            ("reason", "r"),
            ("link", "l"),
        ] {
            let blank = text.replace(&format!("{key} = '{value}'"), &format!("{key} = ' '"));
            let error = Expectations::parse(&blank).unwrap_err();
            assert!(error.contains("needs a kind, a line"), "{error}");
        }
    }

    #[test]
    fn a_file_rates_the_versions_it_names() {
        let rated = Expectations::parse("rated = ['0.4.7', '0.6.0']").unwrap();
        for (version, is) in [
            ("umoci version 0.6.0+ds", true),
            ("umoci 0.6.1", false),
            ("", false),
        ] {
            assert_eq!(rated.rates(version), is, "{version}");
        }
        assert!(!Expectations::default().rates(""));
    }

    #[test]
    fn an_entry_says_what_why_and_where() {
        for key in ["cases = ['a/two']", "kinds = ['crash']", "reason = 'any'"] {
            let name = key.split(' ').next().unwrap();
            let empty = if key.contains('[') { "[]" } else { "' '" };
            let text = TEXT.replace(key, &format!("{name} = {empty}"));
            let error = Expectations::parse(&text).unwrap_err();
            assert!(
                error.contains("needs cases, kinds, a reason and a link"),
                "{error}"
            );
            let error = Expectations::parse(&TEXT.replace(key, "")).unwrap_err();
            assert!(
                error.contains(&format!("missing field `{name}`")),
                "{error}"
            );
        }
        assert!(Expectations::parse("[[knwon]]").is_err());
    }

    #[test]
    fn a_proposal_nobody_looked_at_is_refused() {
        for (key, value) in [("reason", "because"), ("link", "here")] {
            for blank in ["", " ", "\\n"] {
                let proposal = format!("{key} = \"{blank}{NOT_LOOKED_AT}{blank}\"");
                let text = TEXT.replacen(&format!("{key} = '{value}'"), &proposal, 1);
                let error = Expectations::parse(&text).unwrap_err();
                assert!(
                    error.contains("`a/one, a/two` is not looked at yet"),
                    "{error}"
                );
                assert_eq!(Expectations::parse_proposed(&text).unwrap().known.len(), 2);
            }
        }
    }

    #[test]
    fn what_is_held_back_is_so_for_every_version_and_format() {
        let text = TEXT.replacen("link = 'here'", "link = 'here'\nembargo = true", 1);
        let known = Expectations::parse(&text).unwrap();
        assert!(known.is_embargoed("a/one") && known.is_embargoed("a/two"));
        assert!(!known.is_embargoed("a/three"));
        assert!(!Expectations::parse(TEXT).unwrap().is_embargoed("a/one"));
    }
}

//! Known failures of a runner: `runners/<name>/expectations.toml`, never in the cases.

use serde::Deserialize;

/// The known failures of one runner.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// Texts, one of which the version of a tool contains whose failures were looked at; empty means every
    /// version.
    pub rated: Vec<String>,
    /// The entries, in the order of the file.
    pub known: Vec<Known>,
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectationsFile {
    #[serde(default)]
    rated: Vec<String>,
    #[serde(default)]
    known: Vec<Known>,
}

impl Expectations {
    /// Reads the text of an expectations file.
    ///
    /// # Errors
    ///
    /// Text that is not TOML, an unknown key, an entry without cases, kinds, reason or link.
    pub fn parse(text: &str) -> Result<Expectations, String> {
        let file: ExpectationsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        for known in &file.known {
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
        }
        Ok(Expectations {
            rated: file.rated,
            known: file.known,
        })
    }

    /// Whether the failures of this version were looked at.
    pub fn rates(&self, version: &str) -> bool {
        self.rated.is_empty()
            || self
                .rated
                .iter()
                .any(|text| version.contains(text.as_str()))
    }

    /// The entry for a case that holds for this runner of the folder, its version and its output.
    pub fn find(
        &self,
        runner: &str,
        case: &str,
        version: &str,
        format: super::Format,
    ) -> Option<&Known> {
        self.known.iter().find(|known| {
            known.cases.iter().any(|id| id == case)
                && (known.runners.is_empty() || known.runners.iter().any(|name| name == runner))
                && known
                    .version
                    .as_ref()
                    .is_none_or(|part| version.contains(part.as_str()))
                && known.format.is_none_or(|only| only == format)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Expectations;
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
    fn a_file_rates_the_versions_it_names() {
        let rated = Expectations::parse("rated = ['0.4.7', '0.6.0']").unwrap();
        for (version, is) in [
            ("umoci version 0.6.0+ds", true),
            ("umoci 0.6.1", false),
            ("", false),
        ] {
            assert_eq!(rated.rates(version), is, "{version}");
        }
        assert!(Expectations::default().rates(""));
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
}

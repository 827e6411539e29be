//! `apt-cache policy PACKAGE`, parsed: which versions there are and where each comes from.

/// What apt knows about one package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The installed version.
    pub(crate) installed: Option<String>,
    /// The version a plain `apt-get install` would choose.
    pub(crate) candidate: Option<String>,
    /// Every known version, newest first.
    pub(crate) versions: Vec<Version>,
}

/// One version of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The version string.
    pub(crate) number: String,
    /// The suites that offer it; empty when only the installed package has it.
    pub(crate) suites: Vec<String>,
}

impl Policy {
    /// Parses the output in the C locale; `None` when it describes no package.
    pub(crate) fn parse(output: &str) -> Option<Self> {
        let mut lines = output.lines().skip_while(|line| !line.ends_with(':'));
        lines.next()?;
        let mut policy = Self {
            installed: None,
            candidate: None,
            versions: Vec::new(),
        };
        for line in lines.take_while(|line| line.starts_with(' ')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Versions stand in column five, where they come from further right.
            let is_version = line.starts_with(" *** ")
                || (line.starts_with("     ") && line.as_bytes().get(5) != Some(&b' '));
            match words.as_slice() {
                ["Installed:", version] => policy.installed = known(version),
                ["Candidate:", version] => policy.candidate = known(version),
                ["***", number, ..] | [number, ..] if is_version => {
                    policy.versions.push(Version {
                        number: (*number).to_owned(),
                        suites: vec![],
                    });
                }
                [_priority, _site, suite, ..] => {
                    let suite = suite
                        .rsplit_once('/')
                        .map_or(*suite, |(suite, _component)| suite);
                    policy.versions.last_mut()?.suites.push(suite.to_owned());
                }
                // "Version table:", and the database of installed packages, which is no suite.
                _ => {}
            }
        }
        Some(policy)
    }

    /// The newest version that some suite offers.
    pub(crate) fn newest_offered(&self) -> Option<&str> {
        let offered = self
            .versions
            .iter()
            .find(|version| !version.suites.is_empty());
        offered.map(|version| version.number.as_str())
    }

    /// The suite to install this package from so that it has the version of `sibling`, an
    /// installed package of the same source; `None` when that happens anyway, or nothing can.
    ///
    /// The sibling's candidate counts, not what is installed of it: when its suite has a newer
    /// version by now, both are brought to that.
    pub(crate) fn suite_to_match(&self, sibling: &Self) -> Option<String> {
        if self.installed.is_some() || sibling.installed.is_none() {
            return None;
        }
        let wanted = sibling.candidate.as_deref()?;
        if self.candidate.as_deref() == Some(wanted) {
            return None;
        }
        let version = self
            .versions
            .iter()
            .find(|version| version.number == wanted)?;
        version.suites.first().cloned()
    }
}

fn known(version: &str) -> Option<String> {
    (version != "(none)").then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Policy;

    const PLAIN: &str = "\
qemu-system-x86:
  Installed: (none)
  Candidate: 1:7.2+dfsg-7+deb12u18
  Version table:
     1:10.0.2+ds-2~bpo12+1 100
        100 http://mirror.example/debian bookworm-backports/main amd64 Packages
     1:7.2+dfsg-7+deb12u18 500 (phased 40%)
        500 http://mirror.example/debian bookworm/main amd64 Packages
        500 http://mirror.example/debian-security bookworm-security/main amd64 Packages
";

    const INSTALLED_BACKPORT: &str = "\
qemu-utils:
  Installed: 1:10.0.2+ds-2~bpo12+1
  Candidate: 1:10.0.2+ds-2~bpo12+1
  Version table:
 *** 1:10.0.2+ds-2~bpo12+1 100
        100 http://mirror.example/debian bookworm-backports/main amd64 Packages
        100 /var/lib/dpkg/status
     1:7.2+dfsg-7+deb12u18 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
";

    fn parsed(output: &str) -> Policy {
        Policy::parse(output).expect("a package")
    }

    #[test]
    fn versions_keep_their_order_and_their_suites() {
        let policy = parsed(PLAIN);
        assert_eq!(policy.installed, None);
        assert_eq!(policy.candidate.as_deref(), Some("1:7.2+dfsg-7+deb12u18"));
        let table: Vec<(&str, Vec<&str>)> = policy
            .versions
            .iter()
            .map(|v| {
                (
                    v.number.as_str(),
                    v.suites.iter().map(String::as_str).collect(),
                )
            })
            .collect();
        assert_eq!(
            table,
            [
                ("1:10.0.2+ds-2~bpo12+1", vec!["bookworm-backports"]),
                (
                    "1:7.2+dfsg-7+deb12u18",
                    vec!["bookworm", "bookworm-security"]
                ),
            ]
        );
        assert_eq!(policy.newest_offered(), Some("1:10.0.2+ds-2~bpo12+1"));
    }

    #[test]
    fn an_installed_version_is_read() {
        let policy = parsed(INSTALLED_BACKPORT);
        assert_eq!(policy.installed.as_deref(), Some("1:10.0.2+ds-2~bpo12+1"));
        assert_eq!(policy.versions[0].suites, ["bookworm-backports"]);
    }

    #[test]
    fn a_local_version_is_not_offered() {
        let local = "p:\n  Installed: 9\n  Candidate: 9\n  Version table:\n *** 9 100\n        \
                     100 /var/lib/dpkg/status\n     8 500\n        500 http://m.example/d s/main \
                     amd64 Packages\n";
        assert_eq!(parsed(local).newest_offered(), Some("8"));
    }

    #[test]
    fn no_package_is_none() {
        for output in ["", "N: Unable to locate package nosuch\n"] {
            assert_eq!(Policy::parse(output), None, "{output:?}");
        }
    }

    #[test]
    fn siblings_of_a_backport_come_from_the_backports() {
        let stable = "p:\n  Installed: 1:7.2+dfsg-7+deb12u15\n  Candidate: 1:7.2+dfsg-7+deb12u18\n";
        let superseded = "p:\n  Installed: 1:9.2.0~bpo12+1\n  Candidate: 1:10.0.2+ds-2~bpo12+1\n";
        let absent = "p:\n  Installed: (none)\n  Candidate: 1:10.0.2+ds-2~bpo12+1\n";
        let local = "p:\n  Installed: 99\n  Candidate: 99\n";
        for (sibling, want) in [
            (INSTALLED_BACKPORT, Some("bookworm-backports")),
            (superseded, Some("bookworm-backports")),
            (stable, None),
            (absent, None),
            (local, None),
        ] {
            let got = parsed(PLAIN).suite_to_match(&parsed(sibling));
            assert_eq!(got.as_deref(), want, "{sibling}");
        }
        let own = parsed(INSTALLED_BACKPORT);
        assert_eq!(own.suite_to_match(&own), None, "already installed");
    }
}

//! Apt's own answers, shortened, and what is made of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Suite, print, release_file, select, signed_by};

/// One paragraph of `apt-get indextargets`.
fn target(origin: &str, codename: &str, suite: &str, component: &str, arch: &str) -> String {
    let list =
        format!("/lists/mirror.example_debian_dists_{suite}_{component}_binary-{arch}_Packages");
    format!(
        "MetaKey: {component}/binary-{arch}/Packages\nFilename: {list}.lz4\nCodename: {codename}\n\
         Origin: {origin}\nArchitecture: {arch}\nComponent: {component}\nRelease: {suite}\n\
         Repo-URI: http://mirror.example/debian/\nSourcesentry: /etc/apt/x.sources:1\n"
    )
}

#[test]
fn only_the_distribution_s_own_release_is_picked() {
    for (origin, codename, suite, arch, picked) in [
        ("Debian", "bookworm", "bookworm", "amd64", true),
        (
            "Debian",
            "bookworm-updates",
            "bookworm-updates",
            "amd64",
            true,
        ),
        (
            "Debian",
            "bookworm-security",
            "bookworm-security",
            "amd64",
            true,
        ),
        ("Debian", "bookworm", "stable", "amd64", true),
        (
            "Debian",
            "bookworm-backports",
            "bookworm-backports",
            "amd64",
            false,
        ),
        (
            "Debian",
            "bookworm-proposed-updates",
            "proposed-updates",
            "amd64",
            false,
        ),
        ("Debian", "trixie", "trixie", "amd64", false),
        ("Debian", "bookworm", "bookworm", "i386", false),
        (". nodistro", "nodistro", "nodistro", "amd64", false),
        ("Docker", "bookworm", "bookworm", "amd64", false),
    ] {
        let text = target(origin, codename, suite, "main", arch);
        assert_eq!(
            select(&text, "bookworm").len(),
            usize::from(picked),
            "{text}"
        );
    }
    // Ubuntu gives all its suites one codename.
    for (suite, picked) in [
        ("noble", 1),
        ("noble-updates", 1),
        ("noble-backports", 0),
        ("noble-proposed", 0),
    ] {
        let text = target("Ubuntu", "noble", suite, "universe", "amd64");
        assert_eq!(select(&text, "noble").len(), picked, "{suite}");
    }
}

#[test]
fn a_target_knows_its_entry_and_its_release() {
    let text = [
        target("Debian", "bookworm", "bookworm", "main", "amd64"),
        target("Docker", "bookworm", "bookworm", "stable", "amd64"),
        target("Debian", "bookworm", "bookworm", "contrib", "amd64"),
    ]
    .join("\n");
    let targets = select(&text, "bookworm");
    let components: Vec<&str> = targets
        .iter()
        .map(|target| target.component.as_str())
        .collect();
    assert_eq!(components, ["main", "contrib"]);
    assert_eq!(targets[0].entry, ("/etc/apt/x.sources".to_owned(), 1));
    let release = Path::new("/lists/mirror.example_debian_dists_bookworm_InRelease");
    assert_eq!(targets[0].release_file, release);
}

#[test]
fn a_list_of_another_name_has_no_release() {
    assert_eq!(
        release_file("/lists/x_Sources", "main/binary-amd64/Packages"),
        None
    );
}

#[test]
fn the_key_of_an_entry_is_kept() {
    let one_line = "# the mirror\ndeb [arch=amd64 signed-by=/k.gpg,/l.gpg] http://m.example/d s main\n\
                    deb http://m.example/d s-updates main\n";
    let paragraphs = "# only a comment\n\nTypes: deb\n# between\nURIs: http://m.example/d\n\
                      signed-by: /k.gpg\nSuites: s\n\n\n\
                      Types: deb\nSigned-By:\n -----BEGIN-----\n .\n xyz\nSuites: t\n\nTypes: deb\n";
    for (path, text, number, want) in [
        ("sources.list", one_line, 2, Some("/k.gpg /l.gpg")),
        ("sources.list", one_line, 3, None),
        ("sources.list", one_line, 9, None),
        ("x.sources", paragraphs, 1, Some("/k.gpg")),
        (
            "x.sources",
            paragraphs,
            2,
            Some("\n -----BEGIN-----\n .\n xyz"),
        ),
        ("x.sources", paragraphs, 3, None),
        ("x.sources", paragraphs, 0, None),
    ] {
        assert_eq!(
            signed_by(path, text, number).as_deref(),
            want,
            "{path}, entry {number}"
        );
    }
}

#[test]
fn the_file_has_one_paragraph_for_each_suite() {
    let suite = |components: &[&'static str], signed_by: Option<&str>| Suite {
        components: components.to_vec(),
        signed_by: signed_by.map(str::to_owned),
    };
    let suites = BTreeMap::from([
        (
            ("http://m.example/d", "s"),
            suite(&["main", "contrib"], Some("/k.gpg")),
        ),
        (("http://m.example/d", "s-updates"), suite(&["main"], None)),
    ]);
    assert_eq!(
        print(&suites),
        "Types: deb\nURIs: http://m.example/d\nSuites: s\nComponents: main contrib\n\
         Signed-By: /k.gpg\n\n\
         Types: deb\nURIs: http://m.example/d\nSuites: s-updates\nComponents: main\n"
    );
}

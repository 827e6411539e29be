//! `harness report --format html`: what of a checkout gets into the page and what must not, and several
//! records as one. What the script makes of the data is looked at where there is a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::project::{PLAIN, Project, Said, both, plain};
use crate::require::root;

const RECORD: &str = "target/harness/run.json";

/// The data in a page.
fn data(page: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"data\">";
    let (_, rest) = page.split_once(start).expect("there is data");
    let (json, _) = rest.split_once("</script>").expect("it ends");
    serde_json::from_str(json).unwrap()
}

fn case<'a>(data: &'a Value, id: &str) -> &'a Value {
    let mut cases = data["cases"].as_array().unwrap().iter();
    cases.find(|case| case["id"] == id).unwrap()
}

/// The page of these records, written to a file.
fn page(project: &Project, records: &[&str]) -> String {
    let records: Vec<String> = records.iter().map(|name| project.arg(name)).collect();
    let to = project.arg("page.html");
    let mut arguments = vec!["report", "--format", "html", "--to", &to];
    arguments.extend(records.iter().map(String::as_str));
    let said = project.harness(&arguments).is(0);
    assert_eq!(said.stdout, "");
    fs::read_to_string(to).unwrap()
}

/// A run of a converter that makes a directory with a hostile name.
fn run(project: &Project, more: &[&str]) -> Said {
    project.convert("mkdir -p '{out}/<b>sec''ret'", "dir", more)
}

#[test]
fn the_page_has_what_record_and_checkout_say() {
    let project = both();
    run(&project, &["--once"]).is(1);
    let text = page(&project, &[RECORD]);
    assert_eq!(
        text,
        page(&project, &[RECORD]),
        "equal records, equal pages"
    );
    let data = data(&text);
    let plain = case(&data, "name/plain");
    assert_eq!(plain["source"], PLAIN);
    assert_eq!(plain["expect"], "tree");
    assert_eq!(plain["trees"][0][0], "name/plain");
    let altered = case(&data, "layout/altered");
    assert_eq!(
        altered["because"],
        "the digest of a layer blob is not the stated one"
    );
    assert_eq!(altered["trees"][0][0], "layout/altered.twin");
    let strings = data["strings"].to_string();
    assert!(strings.contains("extra     ./<b>secret"), "{strings}");
    assert!(!text.contains("<b>secret"), "markup from an image");
    // Without the checkout, the record is what there is.
    fs::remove_file(project.path("corpus/name/plain.toml")).unwrap();
    let text = page(&project, &[RECORD]);
    assert!(
        case(&self::data(&text), "name/plain")
            .get("source")
            .is_none()
    );
    assert!(text.contains("extra     ./\\u003cb\\u003esecret"));
}

#[test]
fn a_case_that_is_held_back_is_not_told_in_any_form() {
    let text = PLAIN.replace("level =", "embargo = true\nlevel =");
    let project = Project::with_cases(&[("name/plain", &text)]);
    let record = project.arg(RECORD);
    let secrets = [
        "secret",
        "a file is as the layer has it",
        "regular files",
        "plain\\\\n",
    ];
    let forms = |told: bool| {
        for form in ["text", "markdown", "junit", "html"] {
            let shown = project
                .harness(&["report", &record, "--format", form])
                .is(0)
                .stdout;
            assert!(shown.contains("silent"), "{form}");
            for secret in secrets {
                let is_there = shown.contains(secret);
                assert!(told || !is_there, "{form} tells `{secret}`");
                assert!(
                    is_there || !told || form != "html",
                    "{form} has no `{secret}`"
                );
            }
        }
    };
    run(&project, &[]).is(1);
    let json = fs::read_to_string(&record).unwrap();
    assert!(
        !json.contains("secret") && !json.contains("regular files"),
        "{json}"
    );
    forms(false);
    run(&project, &["--with-embargoed"]).is(1);
    forms(true);
    let page = page(&project, &[RECORD]);
    assert!(page.contains("Not for the public"));
}

/// A converter of its own folder, of which one failure is known and held back.
fn held_back_entry() -> Project {
    let project = plain();
    project.write(
        "runners/mine/runner.toml",
        "summary = 'mine'\ninput = 'layout'\noutput = 'dir'\n\
         command = ['sh', '-c', 'mkdir -p $0/secret', '{out}']\n",
    );
    project.write(
        "runners/mine/expectations.toml",
        "[[known]]\ncases = ['name/plain']\nkinds = ['silent', 'unstable']\n\
         reason = 'the secret reason'\nlink = 'embargoed'\nembargo = true\n",
    );
    project
}

#[test]
fn an_entry_holds_back_what_its_converter_does_and_no_more() {
    let project = held_back_entry();
    let arguments = [
        "run",
        "--converter",
        "mine",
        "--format",
        "dir",
        "--boot",
        "off",
    ];
    let said = project.harness(&arguments).is(0);
    let record = fs::read_to_string(project.path(RECORD)).unwrap();
    for text in [&said.stdout, &record, &page(&project, &[RECORD])] {
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("(embargoed)"), "{text}");
    }
    // The case itself is no secret: others may be told of it.
    assert!(page(&project, &[RECORD]).contains("a file is as the layer has it"));
    // A fault changes what is known, not what is held back.
    let fault = ["--fault", "slow-blob"];
    project.harness(&[&arguments[..], &fault].concat());
    let record = fs::read_to_string(project.path(RECORD)).unwrap();
    assert!(!record.contains("secret"), "{record}");
    let all = ["--with-embargoed"];
    project
        .harness(&[&arguments[..], &all].concat())
        .is(0)
        .prints("the secret reason");
    assert!(page(&project, &[RECORD]).contains("./secret"));
    let shown = project.harness(&["show", "name/plain"]).is(0);
    let shown = shown.prints("mine: silent, unstable (embargoed)");
    assert!(!shown.stdout.contains("secret"), "{}", shown.stdout);
}

#[test]
fn records_are_merged_and_a_trial_that_stands_twice_is_named() {
    let project = held_back_entry();
    run(&project, &["--once", "--json", &project.arg("one.json")]).is(1);
    let mine = [
        "run",
        "--converter",
        "mine",
        "--format",
        "dir",
        "--boot",
        "off",
    ];
    let other = project.arg("other.json");
    project
        .harness(&[&mine[..], &["--json", &other]].concat())
        .is(0);
    let data = data(&page(&project, &["one.json", "other.json"]));
    let names: Vec<&Value> = data["chains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["command", "mine"]);
    assert_eq!(
        case(&data, "name/plain")["cells"].as_array().unwrap().len(),
        2
    );
    project
        .harness(&["report", &other, &other])
        .refuses("the trial `mine/name/plain` stands in the records twice");
}

/// What a browser makes of a page, where there is one: no machine must have it for the sake of this.
fn browser() -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/local/bin"];
    let paths = folders
        .iter()
        .map(|folder| Path::new(folder).join("chromium"));
    paths.into_iter().find(|path| path.is_file())
}

/// The document of a page once its script has run.
fn dump(browser: &Path, page: &Path, fragment: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "120"]).arg(browser);
    for flag in [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--dump-dom",
    ] {
        command.arg(flag);
    }
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("file://{}#{fragment}", page.display()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_draws_the_matrix_and_a_case() {
    use std::io::Write as _;
    let Some(browser) = browser() else {
        let words = "not checked: what a browser makes of the page: there is no chromium";
        writeln!(std::io::stderr(), "{words}").expect("standard error is open in a test");
        return;
    };
    if !root("owners, without which the page has other findings") {
        return;
    }
    let project = both();
    run(&project, &["--once"]).is(1);
    page(&project, &[RECORD]);
    let path = project.path("page.html");
    let matrix = dump(&browser, &path, "");
    for text in [
        "2 cases of 2",
        "<td class=\"c silent new\" tabindex=\"",
        "aria-label=\"accepted, not explained\"",
        "<a href=\"#case/name/plain\">plain</a>",
    ] {
        assert!(matrix.contains(text), "{text}\n{matrix}");
    }
    let shown = dump(&browser, &path, "case/name/plain!command");
    for text in [
        "a file is as the layer has it</h2>",
        "<code>extra    <ins>./&lt;b&gt;secret</ins></code>",
        "harness export name/plain --to DIR",
        "golden/name/plain.mtree",
        "[[layer]]",
    ] {
        assert!(shown.contains(text), "{text}\n{shown}");
    }
    assert!(!shown.contains("<b>secret"));
}

//! The page as a browser would take it apart: which elements there are, what the data holds, and what no
//! text can do to either.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::data::sign;
use super::{CaseText, Html, PAGE_MAX, STYLE};
use crate::report::sample::{answered, fail, finding, known, pass, record};
use crate::report::score::{KINDS, VERDICTS};
use crate::report::{Record, Report as _, StageRecord, TrialRecord};

/// What must not get through.
const EVIL: &str =
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&lt;\u{202e}\u{7}\u{2028}";

/// The texts of every tag in the page, those within scripts and style left out, and those elements' texts.
fn parse(page: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut tags, mut raw) = (Vec::new(), BTreeMap::new());
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag has an end");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        tags.push(tag.to_owned());
        let name = tag.split(' ').next().unwrap();
        if name == "script" || name == "style" {
            let close = format!("</{name}>");
            let end = rest.find(&close).expect("it is closed");
            raw.insert(tag.to_owned(), rest[..end].to_owned());
            rest = &rest[end..];
        }
    }
    (tags, raw)
}

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, raw) = parse(page);
    serde_json::from_str(&raw["script type=\"application/json\" id=\"data\""]).unwrap()
}

fn case<'a>(data: &'a Value, id: &str) -> &'a Value {
    let cases = data["cases"].as_array().unwrap();
    cases.iter().find(|case| case["id"] == id).unwrap()
}

/// What stands under a number of the strings.
fn text<'a>(data: &'a Value, number: &Value) -> &'a str {
    let number = usize::try_from(number.as_u64().unwrap()).unwrap();
    data["strings"][number].as_str().unwrap()
}

/// The result in a cell.
fn cell<'a>(data: &'a Value, id: &str, chain: usize) -> &'a Value {
    let number = case(data, id)["cells"][chain].as_u64().unwrap();
    &data["results"][usize::try_from(number).unwrap()]
}

fn evil_record() -> Record {
    let mut trial = TrialRecord {
        title: EVIL.to_owned(),
        rule: EVIL.to_owned(),
        level: "must".to_owned(),
        seen: vec![EVIL.to_owned()],
        answer: EVIL.to_owned(),
        outcome: Some(EVIL.to_owned()),
        error: Some(EVIL.to_owned()),
        ..known(EVIL, EVIL, "silent", EVIL)
    };
    trial.unchecked.insert(EVIL.to_owned(), EVIL.to_owned());
    trial.findings = vec![
        finding(EVIL, EVIL),
        finding("silent", &"x".repeat(100_000)),
        finding("silent", &EVIL.repeat(1000)),
    ];
    let mut record = record(vec![trial, pass("good", "a/b")]);
    record.chains[0].stages[0] = StageRecord {
        name: EVIL.to_owned(),
        version: EVIL.to_owned(),
        rated: false,
        root: EVIL.to_owned(),
    };
    (record.machine, record.containment) = (EVIL.to_owned(), EVIL.to_owned());
    record.fault = Some(EVIL.to_owned());
    record
}

fn evil_text() -> CaseText {
    CaseText {
        embargo: false,
        bugs: vec![EVIL.to_owned()],
        note: Some(EVIL.to_owned()),
        because: Some(EVIL.to_owned()),
        source: EVIL.repeat(3),
        trees: vec![(EVIL.to_owned(), EVIL.to_owned())],
    }
}

#[test]
fn no_text_becomes_markup_or_turns_what_stands_beside_it() {
    let html = Html {
        cases: [(EVIL.to_owned(), evil_text())].into(),
    };
    let page = html.render(&evil_record());
    let (tags, raw) = parse(&page);
    let names: BTreeSet<&str> = tags
        .iter()
        .map(|tag| tag.split(' ').next().unwrap())
        .collect();
    assert!(!names.contains("img"), "{names:?}");
    let scripts = tags.iter().filter(|tag| tag.starts_with("script")).count();
    assert_eq!((scripts, raw.len()), (2, 3));
    assert!(!tags.iter().any(|tag| tag.contains("onerror")));
    for unseen in ['\u{202e}', '\u{7}', '\u{2028}'] {
        assert!(!page.contains(unseen), "{unseen:?}");
    }
    // It is shown all the same, as what it is.
    let data = data(&page);
    let shown = EVIL
        .replace('\u{202e}', "\\u{202e}")
        .replace('\u{7}', "\\u{7}")
        .replace('\u{2028}', "\\u{2028}");
    assert_eq!(case(&data, &shown)["title"], shown.as_str());
    assert_eq!(case(&data, &shown)["source"], shown.repeat(3).as_str());
    let findings = &cell(&data, &shown, 0)[2];
    assert_eq!(text(&data, &findings[0][1]), shown);
    let long = text(&data, &findings[1][1]);
    assert!(
        long.ends_with("x… (99000 more characters)"),
        "{}",
        long.len()
    );
    assert!(page.len() < 100_000, "{}", page.len());
}

#[test]
fn the_tags_are_balanced() {
    let page = Html::default().render(&record(vec![
        pass("a", "x/y"),
        fail("b", "x/y", "silent", "l"),
    ]));
    let (tags, _) = parse(&page);
    let mut open: Vec<&str> = Vec::new();
    for tag in &tags {
        let name = tag.split(' ').next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if ["!DOCTYPE", "meta"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn the_policy_lets_run_the_one_script_and_fetches_nothing() {
    use sha2::{Digest as _, Sha256};
    let page = Html::default().render(&record(vec![pass("a", "x/y")]));
    let (tags, raw) = parse(&page);
    let digest = data_encoding::BASE64.encode(&Sha256::digest(&raw["script"]));
    let policy = tags
        .iter()
        .find(|tag| tag.contains("Content-Security-Policy"))
        .unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(
        policy.contains(&format!("script-src 'sha256-{digest}';")),
        "{policy}"
    );
    for word in [
        "src=",
        "url(",
        "@import",
        "<link",
        "fetch(",
        "innerHTML",
        "XMLHttp",
        "import(",
    ] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn equal_records_are_equal_pages_and_every_trial_is_in_them() {
    let trials = || {
        vec![
            pass("a", "x/one"),
            known("b", "x/one", "accepted", "it does not look"),
            answered("a", "x/open", "one-of", "tree:1"),
            TrialRecord {
                outcome: Some("kept".to_owned()),
                ..answered("b", "x/open", "one-of", "tree:2")
            },
            fail("b", "y/two", "crash", "killed by signal 11"),
        ]
    };
    let page = Html::default().render(&record(trials()));
    assert_eq!(page, Html::default().render(&record(trials())));
    let data = data(&page);
    let words = |id, chain| text(&data, &cell(&data, id, chain)[0]);
    assert_eq!(words("x/one", 0), "pass");
    assert_eq!(words("x/one", 1), "accepted");
    assert_eq!(words("y/two", 1), "crash");
    assert_eq!(case(&data, "y/two")["cells"][0], -1);
    let known = &cell(&data, "x/one", 1)[4];
    assert_eq!(text(&data, &known[1]), "it does not look");
    assert_eq!(text(&data, &cell(&data, "x/open", 1)[7]), "tree:2");
    assert_eq!(text(&data, &cell(&data, "x/open", 1)[8]), "kept");
    assert_eq!(case(&data, "x/open")["expect"], "one-of");
    assert_eq!(data["chains"][1]["select"], "--converter b");
    // Without a script there are the scores, per level.
    assert!(
        page.contains(
            "<th scope=\"row\">a</th><td class=\"level\"><span class=\"share\"><b>2</b>/2"
        )
    );
    assert!(
        page.contains(
            "<th scope=\"row\">b</th><td class=\"level\"><span class=\"share\"><b>1</b>/3"
        )
    );
    assert!(page.contains("data-chain=\"b\" data-kind=\"crash\">1</td>"));
}

#[test]
fn a_checkout_adds_layers_and_trees() {
    let text_of = CaseText {
        source: "title = \"x\"\n".to_owned(),
        bugs: vec!["a/b#1".to_owned()],
        trees: vec![("x/one".to_owned(), "#mtree v2.0\n. type=dir\n".to_owned())],
        ..CaseText::default()
    };
    let html = Html {
        cases: [("x/one".to_owned(), text_of)].into(),
    };
    let data = data(&html.render(&record(vec![pass("a", "x/one"), pass("a", "x/two")])));
    let one = case(&data, "x/one");
    assert_eq!(one["source"], "title = \"x\"\n");
    let tree = &one["trees"][0];
    assert_eq!((&tree[0], &tree[2]), (&"x/one".into(), &0.into()));
    assert_eq!(text(&data, &tree[1][1]), ". type=dir");
    assert!(case(&data, "x/two").get("source").is_none());
}

#[test]
fn what_is_held_back_is_not_in_the_page() {
    let secret = CaseText {
        embargo: true,
        note: Some("the secret trick".to_owned()),
        because: Some("the secret trick".to_owned()),
        source: "the secret trick".to_owned(),
        trees: vec![("x/y".to_owned(), "the secret trick".to_owned())],
        ..CaseText::default()
    };
    let html = Html {
        cases: [("x/y".to_owned(), secret)].into(),
    };
    let mut record = record(vec![TrialRecord {
        embargo: true,
        title: "the secret trick".to_owned(),
        rule: "layer.md, must: \"the secret trick\"".to_owned(),
        ..known("a", "x/y", "escape", "the secret trick")
    }]);
    record.with_embargoed = true;
    let page = html.render(&record);
    for text in ["the secret trick", "./etc/secret", "Not for the public"] {
        assert!(page.contains(text), "{text}");
    }
    record.with_embargoed = false;
    record.hold_back();
    let page = html.render(&record);
    for text in ["the secret trick", "./etc/secret", "Not for the public"] {
        assert!(!page.contains(text), "{text}");
    }
    let data = data(&page);
    assert_eq!(text(&data, &cell(&data, "x/y", 0)[0]), "escape");
    assert_eq!(case(&data, "x/y")["rule"], "layer.md, must");
    assert_eq!(case(&data, "x/y")["embargo"], true);
}

#[test]
fn a_page_of_sixty_converters_and_six_hundred_cases_stays_usable() {
    let mut trials = Vec::new();
    for chain in 0..60 {
        for case in 0..600 {
            let (chain_name, id) = (
                format!("tool-{chain}+mkfs.ext4"),
                format!("folder/a-case-{case}"),
            );
            let mut trial = pass(&chain_name, &id);
            if (chain * 7 + case) % 5 == 0 {
                trial = fail(&chain_name, &id, "silent", "");
                let lines = (0..12).map(|n| {
                    finding(
                        "silent",
                        &format!("{chain} {case} {n} {}", "long ".repeat(60)),
                    )
                });
                trial.findings = lines.collect();
            }
            trials.push(trial);
        }
    }
    let page = Html::default().render(&record(trials));
    assert!(page.len() <= PAGE_MAX, "{}", page.len());
    // It says how much was left out.
    let data = data(&page);
    let failed = cell(&data, "folder/a-case-0", 0);
    let shown = failed[2].as_array().unwrap().len();
    assert!((1..12).contains(&shown), "{shown}");
    assert_eq!(failed[3], 12 - shown);
    assert_eq!(data["findingsMax"], shown);
}

/// The colours of a scheme: the variables of the style's first or second block of them.
fn colours(scheme: usize) -> BTreeMap<String, [f64; 3]> {
    let block = STYLE.split(":root {").nth(scheme + 1).unwrap();
    let block = block.split('}').next().unwrap();
    let declared = block.split(';').filter_map(|line| line.split_once(": #"));
    declared
        .map(|(name, hex)| {
            let channel = |at: usize| {
                f64::from(u8::from_str_radix(&hex.trim()[at..at + 2], 16).unwrap()) / 255.0
            };
            let name = name.trim().trim_start_matches("--").to_owned();
            (name, [channel(0), channel(2), channel(4)])
        })
        .collect()
}

/// The relative luminance of WCAG 2.
fn luminance(colour: [f64; 3]) -> f64 {
    let linear = colour.map(|c| match c <= 0.040_45 {
        true => c / 12.92,
        false => ((c + 0.055) / 1.055).powf(2.4),
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_sign_can_be_read_and_the_worst_stands_out_without_colour() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 0.01);
    for scheme in 0..2 {
        let colours = colours(scheme);
        let words = KINDS
            .iter()
            .chain(&["pass", "skip", "fixed", "error", "warning"]);
        for word in words {
            let ratio = contrast(colours[*word], colours[&format!("on-{word}")]);
            assert!(ratio >= 4.5, "scheme {scheme}: {word}: {ratio:.2}");
        }
        for (ink, ground) in [
            ("ink", "page"),
            ("soft", "page"),
            ("soft", "raised"),
            ("link", "page"),
            ("link", "raised"),
        ] {
            let ratio = contrast(colours[ink], colours[ground]);
            assert!(
                ratio >= 4.5,
                "scheme {scheme}: {ink} on {ground}: {ratio:.2}"
            );
        }
        // In greyscale too, the worse a kind is the more it differs from the page.
        let strength = KINDS.map(|kind| contrast(colours[kind], colours["page"]));
        assert!(
            strength.windows(2).all(|pair| pair[0] > pair[1]),
            "scheme {scheme}: {strength:.2?}"
        );
    }
    let signs: BTreeSet<&str> = KINDS
        .iter()
        .chain(&VERDICTS)
        .map(|word| sign(word))
        .collect();
    // `fail` and `known` never stand alone: there is a kind in their place.
    assert_eq!(signs.len(), KINDS.len() + VERDICTS.len() - 1, "{signs:?}");
}

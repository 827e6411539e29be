//! What a converter does outside its output is seen, with path and kind.

use harness::runner::contain::{Ending, EscapeKind, Leftover, Way};

use super::{ALL, CONTAINED, Trial, check, escapes, ways};

#[test]
fn changes_beside_the_output_are_seen() {
    for (script, want) in [
        ("echo x > $1/../x", &["Created /out/x"][..]),
        (
            "echo x > $1/../victim/hello",
            &["Modified /out/victim/hello"],
        ),
        (
            "ln -s ../victim $1/l; echo x > $1/l/hello",
            &["Modified /out/victim/hello"],
        ),
        ("ln $1/../victim/hello $1", &["LinkedTo /out/victim/hello"]),
        (
            "chmod 600 $1/../victim/hello",
            &["AttributesChanged /out/victim/hello"],
        ),
        (
            "touch -d @5 $1/../victim/sub",
            &["AttributesChanged /out/victim/sub"],
        ),
        ("rm $1/../victim/canary", &["Removed /out/victim/canary"]),
        (
            "rm $1/../victim/link; mkdir $1/../victim/link",
            &["Replaced /out/victim/link"],
        ),
        (
            "mv $1/../victim/sub $1/../victim/bus",
            &[
                "Created /out/victim/bus",
                "Created /out/victim/bus/deep",
                "Removed /out/victim/sub",
                "Removed /out/victim/sub/deep",
            ],
        ),
    ] {
        check(ALL, &format!("mkdir $1; {script}"), want);
    }
}

#[test]
fn deleting_the_directory_of_the_output_is_seen_and_harmless() {
    let gone = ["canary", "hello", "link", "secret", "sub", "sub/deep"];
    let mut want = vec!["Removed /out/victim".to_owned()];
    want.extend(gone.map(|name| format!("Removed /out/victim/{name}")));
    let want: Vec<_> = want.iter().map(String::as_str).collect();
    check(CONTAINED, "rm -rf $(dirname $1)", &want);
}

#[test]
fn changes_to_the_host_are_seen() {
    for (script, want) in [
        ("mkdir $1; echo x > $1/../../x", &["Created /x"][..]),
        (
            "ln -s /victim $1; echo x > $1/new",
            &["Created /victim/new"],
        ),
        ("echo x > /victim/hello", &["Modified /victim/hello"]),
        (
            "chmod 600 /victim/hello",
            &["AttributesChanged /victim/hello"],
        ),
        ("chmod 644 /victim/hello", &["Touched /victim/hello"]),
        ("touch /victim/hello", &["AttributesChanged /victim/hello"]),
        (
            "touch -d @5 /victim/sub",
            &["AttributesChanged /victim/sub"],
        ),
        (
            "touch /victim/x; rm /victim/x",
            &["AttributesChanged /victim"],
        ),
        ("rm /victim/canary", &["Removed /victim/canary"]),
        ("rm -r /victim/sub", &["Removed /victim/sub"]),
        (
            "rm -r /victim/sub; mkdir /victim/sub",
            &["Replaced /victim/sub"],
        ),
        (
            "rm /victim/link; echo x > /victim/link",
            &["Replaced /victim/link"],
        ),
        ("ln -sfn secret /victim/link", &["Modified /victim/link"]),
        (
            "ln /victim/secret /victim/x",
            &["LinkedTo /victim/secret", "Created /victim/x"],
        ),
        (
            "mkdir -p /a/b && touch /a/b/c",
            &["Created /a", "Created /a/b", "Created /a/b/c"],
        ),
        ("chmod 700 /", &["AttributesChanged /"]),
        ("touch /dev/x /run/x", &["Created /dev/x", "Created /run/x"]),
        ("touch /$(printf '\\377')", &["Created /\u{fffd}"]),
    ] {
        check(CONTAINED, script, want);
    }
    let root = &[Way::Root];
    check(root, "echo x >> /etc/passwd", &["Modified /etc/passwd"]);
    check(
        root,
        "chown 5 /etc/passwd",
        &["AttributesChanged /etc/passwd"],
    );
    check(root, "mknod /usr/null c 1 3", &["Created /usr/null"]);
    check(root, "rm -rf /etc", &["Removed /etc"]);
}

#[test]
fn a_flood_of_escapes_is_counted() {
    for way in ways(CONTAINED) {
        let ran = Trial::new(way).sh("i=0; while [ $i -lt 5000 ]; do : > /$i; i=$((i+1)); done");
        assert_eq!((ran.escapes.len(), ran.escapes_omitted), (4096, 904));
        assert!(
            ran.escapes
                .iter()
                .all(|escape| escape.kind == EscapeKind::Created)
        );
    }
}

#[test]
fn connections_are_seen() {
    for (address, want) in [
        ("tcp/192.0.2.1/80", "Network tcp/192.0.2.1:80"),
        ("udp/192.0.2.1/53", "Network udp/192.0.2.1:53"),
        ("tcp/2001:db8::1/443", "Network tcp/[2001:db8::1]:443"),
    ] {
        check(
            CONTAINED,
            &format!("bash -c 'echo > /dev/{address}'; true"),
            &[want],
        );
    }
    check(
        CONTAINED,
        "bash -c 'echo > /dev/tcp/127.0.0.1/80'; true",
        &[],
    );
}

#[test]
fn deep_trees_are_no_trouble() {
    let dig = "
        p=d/d/d/d/d/d/d/d/d/d; p=$p/$p/$p/$p/$p; mkdir $1
        for place in / /victim /out/victim /out $TMPDIR $1; do
            cd $place; i=0
            while [ $i -lt 30 ]; do mkdir -p $p; cd -P $p; i=$((i+1)); done
        done";
    for way in ways(CONTAINED) {
        let ran = Trial::new(way).sh(dig);
        assert_eq!(
            (ran.ending, ran.stderr.text()),
            (Ending::Exited(0), String::new())
        );
        let seen = escapes(&ran);
        for top in ["/d", "/victim/d", "/out/victim/d", "/out/d"] {
            assert!(seen.contains(&format!("Created {top}")), "{way:?}: {top}");
        }
        assert_eq!(ran.leftovers, [Leftover::TemporaryFile("/tmp/d".into())]);
    }
}

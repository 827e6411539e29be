//! What a converter sees of the host, and what it cannot reach.

use std::ffi::OsString;
use std::path::Path;

use harness::runner::contain::{Command, Ending, Limits, Powers, Surroundings, Way, run_in};

use super::{CONTAINED, HELPER, Trial, escapes, ways};

#[test]
fn the_host_is_out_of_reach() {
    for script in [
        "! echo x > $2/index.json",
        "! ln $2/index.json $1",
        "! touch /in/x 2>/dev/null || rm /in/x; [ ! -e /in/x ]",
        "! mount -t tmpfs none /mnt",
        "! umount /out",
        "! mount -o remount,rw /in/layout",
        "! mknod $1 b 7 0 || ! head -c 1 $1",
        // Opened, not written: were the seal broken, this would be the real host.
        "! (: >> /proc/sys/kernel/core_pattern)",
        "! (: >> /proc/sysrq-trigger)",
        // Since Linux 6.13 `CAP_SYS_ADMIN` opens it; then there is nothing in it.
        "! grep -q . /proc/1/environ",
        "! ls /proc/1/root/",
        "[ $(ls -d /proc/[0-9]* | wc -l) -lt 6 ]",
        "! ls /run/*",
        "! chroot /proc/1/root /bin/true",
        "grep -q 'NoNewPrivs:.*1' /proc/self/status",
        "grep -q 'Seccomp:.*2' /proc/self/status",
        "! unshare --mount true",
        "! unshare --user true",
        "! hostname elsewhere",
        // Families of sockets: 40 leads to the hypervisor, 38 to the kernel's ciphers.
        "perl -e 'socket(S, $_, 1, 0) and exit 1 for 38, 40; exit($!{EPERM} ? 0 : 1)'",
        "perl -e 'socket(S, $_, 1, 0) or exit 1 for 1, 2'",
        // Requests that manage a whole file system. These numbers mean nothing, so that nothing happens
        // should the filter let them through; then it is another error.
        "perl -e 'for (0x58ff, 0x66ff, 0x94ff) {
             open F, \"/out/victim/hello\"; ioctl(F, $_, 0) and exit 1; $!{EPERM} or exit 1
         }'",
        // While the flags of one file may be read, where the file system has such.
        "perl -e 'open F, \"/out/victim/hello\"; ioctl(F, 0x80086601, my $x = \" \" x 8);
             exit($!{EPERM} ? 1 : 0)'",
    ] {
        let both = [Powers::Unpack, Powers::Trusted];
        for (way, powers) in ways(CONTAINED)
            .into_iter()
            .flat_map(|way| both.map(|it| (way, it)))
        {
            let ran = Trial {
                powers,
                ..Trial::new(way)
            }
            .sh(script);
            assert_eq!(
                ran.ending,
                Ending::Exited(0),
                "{way:?} {powers:?}: {script}: {}",
                ran.stderr.text()
            );
        }
    }
}

#[test]
fn trusted_attributes_are_for_the_trusted() {
    for way in ways(&[Way::Root]) {
        for (powers, want) in [
            (Powers::Unpack, false),
            (Powers::Trusted, true),
            (Powers::Mount, true),
        ] {
            let trial = Trial {
                powers,
                ..Trial::new(way)
            };
            let index = trial.dir.path().join("layout/index.json");
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&index, "trusted.x", b"y", flags).unwrap();
            let ran = trial.sh("cp --preserve=xattr $2/index.json $1");
            assert_eq!(
                ran.ending,
                Ending::Exited(0),
                "{powers:?}: {}",
                ran.stderr.text()
            );
            let mut value = [0; 8];
            let out = trial.place().join("rootfs");
            let kept = rustix::fs::getxattr(&out, "trusted.x", &mut value[..]).is_ok();
            assert_eq!(kept, want, "{powers:?}");
        }
    }
}

#[test]
fn another_root_directory_is_seen_and_spared() {
    for way in ways(CONTAINED) {
        let dir = tempfile::tempdir().unwrap();
        let lower = dir.path().join("lower");
        install_shell(&lower);
        std::fs::write(lower.join("name"), "another root\n").unwrap();
        let input = dir.path().join("input");
        std::fs::write(&input, "an input\n").unwrap();
        let place = dir.path().join("place");
        std::fs::create_dir(&place).unwrap();
        let script = "read a < /name; read b < $1; echo $a, $b > $2; echo x > /name; echo x > /new";
        let argv = ["/bin/sh", "-c", script, "sh", "{in0}", "{out}"].map(OsString::from);
        let command = Command {
            argv: &argv,
            layout: None,
            inputs: &[input],
            out: &place.join("rootfs"),
            limits: Limits::default(),
            surroundings: Surroundings::default(),
            lower: Some(&lower),
            powers: Powers::Unpack,
            helper: Path::new(HELPER),
        };
        let ran = run_in(way, &command).unwrap();
        assert_eq!(
            ran.ending,
            Ending::Exited(0),
            "{way:?}: {}",
            ran.stderr.text()
        );
        assert_eq!(escapes(&ran), ["Modified /name", "Created /new"], "{way:?}");
        let made = std::fs::read_to_string(place.join("rootfs")).unwrap();
        assert_eq!(made, "another root, an input\n");
        assert_eq!(
            std::fs::read_to_string(lower.join("name")).unwrap(),
            "another root\n"
        );
        assert!(!lower.join("new").exists());
    }
}

/// Copies the shell and the libraries it needs to a root directory.
fn install_shell(root: &Path) {
    let list = std::process::Command::new("ldd")
        .arg("/bin/sh")
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for path in list
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .chain(["/bin/sh"])
    {
        let to = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
}

#[test]
fn surroundings_are_what_they_are_said_to_be() {
    for way in ways(CONTAINED) {
        let ran = Trial::new(way).sh("env; umask; pwd; uname -n; date -d @0 +%H");
        let want = "LANG=C\nLC_ALL=C\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
                    PWD=/\nSOURCE_DATE_EPOCH=0\nTMPDIR=/tmp\nTZ=UTC\n0022\n/\nharness\n00\n";
        assert_eq!(sorted_environment(&ran.stdout.text()), want);
        let surroundings = Surroundings {
            umask: 0o077,
            cwd: "/usr".into(),
            time_zone: "UTC-5".into(),
            locale: "C.UTF-8".into(),
            hostname: "elsewhere".into(),
            path: "/bin".into(),
        };
        let ran = Trial {
            surroundings,
            ..Trial::new(way)
        }
        .sh("env; umask; pwd; uname -n; date -d @0 +%H");
        let want = "LANG=C.UTF-8\nLC_ALL=C.UTF-8\nPATH=/bin\nPWD=/usr\nSOURCE_DATE_EPOCH=0\n\
                    TMPDIR=/tmp\nTZ=UTC-5\n0077\n/usr\nelsewhere\n05\n";
        assert_eq!(sorted_environment(&ran.stdout.text()), want);
    }
}

fn sorted_environment(text: &str) -> String {
    let (mut names, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains('='));
    names.sort_unstable();
    names
        .into_iter()
        .chain(rest)
        .map(|line| format!("{line}\n"))
        .collect()
}

//! One QEMU process: its arguments, its sockets, its end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cache::Key;
use super::drive::Drive;
use super::error::Error;
use super::port::Port;
use super::qmp::Qmp;
use super::transcript::Transcript;
use super::wire::PORT;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// The guest's memory in MiB.
pub(super) const MEMORY_MIB: u64 = 256;

/// How long QEMU may take to open its sockets.
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(20);

/// How long a QEMU whose sockets are closed may take to end by itself.
pub(super) const END_GRACE: Duration = Duration::from_secs(1);

/// What the kernel is told. Only warnings and errors go to the serial line, which under emulation
/// costs more than the rest of the boot if it carries everything. A panic ends the machine, and so
/// does an oops, which an image may provoke. Feature 141 is CMPXCHG16B, after which QEMU 7.2 may emulate
/// any flags, that of single steps among them: the kernel is not to use it (3 of 20 boots of 6.12 ended in
/// an oops with it, none of 20 without). The rest is for speed: nothing is to be protected from the image
/// but what QEMU protects.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 loglevel=5 panic=-1 oops=panic \
     init_on_alloc=0 mitigations=off audit=0 lsm= tsc=reliable random.trust_cpu=on \
     clearcpuid=141";

/// More of that for our own init: a word that a kernel does not know it takes for an argument of the first
/// process.
const MORE_ARGUMENTS: &str = "no5lvl no_timer_check";

/// The emulator to run and how.
#[derive(Clone, Debug)]
pub(super) struct Qemu {
    /// The program.
    pub(super) program: PathBuf,
    /// Its version line.
    pub(super) version: String,
    /// Its major and minor version.
    pub(super) version_number: (u32, u32),
    /// `kvm` or `tcg`.
    pub(super) accelerator: &'static str,
    /// Whether it was built with the seccomp sandbox.
    pub(super) sandbox: bool,
    /// `setpriv`, which makes QEMU end when we do.
    pub(super) setpriv: Option<PathBuf>,
}

/// Where the guest comes from.
pub(super) enum Start {
    /// The ordinary way: kernel and initramfs.
    Boot {
        /// The ELF kernel.
        kernel: PathBuf,
        /// The archive with init.
        initramfs: PathBuf,
        /// The file that becomes the guest's memory, for a guest that will be saved.
        memory: Option<PathBuf>,
    },
    /// An archive that is the whole root, whose shell is the first process.
    Initramfs {
        /// The ELF kernel.
        kernel: PathBuf,
        /// The archive.
        initramfs: PathBuf,
        /// The arguments of the shell.
        arguments: String,
        /// The memory in MiB.
        mebibytes: u64,
    },
    /// A saved guest: QEMU waits for `migrate-incoming` on the control socket.
    Saved {
        /// The file that holds the guest's memory; it is mapped privately.
        memory: PathBuf,
    },
}

impl Start {
    fn mebibytes(&self) -> u64 {
        match self {
            Start::Initramfs { mebibytes, .. } => *mebibytes,
            Start::Boot { .. } | Start::Saved { .. } => MEMORY_MIB,
        }
    }

    /// The kernel's command line.
    fn append(&self) -> String {
        match self {
            Start::Boot { .. } => format!("rdinit=/init {KERNEL_ARGUMENTS} {MORE_ARGUMENTS}"),
            Start::Initramfs { arguments, .. } => {
                format!("rdinit=/bin/sh {KERNEL_ARGUMENTS} -- {arguments}")
            }
            Start::Saved { .. } => String::new(),
        }
    }
}

/// A running QEMU. It is killed and reaped when dropped.
pub(super) struct Process {
    child: Child,
    reader: Option<JoinHandle<Transcript>>,
    port: UnixStream,
    control: UnixStream,
}

impl Qemu {
    /// Starts a machine.
    pub(super) fn start(&self, start: &Start, drives: &[Drive]) -> Result<Process, Error> {
        let port = Listener::bind()?;
        let control = Listener::bind()?;
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command
                    .args(["--pdeathsig", "KILL", "--"])
                    .arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(self.arguments(start, drives, &port.name, &control.name));
        command.env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io(format!("run {}", self.program.display())))?;
        Process::connect(child, &port, &control)
    }

    /// Adds to a cache key all of this QEMU that a saved guest with so many disks depends on.
    pub(super) fn identify(&self, key: Key, drives: usize) -> Key {
        let nowhere = PathBuf::new;
        let start = Start::Boot {
            kernel: nowhere(),
            initramfs: nowhere(),
            memory: Some(nowhere()),
        };
        let mut key = key.with(self.version.as_bytes());
        // A package may be rebuilt without another version, and then is of another size or path.
        let size = self
            .program
            .metadata()
            .map(|metadata| metadata.len())
            .unwrap_or_default();
        key = key
            .with(self.program.as_os_str().as_encoded_bytes())
            .with(&size.to_le_bytes());
        for argument in self.arguments(&start, &Drive::nothing(drives), "", "") {
            key = key.with(argument.as_encoded_bytes());
        }
        if self.accelerator == "kvm" {
            key.with(host_cpu().as_bytes())
        } else {
            key
        }
    }

    fn arguments(
        &self,
        start: &Start,
        drives: &[Drive],
        port: &str,
        control: &str,
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        let accelerator = self.accelerator;
        // Its own CPU model would hide what programs built for newer machines need.
        let cpu = if accelerator == "kvm" { "host" } else { "max" };
        add(&[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        let mebibytes = start.mebibytes();
        add(&["-cpu", cpu, "-smp", "1", "-m", &format!("{mebibytes}M")]);
        add(&["-rtc", "base=2020-01-01T00:00:00,clock=vm"]);
        if self.sandbox {
            let rules = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
            add(&["-sandbox", rules]);
        }
        let machine = format!("pc,accel={accelerator},usb=off,vmport=off");
        let (memory, share) = match start {
            Start::Boot { memory, .. } => (memory.as_ref(), "on"),
            Start::Initramfs { .. } => (None, "on"),
            Start::Saved { memory, .. } => (Some(memory), "off"),
        };
        match memory {
            Some(path) => {
                add(&["-machine", &format!("{machine},memory-backend=memory")]);
                let path = path.display().to_string().replace(',', ",,");
                let size = format!("id=memory,size={MEMORY_MIB}M,share={share},mem-path={path}");
                add(&["-object", &format!("memory-backend-file,{size}")]);
            }
            None => add(&["-machine", &machine]),
        }
        for words in channels(port, control) {
            add(&words.each_ref().map(String::as_str));
        }
        for (number, drive) in drives.iter().enumerate() {
            for words in drive.arguments(number) {
                add(&words.each_ref().map(String::as_str));
            }
        }
        match start {
            Start::Boot {
                kernel, initramfs, ..
            }
            | Start::Initramfs {
                kernel, initramfs, ..
            } => {
                add(&["-append", &start.append()]);
                arguments.extend(["-kernel".into(), kernel.into()]);
                arguments.extend(["-initrd".into(), initramfs.into()]);
            }
            Start::Saved { .. } => add(&["-incoming", "defer"]),
        }
        arguments
    }
}

/// The serial line, QEMU's own control socket, and the port the guest's init speaks on.
fn channels(port: &str, control: &str) -> [[String; 2]; 7] {
    let pair = |name: &str, value: String| [name.to_owned(), value];
    [
        // The serial line goes to standard error, beside what QEMU itself has to say.
        pair("-chardev", "file,id=serial,path=/dev/stderr".to_owned()),
        pair("-serial", "chardev:serial".to_owned()),
        pair(
            "-chardev",
            format!("socket,id=control,path={control},abstract=on"),
        ),
        pair("-mon", "chardev=control,mode=control".to_owned()),
        pair(
            "-chardev",
            format!("socket,id=port,path={port},abstract=on"),
        ),
        pair("-device", "virtio-serial-pci,max_ports=2".to_owned()),
        pair(
            "-device",
            format!("virtserialport,chardev=port,name={PORT}"),
        ),
    ]
}

/// What a guest under KVM sees of the host: the lines of `/proc/cpuinfo` that do not change by
/// themselves, and the host's kernel.
fn host_cpu() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let mut lines: Vec<&str> = cpuinfo
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.contains("MHz") && !line.contains("bogomips"))
        .collect();
    let release = read("/proc/sys/kernel/osrelease");
    lines.push(&release);
    lines.join("\n")
}

/// A path under which our child finds a file that we hold open, whatever bytes its name has.
pub(super) fn path_of(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

impl Process {
    fn connect(mut child: Child, port: &Listener, control: &Listener) -> Result<Process, Error> {
        let reader = child
            .stderr
            .take()
            .map(|stderr| std::thread::spawn(move || Transcript::read_from(stderr)));
        limit(&child);
        let deadline = Instant::now() + CONNECT_TIME_LIMIT;
        let sockets = control
            .accept(&mut child, deadline)
            .and_then(|control| Ok((control, port.accept(&mut child, deadline)?)));
        match sockets {
            Ok((control, port)) => Ok(Process {
                child,
                reader,
                port,
                control,
            }),
            Err(Error::Qemu { what, .. }) => {
                let said = end(&mut child, reader).1.last_lines(3);
                Err(Error::Qemu { what, said })
            }
            Err(error) => {
                end(&mut child, reader);
                Err(error)
            }
        }
    }

    /// The port to the guest's init, until a time from now.
    pub(super) fn port(&self, limit: Duration) -> Port<'_> {
        Port::until(&self.port, Instant::now() + limit)
    }

    /// The control socket, for QMP, until a time from now.
    pub(super) fn control(&self, limit: Duration) -> Result<Qmp<'_>, Error> {
        Qmp::greet(&self.control, Instant::now() + limit)
    }

    /// Ends QEMU, if it does not end itself within `grace`; the status it ended with by itself, and
    /// all it said.
    pub(super) fn finish(mut self, grace: Duration) -> (Option<ExitStatus>, Transcript) {
        let deadline = Instant::now() + grace;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let reader = self.reader.take();
        end(&mut self.child, reader)
    }

    /// Goes on with the machine if `step` succeeds with it; else ends it and lets it say why.
    pub(super) fn after(
        self,
        step: impl FnOnce(&Process) -> Result<(), Error>,
    ) -> Result<Process, Error> {
        match step(&self) {
            Ok(()) => Ok(self),
            Err(error) => {
                let (status, transcript) = self.finish(END_GRACE);
                Err(explained(error, status, &transcript))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let reader = self.reader.take();
        end(&mut self.child, reader);
    }
}

fn end(
    child: &mut Child,
    reader: Option<JoinHandle<Transcript>>,
) -> (Option<ExitStatus>, Transcript) {
    let own = child.try_wait().ok().flatten();
    // Both fail only where the child has been reaped already.
    let _ = child.kill();
    let _ = child.wait();
    let transcript = reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    (own, transcript)
}

/// A belt to the braces of `setpriv`: a QEMU that nobody waits for ends by its own use of time, and
/// none writes large files or core dumps. A limit that cannot be set is no reason not to boot.
fn limit(child: &Child) {
    let pid = Pid::from_child(child);
    let limits = [
        (Resource::Cpu, 3600),
        (Resource::Fsize, 1 << 30),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        let _ = prlimit(
            Some(pid),
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        );
    }
}

/// An error that happened with a machine, with what the machine itself has to say about it.
pub(super) fn explained(
    error: Error,
    status: Option<ExitStatus>,
    transcript: &Transcript,
) -> Error {
    let said = transcript.last_lines(3);
    match (error, status) {
        (_, Some(status)) => Error::Qemu {
            what: ended(status),
            said,
        },
        (Error::Qemu { what, .. }, None) => Error::Qemu { what, said },
        (error, None) => Error::Guest {
            what: error.to_string(),
            said,
        },
    }
}

/// How a process ended, as a verb phrase.
pub(super) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A socket in the abstract namespace: no file to clean up, no limit on the length of a path.
struct Listener {
    socket: UnixListener,
    name: String,
}

impl Listener {
    fn bind() -> Result<Listener, Error> {
        let mut unique = [0; 16];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut unique))
            .map_err(Error::io("read /dev/urandom"))?;
        let name = format!("harness-{}", data_encoding::HEXLOWER.encode(&unique));
        let socket = SocketAddr::from_abstract_name(&name)
            .and_then(|address| UnixListener::bind_addr(&address))
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(Error::io("listen on a local socket"))?;
        Ok(Listener { socket, name })
    }

    /// Takes the connection of our own child; of nobody else, as the name is not a secret.
    fn accept(&self, child: &mut Child, deadline: Instant) -> Result<UnixStream, Error> {
        let failed = |what: String| Error::Qemu {
            what,
            said: String::new(),
        };
        loop {
            match self.socket.accept() {
                Ok((stream, _)) if is_from(&stream, child) => {
                    stream
                        .set_nonblocking(false)
                        .map_err(Error::io("set up a socket"))?;
                    return Ok(stream);
                }
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::io("accept on a local socket")(error)),
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(failed(ended(status)));
            }
            if Instant::now() > deadline {
                return Err(failed("did not open its sockets".to_owned()));
            }
            let soon = Timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            };
            // Whatever ends the wait, the loop looks again.
            let _ = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&soon));
        }
    }
}

fn is_from(stream: &UnixStream, child: &Child) -> bool {
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.pid == Pid::from_child(child))
}

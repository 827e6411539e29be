//! The way to the host: the virtio port, found by name, and the frames of one conversation on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::pipe::{SpliceFlags, splice};

use crate::wire::{Chain, Job, Kind, PORT, VERSION, header, read_frame, write_frame};

/// How often to look for a host that is not there: for ten seconds.
const HOST_PATIENCE_TURNS: u32 = 1000;

/// The open port, before the host has said anything.
pub struct Port(File);

impl Port {
    /// Opens the port. The kernel lets nobody else open it while it is open, and the descriptor is
    /// closed on exec, so that no program of the image can ever write to the host.
    pub fn open() -> io::Result<Port> {
        let class = Path::new("/sys/class/virtio-ports");
        for device in class.read_dir()? {
            let device = device?;
            let name = std::fs::read(device.path().join("name")).unwrap_or_default();
            if name.trim_ascii() == PORT.as_bytes() {
                let node = Path::new("/dev").join(device.file_name());
                return OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(node)
                    .map(Port);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no virtio port named {PORT}"),
        ))
    }

    /// Says that init waits, and waits for the job. A port without a host reads as ended, so this
    /// asks again for a while: a guest that is saved or restored may have no host for a moment. One
    /// whose host is really gone is to end itself.
    pub fn wait(mut self) -> io::Result<(Conversation, Job)> {
        write_frame(&mut self.0, Kind::Ready, &VERSION.to_le_bytes())?;
        let mut patience = HOST_PATIENCE_TURNS;
        loop {
            match read_frame(&mut self.0) {
                Ok(frame) if frame.kind == Kind::Job => {
                    let job = Job::decode(&frame.payload)?;
                    let chain = Chain::new(&job.nonce);
                    return Ok((
                        Conversation {
                            port: self.0,
                            chain,
                        },
                        job,
                    ));
                }
                Ok(frame) => {
                    let what = format!("the host sent {:?} for a job", frame.kind);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && patience > 0 => {
                    patience -= 1;
                    sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The answer to a job, frame by frame.
pub struct Conversation {
    port: File,
    chain: Chain,
}

impl Conversation {
    /// Sends one frame and adds it to the chain.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.chain.add(kind, payload);
        write_frame(&mut self.port, kind, payload)
    }

    /// Sends one frame of files' content, which is not hashed here.
    pub fn send_content(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.chain.add_content(kind, payload.len());
        write_frame(&mut self.port, kind, payload)
    }

    /// Sends one frame of what waits in a pipe, without reading it.
    pub fn send_spliced(&mut self, kind: Kind, pipe: &OwnedFd, count: usize) -> io::Result<()> {
        self.chain.add_content(kind, count);
        self.port.write_all(&header(kind, count))?;
        let mut left = count;
        while left > 0 {
            match splice(pipe, None, &self.port, None, left, SpliceFlags::empty())? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => left -= sent,
            }
        }
        Ok(())
    }

    /// Ends the conversation.
    pub fn end(mut self) -> io::Result<()> {
        let sentinel = self.chain.sentinel();
        write_frame(&mut self.port, Kind::Sentinel, &sentinel)
    }
}

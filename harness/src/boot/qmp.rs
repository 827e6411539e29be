//! QEMU's control protocol, as far as a snapshot needs it: one command, one answer.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use super::error::Error;
use super::port::Port;

/// The longest line that QEMU is believed.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A control connection that has been greeted.
pub(super) struct Qmp<'a> {
    stream: &'a UnixStream,
    port: BufReader<Port<'a>>,
}

impl<'a> Qmp<'a> {
    /// Greets QEMU. All that follows on this connection must be over by the deadline.
    pub(super) fn greet(stream: &'a UnixStream, deadline: Instant) -> Result<Qmp<'a>, Error> {
        let mut qmp = Qmp {
            stream,
            port: BufReader::new(Port::until(stream, deadline)),
        };
        let greeting = qmp.line().map_err(Error::io("read QEMU's greeting"))?;
        if greeting.get("QMP").is_none() {
            return Err(Error::qemu(format!("greets with {greeting}")));
        }
        qmp.command("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Lets a migration leave out the guest's memory, which is in a file of its own.
    pub(super) fn leave_out_memory(&mut self) -> Result<(), Error> {
        let capability = json!({"capability": "x-ignore-shared", "state": true});
        self.command(
            "migrate-set-capabilities",
            json!({"capabilities": [capability]}),
        )
        .map(drop)
    }

    /// Gives QEMU an open file under a name.
    pub(super) fn give(&mut self, file: &File, name: &str) -> Result<(), Error> {
        let request = format!("{}\n", request("getfd", json!({"fdname": name})));
        let files = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
        let bytes = [IoSlice::new(request.as_bytes())];
        sendmsg(self.stream, &bytes, &mut ancillary, SendFlags::NOSIGNAL)
            .map_err(io::Error::from)
            .and_then(|_| self.answer())
            .map_err(Error::io("give QEMU a file"))?
            .map(drop)
            .map_err(|error| Error::qemu(format!("refuses a file: {error}")))
    }

    /// Writes the state of the devices to `uri`, and waits for the end of that.
    pub(super) fn save(&mut self, uri: &str) -> Result<(), Error> {
        self.command("migrate", json!({"uri": uri}))?;
        loop {
            let info = self.command("query-migrate", json!({}))?;
            match info.get("status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    return Err(Error::qemu(format!("cannot save its state: {info}")));
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Begins to read the state of the devices from `uri`; the guest goes on by itself after that.
    pub(super) fn restore(&mut self, uri: &str) -> Result<(), Error> {
        self.command("migrate-incoming", json!({"uri": uri}))
            .map(drop)
    }

    fn command(&mut self, name: &str, arguments: Value) -> Result<Value, Error> {
        let request = format!("{}\n", request(name, arguments));
        let sent = self.port.get_mut().write_all(request.as_bytes());
        sent.and_then(|()| self.answer())
            .map_err(Error::io(format!("tell QEMU to {name}")))?
            .map_err(|error| Error::qemu(format!("refuses {name}: {error}")))
    }

    /// Skips events until the answer.
    fn answer(&mut self) -> io::Result<Result<Value, Value>> {
        loop {
            let mut line = self.line()?;
            if let Some(answer) = line.get_mut("return") {
                return Ok(Ok(answer.take()));
            }
            if let Some(error) = line.get_mut("error") {
                return Ok(Err(error.take()));
            }
        }
    }

    fn line(&mut self) -> io::Result<Value> {
        let mut line = Vec::new();
        (&mut self.port)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_slice(&line).map_err(io::Error::from)
    }
}

fn request(name: &str, arguments: Value) -> Value {
    json!({"execute": name, "arguments": arguments})
}

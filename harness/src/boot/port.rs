//! A socket whose reads and writes end at a deadline.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A view of a socket until a deadline; after it, everything is `TimedOut`.
pub(super) struct Port<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl<'a> Port<'a> {
    /// Bounds what is read from and written to `stream` from now on.
    pub(super) fn until(stream: &'a UnixStream, deadline: Instant) -> Port<'a> {
        Port { stream, deadline }
    }

    /// However slowly the other side drips its bytes, the sum of the waits is bounded.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(Some(left))
        }
    }
}

impl Read for Port<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Port<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A socket's own time-out is `WouldBlock`.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::Port;

    #[test]
    fn a_deadline_bounds_the_sum_of_all_reads() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let dripping = std::thread::spawn(move || {
            while theirs.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut port = Port::until(&ours, Instant::now() + Duration::from_millis(100));
        let mut byte = [0];
        let ended = loop {
            if let Err(error) = port.read(&mut byte) {
                break error.kind();
            }
        };
        assert_eq!(ended, ErrorKind::TimedOut);
        assert_eq!(port.write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
        drop(ours);
        dripping.join().unwrap();
    }

    #[test]
    fn silence_is_a_time_out_too() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut port = Port::until(&ours, Instant::now() + Duration::from_millis(10));
        assert_eq!(port.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    }
}

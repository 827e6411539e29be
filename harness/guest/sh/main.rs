//! The corpus's `/bin/sh`: a small freestanding shell for x86-64 Linux.
//!
//! It is the one program in most corpus images, so it needs nothing of them: no libc, no
//! interpreter, no /dev, no /proc. Its bytes are committed as `corpus/asset/sh` and depend on
//! nothing but the pinned compiler; `corpus/asset/README.md` has the command that rebuilds them.
//!
//! It understands `sh -c LIST`, where LIST is simple commands joined by `;`, `&&`, `||` and
//! newlines, with words quoted by `'…'`, `"…"` and `\`. Built in are `echo`, `cat`, `test -e` and
//! `exit`; all else is a program, by path or from /bin and /usr/bin. Exit statuses are POSIX's.
//! What it does not understand (pipes, redirections, variables, patterns) is a syntax error, never
//! a plain word.

#![no_std]
#![no_main]

mod system;

use system::{Fd, STDERR, STDIN, STDOUT, entry_exists, execute, fork, open, read, wait, write};

/// A command of more words than this is refused.
const WORDS_MAX: usize = 256;

/// Exit statuses, as POSIX gives them.
const OK: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// A NUL-terminated string of the process's own arguments.
type Text = *mut u8;

/// Called by the entry point with the arguments and the environment; the exit status is returned.
fn shell(arguments: &[Text], environment: *const Text) -> u8 {
    match arguments {
        [_, option, script, ..] if is(*option, b"-c") => {
            // Nothing runs of a script that is not all understood.
            let shell = |is_trial| Shell {
                rest: Cursor {
                    at: *script,
                    covered: None,
                    is_trial,
                },
                environment,
                status: OK,
            };
            match shell(true).list() {
                OK => shell(false).list(),
                status => status,
            }
        }
        _ => complain(&[b"usage: sh -c LIST"], USAGE),
    }
}

struct Shell {
    rest: Cursor,
    environment: *const Text,
    /// The status of the last command that ran.
    status: u8,
}

/// What stands after a simple command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Then,
    And,
    Or,
    End,
}

/// What a simple command leaves behind.
enum Step {
    Next(Joint),
    Exit(u8),
}

impl Shell {
    fn list(mut self) -> u8 {
        let mut wanted = true;
        loop {
            match self.simple_command(wanted) {
                Ok(Step::Exit(status)) => return status,
                Ok(Step::Next(Joint::End)) => return self.status,
                Ok(Step::Next(Joint::Then)) => wanted = true,
                Ok(Step::Next(Joint::And)) => wanted = self.status == OK,
                Ok(Step::Next(Joint::Or)) => wanted = self.status != OK,
                Err(what) => return complain(&[b"syntax error: ", what], USAGE),
            }
        }
    }

    /// Reads a command and runs it if it is wanted.
    fn simple_command(&mut self, wanted: bool) -> Result<Step, &'static [u8]> {
        let mut words = [core::ptr::null_mut(); WORDS_MAX + 1];
        let mut count = 0;
        let joint = loop {
            match self.rest.token()? {
                Token::Word(word) => {
                    *words.get_mut(count).ok_or(&b"too many words"[..])? = word;
                    count += 1;
                }
                Token::Joint(joint) => break joint,
            }
        };
        // The last place stays null: it ends the list for execve.
        let words = words
            .get(..count)
            .filter(|_| count < WORDS_MAX)
            .ok_or(&b"too many words"[..])?;
        let dangling = matches!(joint, Joint::And | Joint::Or);
        if words.is_empty() && dangling {
            return Err(b"nothing before && or ||");
        }
        if let ([name, arguments @ ..], true) = (words, wanted && !self.rest.is_trial) {
            if is(*name, b"exit") {
                return Ok(Step::Exit(self.exit_status(arguments)));
            }
            self.status = match () {
                () if is(*name, b"echo") => echo(arguments),
                () if is(*name, b"cat") => cat(arguments),
                () if is(*name, b"test") => test(arguments),
                () => self.program(*name, words),
            };
        }
        if dangling && self.rest.is_at_end() {
            return Err(b"nothing after && or ||");
        }
        Ok(Step::Next(joint))
    }

    fn exit_status(&self, arguments: &[Text]) -> u8 {
        match arguments {
            [] => self.status,
            [number] => match parse(bytes(*number)) {
                Some(status) => status,
                None => complain(&[b"exit: not a number: ", bytes(*number)], USAGE),
            },
            _ => complain(&[b"exit: too many arguments"], USAGE),
        }
    }

    /// Runs a program and waits for it.
    fn program(&self, name: Text, words: &[Text]) -> u8 {
        match fork() {
            Err(_) => complain(&[bytes(name), b": cannot fork"], NOT_EXECUTABLE),
            Ok(None) => system::exit(self.become_program(name, words)),
            Ok(Some(child)) => wait(child),
        }
    }

    /// In the child: only returns where nothing could be executed.
    fn become_program(&self, name: Text, words: &[Text]) -> u8 {
        let mut error = system::NO_ENTRY;
        if bytes(name).contains(&b'/') {
            error = execute(name, words, self.environment);
        } else {
            for directory in [&b"/bin/"[..], b"/usr/bin/"] {
                let mut path = [0; 512];
                if join(&mut path, directory, bytes(name)) {
                    let this = execute(path.as_mut_ptr(), words, self.environment);
                    // One that is there but cannot run says more than one that is not there.
                    if this != system::NO_ENTRY {
                        error = this;
                    }
                }
            }
        }
        match error {
            system::NO_ENTRY | system::NO_DIRECTORY => {
                complain(&[bytes(name), b": not found"], NOT_FOUND)
            }
            _ => complain(&[bytes(name), b": cannot be executed"], NOT_EXECUTABLE),
        }
    }
}

fn echo(arguments: &[Text]) -> u8 {
    let mut ok = true;
    for (index, argument) in arguments.iter().enumerate() {
        ok &= index == 0 || write(STDOUT, b" ");
        ok &= write(STDOUT, bytes(*argument));
    }
    if ok && write(STDOUT, b"\n") {
        OK
    } else {
        FAILED
    }
}

fn cat(arguments: &[Text]) -> u8 {
    if arguments.is_empty() {
        return if copy(STDIN) {
            OK
        } else {
            complain(&[b"cat: cannot copy"], FAILED)
        };
    }
    let mut status = OK;
    for argument in arguments {
        let copied = open(*argument).is_ok_and(|file| {
            let copied = copy(file);
            system::close(file);
            copied
        });
        if !copied {
            status = complain(&[b"cat: cannot read ", bytes(*argument)], FAILED);
        }
    }
    status
}

fn copy(from: Fd) -> bool {
    let mut buffer = [0; 16 << 10];
    loop {
        match read(from, &mut buffer) {
            Ok(0) => return true,
            Ok(count) if write(STDOUT, buffer.get(..count).unwrap_or_default()) => {}
            _ => return false,
        }
    }
}

fn test(arguments: &[Text]) -> u8 {
    match arguments {
        [option, path] if is(*option, b"-e") => u8::from(!entry_exists(*path)),
        _ => complain(&[b"usage: test -e PATH"], USAGE),
    }
}

/// Says something on standard error; the status is the caller's.
fn complain(parts: &[&[u8]], status: u8) -> u8 {
    write(STDERR, b"sh: ");
    for part in parts {
        write(STDERR, part);
    }
    write(STDERR, b"\n");
    status
}

/// A decimal number from 0 to 255.
fn parse(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u8, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Writes `directory` and `name` and a NUL; false where they do not fit.
fn join(path: &mut [u8; 512], directory: &[u8], name: &[u8]) -> bool {
    if directory.len() + name.len() >= path.len() {
        return false;
    }
    for (to, from) in path.iter_mut().zip(directory.iter().chain(name)) {
        *to = *from;
    }
    true
}

fn is(text: Text, word: &[u8]) -> bool {
    bytes(text).iter().eq(word)
}

/// The bytes before the NUL.
fn bytes<'a>(text: Text) -> &'a [u8] {
    system::until_nul(text)
}

enum Token {
    Word(Text),
    Joint(Joint),
}

/// The script, read from the left. Words are unquoted in place: a word without its quotes and with
/// a NUL is never longer than it was with what ends it.
struct Cursor {
    at: Text,
    /// The byte at `at` where a word's NUL has been written over it.
    covered: Option<u8>,
    /// Whether this is the first reading, which changes and runs nothing.
    is_trial: bool,
}

impl Cursor {
    fn peek(&self) -> u8 {
        self.covered.unwrap_or_else(|| system::get(self.at))
    }

    fn next(&mut self) -> u8 {
        let byte = self.peek();
        self.covered = None;
        if byte != 0 {
            self.at = system::after(self.at);
        }
        byte
    }

    /// Whether nothing stands after `&&` or `||`, on this line or the next ones.
    fn is_at_end(&mut self) -> bool {
        while matches!(self.peek(), b' ' | b'\t' | b'\n') {
            self.next();
        }
        self.peek() == 0
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t') {
            self.next();
        }
    }

    fn token(&mut self) -> Result<Token, &'static [u8]> {
        self.skip_blanks();
        let joint = match self.peek() {
            0 => return Ok(Token::Joint(Joint::End)),
            b';' | b'\n' => Joint::Then,
            b'&' => Joint::And,
            b'|' => Joint::Or,
            _ => return self.word().map(Token::Word),
        };
        let first = self.next();
        if joint != Joint::Then && self.next() != first {
            return Err(b"& and | are not supported");
        }
        Ok(Token::Joint(joint))
    }

    fn word(&mut self) -> Result<Text, &'static [u8]> {
        let start = self.at;
        let mut end = start;
        loop {
            match self.peek() {
                0 | b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' => break,
                b'\'' => {
                    self.next();
                    self.quoted(b'\'', &mut end)?;
                }
                b'"' => {
                    self.next();
                    self.quoted(b'"', &mut end)?;
                }
                b'\\' => {
                    self.next();
                    match self.next() {
                        0 => return Err(b"nothing after \\"),
                        b'\n' => {}
                        byte => self.put(&mut end, byte),
                    }
                }
                b'$' | b'`' | b'<' | b'>' | b'(' | b')' | b'*' | b'?' | b'[' | b'#' => {
                    return Err(b"an unquoted one of $ ` < > ( ) * ? [ #");
                }
                _ => {
                    let byte = self.next();
                    self.put(&mut end, byte)
                }
            }
        }
        if !self.is_trial {
            if end == self.at {
                self.covered = Some(self.peek());
            }
            system::set(end, 0);
        }
        Ok(start)
    }

    fn quoted(&mut self, quote: u8, end: &mut Text) -> Result<(), &'static [u8]> {
        loop {
            match self.next() {
                0 => return Err(b"a quote that is not closed"),
                byte if byte == quote => return Ok(()),
                b'$' | b'`' if quote == b'"' => return Err(b"$ or ` in double quotes"),
                b'\\' if quote == b'"' => match self.peek() {
                    b'"' | b'\\' | b'$' | b'`' => {
                        let byte = self.next();
                        self.put(end, byte)
                    }
                    b'\n' => {
                        self.next();
                    }
                    _ => self.put(end, b'\\'),
                },
                byte => self.put(end, byte),
            }
        }
    }

    /// Adds a byte to the word that is being unquoted.
    fn put(&self, end: &mut Text, byte: u8) {
        if !self.is_trial {
            system::set(*end, byte);
        }
        *end = system::after(*end);
    }
}

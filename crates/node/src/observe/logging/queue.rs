//! Lines on their way to standard error, queued so that no serving thread waits for the reader of
//! the log.
//!
//! A pipe whose reader is blocked is full after 64 KiB, and a write to it waits. So one thread
//! writes, and all others put lines into a buffer of [`CAPACITY`] bytes and continue. A line that
//! does not fit is lost and counted. Once the writer has written the lines before the loss, it
//! writes how many are missing there.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Bytes of waiting lines, in addition to those being written: about ten thousand lines.
const CAPACITY: usize = 1 << 20;

/// The pause of the writer if the pipe is full and non-blocking.
const REST: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines lost after the last one in `waiting`, and before any other.
    lost: u64,
    /// The thread has taken lines and not written them yet.
    writing: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when there are lines to write.
    filled: Condvar,
    /// Notified when all lines are written.
    emptied: Condvar,
    lost: AtomicU64,
}

impl Queue {
    /// Appends one or more whole lines. Never blocks for longer than copying takes.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut state = self.state.lock();
        // A short line that fits after a loss would appear before the report of the loss.
        if state.lost > 0 || state.waiting.len() + lines.len() > CAPACITY {
            let lost = count(lines);
            state.lost += lost;
            self.lost.fetch_add(lost, Relaxed);
        } else {
            state.waiting.extend_from_slice(lines);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Writes lines at once, ahead of those that wait. If that fails, they count as lost.
    pub(super) fn write_now(&self, out: &mut impl Write, lines: &[u8]) {
        self.write_all(out, lines);
    }

    /// Lines lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Waits until all lines are written, but at most `timeout`. Returns whether they are.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        let deadline = std::time::Instant::now() + timeout;
        while state.writing || !state.waiting.is_empty() || state.lost > 0 {
            if self.emptied.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    /// Writes the waiting lines to `out`, and then the losses after them in the words of `report`.
    /// Waits if there is nothing to write.
    fn write_some(
        &self,
        out: &mut impl Write,
        taken: &mut Vec<u8>,
        report: &impl Fn(u64) -> String,
    ) {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && state.lost == 0 {
            self.filled.wait(&mut state);
        }
        std::mem::swap(&mut state.waiting, taken);
        let lost = std::mem::take(&mut state.lost);
        state.writing = true;
        drop(state);
        let mut written = self.write_all(out, taken);
        taken.clear();
        if lost > 0 && written {
            written = self.write_all(out, report(lost).as_bytes());
        }
        let mut state = self.state.lock();
        state.writing = false;
        if state.waiting.is_empty() && state.lost == 0 {
            self.emptied.notify_all();
        }
        drop(state);
        if !written {
            std::thread::sleep(REST);
        }
    }

    /// Writes lines. If that fails, they count as lost.
    fn write_all(&self, out: &mut impl Write, mut lines: &[u8]) -> bool {
        while !lines.is_empty() {
            match out.write(lines) {
                Ok(0) => break,
                Ok(written) => lines = &lines[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process may have made the shared pipe non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(REST);
                }
                Err(_) => break,
            }
        }
        self.lost.fetch_add(count(lines), Relaxed);
        lines.is_empty()
    }
}

/// Writes the lines of `queue` to `out` for as long as the process lives.
pub(super) fn write_for_ever(
    queue: &Queue,
    out: &mut impl Write,
    report: &impl Fn(u64) -> String,
) -> ! {
    let mut taken = Vec::new();
    loop {
        queue.write_some(out, &mut taken, report);
    }
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that accepts this many bytes and then fails.
    #[derive(Default)]
    struct Reader {
        text: Vec<u8>,
        broken: bool,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.broken {
                return Err(io::ErrorKind::StorageFull.into());
            }
            // In pieces, as a pipe accepts them.
            let some = bytes.len().min(1000);
            self.text.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn report(lost: u64) -> String {
        format!("lost {lost}\n")
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_and_told_of_where_they_are_missing() {
        let queue = Queue::default();
        let (mut out, mut taken) = (Reader::default(), Vec::new());
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..1023 {
            queue.push(&line);
        }
        queue.push(&line[1..]);
        assert_eq!(queue.lost(), 0, "a buffer almost full of lines");
        for _ in 0..7 {
            queue.push(&line);
        }
        // A short line that would fit is lost as well.
        queue.push(b"\n");
        assert_eq!(queue.lost(), 8);
        queue.write_some(&mut out, &mut taken, &report);
        queue.push(b"z\n");
        queue.write_some(&mut out, &mut taken, &report);
        assert_eq!(out.text.len(), (1 << 20) - 1 + "lost 8\nz\n".len());
        assert!(out.text.ends_with(b"x\nlost 8\nz\n"));
        assert_eq!(queue.lost(), 8);
        assert!(queue.flush(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_nobody_waits_for_it() {
        let queue = Queue::default();
        let (mut out, mut taken) = (Reader { broken: true, ..Reader::default() }, Vec::new());
        queue.push(b"a\nb\n");
        assert!(!queue.flush(Duration::ZERO), "they are not written yet");
        queue.write_some(&mut out, &mut taken, &report);
        assert_eq!(queue.lost(), 2);
        assert!(queue.flush(Duration::ZERO));
        out.broken = false;
        queue.push(b"c\n");
        queue.write_some(&mut out, &mut taken, &report);
        assert_eq!(out.text, b"c\n");
    }
}

//! A command in its own pseudo-terminal: tests read the screen and press keys.
#![allow(dead_code, reason = "every test uses a part of it")]

use std::io::{Read as _, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use ringbinder_tests::wait;

/// Width of the terminal, like most terminals.
pub(crate) const COLUMNS: u16 = 80;
pub(crate) const LINES: u16 = 24;

/// A command that runs in a terminal. It is ended when this is dropped.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
    /// Nobody looks at the terminal any more.
    gone: Arc<AtomicBool>,
}

fn size(columns: u16, lines: u16) -> PtySize {
    PtySize { rows: lines, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    /// Starts a command with its program, arguments, directory and environment.
    pub(crate) fn start(command: &Command) -> Terminal {
        let pty = native_pty_system().openpty(size(COLUMNS, LINES)).unwrap();
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            builder.cwd(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => builder.env(name, value),
                None => builder.env_remove(name),
            }
        }
        builder.env("TERM", "xterm-256color");
        let child = pty.slave.spawn_command(builder).unwrap();
        // Reading ends after the last process has closed the other side.
        drop(pty.slave);
        let [lines, columns] = [LINES, COLUMNS].map(|size| NonZero::new(size).unwrap());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let mut bytes = pty.master.try_clone_reader().unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (screen, gone) = (Arc::clone(&screen), Arc::clone(&gone));
            move || {
                let mut buffer = [0; 4096];
                // An error can also mean that the other side is closed.
                while let Ok(len @ 1..) = bytes.read(&mut buffer) {
                    screen.lock().unwrap().process(&buffer[..len]);
                    if gone.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
        });
        let keys = pty.master.take_writer().unwrap();
        let (master, keys, reader) = (Some(pty.master), Some(keys), Some(reader));
        Terminal { child, master, keys, screen, reader, gone }
    }

    /// The text on the screen.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Calls `look` with the screen.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.screen.lock().unwrap().screen())
    }

    /// Waits until `look` returns a value for the screen.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&vt100::Screen) -> Option<T>,
    ) -> T {
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until(what, || {
                // The lock is released before the test can panic.
                self.screen.lock().ok().and_then(|screen| look(screen.screen()))
            })
        }));
        waited.unwrap_or_else(|_| panic!("{what}:\n{}", self.text()))
    }

    /// Waits until this text is on the screen.
    pub(crate) fn until_text(&self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text).then_some(()));
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        let writer = self.keys.as_mut().expect("a terminal that is still there");
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Resizes the terminal.
    pub(crate) fn resize(&mut self, columns: u16, lines: u16) {
        let [new_lines, new_columns] = [lines, columns].map(|size| NonZero::new(size).unwrap());
        self.screen.lock().unwrap().screen_mut().set_size(new_lines, new_columns);
        self.master.as_ref().unwrap().resize(size(columns, lines)).unwrap();
    }

    /// Closes the terminal, like closing its window. The command must be one that writes once more.
    pub(crate) fn hang_up(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.keys = None;
        self.master = None;
    }

    /// The id of the process in the terminal.
    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// Waits for the end. Returns the exit code and the final text on the screen.
    pub(crate) fn end(mut self) -> (u32, String) {
        let status = wait::until("the command to end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status.exit_code(), self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! What the node asks of its operating system around serving: detaching from the terminal, the pid
//! file, the user it runs as, and the limits it runs under.
//!
//! The order that works, and why:
//!
//! 0. [`resident::settle_allocator`], which may start the program anew.
//! 1. [`daemon::detach`] before any thread exists: the process that goes on is a fresh one.
//! 2. [`limits`] while still root: raising a hard limit takes root.
//! 3. bind the TCP listeners: a port below 1024 takes root.
//! 4. [`user::drop_privileges`].
//! 5. bind the Unix socket, which belongs to whoever makes it, and [`pidfile::PidFile::create`]:
//!    the final user must be able to remove both again.
//! 6. [`daemon::Ready::announce`], once clients can connect: the command line then returns 0.
//!
//! Nothing here reads the settings: each function takes the few values it needs.

pub(crate) mod daemon;
pub(crate) mod exit;
pub(crate) mod limits;
pub(crate) mod pidfile;
pub(crate) mod resident;
pub(crate) mod supervisor;
pub(crate) mod user;

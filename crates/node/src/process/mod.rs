//! The node's use of the operating system around serving: it detaches from the terminal, writes the
//! pid file, and sets the user and the limits of the process.
//!
//! The order matters:
//!
//! 0. [`resident::settle_allocator`], which may start the program again.
//! 1. [`daemon::detach`], before any thread exists: the process that continues is a fresh one.
//! 2. [`limits`], while still root: only root may raise a hard limit.
//! 3. bind the TCP listeners: only root may bind a port below 1024.
//! 4. [`user::drop_privileges`].
//! 5. bind the Unix socket, which belongs to the user that creates it, and
//!    [`pidfile::PidFile::create`]: the final user must be able to remove both again.
//! 6. [`daemon::Ready::announce`], once clients can connect: the command line then returns 0.
//!
//! [`clock`] is the clock of the process, and [`stop`] the flag that ends it.
//!
//! This module does not read the settings: each function takes the few values it needs.
//!
//! | file | purpose |
//! |---|---|
//! | `daemon`, `pidfile`, `supervisor` | detaching from the terminal; the pid file; messages to systemd |
//! | `user`, `limits`, `resident` | the user; limits of the process; the allocator's settings, resident memory |
//! | `clock`, `stop`, `exit` | the clock; stopping the server; exit codes |

pub(crate) mod clock;
pub(crate) mod daemon;
pub(crate) mod exit;
pub(crate) mod limits;
pub(crate) mod pidfile;
pub(crate) mod resident;
pub(crate) mod stop;
pub(crate) mod supervisor;
pub(crate) mod user;

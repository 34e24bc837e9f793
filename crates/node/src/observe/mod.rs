//! What a node reports of its own accord or in bulk: the log, `watch`, and dumps of all items.
//!
//! | module | purpose |
//! |---|---|
//! | `logging`, `log_limit` | the log; the rate limit for lines that untrusted clients cause |
//! | `watch` | `watch`: log lines for clients |
//! | `dump` | dumps of all items |

pub(crate) mod dump;
pub(crate) mod log_limit;
pub(crate) mod logging;
pub(crate) mod watch;

//! Who may connect, and how.
//!
//! | module | purpose |
//! |---|---|
//! | `tls` | certificates of listeners and links; handshakes |
//! | `auth` | users and passwords |
//! | `guessing`, `source` | the delay of logins after wrong passwords; the source of a connection |
//! | `guards`, `reload` | all of it at the start; reloading it while the node runs |

pub(crate) mod auth;
pub(crate) mod guards;
pub(crate) mod guessing;
pub(crate) mod reload;
pub(crate) mod source;
pub(crate) mod tls;

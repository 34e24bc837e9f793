//! The node's sockets.
//!
//! | module | purpose |
//! |---|---|
//! | `listen` | listening sockets: creating, inheriting and accepting |
//! | `socket` | an open connection's socket: TCP, Unix or TLS |
//! | `connections` | every open connection, and the limits on their number |

pub(crate) mod connections;
pub(crate) mod listen;
pub(crate) mod socket;

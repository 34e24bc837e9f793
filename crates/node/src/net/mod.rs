//! The node's sockets and their buffers.
//!
//! | module | purpose |
//! |---|---|
//! | `listen` | listening sockets: creating, inheriting and accepting |
//! | `socket` | an open connection's socket: TCP, Unix or TLS |
//! | `inherit` | listening sockets from another process |
//! | `input`, `output` | the buffers of a connection |
//! | `pending` | replies that other nodes owe, and their positions in the output |
//! | `connections` | every open connection, and the limits on their number |

pub(crate) mod connections;
pub(crate) mod inherit;
pub(crate) mod input;
pub(crate) mod listen;
pub(crate) mod output;
pub(crate) mod pending;
pub(crate) mod socket;

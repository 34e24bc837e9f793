//! The commands, by kind.
//!
//! | file | commands |
//! |---|---|
//! | `retrieval`, `storage`, `deletion`, `arithmetic` | `get` and `gat`; `set` and the like; `delete`; `incr` and `decr` |
//! | `meta` | the meta commands |
//! | `nodes` | commands to one node: `stats`, `version`, `flush_all` |

mod arithmetic;
mod deletion;
mod meta;
mod nodes;
mod retrieval;
mod storage;

pub use meta::MetaReply;
pub use nodes::NodeHandle;

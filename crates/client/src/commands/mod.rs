//! The commands, by kind.

mod arithmetic;
mod deletion;
mod meta;
mod nodes;
mod retrieval;
mod storage;

pub use meta::MetaReply;
pub use nodes::NodeHandle;

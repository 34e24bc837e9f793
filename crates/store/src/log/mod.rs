//! The log: segments of records.
//!
//! | file | purpose |
//! |---|---|
//! | `segment` | a segment |
//! | `table` | the segments of a shard, and the states that each goes through |
//! | `record` | the bytes of an item |
//! | `location` | the position of a record, in 32 bits |

pub(crate) mod location;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod table;

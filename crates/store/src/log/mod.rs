//! The log: segments of records.
//!
//! | file | purpose |
//! |---|---|
//! | `segment` | a segment |
//! | `record` | the bytes of an item |
//! | `location` | the position of a record, in 32 bits |

pub(crate) mod location;
pub(crate) mod record;
pub(crate) mod segment;

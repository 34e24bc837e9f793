//! Requests about keys that another node serves.
//!
//! A request becomes a pending reply of its connection ([`crate::net::pending`]). Before
//! replies are written, the connection sends what is pending and waits ([`gather()`]).
//!
//! | module | purpose |
//! |---|---|
//! | `gather` | waiting for the replies of a connection |
//! | `flush` | `flush_all` for every node |
//! | `open`, `link`, `link_state` | one worker's connection to one peer; its requests |
//! | `in_flight`, `large` | a request that was sent, and its reply; a large value in a reply |

mod flush;
mod gather;
mod in_flight;
mod large;
pub(crate) mod link;
mod link_state;
mod open;

pub(crate) use self::flush::flush_all;
pub(crate) use self::gather::gather;
pub(crate) use self::link::Link;

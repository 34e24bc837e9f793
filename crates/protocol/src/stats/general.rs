//! The answer to `stats`.

use super::{Lines, Words};

macro_rules! general {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// The lines of `stats` that are shown to people. Each field has the name of its line, and
        /// is `None` if the node does not report it.
        #[allow(missing_docs, reason = "memcached's doc/protocol.txt explains its own lines")]
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct General {
            /// The version of memcached's protocol.
            pub version: Option<String>,
            /// The version of `ringbinderd`; `None` for other servers.
            pub ringbinder_version: Option<String>,
            $($(#[$doc])* pub $name: Option<u64>,)*
        }

        impl General {
            /// Reads the answer.
            pub fn read(lines: &Lines, words: Words) -> General {
                let mut general = General::default();
                for (name, value) in lines.iter().rev() {
                    match name.as_str() {
                        "version" => general.version = Some(words(value)),
                        "ringbinder_version" => general.ringbinder_version = Some(words(value)),
                        $(stringify!($name) => general.$name = value.parse().ok(),)*
                        _ => {}
                    }
                }
                general
            }
        }
    };
}

general! {
    pid
    /// Seconds since the start.
    uptime
    /// Connections of clients, including the one that asks.
    curr_connections
    max_connections
    cmd_get cmd_set cmd_touch cmd_meta
    get_hits get_misses delete_hits delete_misses
    incr_hits incr_misses decr_hits decr_misses
    store_no_memory
    bytes_read bytes_written
    bytes limit_maxbytes
    curr_items
    evictions
    /// Keys of `get`, `gets` and `mg` that this node forwarded and that no owner answered. No node
    /// counts them in `cmd_get`.
    foreign_get_failed
    /// All requests that this node forwarded and that no owner answered.
    foreign_failed
}

impl General {
    /// The version of the server's program.
    pub fn program(&self) -> Option<&str> {
        self.ringbinder_version.as_deref().or(self.version.as_deref())
    }

    /// Gets that clients asked for: hits, misses, and gets that no owner answered. A get that its
    /// owner answered counts at the owner. `None` if the node does not report hits and misses.
    pub fn gets(&self) -> Option<u64> {
        let failed = self.foreign_get_failed.unwrap_or(0);
        Some(self.get_hits?.saturating_add(self.get_misses?).saturating_add(failed))
    }

    /// Bytes to and from clients.
    pub(super) fn traffic(&self) -> u64 {
        self.bytes_read.unwrap_or(0).saturating_add(self.bytes_written.unwrap_or(0))
    }

    /// Requests of every kind that this node carried out.
    pub(super) fn requests(&self) -> u64 {
        let all = [
            self.cmd_get,
            self.cmd_set,
            self.cmd_touch,
            self.cmd_meta,
            self.delete_hits,
            self.delete_misses,
            self.incr_hits,
            self.incr_misses,
            self.decr_hits,
            self.decr_misses,
        ];
        all.into_iter().flatten().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;

    #[test]
    fn each_line_is_the_field_of_its_name() {
        let lines = pairs(
            "pid 7\nversion 1.6.45\nringbinder_version 0.1.0\ncmd_get 10\nget_hits 7\n\
             get_misses 3\nforeign_get_failed 2\ncmd_set 3\ncmd_touch 1\ndelete_hits 2\n\
             incr_misses 4\nevictions 6\nunknown 9\n",
        );
        let general = General::read(&lines, str::to_owned);
        assert_eq!((general.pid, general.evictions, general.bytes), (Some(7), Some(6), None));
        assert_eq!((general.gets(), general.requests()), (Some(12), 20));
        assert_eq!(general.program(), Some("0.1.0"));
    }

    #[test]
    fn another_server_reports_less() {
        let general = General::read(&pairs("version 1.6.18\ncmd_get x\nbytes -1\n"), str::to_owned);
        assert_eq!(general.program(), Some("1.6.18"));
        assert_eq!((general.cmd_get, general.bytes, general.gets()), (None, None, None));
        assert_eq!(General::read(&[], str::to_owned), General::default());
        let twice = General::read(&pairs("pid 1\npid 2\n"), str::to_owned);
        assert_eq!(twice.pid, Some(1), "the first line counts");
        let endless =
            pairs("get_hits 18446744073709551615\nget_misses 1\nbytes 18446744073709551616\n");
        let general = General::read(&endless, str::to_owned);
        assert_eq!((general.gets(), general.bytes), (Some(u64::MAX), None));
    }
}

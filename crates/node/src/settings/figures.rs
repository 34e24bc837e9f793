//! The lines of `stats settings` that describe memcached's own machinery.
//!
//! Slab classes, the hash table, external storage and protocols to choose from have no counterpart here,
//! but monitoring reads these lines. They show what a memcached started with the same options shows.

/// memcached 1.6's lines, in its order, with the values it starts with when nothing is set.
const DEFAULTS: [(&str, &str); 40] = [
    ("binding_protocol", "auto-negotiate"),
    ("growth_factor", "1.25"),
    ("chunk_size", "48"),
    ("hashpower_init", "0"),
    ("slab_reassign", "yes"),
    ("slab_automove", "1"),
    ("slab_automove_ratio", "0.80"),
    ("slab_automove_window", "10"),
    ("slab_chunk_max", "524288"),
    ("lru_crawler", "yes"),
    ("lru_crawler_sleep", "100"),
    ("lru_crawler_tocrawl", "0"),
    ("tail_repair_time", "0"),
    ("hash_algorithm", "murmur3"),
    ("lru_maintainer_thread", "yes"),
    ("lru_segmented", "yes"),
    ("hot_lru_pct", "20"),
    ("warm_lru_pct", "40"),
    ("hot_max_factor", "0.20"),
    ("warm_max_factor", "2.00"),
    ("temp_lru", "no"),
    ("temporary_ttl", "61"),
    ("read_buf_mem_limit", "0"),
    ("inline_ascii_response", "no"),
    ("drop_privileges", "no"),
    ("ext_item_size", "512"),
    ("ext_item_age", "4294967295"),
    ("ext_low_ttl", "0"),
    ("ext_recache_rate", "2000"),
    ("ext_wbuf_size", "4194304"),
    ("ext_compact_under", "0"),
    ("ext_drop_under", "0"),
    ("ext_max_sleep", "1000000"),
    ("ext_max_frag", "0.80"),
    ("slab_automove_freeratio", "0.010"),
    ("ext_drop_unread", "no"),
    ("ssl_wbuf_size", "16384"),
    ("num_napi_ids", "0"),
    ("memory_file", "(null)"),
    ("client_flags_size", "4"),
];

/// Names and values for `stats settings`, in memcached's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures(Vec<(&'static str, String)>);

impl Default for Figures {
    fn default() -> Self {
        Self(DEFAULTS.iter().map(|&(name, value)| (name, value.to_owned())).collect())
    }
}

impl Figures {
    /// The value of a line, as text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All lines in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Changes a line; a name that is not a line is ignored.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| *known == name) {
            *old = value.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_read_and_changed() {
        let mut figures = Figures::default();
        figures.set("growth_factor", "1.08");
        assert_eq!(figures.get("growth_factor"), Some("1.08"));
        assert_eq!(figures.get("no_such_line"), None);
        assert_eq!(figures.iter().nth(1), Some(("growth_factor", "1.08")));
    }
}

//! Tests of stats: the names that tools read, and correct figures.

use super::{Target, ours_only};

/// The figures of `stats` that prometheus/memcached_exporter reads.
const GENERAL: &[&str] = &[
    "version",
    "get_hits",
    "get_misses",
    "delete_hits",
    "delete_misses",
    "incr_hits",
    "incr_misses",
    "decr_hits",
    "decr_misses",
    "cas_hits",
    "cas_misses",
    "touch_hits",
    "touch_misses",
    "uptime",
    "time",
    "cas_badval",
    "cmd_flush",
    "cmd_set",
    "rusage_user",
    "rusage_system",
    "bytes",
    "limit_maxbytes",
    "curr_items",
    "total_items",
    "bytes_read",
    "bytes_written",
    "curr_connections",
    "total_connections",
    "rejected_connections",
    "conn_yields",
    "listen_disabled_num",
    "evictions",
    "reclaimed",
    "store_too_large",
    "store_no_memory",
    "lru_crawler_starts",
    "direct_reclaims",
    "crawler_items_checked",
    "crawler_reclaimed",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "accepting_conns",
    // And those that people, memcached-tool and other agents read.
    "pid",
    "pointer_size",
    "max_connections",
    "cmd_get",
    "cmd_touch",
    "cmd_meta",
    "get_expired",
    "get_flushed",
    "threads",
    "hash_power_level",
    "hash_bytes",
    "expired_unfetched",
    "evicted_unfetched",
    "evicted_active",
    "auth_cmds",
    "auth_errors",
    "connection_structures",
    "malloc_fails",
    "slabs_moved",
    "lrutail_reflocked",
    "log_watchers",
];
/// The figures of `stats settings` that it reads.
const SETTINGS: &[&str] = &[
    "maxconns",
    "lru_crawler",
    "lru_crawler_sleep",
    "lru_crawler_tocrawl",
    "lru_maintainer_thread",
    "hot_lru_pct",
    "warm_lru_pct",
    "hot_max_factor",
    "warm_max_factor",
    "maxbytes",
    "tcpport",
    "udpport",
    "inter",
    "verbosity",
    "evictions",
    "domain_socket",
    "umask",
    "growth_factor",
    "chunk_size",
    "num_threads",
    "stat_key_prefix",
    "detail_enabled",
    "cas_enabled",
    "tcp_backlog",
    "binding_protocol",
    "item_size_max",
    "maxconns_fast",
    "hash_algorithm",
    "idle_timeout",
    "flush_enabled",
    "dump_enabled",
    "shutdown_command",
];
/// The figures of `stats items` that it reads, for each class.
const ITEMS: &[&str] = &[
    "number",
    "age",
    "hits_to_hot",
    "hits_to_warm",
    "hits_to_cold",
    "hits_to_temp",
    "crawler_reclaimed",
    "evicted",
    "evicted_nonzero",
    "evicted_time",
    "evicted_unfetched",
    "expired_unfetched",
    "outofmemory",
    "reclaimed",
    "tailrepairs",
    "mem_requested",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "number_hot",
    "number_warm",
    "number_cold",
    "age_hot",
    "age_warm",
];
/// The figures of `stats slabs` that it reads, for each class.
const SLABS: &[&str] = &[
    "get_hits",
    "delete_hits",
    "incr_hits",
    "decr_hits",
    "cas_hits",
    "touch_hits",
    "cas_badval",
    "cmd_set",
    "chunk_size",
    "chunks_per_page",
    "total_pages",
    "total_chunks",
    "used_chunks",
    "free_chunks",
    "free_chunks_end",
];

#[track_caller]
fn assert_names(answer: &str, prefix: &str, names: &[&str]) {
    assert!(answer.ends_with("END\r\n"), "{answer}");
    for line in answer.lines().filter(|&line| line != "END") {
        assert!(line.starts_with("STAT ") && line.split(' ').count() >= 3, "{line:?}");
    }
    let missing: Vec<_> =
        names.iter().filter(|name| !answer.contains(&format!("STAT {prefix}{name} "))).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
}

#[test]
fn every_name_that_tools_read_is_there() {
    let mut t = Target::start();
    t.set("a", "1");
    assert_names(&t.conn.ask_text("stats\r\n"), "", GENERAL);
    assert_names(&t.conn.ask_text("stats settings\r\n"), "", SETTINGS);
    assert_names(&t.conn.ask_text("stats items\r\n"), "items:1:", ITEMS);
    let slabs = t.conn.ask_text("stats slabs\r\n");
    assert_names(&slabs, "1:", SLABS);
    assert_names(&slabs, "", &["active_slabs", "total_malloced"]);
    assert_names(&t.conn.ask_text("stats sizes\r\n"), "", &[]);
    assert_names(&t.conn.ask_text("stats conns\r\n"), "", &[]);
    t.talk("stats bogus\r\n", "ERROR\r\n");
}

#[test]
fn commands_are_counted_for_what_they_are() {
    let mut t = Target::start();
    let requests = [
        "set a 0 0 1\r\n1\r\n",
        "get a\r\n",
        "get a b\r\n",
        "gets a\r\n",
        "incr a 1\r\n",
        "incr b 1\r\n",
        "decr a 1\r\n",
        "decr b 1\r\n",
        "touch a 0\r\n",
        "touch b 0\r\n",
        "gat 0 a\r\n",
        "gat 0 b\r\n",
        "cas a 0 0 1 999999\r\n1\r\n",
        "cas b 0 0 1 1\r\n1\r\n",
        "delete b\r\n",
        "delete a\r\n",
        "get a\r\n",
        "flush_all\r\n",
        "mg a\r\n",
        "me a\r\n",
    ];
    for request in requests {
        t.conn.ask(request);
    }
    t.set("c", "1");
    let cas = t.cas("c");
    t.talk(format!("cas c 0 0 1 {cas}\r\n2\r\n"), "STORED\r\n");
    for (name, count) in [
        ("cmd_set", 5),
        ("cmd_get", 7),
        ("get_hits", 4),
        ("get_misses", 3),
        ("cmd_touch", 4),
        ("touch_hits", 2),
        ("touch_misses", 2),
        ("incr_hits", 1),
        ("incr_misses", 1),
        ("decr_hits", 1),
        ("decr_misses", 1),
        ("cas_hits", 1),
        ("cas_misses", 1),
        ("cas_badval", 1),
        ("delete_hits", 1),
        ("delete_misses", 1),
        ("cmd_flush", 1),
        ("cmd_meta", 1),
        ("curr_items", 1),
    ] {
        let found = t.count(name);
        assert_eq!(found, count, "{name}");
    }
}

#[test]
fn sizes_and_times_are_true() {
    let mut t = Target::with(&["-m", "100", "-t", "3", "-c", "77"]);
    assert_eq!(t.count("limit_maxbytes"), 100 << 20);
    assert_eq!(t.stat("settings", "maxbytes"), (100 << 20).to_string());
    assert_eq!(t.count("threads"), 3);
    assert_eq!(t.count("max_connections"), 77);
    assert_eq!(t.stat("settings", "maxconns"), "77");
    assert_eq!(t.count("pid"), u64::from(t.server.pid()));
    assert_eq!(t.count("pointer_size"), 64);
    let (now, told) = (super::unix_now(), t.count("time"));
    assert!(told.abs_diff(now) <= 2, "{told} at {now}");
    let total = t.count("total_items");
    t.set("one", "1");
    t.set("one", "2");
    assert_eq!((t.count("curr_items"), t.count("total_items")), (1, total + 2));
    let before = (t.count("bytes"), t.count("bytes_read"), t.count("bytes_written"));
    t.talk(format!("set a 0 0 10000\r\n{}\r\n", "v".repeat(10_000)), "STORED\r\n");
    t.conn.ask("get a\r\n");
    assert!(t.count("bytes") - before.0 >= 10_000);
    assert!(t.count("bytes_read") - before.1 >= 10_000);
    assert!(t.count("bytes_written") - before.2 >= 10_000);
}

#[test]
fn reset_starts_counting_anew() {
    let mut t = Target::start();
    t.set("a", "1");
    t.conn.ask("get a\r\nget b\r\n");
    t.talk("stats reset\r\n", "RESET\r\n");
    for name in ["cmd_get", "cmd_set", "get_hits", "get_misses"] {
        assert_eq!(t.count(name), 0, "{name}");
    }
    assert_eq!(t.count("curr_items"), 1);
}

#[test]
fn detail_counts_by_prefix() {
    let mut t = Target::start();
    t.talk("stats detail on\r\n", "OK\r\n");
    t.talk("set user:1 0 0 1\r\nx\r\n", "STORED\r\n");
    t.conn.ask("get user:1\r\nget user:2\r\ndelete user:1\r\nget plain\r\n");
    let dump = t.conn.ask_text("stats detail dump\r\n");
    assert!(dump.contains("PREFIX user get 2 hit 1 set 1 del 1\r\n"), "{dump}");
    assert!(dump.ends_with("END\r\n"), "{dump}");
    t.talk("stats detail off\r\n", "OK\r\n");
    t.conn.ask("get user:1\r\n");
    let dump = t.conn.ask_text("stats detail dump\r\n");
    assert!(dump.contains("PREFIX user get 2 hit 1 set 1 del 1\r\n"), "{dump}");
    let usage = "CLIENT_ERROR usage: stats detail on|off|dump\r\n";
    t.talk("stats detail\r\n", usage);
    t.talk("stats detail bogus\r\n", usage);
}

#[test]
fn conns_tells_of_this_connection() {
    let mut t = Target::start();
    let answer = t.conn.ask_text("stats conns\r\n");
    let port = t.conn.local_port();
    let line = answer.lines().find(|line| line.contains(&format!(":addr tcp:127.0.0.1:{port}")));
    assert!(line.is_some(), "{answer}");
    for name in [":state conn_", ":secs_since_last_cmd 0", ":listen_addr tcp:127.0.0.1:"] {
        assert!(answer.contains(name), "{name} in {answer}");
    }
}

#[test]
fn a_key_in_base64_forges_no_answer() {
    ours_only!();
    let mut t = Target::start();
    t.talk("stats detail on\r\n", "OK\r\n");
    // \r\nEND\r\n\x1b[2J:x
    t.talk("ms DQpFTkQNChtbMko6eA== 1 b\r\n1\r\n", "HD\r\n");
    t.talk(
        "stats detail dump\r\n",
        "PREFIX %0D%0AEND%0D%0A%1B%5B2J get 0 hit 0 set 1 del 0\r\nEND\r\n",
    );
    t.talk("stats cachedump 1 0\r\n", "END\r\n");
    t.talk("lru_crawler mgdump all\r\n", "OK\r\nmg DQpFTkQNChtbMko6eA== b\r\nEN\r\n");
}

#[test]
fn conns_tells_what_each_is_doing() {
    let mut t = Target::start();
    let mut conns: Vec<_> = (0..5).map(|_| t.server.connect()).collect();
    conns[0].send("set a 0 0 10\r\nab");
    conns[1].send("set a 0 0 100000\r\nab");
    conns[2].send("ge");
    conns[3].send("watch\r\n");
    assert_eq!(conns[3].take_line(), "OK\r\n");
    conns[4].talk("get a\r\n", "END\r\n");
    let states =
        ["conn_nread", "conn_nread", "conn_read", "conn_watch", "conn_read", "conn_parse_cmd"];
    let ports: Vec<_> = conns.iter().chain([&t.conn]).map(|conn| conn.local_port()).collect();
    ringbinder_tests::wait::until("these states", || {
        let answer = t.conn.ask_text("stats conns\r\n");
        let mut lines = answer.lines().peekable();
        let mut found = vec![None; ports.len()];
        while let Some(line) = lines.next() {
            let Some((id, address)) = line.strip_prefix("STAT ")?.split_once(":addr ") else {
                continue;
            };
            let listen = lines.next()?;
            if listen == format!("STAT {id}:state conn_listening") {
                assert_eq!(address, format!("tcp:{}", t.server.address()));
                assert!(lines.next()?.starts_with(&format!("STAT {id}:secs_since_last_cmd ")));
                continue;
            }
            assert_eq!(listen, format!("STAT {id}:listen_addr tcp:{}", t.server.address()));
            let state = lines.next()?.strip_prefix(&format!("STAT {id}:state "))?.to_owned();
            assert!(lines.next()?.starts_with(&format!("STAT {id}:secs_since_last_cmd ")));
            let is_it = |port: &u16| address == format!("tcp:127.0.0.1:{port}");
            found[ports.iter().position(is_it)?] = Some(state);
            if lines.peek() == Some(&"END") {
                break;
            }
        }
        assert!(answer.contains(":state conn_listening"), "{answer}");
        let found: Vec<String> = found.into_iter().collect::<Option<_>>()?;
        (found == states).then_some(())
    });
}

#[test]
fn a_class_stays_when_its_items_are_gone() {
    let mut t = Target::start();
    t.talk("stats slabs\r\n", "STAT active_slabs 0\r\nSTAT total_malloced 0\r\nEND\r\n");
    t.set("a", "1");
    t.talk("delete a\r\n", "DELETED\r\n");
    let slabs = t.conn.ask_text("stats slabs\r\n");
    assert_names(&slabs, "1:", SLABS);
    for line in ["STAT 1:used_chunks 0\r\n", "STAT 1:cmd_set 1\r\n", "STAT active_slabs 1\r\n"] {
        assert!(slabs.contains(line), "{slabs}");
    }
    t.talk("stats items\r\n", "END\r\n");
}

#[test]
fn there_is_no_external_storage() {
    let mut t = Target::start();
    t.talk("stats extstore\r\n", "END\r\n");
}

#[test]
fn settings_tell_of_the_last_flush() {
    let mut t = Target::start();
    assert_eq!(t.stat("settings", "oldest"), "0");
    t.talk("flush_all\r\n", "OK\r\n");
    let now: u64 = t.stat("settings", "oldest").parse().expect("a number");
    assert!(now > 0);
    t.talk("flush_all 1000\r\n", "OK\r\n");
    let later: u64 = t.stat("settings", "oldest").parse().expect("a number");
    assert!((999..=1010).contains(&(later - now)), "{now}, {later}");
    assert_eq!(t.stat("settings", "binding_protocol"), "auto-negotiate");
    assert_eq!(t.stat("settings", "memory_file"), "(null)");
}

#[test]
fn sizes_are_counted_where_asked_for() {
    let mut t = Target::with(&["-o", "track_sizes"]);
    t.set("a", "x");
    t.set("b", "x");
    t.set("long", &"x".repeat(100));
    // 61 and 163 bytes by memcached's count, in steps of 32.
    t.talk("stats sizes\r\n", "STAT 64 2\r\nSTAT 192 1\r\nEND\r\n");
}

//! Tests of lru_crawler metadump and mgdump, and stats cachedump.

use super::Target;

/// Sends a dump command on its own connection and reads up to its last line.
fn dump(t: &Target, line: &str, last: &str) -> Vec<String> {
    let mut conn = t.server.connect();
    conn.send(format!("{line}\r\n"));
    let mut lines = Vec::new();
    if t.has_latest() {
        assert_eq!(conn.take_line(), "OK\r\n");
    }
    loop {
        let line = conn.take_line();
        if line == last {
            return lines;
        }
        lines.push(line);
    }
}

#[test]
fn a_class_without_items_and_words_that_are_no_class() {
    let mut t = Target::start();
    t.set("a", "1");
    for target in ["2", "2,3", "hash", "all", "1", "1,2"] {
        let wanted = usize::from(!target.starts_with('2'));
        ringbinder_tests::wait::until("that many items", || {
            let lines = dump(&t, &format!("lru_crawler metadump {target}"), "END\r\n");
            (lines.len() == wanted).then_some(())
        });
    }
    for target in ["0", "64", "300", "x", "-1"] {
        t.talk(format!("lru_crawler metadump {target}\r\n"), "BADCLASS invalid class id\r\n");
    }
    t.talk("lru_crawler crawl 2\r\n", "OK\r\n");
    t.talk("lru_crawler metadump\r\n", "ERROR\r\n");
}

#[test]
fn without_the_crawler_there_are_no_dumps() {
    let off = "CLIENT_ERROR lru crawler disabled\r\n";
    for options in [&[][..], &["-o", "no_lru_crawler"], &["-o", "no_modern"]] {
        let mut t = Target::with(options);
        t.set("a", "1");
        assert_eq!(
            t.stat("settings", "lru_crawler"),
            if options.is_empty() { "yes" } else { "no" }
        );
        t.talk("lru_crawler disable\r\n", "OK\r\n");
        // memcached's thread takes a moment to start.
        ringbinder_tests::wait::until("the crawler to stop", || {
            (t.stat("settings", "lru_crawler") == "no").then_some(())
        });
        t.talk("lru_crawler metadump all\r\n", off);
        t.talk("lru_crawler crawl all\r\n", off);
        if t.has_latest() {
            t.talk("lru_crawler mgdump all\r\n", off);
        }
        if !t.is_ours() {
            // memcached's thread may miss a request that comes this soon after another.
            continue;
        }
        t.talk("lru_crawler enable\r\n", "OK\r\n");
        assert_eq!(t.stat("settings", "lru_crawler"), "yes");
        t.talk("lru_crawler enable\r\n", "ERROR failed to start lru crawler thread\r\n");
        ringbinder_tests::wait::until("the item in the dump", || {
            (dump(&t, "lru_crawler metadump all", "END\r\n").len() == 1).then_some(())
        });
    }
}

#[test]
fn metadump_lists_every_item() {
    let mut t = Target::start();
    t.talk("set a%b 0 0 3\r\nabc\r\n", "STORED\r\n");
    t.talk("set b 7 1000 1\r\nx\r\n", "STORED\r\n");
    t.talk("set dead 0 -1 1\r\nx\r\n", "STORED\r\n");
    let (first, second) = (t.cas("a%b"), t.cas("b"));
    // memcached's crawler misses items that are just moving between its queues.
    let mut lines = ringbinder_tests::wait::until("both items in the dump", || {
        let lines = dump(&t, "lru_crawler metadump all", "END\r\n");
        (lines.len() == 2).then_some(lines)
    });
    lines.sort();
    let size = 48 + 8 + 4 + 5;
    let flags = if t.has_latest() { " flags=0 \n" } else { "\n" };
    let (head, tail) = lines[0].split_once(" la=").expect("la");
    assert_eq!(head, "key=a%25b exp=-1");
    let (_, tail) = tail.split_once(' ').expect("more");
    assert_eq!(tail, format!("cas={first} fetch=yes cls=1 size={size}{flags}"));
    // The time of its expiry, as a Unix time.
    let exp = lines[1].strip_prefix("key=b exp=").and_then(|rest| rest.split(' ').next());
    let exp: u64 = exp.expect("exp").parse().expect("a number");
    let now = super::unix_now();
    assert!((now + 995..=now + 1001).contains(&exp), "{exp} at {now}");
    assert!(lines[1].contains(&format!(" cas={second} fetch=yes cls=1 ")), "{}", lines[1]);
}

#[test]
fn mgdump_lists_keys_as_mg_commands() {
    let mut t = Target::start();
    if !t.has_latest() {
        return;
    }
    t.set("a", "1");
    t.talk("ms AAEgCv8= 1 b\r\ny\r\n", "HD\r\n");
    let mut lines = ringbinder_tests::wait::until("both items in the dump", || {
        let lines = dump(&t, "lru_crawler mgdump all", "EN\r\n");
        (lines.len() == 2).then_some(lines)
    });
    lines.sort();
    assert_eq!(lines, ["mg AAEgCv8= b\r\n", "mg a\r\n"]);
}

#[test]
fn a_dump_of_many_items_is_whole_and_blocks_nobody() {
    let mut t = Target::start();
    let mut request = String::new();
    for number in 0..50_000 {
        request.push_str(&format!("set key-{number} 0 0 10 noreply\r\n0123456789\r\n"));
    }
    t.talk(request, "");
    let mut reader = t.server.connect();
    reader.send("lru_crawler metadump all\r\n");
    // Others are served before the first line is read.
    t.talk("get key-7\r\n", "VALUE key-7 0 10\r\n0123456789\r\nEND\r\n");
    let all = String::from_utf8(reader.take_until(b"\nEND\r\n")).expect("text");
    let mut keys: Vec<&str> =
        all.lines().filter_map(|line| line.strip_prefix("key=")?.split(' ').next()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 50_000);
    // The connection is still usable.
    reader.talk("get key-8\r\n", "VALUE key-8 0 10\r\n0123456789\r\nEND\r\n");
}

#[test]
fn cachedump_lists_a_class() {
    let mut t = Target::start();
    t.set("a", "1");
    t.talk("set b 0 1000 22\r\n0123456789012345678901\r\n", "STORED\r\n");
    // memcached dumps only its cold items; new items become cold after a moment.
    let answer = ringbinder_tests::wait::until("both items in the dump", || {
        let answer = t.conn.ask_text("stats cachedump 1 0\r\n");
        (answer.lines().count() == 3).then_some(answer)
    });
    let mut lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.pop(), Some("END"));
    lines.sort_unstable();
    assert_eq!(lines[0], "ITEM a [1 b; 0 s]");
    let exp = lines[1].strip_prefix("ITEM b [22 b; ").and_then(|rest| rest.strip_suffix(" s]"));
    let exp: u64 = exp.unwrap_or_else(|| panic!("{answer}")).parse().expect("a number");
    let now = super::unix_now();
    assert!((now + 995..=now + 1001).contains(&exp), "{exp} at {now}");
    let answer = t.conn.ask_text("stats cachedump 1 1\r\n");
    assert_eq!(answer.lines().count(), 2, "{answer}");
    t.talk("stats cachedump 1\r\n", "CLIENT_ERROR bad command line\r\n");
    t.talk("stats cachedump a b\r\n", "CLIENT_ERROR bad command line format\r\n");
    t.talk("stats cachedump 64 1\r\n", "CLIENT_ERROR Illegal slab id\r\n");
}

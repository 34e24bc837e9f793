//! The list of intended differences from memcached. Any other difference is a failure.

use crate::diff::{Profile, unbase64};

/// One command with two different answers.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The bytes sent: the line and the body.
    pub command: &'a [u8],
    /// The reference's answer.
    pub theirs: &'a [u8],
    /// The subject's answer.
    pub ours: &'a [u8],
}

/// An intended difference.
pub struct Difference {
    /// A short name, for counting.
    pub name: &'static str,
    /// The reason for it.
    pub reason: &'static str,
    /// The memcached profiles that it applies to.
    pub from: &'static [Profile],
    /// Whether the case is exactly this difference.
    pub holds: fn(&Case<'_>) -> bool,
}

const BOTH: &[Profile] = &[Profile::Debian, Profile::Latest];
const DEBIAN: &[Profile] = &[Profile::Debian];
const LATEST: &[Profile] = &[Profile::Latest];

/// All intended differences.
pub const ALLOWED: &[Difference] = &[
    Difference {
        name: "body-swallowed",
        reason: "a storage command that is refused although its length could be read \
                 swallows its body, as memcached does since 1.6.32 or so; 1.6.18 takes the body \
                 for a command and answers one ERROR more",
        from: DEBIAN,
        holds: body_swallowed,
    },
    Difference {
        name: "clock-tick",
        reason: "t and l count whole seconds of a clock that ticks in each server at its own \
                 moment; memcached moreover counts an access for l only from the second fetch on",
        from: BOTH,
        holds: clock_tick,
    },
    Difference {
        name: "me-line",
        reason: "exp is the time left (1.6.45), not its negative (1.6.18), and ticks; la as for l; \
                 cls is 1, for there are no slab classes; \
                 a base64 key stays one",
        from: BOTH,
        holds: me_line,
    },
    Difference {
        name: "binary-key",
        reason: "an item that a meta command created or joined still knows that its key is base64 \
                 on the wire; memcached forgets and answers raw bytes, which may be line ends",
        from: BOTH,
        holds: binary_key,
    },
    Difference {
        name: "quiet-creation",
        reason: "ma with q keeps quiet about a number it created (1.6.45); 1.6.18 does not",
        from: DEBIAN,
        holds: quiet_creation,
    },
    Difference {
        name: "twenty-tokens",
        reason: "a meta line may have 20 words (1.6.45); 1.6.18 counts one for the line's end",
        from: DEBIAN,
        holds: twenty_tokens,
    },
    Difference {
        name: "closes",
        reason: "the connection ends behind a storage line whose length cannot be told, and memcached \
                 takes the value for commands; compared on connections of its own",
        from: BOTH,
        holds: |_| false,
    },
    Difference {
        name: "value-dropped",
        reason: "the value behind a storage line with blanks in its key, or without a key, is dropped; \
                 memcached looks for its length at the wrong place and takes it for commands",
        from: BOTH,
        holds: value_dropped,
    },
    Difference {
        name: "older-words",
        reason: "1.6.18 refuses a line in other words than 1.6.45",
        from: DEBIAN,
        holds: older_words,
    },
    Difference {
        name: "more-words",
        reason: "words too many are ignored (1.6.45); 1.6.18 refuses the line, and takes a value behind \
                 it for a command",
        from: DEBIAN,
        holds: more_words,
    },
    Difference {
        name: "blank-line",
        reason: "1.6.45 sends an empty line behind the refusal of a multi-get",
        from: LATEST,
        holds: blank_line,
    },
    Difference {
        name: "long-key",
        reason: "1.6.45 says to ma that a flag is wrong where it is the key that is too long",
        from: LATEST,
        holds: long_key,
    },
    Difference {
        name: "me-base64",
        reason: "1.6.45 looks for the base64 word itself where me has b",
        from: LATEST,
        holds: me_base64,
    },
];

/// The name of the difference in this case from a memcached of this profile, if it is an intended one.
pub fn explain(profile: Profile, case: &Case<'_>) -> Option<&'static str> {
    let listed = || ALLOWED.iter().filter(|difference| difference.from.contains(&profile));
    let named = |case: &Case<'_>| {
        listed().find(|difference| (difference.holds)(case)).map(|difference| difference.name)
    };
    // A key that memcached failed to encode in base64 may occur together with another difference.
    named(case).or_else(|| named(&Case { theirs: &respelt(case)?, ..*case }))
}

const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const STORAGE: [&[u8]; 6] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"];

/// The command of a case; empty if there is none.
fn verb<'a>(case: &Case<'a>) -> &'a [u8] {
    words(first_line(case.command).0).first().copied().unwrap_or_default()
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect()
}

fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let (line, rest) = bytes.split_at(end);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn body_swallowed(case: &Case<'_>) -> bool {
    let (line, body) = first_line(case.command);
    let words = words(line);
    let verb = verb(case);
    let meta = verb == b"ms";
    let readable = words.get(if meta { 2 } else { 4 }).and_then(|word| number(word));
    let Some(length) = readable.and_then(|length| usize::try_from(length).ok()) else {
        return false;
    };
    let silent = !meta && words.last() == Some(&b"noreply".as_slice());
    (meta || STORAGE.contains(&verb))
        && body.len() == length + 2
        && body.ends_with(b"\r\n")
        && case.ours == if silent { b"" } else { BAD_FORMAT }
        && case.theirs == [case.ours, b"ERROR\r\n"].concat()
}

fn clock_tick(case: &Case<'_>) -> bool {
    let verb = verb(case);
    let ((theirs, their_rest), (ours, our_rest)) = (first_line(case.theirs), first_line(case.ours));
    let (theirs, ours) = (words(theirs), words(ours));
    [b"mg".as_slice(), b"ma"].contains(&verb)
        && their_rest == our_rest
        && theirs.len() == ours.len()
        && theirs.iter().zip(&ours).all(|(theirs, ours)| theirs == ours || ticked(theirs, ours))
}

fn ticked(theirs: &[u8], ours: &[u8]) -> bool {
    let figure = |word: &[u8], flag| word.strip_prefix(flag).and_then(number);
    if let (Some(theirs), Some(ours)) = (figure(theirs, b"t"), figure(ours, b"t")) {
        // -1 means never, so it is not a neighbour of 0.
        return theirs >= 0 && ours >= 0 && (theirs - ours).abs() <= 1;
    }
    if let (Some(theirs), Some(ours)) = (figure(theirs, b"l"), figure(ours, b"l")) {
        return last_access(theirs, ours);
    }
    false
}

fn last_access(theirs: i64, ours: i64) -> bool {
    // The server that counts more accesses shows the smaller age.
    theirs >= 0 && ours >= 0 && ours <= theirs + 1
}

fn me_line(case: &Case<'_>) -> bool {
    let verb = verb(case);
    let (theirs, ours) = (first_line(case.theirs), first_line(case.ours));
    let (theirs_words, ours_words) = (words(theirs.0), words(ours.0));
    let same = |theirs: &[u8], ours: &[u8]| {
        let figure = |word: &[u8], name: &[u8]| word.strip_prefix(name).and_then(number);
        if let (Some(theirs), Some(ours)) = (figure(theirs, b"exp="), figure(ours, b"exp=")) {
            // -1 means never, in both notations.
            let left = theirs.abs();
            return theirs == ours
                || (theirs != -1 && ours != -1 && (left - ours.abs()).abs() <= 1);
        }
        if let (Some(theirs), Some(ours)) = (figure(theirs, b"la="), figure(ours, b"la=")) {
            return last_access(theirs, ours);
        }
        if let (Some(theirs), Some(ours)) = (figure(theirs, b"cls="), figure(ours, b"cls=")) {
            return ours == 1 || ours == theirs;
        }
        theirs == ours
    };
    verb == b"me"
        && theirs.1.is_empty()
        && ours.1.is_empty()
        && theirs_words.len() == ours_words.len()
        && theirs_words.iter().zip(&ours_words).all(|(theirs, ours)| same(theirs, ours))
}

/// Their answer with its key in base64, as in ours, if memcached failed to encode it.
fn respelt(case: &Case<'_>) -> Option<Vec<u8>> {
    let (ours, _) = first_line(case.ours);
    let ours: Vec<_> = ours.split(|&byte| byte == b' ').collect();
    let (at, letter, encoded) = if ours.first() == Some(&b"ME".as_slice()) {
        (1, b"".as_slice(), *ours.get(1)?)
    } else {
        let flag = |pair: &[&[u8]]| pair[0].starts_with(b"k") && pair[1] == b"b";
        let at = ours.windows(2).position(flag)?;
        (at, b"k".as_slice(), &ours[at][1..])
    };
    let raw = [letter, &*unbase64(encoded)].concat();
    let spelt = if letter.is_empty() { encoded.to_vec() } else { [b"k", encoded, b" b"].concat() };
    // The words before the key contain no spaces, so both answers have the same number of them.
    let before = case.theirs.split_inclusive(|&byte| byte == b' ').take(at);
    let before: usize = before.map(<[u8]>::len).sum();
    let (head, tail) = case.theirs.split_at(before);
    Some([head, &spelt, tail.strip_prefix(&*raw)?].concat())
}

fn binary_key(case: &Case<'_>) -> bool {
    respelt(case).is_some_and(|theirs| theirs == case.ours)
}

fn quiet_creation(case: &Case<'_>) -> bool {
    let words = words(first_line(case.command).0);
    let flag = |letter| words.iter().skip(2).any(|word| word[0] == letter);
    verb(case) == b"ma"
        && flag(b'q')
        && flag(b'N')
        && case.ours.is_empty()
        && [b"HD".as_slice(), b"VA "].iter().any(|status| case.theirs.starts_with(status))
}

fn twenty_tokens(case: &Case<'_>) -> bool {
    let words = words(first_line(case.command).0);
    words.len() == 20
        && verb(case).len() == 2
        && verb(case).starts_with(b"m")
        && case.theirs.starts_with(b"CLIENT_ERROR options flags ")
        && !case.ours.starts_with(b"CLIENT_ERROR options flags ")
}

/// The number of refusals in an answer. `None` if it contains anything else.
fn refusals(answer: &[u8]) -> Option<usize> {
    let lines = answer.strip_suffix(b"\r\n")?.split(|&byte| byte == b'\n');
    lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .all(|line| line == b"ERROR" || line.starts_with(b"CLIENT_ERROR "))
        .then(|| answer.split(|&byte| byte == b'\n').count() - 1)
}

fn value_dropped(case: &Case<'_>) -> bool {
    let (line, body) = first_line(case.command);
    let storage = STORAGE.contains(&verb(case)) || verb(case) == b"ms";
    // The length is the last number of the line; for `cas` it may be the one before the CAS unique.
    let mut numbers =
        words(line).into_iter().skip(1).rev().filter_map(|word| {
            usize::try_from(number(word.strip_prefix(b"S").unwrap_or(word))?).ok()
        });
    let lengths = [numbers.next(), numbers.next().filter(|_| verb(case) == b"cas")];
    let silent = words(line).last() == Some(&b"noreply".as_slice());
    storage
        && lengths.iter().flatten().any(|length| length + 2 == body.len())
        && case.ours == if silent { b"" } else { BAD_FORMAT }
        && matches!(refusals(case.theirs), Some(1 | 2))
        && case.theirs != case.ours
}

fn older_words(case: &Case<'_>) -> bool {
    const FORMAT: &str = "CLIENT_ERROR bad command line format";
    const FLAG: &str = "CLIENT_ERROR invalid flag";
    const FLAGS: &str = "CLIENT_ERROR invalid or duplicate flag";
    const OLDER_AND_NEWER: [(&str, &str); 15] = [
        ("ERROR", FORMAT),
        ("ERROR", ""),
        ("", FORMAT),
        ("END", FORMAT),
        ("ERROR: shutdown not enabled", "SERVER_ERROR: shutdown not enabled"),
        ("CLIENT_ERROR invalid exptime argument", FORMAT),
        (FLAG, FORMAT),
        ("CLIENT_ERROR duplicate flag", FORMAT),
        (FLAGS, FORMAT),
        (FLAGS, FLAG),
        (FLAGS, "CLIENT_ERROR duplicate flag"),
        (FLAGS, "CLIENT_ERROR error decoding key"),
        (FLAGS, "CLIENT_ERROR bad token in command line format"),
        (FLAGS, "CLIENT_ERROR invalid mode for ma M token"),
        ("CLIENT_ERROR incorrect length for M token", "CLIENT_ERROR invalid mode for ms M token"),
    ];
    let one = |answer: &[u8], expected: &str| match answer.strip_suffix(b"\r\n") {
        Some(line) => line == expected.as_bytes(),
        None => answer.is_empty() && expected.is_empty(),
    };
    OLDER_AND_NEWER.iter().any(|(older, newer)| one(case.theirs, older) && one(case.ours, newer))
}

fn more_words(case: &Case<'_>) -> bool {
    const LIMITS: [(&[u8], usize); 14] = [
        (b"set", 6),
        (b"add", 6),
        (b"replace", 6),
        (b"append", 6),
        (b"prepend", 6),
        (b"cas", 7),
        (b"incr", 4),
        (b"decr", 4),
        (b"touch", 4),
        (b"delete", 2),
        (b"verbosity", 3),
        (b"cache_memlimit", 3),
        (b"flush_all", 3),
        // Modes with more than one letter.
        (b"m", 0),
    ];
    let words = words(first_line(case.command).0);
    let verb =
        if verb(case).len() == 2 && verb(case).starts_with(b"m") { b"m" } else { verb(case) };
    let limit = LIMITS.iter().find(|(name, _)| *name == verb);
    let mode = words.iter().any(|word| word.starts_with(b"M") && word.len() != 2);
    limit.is_some_and(|(_, most)| words.len() > *most)
        && (verb != b"m" || mode)
        && matches!(refusals(case.theirs), Some(1 | 2) | None)
        && (case.theirs.is_empty() || refusals(case.theirs).is_some())
        && (verb == b"delete" || !case.ours.starts_with(b"ERROR"))
}

fn blank_line(case: &Case<'_>) -> bool {
    const GETS: [&[u8]; 4] = [b"get", b"gets", b"gat", b"gats"];
    GETS.contains(&verb(case))
        && case.ours == BAD_FORMAT
        && case.theirs == [BAD_FORMAT, b"\r\n"].concat()
}

fn long_key(case: &Case<'_>) -> bool {
    let words = words(first_line(case.command).0);
    verb(case) == b"ma"
        && words.get(1).is_some_and(|key| key.len() > 250)
        && case.ours == BAD_FORMAT
        && case.theirs == b"CLIENT_ERROR invalid or duplicate flag\r\n"
}

fn me_base64(case: &Case<'_>) -> bool {
    let words = words(first_line(case.command).0);
    verb(case) == b"me"
        && words.get(2) == Some(&b"b".as_slice())
        && case.theirs == b"EN\r\n"
        && (case.ours == BAD_FORMAT || case.ours.starts_with(b"ME "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(command: &str, theirs: &str, ours: &str) -> Option<&'static str> {
        let bytes = (command.as_bytes(), theirs.as_bytes(), ours.as_bytes());
        explain(Profile::Debian, &Case { command: bytes.0, theirs: bytes.1, ours: bytes.2 })
    }

    #[test]
    fn a_swallowed_body_and_nothing_like_it() {
        let refusal = "CLIENT_ERROR bad command line format\r\n";
        let both = "CLIENT_ERROR bad command line format\r\nERROR\r\n";
        let sent = "set k x 0 3\r\nxyz\r\n";
        assert_eq!(name(sent, both, refusal), Some("body-swallowed"));
        assert_eq!(name(sent, both, "STORED\r\n"), None);
        assert_eq!(name(sent, refusal, both), None, "not the other way round");
        assert_eq!(name("set k x 0 y\r\nxyz\r\n", both, refusal), None, "no length was read");
        assert_eq!(name("set k x 0 2\r\nxyz\r\n", both, refusal), None, "another length");
        assert_eq!(name("get k\r\n", both, refusal), None);
    }

    #[test]
    fn clocks_may_be_one_tick_apart() {
        assert_eq!(
            name("mg k t v\r\n", "VA 1 t9\r\nx\r\n", "VA 1 t8\r\nx\r\n"),
            Some("clock-tick")
        );
        assert_eq!(name("mg k t v\r\n", "VA 1 t9\r\nx\r\n", "VA 1 t8\r\ny\r\n"), None);
        assert_eq!(name("mg k t\r\n", "HD t9\r\n", "HD t7\r\n"), None);
        assert_eq!(name("mg k t\r\n", "HD t0\r\n", "HD t-1\r\n"), None);
        assert_eq!(name("mg k s\r\n", "HD s9\r\n", "HD s8\r\n"), None);
        assert_eq!(name("mg k l\r\n", "HD l9\r\n", "HD l0\r\n"), Some("clock-tick"));
        assert_eq!(name("mg k l\r\n", "HD l0\r\n", "HD l2\r\n"), None);
    }

    #[test]
    fn a_binary_key_stays_in_base64() {
        let (raw, encoded) = ("VA 1 ka\n s1\r\nx\r\n", "VA 1 kYQo= b s1\r\nx\r\n");
        assert_eq!(name("mg YQo= b k v s\r\n", raw, encoded), Some("binary-key"));
        assert_eq!(name("mg YQo= b k v s\r\n", encoded, raw), None, "not the other way round");
        let ticked = "VA 1 t8 kYQo= b\r\nx\r\n";
        let theirs = "VA 1 t9 ka\n\r\nx\r\n";
        assert_eq!(name("mg YQo= b t k v\r\n", theirs, ticked), Some("clock-tick"));
        assert_eq!(name("mg YQo= b k v s\r\n", raw, "VA 1 kYgo= b s1\r\nx\r\n"), None);
        assert_eq!(name("mg YQo= b k v s\r\n", raw, "VA 1 kYQo= b s2\r\nx\r\n"), None);
    }

    #[test]
    fn quiet_is_about_created_numbers_only() {
        assert_eq!(name("ma k N0 q\r\n", "HD\r\n", ""), Some("quiet-creation"));
        assert_eq!(name("ma k N0\r\n", "HD\r\n", ""), None);
        assert_eq!(name("ma k q\r\n", "HD\r\n", ""), None);
        assert_eq!(name("ma k N0 q\r\n", "", "HD\r\n"), None);
        assert_eq!(name("ma k N0 q\r\n", "EX\r\n", ""), None);
    }

    #[test]
    fn me_differs_in_sign_age_and_class() {
        let theirs = "ME k exp=-90 la=1 cas=2 fetch=no cls=4 size=70\r\n";
        assert_eq!(
            name("me k\r\n", theirs, "ME k exp=90 la=1 cas=2 fetch=no cls=1 size=70\r\n"),
            Some("me-line")
        );
        let raw = "ME a\n b exp=-90 la=1 cas=2 fetch=no cls=4 size=70\r\n";
        let encoded = "ME YQogYg== exp=90 la=1 cas=2 fetch=no cls=1 size=70\r\n";
        assert_eq!(name("me YQogYg== b\r\n", raw, encoded), Some("me-line"));
        for ours in [
            "ME k exp=-1 la=1 cas=2 fetch=no cls=1 size=70\r\n",
            "ME k exp=90 la=1 cas=3 fetch=no cls=1 size=70\r\n",
            "ME k exp=90 la=1 cas=2 fetch=yes cls=1 size=70\r\n",
            "ME k exp=90 la=1 cas=2 fetch=no cls=1 size=71\r\n",
            "ME k exp=90 la=1 cas=2 fetch=no cls=2 size=70\r\n",
            "EN\r\n",
        ] {
            assert_eq!(name("me k\r\n", theirs, ours), None, "{ours}");
        }
    }
}

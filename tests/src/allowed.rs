//! Every difference to memcached that is meant. Whatever is not listed here is a failure.

use crate::diff::unbase64;

/// One command and the two answers that differ.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The bytes sent, line and body.
    pub command: &'a [u8],
    /// The reference's answer.
    pub theirs: &'a [u8],
    /// The subject's answer.
    pub ours: &'a [u8],
}

/// A difference that is meant.
pub struct Difference {
    /// Short, for counting.
    pub name: &'static str,
    /// Why it is there and is to stay.
    pub reason: &'static str,
    /// Whether the case is exactly this difference and no other.
    pub holds: fn(&Case<'_>) -> bool,
}

/// The whole list.
pub const ALLOWED: &[Difference] = &[
    Difference {
        name: "body-swallowed",
        reason: "a storage command that is refused although its length could be read \
                 swallows its body, as memcached does since 1.6.32 or so; 1.6.18 takes the body \
                 for a command and answers one ERROR more",
        holds: body_swallowed,
    },
    Difference {
        name: "clock-tick",
        reason: "t and l count whole seconds of a clock that ticks in each server at its own \
                 moment; memcached moreover counts an access for l only from the second fetch on",
        holds: clock_tick,
    },
    Difference {
        name: "me-line",
        reason: "exp is the time left (1.6.45), not its negative (1.6.18), and ticks; la as for l; \
                 cls is 1, for there are no slab classes; \
                 a base64 key stays one",
        holds: me_line,
    },
    Difference {
        name: "binary-key",
        reason: "an item that a meta command created or joined still knows that its key is base64 \
                 on the wire; memcached forgets and answers raw bytes, which may be line ends",
        holds: binary_key,
    },
    Difference {
        name: "quiet-creation",
        reason: "ma with q keeps quiet about a number it created (1.6.45); 1.6.18 does not",
        holds: quiet_creation,
    },
    Difference {
        name: "twenty-tokens",
        reason: "a meta line may have 20 words (1.6.45); 1.6.18 counts one for the line's end",
        holds: twenty_tokens,
    },
];

/// The name of the difference that this case is, if it is one.
pub fn explain(case: &Case<'_>) -> Option<&'static str> {
    let named = |case: &Case<'_>| {
        ALLOWED.iter().find(|difference| (difference.holds)(case)).map(|difference| difference.name)
    };
    // A key that memcached forgot to spell in base64 may stand beside another difference.
    named(case).or_else(|| named(&Case { theirs: &respelt(case)?, ..*case }))
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
    const REFUSAL: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
    const STORAGE: [&[u8]; 6] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"];
    let (line, body) = first_line(case.command);
    let words = words(line);
    let meta = words[0] == b"ms";
    let readable = words.get(if meta { 2 } else { 4 }).and_then(|word| number(word));
    let Some(length) = readable.and_then(|length| usize::try_from(length).ok()) else {
        return false;
    };
    let silent = !meta && words.last() == Some(&b"noreply".as_slice());
    (meta || STORAGE.contains(&words[0]))
        && body.len() == length + 2
        && body.ends_with(b"\r\n")
        && case.ours == if silent { b"" } else { REFUSAL }
        && case.theirs == [case.ours, b"ERROR\r\n"].concat()
}

fn clock_tick(case: &Case<'_>) -> bool {
    let verb = words(first_line(case.command).0).first().copied().unwrap_or_default();
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
        // Never stays never: -1 is no neighbour of 0.
        return theirs >= 0 && ours >= 0 && (theirs - ours).abs() <= 1;
    }
    if let (Some(theirs), Some(ours)) = (figure(theirs, b"l"), figure(ours, b"l")) {
        return last_access(theirs, ours);
    }
    false
}

fn last_access(theirs: i64, ours: i64) -> bool {
    // Who counts more accesses as such shows the smaller age.
    theirs >= 0 && ours >= 0 && ours <= theirs + 1
}

fn me_line(case: &Case<'_>) -> bool {
    let verb = words(first_line(case.command).0).first().copied().unwrap_or_default();
    let (theirs, ours) = (first_line(case.theirs), first_line(case.ours));
    let (theirs_words, ours_words) = (words(theirs.0), words(ours.0));
    let same = |theirs: &[u8], ours: &[u8]| {
        let figure = |word: &[u8], name: &[u8]| word.strip_prefix(name).and_then(number);
        if let (Some(theirs), Some(ours)) = (figure(theirs, b"exp="), figure(ours, b"exp=")) {
            // -1 is never, in both notations.
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

/// Their answer with its key spelt in base64 as in ours, where memcached forgot that it is base64.
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
    // What stands before the key are words without spaces: as many here as there.
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
    words[0] == b"ma"
        && flag(b'q')
        && flag(b'N')
        && case.ours.is_empty()
        && [b"HD".as_slice(), b"VA "].iter().any(|status| case.theirs.starts_with(status))
}

fn twenty_tokens(case: &Case<'_>) -> bool {
    let words = words(first_line(case.command).0);
    words.len() == 20
        && words[0].len() == 2
        && words[0].starts_with(b"m")
        && case.theirs.starts_with(b"CLIENT_ERROR options flags ")
        && !case.ours.starts_with(b"CLIENT_ERROR options flags ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(command: &str, theirs: &str, ours: &str) -> Option<&'static str> {
        let bytes = (command.as_bytes(), theirs.as_bytes(), ours.as_bytes());
        explain(&Case { command: bytes.0, theirs: bytes.1, ours: bytes.2 })
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

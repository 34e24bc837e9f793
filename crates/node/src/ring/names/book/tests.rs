use super::*;

const A: &str = "cache-a";
const B: &str = "cache-b";

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn failed() -> Resolved {
    Err("away".to_owned())
}

/// A book that follows these names, none of them looked up.
fn book(names: &[&str], now: Instant) -> Book {
    let mut book = Book::default();
    book.follow(names.iter().map(|name| (*name).to_owned()).collect(), now);
    book
}

/// A whole look-up of the one name.
fn look(book: &mut Book, now: Instant, answer: Resolved) -> Change {
    assert_eq!(book.begin(now), [A]);
    book.ended(A, answer, now, 0.5)
}

#[test]
fn a_name_is_looked_up_again_within_the_period_and_sooner_without_an_answer() {
    let start = Instant::now();
    for chance in [0.0, 0.5, 1.0, 7.0] {
        let mut book = book(&[A], start);
        assert_eq!(book.next(), Some(start));
        assert_eq!(book.begin(start), [A]);
        assert_eq!(book.begin(start + PERIOD), [] as [&str; 0], "one look-up of a name at a time");
        assert_eq!(book.ended(A, Ok(ips(&["10.0.0.1"])), start, chance), Change::Found);
        let next = book.next().unwrap();
        assert!(start + PERIOD / 2 <= next && next <= start + PERIOD * 3 / 2, "{chance}");
        assert_eq!(book.begin(next), [A]);
        book.ended(A, failed(), next, chance);
        assert!(book.next().unwrap() <= next + RETRY * 3 / 2);
    }
}

#[test]
fn a_changing_answer_replaces_the_old_one_whole() {
    let now = Instant::now();
    let mut book = book(&[A], now);
    assert_eq!(look(&mut book, now, Ok(ips(&["10.0.0.2", "10.0.0.3"]))), Change::Found);
    let later = now + PERIOD * 2;
    let turned = Ok(ips(&["10.0.0.3", "10.0.0.2"]));
    assert_eq!(look(&mut book, later, turned), Change::None, "another order is no news");
    let later = later + PERIOD * 2;
    let moved = look(&mut book, later, Ok(ips(&["10.0.0.9"])));
    let (before, after) = (ips(&["10.0.0.3", "10.0.0.2"]), ips(&["10.0.0.9"]));
    assert_eq!(moved, Change::Moved { before, after });
    assert_eq!(book.address(A), Some("10.0.0.9".parse().unwrap()));
    assert_eq!(book.addresses().collect::<Vec<_>>(), ips(&["10.0.0.9"]));
}

#[test]
fn good_addresses_stay_while_dns_is_away_and_each_turn_is_news_once() {
    let now = Instant::now();
    let mut book = book(&[A], now);
    let good = ips(&["10.0.0.2"]);
    look(&mut book, now, Ok(good.clone()));
    let lost = Change::Lost { kept: good.clone(), reason: "away".into() };
    let mut later = now;
    for (answer, news) in [
        (failed(), lost.clone()),
        (failed(), Change::None),
        (Ok(Vec::new()), Change::None),
        (Ok(ips(&["0.0.0.0", "::", "224.0.0.1", "255.255.255.255"])), Change::None),
    ] {
        later += PERIOD * 2;
        assert_eq!(look(&mut book, later, answer), news);
        assert_eq!(book.address(A), Some(good[0]));
        assert_eq!(book.shown(A, later).failing, Some(later - now), "since the last good answer");
    }
    later += PERIOD * 2;
    assert_eq!(look(&mut book, later, Ok(good.clone())), Change::Back);
    assert_eq!(book.shown(A, later), Shown { addresses: good, failing: None });
    later += PERIOD * 2;
    assert_eq!(look(&mut book, later, failed()), lost);
    // The eventual answer replaces the earlier addresses.
    later += PERIOD * 2;
    assert!(matches!(look(&mut book, later, Ok(ips(&["10.0.0.9"]))), Change::Moved { .. }));
}

#[test]
fn a_silent_resolver_counts_as_failed_and_is_asked_once() {
    let start = Instant::now();
    let mut book = book(&[A], start);
    look(&mut book, start, Ok(ips(&["10.0.0.2"])));
    let asked = start + PERIOD * 2;
    assert_eq!(book.begin(asked), [A]);
    assert_eq!(book.next(), Some(asked + TIMEOUT));
    assert_eq!(book.overdue(asked + TIMEOUT / 2), []);
    let news = book.overdue(asked + TIMEOUT);
    assert!(matches!(&news[..], [(name, Change::Lost { .. })] if name == A), "{news:?}");
    let late = asked + PERIOD * 10;
    assert_eq!(book.overdue(late), []);
    book.want(A, late);
    book.force(late);
    assert_eq!(book.begin(late), [] as [&str; 0], "the thread is still blocked");
    assert_eq!(book.next(), None);
    assert_eq!(book.known(A, late, late), Known::Before(ips(&["10.0.0.2"])));
    // Its answer is valid: no newer answer can have come.
    assert!(matches!(book.ended(A, Ok(ips(&["10.0.0.9"])), late, 0.5), Change::Moved { .. }));
    assert_eq!(book.begin(late), [A], "it was forced meanwhile");
}

#[test]
fn look_ups_never_pile_up() {
    let now = Instant::now();
    let names: Vec<String> = (0..100).map(|number| format!("cache-{number}")).collect();
    let mut book = Book::default();
    book.follow(names.iter().cloned().collect(), now);
    let mut begun = book.begin(now);
    assert_eq!(begun.len(), MAX_RUNNING);
    assert_eq!(book.begin(now).len(), 0);
    assert!(book.next() > Some(now), "nothing can begin before one of them ends");
    let mut looked: HashSet<String> = HashSet::new();
    while looked.len() < names.len() {
        let name = begun.pop().unwrap();
        book.ended(&name, failed(), now, 0.5);
        assert!(looked.insert(name), "nothing is looked up twice before all were");
        let more = book.begin(now);
        assert!(more.len() <= 1);
        begun.extend(more);
    }
}

#[test]
fn many_addresses_are_bounded_and_give_the_same_one_in_any_order() {
    let now = Instant::now();
    let mut book = book(&[A], now);
    let mut many: Vec<IpAddr> = (1..=200).map(|number| IpAddr::from([10, 0, 0, number])).collect();
    look(&mut book, now, Ok(many.clone()));
    assert_eq!(book.addresses().count(), MAX_ADDRESSES);
    many.truncate(MAX_ADDRESSES);
    many.push("fd00::1".parse().unwrap());
    many.push("::ffff:10.0.0.1".parse().unwrap());
    many.reverse();
    let later = now + PERIOD * 2;
    look(&mut book, later, Ok(many));
    assert_eq!(book.address(A), Some("10.0.0.1".parse().unwrap()), "IPv4 first, then the lowest");
}

#[test]
fn a_dial_takes_the_present_answer_and_the_old_one_only_without_any() {
    let start = Instant::now();
    let mut book = book(&[A], start);
    let old = ips(&["10.0.0.2"]);
    // It has never resolved, so there is no older answer.
    assert_eq!(book.known(A, start, start), Known::Wait(start + TIMEOUT));
    look(&mut book, start, failed());
    assert_eq!(book.known(A, start, start), Known::Nothing("away".into()));
    let now = start + PERIOD * 2;
    look(&mut book, now, Ok(old.clone()));
    assert_eq!(book.known(A, now, now), Known::Now(old.clone()));

    let asked = now + FRESH;
    assert_eq!(book.known(A, asked, asked), Known::Wait(asked + WAIT), "too old to be believed");
    book.want(A, asked);
    assert_eq!(book.begin(asked), [A]);
    assert_eq!(book.known(A, asked, asked), Known::Wait(asked + WAIT));
    assert_eq!(book.known(A, asked, asked + WAIT), Known::Before(old.clone()));
    let late = asked + WAIT / 2;
    assert_eq!(book.known(A, late, late), Known::Wait(asked + WAIT), "the wait is the look-up's");
    book.ended(A, Ok(ips(&["10.0.0.9"])), late, 0.5);
    assert_eq!(book.known(A, asked, late), Known::Now(ips(&["10.0.0.9"])));

    // A rate limit: no second look-up for a dial soon afterwards.
    book.want(A, late);
    assert_eq!(book.begin(late), [] as [&str; 0]);
    let later = late + FRESH;
    book.want(A, later);
    assert_eq!(book.begin(later), [A]);
    book.ended(A, failed(), later, 0.5);
    assert_eq!(book.known(A, later, later), Known::Before(ips(&["10.0.0.9"])));
}

#[test]
fn names_that_no_ring_names_are_forgotten() {
    let now = Instant::now();
    let mut book = book(&[A, B], now);
    let mut begun = book.begin(now);
    begun.sort();
    assert_eq!(begun, [A, B]);
    book.ended(A, Ok(ips(&["10.0.0.1"])), now, 0.5);
    book.follow([B.to_owned()].into(), now);
    assert_eq!(book.address(A), None);
    // A name that is dropped during a look-up disappears when it ends, without a log line.
    book.follow([A.to_owned()].into(), now);
    assert_eq!(book.ended(B, Ok(ips(&["10.0.0.2"])), now, 0.5), Change::None);
    assert_eq!(book.entries.keys().collect::<Vec<_>>(), [A]);
    // A dial of a name that is not followed leaves no entry behind.
    book.want(B, now);
    assert_eq!(book.begin(now).len(), 2);
    book.ended(B, failed(), now, 0.5);
    assert_eq!(book.entries.keys().collect::<Vec<_>>(), [A]);
    assert_eq!(book.running, 1);
}

#[test]
fn a_round_is_over_when_every_name_was_looked_up_since() {
    let now = Instant::now();
    let mut book = book(&[A, B], now);
    assert!(book.is_busy(now));
    book.begin(now);
    book.ended(A, Ok(ips(&["10.0.0.1"])), now, 0.5);
    assert!(!book.looked_since(now) && book.is_busy(now));
    book.ended(B, failed(), now, 0.5);
    assert!(book.looked_since(now) && !book.is_busy(now));
    let later = now + FRESH * 2;
    assert!(!book.looked_since(later));
    book.hurry(later);
    assert_eq!(book.begin(later).len(), 2, "at once");
    book.ended(A, failed(), later, 0.5);
    book.ended(B, failed(), later, 0.5);
    assert!(book.looked_since(later));
    book.hurry(later);
    assert_eq!(book.begin(later).len(), 0, "not again so soon");
    assert_eq!(book.begin(later + FRESH).len(), 2);
}

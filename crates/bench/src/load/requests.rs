//! Generates requests and the expected answer of each.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Load, Numbers};

/// The names of keys by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// `memtier-N`, like memtier_benchmark's.
    Memtier,
    /// 14 bytes: `key-` and ten digits.
    FourteenBytes,
}

impl Keys {
    /// The length of a [`Keys::FourteenBytes`] name.
    pub(crate) const FOURTEEN: u64 = 14;

    /// Appends the name of a key.
    pub(crate) fn write(self, number: u64, out: &mut Vec<u8>) {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(number).as_bytes();
        match self {
            Self::Memtier => out.extend_from_slice(b"memtier-"),
            Self::FourteenBytes => {
                out.extend_from_slice(b"key-");
                out.resize(out.len() + 10usize.saturating_sub(digits.len()), b'0');
            }
        }
        out.extend_from_slice(digits);
    }
}

/// The expected answer of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// `STORED`.
    Stored,
    /// This many values, and `END`.
    Values(usize),
}

/// The order of keys.
#[derive(Debug)]
enum Order {
    /// Sets and gets in the load's ratio, on random keys.
    Random { rng: SmallRng, turn: u32 },
    /// One set of each key in turn.
    Once { next: u64 },
}

/// A finite or endless sequence of requests.
#[derive(Debug)]
pub(crate) struct Requests {
    load: Load,
    keys: Keys,
    /// The subset of keys.
    numbers: Numbers,
    /// ` 0 0 SIZE`, the value, and the line ends.
    set_tail: Vec<u8>,
    order: Order,
}

impl Requests {
    /// The load on a subset of its keys, without end unless the subset is empty. Different seeds give
    /// different keys.
    pub(crate) fn random(load: Load, keys: Keys, numbers: Numbers, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self::new(load, keys, numbers, Order::Random { rng, turn: 0 })
    }

    /// One set of each of these keys.
    pub(crate) fn fill(load: Load, keys: Keys, numbers: Numbers) -> Self {
        Self::new(load, keys, numbers, Order::Once { next: 0 })
    }

    fn new(load: Load, keys: Keys, numbers: Numbers, order: Order) -> Self {
        let mut set_tail = format!(" 0 0 {}\r\n", load.value_size).into_bytes();
        set_tail.resize(set_tail.len() + load.value_size, b'x');
        set_tail.extend_from_slice(b"\r\n");
        Self { load, keys, numbers, set_tail, order }
    }

    /// Appends the next request. Returns its expected answer, or `None` if there are no more requests.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Option<Expect> {
        let Load { sets, gets, keys_per_get, .. } = self.load;
        let numbers = &self.numbers;
        match &mut self.order {
            Order::Once { next } => {
                let number = numbers.at(*next)?;
                *next += 1;
                Some(set(self.keys, number, &self.set_tail, out))
            }
            Order::Random { rng, turn } => {
                let count = numbers.count();
                if count == 0 {
                    return None;
                }
                let mut draw = || numbers.at(rng.random_range(0..count));
                let is_set = *turn < sets;
                *turn = (*turn + 1) % (sets + gets).max(1);
                if is_set {
                    return Some(set(self.keys, draw()?, &self.set_tail, out));
                }
                out.extend_from_slice(b"get");
                for _ in 0..keys_per_get {
                    out.push(b' ');
                    self.keys.write(draw()?, out);
                }
                out.extend_from_slice(b"\r\n");
                Some(Expect::Values(keys_per_get))
            }
        }
    }
}

fn set(keys: Keys, number: u64, tail: &[u8], out: &mut Vec<u8>) -> Expect {
    out.extend_from_slice(b"set ");
    keys.write(number, out);
    out.extend_from_slice(tail);
    Expect::Stored
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        connections: 1,
        pipeline: 1,
        sets: 1,
        gets: 2,
        keys_per_get: 3,
        value_size: 4,
        keys: 2,
    };

    #[test]
    fn names() {
        let name = |keys: Keys, number| {
            let mut out = Vec::new();
            keys.write(number, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(name(Keys::Memtier, 12), "memtier-12");
        assert_eq!(name(Keys::FourteenBytes, 12), "key-0000000012");
        let length = u64::try_from(name(Keys::FourteenBytes, 1_000_000).len()).unwrap();
        assert_eq!(length, Keys::FOURTEEN);
    }

    #[test]
    fn filling_sets_each_key_once() {
        let mut requests = Requests::fill(LOAD, Keys::Memtier, Numbers::UpTo(2));
        let mut out = Vec::new();
        while let Some(expect) = requests.next(&mut out) {
            assert_eq!(expect, Expect::Stored);
        }
        let text = "set memtier-1 0 0 4\r\nxxxx\r\nset memtier-2 0 0 4\r\nxxxx\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn only_chosen_keys_are_asked_for() {
        let load = Load { keys: 1000, ..LOAD };
        let chosen = Numbers::Chosen([11, 13].into());
        let mut requests = Requests::random(load, Keys::Memtier, chosen, 7);
        let mut out = Vec::new();
        for _ in 0..99 {
            requests.next(&mut out).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        let words = text.split_ascii_whitespace().filter(|word| word.starts_with("memtier-"));
        let keys: std::collections::BTreeSet<&str> = words.collect();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["memtier-11", "memtier-13"]);
        let none = Numbers::Chosen([].into());
        assert_eq!(Requests::random(load, Keys::Memtier, none, 7).next(&mut Vec::new()), None);
    }

    #[test]
    fn the_ratio_is_kept_and_the_keys_are_in_range() {
        let mut requests = Requests::random(LOAD, Keys::Memtier, Numbers::UpTo(2), 7);
        let mut out = Vec::new();
        let mut kinds = Vec::new();
        for _ in 0..6 {
            kinds.push(requests.next(&mut out).unwrap());
        }
        use Expect::{Stored, Values};
        assert_eq!(kinds, [Stored, Values(3), Values(3), Stored, Values(3), Values(3)]);
        let text = String::from_utf8(out).unwrap();
        let gets: Vec<&str> = text.lines().filter(|line| line.starts_with("get ")).collect();
        assert_eq!(gets.len(), 4);
        for key in gets.iter().flat_map(|line| line.split(' ').skip(1)) {
            assert!(key == "memtier-1" || key == "memtier-2", "{key}");
        }
    }
}

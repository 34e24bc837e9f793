//! Owners according to libmemcached: `vectors/README.md` describes the files and their origin.
//! Clients that use libmemcached must agree with this crate on every key, or they ask the wrong
//! node.

use std::fs;
use std::path::{Path, PathBuf};

use ringbinder_ring::{NodeIndex, Ring};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The keys of every ring, by the rule in `vectors/README.md`.
fn keys() -> Vec<Vec<u8>> {
    let by_number = (0..10_000u64).map(|i| {
        let number = i * 2_654_435_761 % (1 << 32);
        match i % 4 {
            0 => format!("key:{i}"),
            1 => format!("user:{number:08x}:profile"),
            2 => format!("{number}"),
            _ => format!("schlüssel/{i}/鍵"),
        }
        .into_bytes()
    });
    let by_length = (1..=250).map(|len| b"0123456789".repeat(25)[..len].to_vec());
    let by_byte = (0x80..=0xff).map(|byte| vec![byte; 3]);
    let contested = fs::read_to_string(vectors().join("contested.keys")).expect("a file of ours");
    let contested = contested.lines().map(|line| line.as_bytes().to_vec());
    by_number.chain(by_length).chain(by_byte).chain(contested).collect()
}

/// The owner of each key, from the digits of one file.
fn owners(path: &Path, nodes: usize) -> Vec<NodeIndex> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let digits: String = text.lines().collect();
    let width = if nodes <= 36 { 1 } else { 2 };
    digits
        .as_bytes()
        .chunks(width)
        .map(|digits| {
            let digits = str::from_utf8(digits).expect("ASCII");
            u32::from_str_radix(digits, 36).expect("digits of base 36")
        })
        .collect()
}

#[test]
fn every_owner_is_libmemcacheds() {
    let keys = keys();
    let mut rings = 0;
    for entry in fs::read_dir(vectors()).expect("a directory of ours") {
        let path = entry.expect("a directory entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        rings += 1;
        let ring = Ring::load(&path).expect("a ring file");
        let expected = owners(&path.with_extension("owners"), ring.nodes().len());
        assert_eq!(expected.len(), keys.len(), "{path:?}");
        let found: Vec<NodeIndex> = ring.owners(&keys).collect();
        let differences: Vec<_> = keys
            .iter()
            .zip(found.iter().zip(&expected))
            .filter(|(_, (found, expected))| found != expected)
            .collect();
        assert!(
            differences.is_empty(),
            "{path:?}: {} of {} owners differ; the first, as (key, (ours, libmemcached's)): {:?}",
            differences.len(),
            keys.len(),
            differences[0]
        );
    }
    assert_eq!(rings, 14, "a ring is missing in {:?}", vectors());
}

#[test]
fn nodes_at_one_point_stand_as_in_the_file() {
    let keys = keys();
    let contested = &keys[keys.len() - 20..];
    for name in ["rivals.toml", "rivals-turned.toml"] {
        let ring = Ring::load(vectors().join(name)).expect("a ring file");
        assert!(ring.owners(contested).all(|owner| owner == 0), "{name}");
    }
}

#[test]
fn finding_an_owner_takes_no_memory() {
    let ring = Ring::load(vectors().join("hundred.toml")).expect("a ring file");
    let long = [b'k'; 250];
    let keys: [&[u8]; 4] = [b"", b"key:1", "schlüssel".as_bytes(), &long];
    let memory = allocation_counter::measure(|| {
        for key in keys {
            let owner = ring.owner(key);
            assert!((owner as usize) < ring.nodes().len());
            assert_eq!(ring.owner_at(ringbinder_ring::point(key)), owner);
        }
        assert_eq!(ring.owners(keys).count(), keys.len());
    });
    assert_eq!(memory.count_total, 0);
}

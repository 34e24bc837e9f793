//! What is written is read again, and changes in place.

use super::*;

const NOW: Seconds = 1_700_000_000;

fn meta() -> Meta {
    Meta {
        flags: 0,
        cas: 1_000,
        expiry: Expiry::NEVER,
        last_access: NOW,
        fetched: false,
        stale: false,
        win_sent: false,
        binary_key: false,
    }
}

fn written(new: &NewRecord<'_>, base: Cas) -> Vec<u8> {
    let mut data = vec![0xee; 3];
    new.write(base, |bytes| data.extend_from_slice(bytes));
    assert_eq!(data.len() - 3, new.len(base));
    assert!(new.len(base) <= new.max_len());
    data
}

#[test]
fn a_record_says_what_it_was_made_of() {
    let metas = [
        meta(),
        Meta { flags: 7, expiry: Expiry::at(NOW + 9), stale: true, ..meta() },
        Meta { cas: u64::MAX, fetched: true, win_sent: true, binary_key: true, ..meta() },
        Meta { cas: 1 << 40, flags: u32::MAX, expiry: Expiry::PAST, ..meta() },
    ];
    for meta in metas {
        for base in [0, 1_000, 2_000, u64::MAX] {
            let new = NewRecord {
                key: b"the key",
                body: Body::Inline(b"one", b" two"),
                meta,
                uses: 2,
                touchable: false,
            };
            let data = written(&new, base);
            let record = Record::read(&data, 3).unwrap();
            assert_eq!(record.len(), new.len(base));
            assert_eq!(record.key(&data), b"the key");
            assert_eq!(&data[record.body_range()], b"one two");
            assert_eq!(record.meta(&data, base, NOW + 5), meta);
            assert_eq!((record.uses(), record.is_dead()), (2, false));
            assert_eq!(record.handle(&data), None);
        }
    }
    let new = NewRecord {
        key: b"k",
        body: Body::Large(77, b"rest"),
        meta: meta(),
        uses: 0,
        touchable: false,
    };
    let data = written(&new, 1_000);
    let record = Record::read(&data, 3).unwrap();
    assert_eq!((record.handle(&data), record.len()), (Some(77), HEADER + 1 + HANDLE + 4));
    assert_eq!(&data[record.rest_range()], b"rest");
}

#[test]
fn a_key_is_compared_to_its_last_byte() {
    let long: Vec<u8> = (1..=250).collect();
    for len in [1, 7, 8, 9, 15, 16, 17, 250] {
        let key = &long[..len];
        let new = NewRecord {
            key,
            body: Body::Inline(b"v", b""),
            meta: meta(),
            uses: 0,
            touchable: false,
        };
        let data = written(&new, 1_000);
        assert!(Record::is_of(&data, 3, key));
        assert!(!Record::is_of(&data, 3, &key[1..]) && !Record::is_of(&data, 3, &long[1..]));
        for at in 0..len {
            let mut other = key.to_vec();
            other[at] ^= 0x80;
            assert!(!Record::is_of(&data, 3, &other), "byte {at} of {len}");
        }
    }
}

#[test]
fn what_most_items_lack_costs_nothing() {
    let new = NewRecord {
        key: b"fourteen bytes",
        body: Body::Inline(b"", b""),
        meta: meta(),
        uses: 0,
        touchable: false,
    };
    assert_eq!(new.len(1_000), 11 + 14);
}

#[test]
fn a_record_changes_in_place_where_it_has_room() {
    let narrow = NewRecord {
        key: b"k",
        body: Body::Inline(b"v", b""),
        meta: meta(),
        uses: 0,
        touchable: false,
    };
    let mut data = written(&narrow, 1_000);
    let mut record = Record::read(&data, 3).unwrap();
    assert!(record.set_expiry(&mut data, Expiry::NEVER));
    assert!(!record.set_expiry(&mut data, Expiry::at(5)));
    assert!(record.set_cas(&mut data, 1_000, 5));
    assert!(!record.set_cas(&mut data, 1_000, 1 << 40));
    record.bump(&mut data, NOW + 70);
    record.set_stale(&mut data, true);
    record.set_win_sent(&mut data, true);
    record.set_win_sent(&mut data, false);
    let again = Record::read(&data, 3).unwrap();
    let expected = Meta { cas: 5, last_access: NOW + 70, fetched: true, stale: true, ..meta() };
    assert_eq!(again.meta(&data, 1_000, NOW + 70), expected);
    assert_eq!(again.uses(), 1);
    for _ in 0..5 {
        record.bump(&mut data, NOW);
    }
    assert_eq!(record.uses(), MAX_USES);
    record.kill(&mut data);
    assert!(Record::read(&data, 3).unwrap().is_dead());
    assert_eq!(Record::read(&data, 3).unwrap().len(), narrow.len(1_000));

    let touchable = NewRecord { touchable: true, ..narrow };
    let mut data = written(&touchable, 1_000);
    let mut record = Record::read(&data, 3).unwrap();
    assert_eq!(record.meta(&data, 1_000, NOW), meta());
    assert!(record.set_expiry(&mut data, Expiry::at(5)));
    assert_eq!(record.expiry(&data), Expiry::at(5));

    let wide = Meta { expiry: Expiry::at(NOW), cas: 1 << 50, ..meta() };
    let wide = NewRecord { meta: wide, ..narrow };
    let mut data = written(&wide, 1_000);
    let mut record = Record::read(&data, 3).unwrap();
    assert!(record.set_expiry(&mut data, Expiry::at(9)) && record.set_cas(&mut data, 1_000, 7));
    let meta = Record::read(&data, 3).unwrap().meta(&data, 1_000, NOW);
    assert_eq!((meta.expiry, meta.cas), (Expiry::at(9), 7));
}

#[test]
fn an_access_is_told_from_its_lowest_bits() {
    for ago in [0, 1, 3_600, 90 * 24 * 3_600] {
        let meta = Meta { last_access: NOW - ago, ..meta() };
        let new =
            NewRecord { key: b"k", body: Body::Inline(b"", b""), meta, uses: 0, touchable: false };
        let data = written(&new, 1_000);
        assert_eq!(Record::read(&data, 3).unwrap().meta(&data, 1_000, NOW), meta);
    }
    let meta = Meta { last_access: NOW + 600, ..meta() };
    let new =
        NewRecord { key: b"k", body: Body::Inline(b"", b""), meta, uses: 0, touchable: false };
    let data = written(&new, 1_000);
    assert_eq!(Record::read(&data, 3).unwrap().meta(&data, 1_000, NOW), meta);
}

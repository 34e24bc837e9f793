//! Measures the speed of writing and restoring a snapshot, and of the disk with as many bytes.
//!
//!     cargo run --profile dist -p ringbinder-store --example snapshot -- [MIB] [BYTES] [ROUNDS] [FOLDER]
//!
//! Writes a store of MIB megabytes (1024) of items of BYTES bytes (500) to a file in FOLDER (`.`).
//! An empty store then restores the file, from the page cache and, if the process may empty the
//! page cache, from the disk. Each figure is the median of ROUNDS rounds (3), with the minimum and
//! maximum.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use ringbinder_store::snapshot::{Decoded, Decoder, Encoder, Header};
use ringbinder_store::{
    Expiry, Limits, Mode, NewValue, Restored, SegmentStore, Store, Write as Stored,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const NOW: u32 = 1_700_000_000;
const BUFFER: usize = 1 << 20;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, or: u64| arguments.get(at).map_or(or, |text| text.parse().expect("a number"));
    let (mib, bytes, rounds) = (number(0, 1024), number(1, 500), number(2, 3));
    let folder = Path::new(arguments.get(3).map_or(".", String::as_str));
    let (path, raw) = (folder.join("snapshot.example"), folder.join("raw.example"));

    let limits = Limits { max_bytes: mib << 21, max_item: 1 << 20, evict: true };
    let store = SegmentStore::new(limits, None);
    let value = vec![b'v'; usize::try_from(bytes).expect("a length")];
    let items = (mib << 20) / bytes;
    for item in 0..items {
        let key = format!("key:{item:012}");
        let write = Stored {
            expiry: if item % 2 == 0 { Expiry::NEVER } else { Expiry::at(NOW + 3600) },
            ..Stored::plain(Mode::Set, key.as_bytes(), NewValue::Slice(&value))
        };
        store.write(write, NOW);
    }
    let mut lines: Vec<(&str, Vec<Took>)> = Vec::new();
    let mut note = |what, took| match lines.iter_mut().find(|(known, _)| *known == what) {
        Some((_, all)) => all.push(took),
        None => lines.push((what, vec![took])),
    };
    let mut len = 0;
    for _ in 0..rounds {
        note("written, and safe on the disk", timed(|| write(&store, &path))?);
        len = fs::metadata(&path)?.len();
        note("the disk alone: write and fsync", timed(|| write_raw(&raw, len))?);
        note("taken up out of the page cache", timed(|| take_up(&path, limits, items))?);
        if drop_caches() {
            note("taken up from the disk", timed(|| take_up(&path, limits, items))?);
            drop_caches();
            note("the disk alone: read", timed(|| read_raw(&path))?);
        }
        fs::remove_file(&path)?;
        fs::remove_file(&raw)?;
    }
    println!("{items} items of {bytes} bytes, a file of {} MiB, {rounds} rounds\n", len >> 20);
    println!("| what | MB/s | MB in a second of one processor |\n|---|---|---|");
    for (what, took) in lines {
        let figures = |of: fn(&Took) -> Duration| {
            let mut speeds: Vec<f64> =
                took.iter().map(|took| len as f64 / 1e6 / of(took).as_secs_f64()).collect();
            speeds.sort_unstable_by(f64::total_cmp);
            let (least, most) = (speeds[0], speeds[speeds.len() - 1]);
            format!("{:.0} ({least:.0}–{most:.0})", speeds[speeds.len() / 2])
        };
        println!("| {what} | {} | {} |", figures(|took| took.0), figures(|took| took.1));
    }
    Ok(())
}

/// Time by the clock, and on a processor.
type Took = (Duration, Duration);

fn timed(work: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<Took> {
    let (begun, used) = (Instant::now(), on_processor());
    work()?;
    Ok((begun.elapsed(), on_processor().saturating_sub(used)))
}

/// Processor time of this thread; zero if the system does not report it.
fn on_processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn write(store: &SegmentStore, path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    let (last_cas, items) = (store.last_cas(), store.counters().items);
    let mut encoder = Encoder::new(&Header { last_cas, items, ..Header::default() });
    let mut written = Ok(());
    store.for_each(NOW, &mut |item| {
        encoder.push(item);
        if encoder.is_full() {
            written = file.write_all(encoder.bytes());
            encoder.clear();
        }
        written.is_ok()
    });
    written?;
    file.write_all(encoder.finish())?;
    file.sync_all()
}

fn write_raw(path: &Path, len: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    let buffer = vec![b'r'; BUFFER];
    let mut left = usize::try_from(len).expect("a length");
    while left > 0 {
        let some = left.min(BUFFER);
        file.write_all(&buffer[..some])?;
        left -= some;
    }
    file.sync_all()
}

fn read_raw(path: &Path) -> std::io::Result<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; BUFFER]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn take_up(path: &Path, limits: Limits, items: u64) -> std::io::Result<()> {
    let store = SegmentStore::new(limits, None);
    let (mut file, mut buffer) = (File::open(path)?, vec![0; BUFFER]);
    let mut decoder = Decoder::new(1 << 20);
    let (mut start, mut end, mut restore, mut kept) = (0, 0, None, 0);
    loop {
        let (consumed, decoded) =
            decoder.decode(&buffer[start..end]).map_err(std::io::Error::other)?;
        start += consumed;
        match decoded {
            Decoded::Header(header) => {
                restore = store.begin_restore(header.items, header.last_cas, NOW);
            }
            Decoded::Items(block) => {
                let restore = restore.as_ref().expect("a header comes first");
                let _: ControlFlow<()> = store.restore_all(restore, block, NOW, |restored| {
                    kept += u64::from(restored == Restored::Kept);
                    ControlFlow::Continue(())
                });
            }
            Decoded::Passed { .. } => {}
            Decoded::End(_) => break,
            Decoded::Incomplete(needed) => {
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                if buffer.len() < needed {
                    buffer.resize(needed, 0);
                }
                match file.read(&mut buffer[end..])? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    len => end += len,
                }
            }
        }
    }
    store.end_restore();
    assert_eq!(kept, items, "all of them are kept");
    Ok(())
}

/// Empties the page cache, if this process may.
fn drop_caches() -> bool {
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

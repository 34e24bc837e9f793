//! The near cache's bound covers memory: this measures what a full cache takes. The test has a
//! process of its own, so that nothing else changes the figure.

#![cfg(target_os = "linux")]

use std::time::Duration;

use ringbinder_client::{Client, NearCache};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const BOUND: u64 = 32 << 20;

/// Tolerance beyond the bound: memory that the allocator keeps after it was freed.
const SLACK: u64 = BOUND / 2;

/// Bytes of values in one answer.
const AT_ONCE: usize = 1 << 20;

/// A server whose values have the lengths in their keys.
async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let mut answer = Vec::new();
        for key in line.split(' ').skip(1) {
            let len = key.rsplit('-').next().and_then(|len| len.parse().ok()).unwrap_or(0);
            answer.extend_from_slice(format!("VALUE {key} 0 {len}\r\n").as_bytes());
            answer.resize(answer.len() + len, b'v');
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"END\r\n");
        write.write_all(&answer).await?;
    }
    Ok(())
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its VmRSS");
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a figure in kB");
    kib * 1024
}

#[tokio::test]
async fn a_full_near_cache_takes_the_memory_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let near = NearCache { bytes: BOUND, ttl: Duration::from_secs(3600) };
    let client = Client::with_servers([address]).timeout(Duration::from_secs(60)).near_cache(near);
    let client = client.connect().await.expect("a list of addresses is a ring");
    // Large values also arrive in buffers that are larger than they are.
    let empty = resident();
    for (len, count) in [(10, 100_000), (1000, 50_000), (40_000, 3000), (300_000, 400)] {
        let keys: Vec<String> = (0..count).map(|number| format!("{number}-{len}")).collect();
        for keys in keys.chunks((AT_ONCE / len).clamp(1, 100)) {
            let items = client.get_many(keys).await.expect("an answer");
            assert!(items.iter().flatten().all(|item| item.value.len() == len));
            assert_eq!(items.iter().flatten().count(), keys.len());
        }
        let taken = resident().saturating_sub(empty);
        println!("after {count} values of {len} bytes it takes {taken} bytes");
        assert!(taken <= BOUND + SLACK, "{taken} bytes for {BOUND}");
        assert!(taken >= BOUND / 2, "{taken} bytes: the cache is not full, or counts too much");
    }
}

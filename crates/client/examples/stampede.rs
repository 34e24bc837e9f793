//! Many callers miss the same key at once; prints how many of them do the work: `cargo run
//! --example stampede -- ring.toml`.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use ringbinder_client::{Client, Fill};

const CALLERS: usize = 200;
const CLIENTS: usize = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ring = std::env::args().nth(1).unwrap_or_else(|| "ring.toml".to_owned());
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::with_ring(&ring).connect().await?);
    }
    clients[0].delete("stampede:report").await?;

    let fills = AtomicUsize::new(0);
    let report = async || {
        fills.fetch_add(1, Ordering::Relaxed);
        // A slow query.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok::<_, Infallible>("a report")
    };
    let how = Fill::new(Duration::from_secs(60)).lease(Duration::from_secs(5));
    let since = Instant::now();
    let reports = try_join_all(
        clients
            .iter()
            .cycle()
            .take(CALLERS)
            .map(|it| it.get_or_fill("stampede:report", how, report)),
    )
    .await?;

    let right = reports.iter().filter(|report| report.value == "a report").count();
    let (fills, took) = (fills.into_inner(), since.elapsed());
    println!("{CALLERS} callers on {CLIENTS} clients: {right} reports, {fills} fills, {took:?}");
    Ok(())
}

//! Writes and reads a value through a ring: `cargo run --example notes -- ring.toml`.

use std::time::Duration;

use ringbinder_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ring = std::env::args().nth(1).unwrap_or_else(|| "ring.toml".to_owned());
    let client = Client::with_ring(ring).connect().await?;
    let stored = client.set("notes:1", "buy milk", Duration::from_secs(60)).await?;
    println!("set notes:1: {stored:?}");
    match client.get("notes:1").await? {
        Some(item) => println!("get notes:1: {}", String::from_utf8_lossy(&item.value)),
        None => println!("get notes:1: a miss"),
    }
    Ok(())
}

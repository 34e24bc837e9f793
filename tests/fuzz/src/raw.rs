//! Raw streams: any bytes at all, to a node. What they mean is not looked at. They must not hang or
//! break the node, every answer must end its line, and how they were cut must not change what is
//! answered.
//!
//! Two nodes get the same streams, one of them whole and the other in pieces, so that they stay in
//! the same state and must go on answering alike.

use std::io;

use ringbinder_node::InProcessNode;

use crate::answer::shorten;
use crate::choices::Choices;
use crate::session::{Mismatch, clock_of, cut, start_node};

/// Streams after which the nodes are replaced: some commands leave traces no flush removes.
const MAX_STREAMS: u32 = 500;

/// What is answered to these depends on the moment or on what was answered before in one go.
const UNSTEADY: [&[u8]; 4] = [b"stats", b"watch", b"lru_crawler", b"verbosity"];

/// The two nodes.
#[derive(Default)]
pub(crate) struct RawPair {
    nodes: Option<(InProcessNode, InProcessNode)>,
    streams: u32,
}

impl RawPair {
    /// Sends what is left to choose from.
    pub(crate) fn run(&mut self, mut choices: Choices<'_>) -> Result<(), Mismatch> {
        let seed = choices.bytes(8);
        let stream = choices.rest();
        let pieces = cut(stream, &mut Choices::new(seed));
        let failed = |error: io::Error| Mismatch(format!("the node cannot be used: {error}"));
        let told = |what: &str, got: &[u8]| {
            let sent: Vec<String> = pieces.iter().map(|piece| shorten(piece)).collect();
            Mismatch(format!("{what}\n sent \"{}\"\n  got \"{}\"", sent.join("|"), shorten(got)))
        };
        self.streams += 1;
        if self.nodes.is_none() || self.streams > MAX_STREAMS {
            self.nodes = Some(pair().map_err(failed)?);
            self.streams = 0;
        }
        let nodes = self.nodes.take();
        let Some((first, second)) = &nodes else { return Ok(()) };
        let whole = first.exchange(&[stream]).map_err(failed)?;
        let in_pieces = second.exchange(&pieces).map_err(failed)?;
        // A client of the binary protocol is answered in it.
        let binary = whole.ends_with(b"set the client to text (ascii)");
        if !(whole.is_empty() || whole.ends_with(b"\n") || binary) {
            return Err(told("an answer does not end", &whole));
        }
        let is_unsteady =
            UNSTEADY.iter().any(|word| stream.windows(word.len()).any(|window| window == *word));
        if whole != in_pieces && !is_unsteady {
            let (first, second) = pair().map_err(failed)?;
            let anew = (first.exchange(&[stream]), second.exchange(&pieces));
            let same = anew.0.map_err(failed)? == anew.1.map_err(failed)?;
            let when = if same { ", after what earlier streams did" } else { "" };
            let whole = shorten(&whole);
            return Err(told(&format!("cuts matter{when}: whole it is \"{whole}\""), &in_pieces));
        }
        for node in [first, second] {
            let after = node.exchange(&[b"flush_all\r\nmn\r\n"]).map_err(failed)?;
            if after != b"OK\r\nMN\r\n" {
                return Err(told("the node does not work any more", &after));
            }
        }
        // If they differ now they may also be in different states.
        self.nodes = nodes.filter(|_| whole == in_pieces);
        Ok(())
    }
}

/// Two nodes whose clocks agree.
fn pair() -> io::Result<(InProcessNode, InProcessNode)> {
    loop {
        let (first, second) = (start_node("64")?, start_node("64")?);
        if clock_of(&first)? == clock_of(&second)? {
            return Ok((first, second));
        }
    }
}

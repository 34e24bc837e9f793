//! Encodes requests and decodes answers. No I/O.

mod answer;
mod decode;
mod request;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Answer, Line, shown};
pub(crate) use decode::{Decoder, Nonsense};
pub(crate) use request::Request;

//! Decisions drawn from the fuzzer's bytes. When they run out every decision is the first one, so
//! each input means exactly one session and shorter inputs mean simpler ones.

use arbitrary::Unstructured;

/// The bytes that are left to decide with.
#[derive(Debug)]
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    /// Decisions from these bytes.
    pub fn new(data: &'a [u8]) -> Self {
        Choices(Unstructured::new(data))
    }

    /// Whether all bytes are used up.
    pub fn is_exhausted(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound < 2 { 0 } else { self.0.int_in_range(0..=bound - 1).unwrap_or(0) }
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        // The last outcome and not the first, so that bytes running out mean no.
        self.below(n) + 1 == n
    }

    /// One of the options.
    ///
    /// # Panics
    /// Where there is none.
    pub fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    /// Any 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Up to `most` of the bytes themselves.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let len = self.below(most + 1).min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }

    /// All the bytes that are left.
    pub fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }
}

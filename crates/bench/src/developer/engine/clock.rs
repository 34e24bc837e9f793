//! Two clocks: what passes for everybody, and what this thread had a processor for.
//!
//! The second stands still while another thread has the processor, and while this one sleeps on a
//! lock. It costs a system call, some hundred nanoseconds; the first costs some twenty.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Processor time of this thread so far.
#[inline]
pub(super) fn cpu() -> Duration {
    // There is such a clock in every Linux.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Nanoseconds, for a histogram.
#[inline]
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let before = cpu();
        let mut sum = 0_u64;
        while cpu() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(cpu() > before);
    }
}

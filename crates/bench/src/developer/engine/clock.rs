//! Two clocks: elapsed time, and this thread's processor time.
//!
//! Processor time does not advance while another thread has the processor, or while this thread sleeps on a
//! lock. To read it takes a system call of some hundred nanoseconds; to read elapsed time takes about twenty.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Processor time of this thread.
#[inline]
pub(super) fn cpu() -> Duration {
    // Every Linux has this clock.
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

//! The `ringbinder` command.

fn main() {}

//! Load generators and comparisons.
fn main() {}

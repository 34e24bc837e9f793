//! `ringbinderd`.

/// Items come and go in all sizes for weeks: what this allocator gives back, the process does too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    ringbinder_node::main()
}

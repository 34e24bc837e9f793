//! `ringbinderd`.

/// Items of all sizes come and go for weeks. This allocator gives freed memory back to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    ringbinder_node::main()
}

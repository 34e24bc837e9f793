//! The `ringbinder-bench` command.

fn main() -> std::process::ExitCode {
    ringbinder_bench::developer::main()
}

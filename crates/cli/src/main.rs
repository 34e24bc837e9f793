//! The `ringbinder` command.

fn main() -> std::process::ExitCode {
    ringbinder_cli::main()
}

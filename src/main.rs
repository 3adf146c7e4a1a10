//! The `tenacron` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenacron::cli::main()
}

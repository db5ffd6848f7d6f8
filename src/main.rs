use std::process::ExitCode;

fn main() -> ExitCode {
    lintel::cli::run()
}

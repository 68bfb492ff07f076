//! Data for stdout. A reader that has seen enough (`| head -1`) ends the program quietly, it is no failure.

use super::exit::Exit;
use std::io::{self, Write};

/// `print!` that survives a closed pipe.
macro_rules! out {
    ($($argument:tt)*) => { $crate::cli::stdout::write(format_args!($($argument)*)) };
}

/// `println!` that survives a closed pipe.
macro_rules! outln {
    () => { $crate::cli::stdout::write(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::cli::stdout::write(format_args!("{}\n", format_args!($($argument)*))) };
}

pub(super) fn write(arguments: std::fmt::Arguments<'_>) {
    if let Err(error) = io::stdout().lock().write_fmt(arguments) {
        end(&error);
    }
}

/// Ends the program where stdout is gone: without a word for a closed pipe, with an error for a full disk behind it.
pub(super) fn end(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(Exit::ReaderGone as i32);
    }
    // Nothing is left to do if stderr is gone too.
    let _ = writeln!(io::stderr(), "error: cannot write the output: {error}");
    std::process::exit(Exit::Failed as i32);
}

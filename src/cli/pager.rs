//! Long texts for people go through a pager, where stdout is a terminal that they do not fit on.
//!
//! The pager is `$CHATVAULT_PAGER`, else `$PAGER`, else `less -FRX`; an empty one, or `cat`, means none. Its words are split at
//! spaces and run as they are: no shell sees them. A pager that cannot be started is no error, the text is then printed; nor
//! is one that ends before it has read everything.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

/// What pages where nobody names anything: ends by itself if the text fits, lets colours through, leaves the text there.
const DEFAULT: &str = "less -FRX";

/// Prints a text, through a pager where it is wanted and needed.
pub(super) fn print(text: &str, wants_pager: bool) {
    if let Some(mut child) = pager_for(text, wants_pager) {
        let _interrupt = ignore_interrupts();
        if let Some(mut stdin) = child.stdin.take() {
            // Quitting before the end is what pagers are for.
            let _ = stdin.write_all(text.as_bytes());
        }
        // The terminal is the pager's until it ends, however it does.
        let _ = child.wait();
        return;
    }
    out!("{text}");
}

fn pager_for(text: &str, wants_pager: bool) -> Option<Child> {
    if !wants_pager || !io::stdout().is_terminal() {
        return None;
    }
    let rows = terminal_size::terminal_size().map_or(24, |(_, rows)| usize::from(rows.0));
    // The prompt takes a line.
    if text.lines().count() < rows {
        return None;
    }
    let words = words_of(|name| std::env::var(name).ok());
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    // As git does: a `less` that was named without options must let colours through all the same.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command.spawn().ok()
}

/// The words of the pager's command; none where there is to be no pager.
fn words_of(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let named = variable("CHATVAULT_PAGER").or_else(|| variable("PAGER")).unwrap_or_else(|| DEFAULT.to_owned());
    let words: Vec<String> = named.split_whitespace().map(str::to_owned).collect();
    if words == ["cat"] { Vec::new() } else { words }
}

/// While a pager has the terminal, Ctrl-C is for it: it ends a search there, and must not end this program under it.
fn ignore_interrupts() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    // The first look at the signal takes it over, for as long as the program runs.
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            () = std::future::ready(()) => {}
        }
    });
    Some(runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ours: Option<&str>, theirs: Option<&str>, expected: &[&str]) {
        let variable = |name: &str| match name {
            "CHATVAULT_PAGER" => ours.map(str::to_owned),
            _ => theirs.map(str::to_owned),
        };
        assert_eq!(words_of(variable), expected);
    }

    #[test]
    fn the_pager_is_the_one_that_is_named_first() {
        check(None, None, &["less", "-FRX"]);
        check(None, Some("most"), &["most"]);
        check(Some("less  -S +G"), Some("most"), &["less", "-S", "+G"]);
        check(Some(""), Some("most"), &[]);
        check(None, Some("cat"), &[]);
        // Words, not a script.
        check(Some("less; rm -r $HOME"), None, &["less;", "rm", "-r", "$HOME"]);
    }
}

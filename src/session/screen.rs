//! The terminal of a person who watches a command: its width, and the progress bars at its bottom.
//!
//! All bars are in one group, so that a line is printed above them and never through them. A program that uses the
//! library never calls [`watch`], and so has no bars.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::sync::{LazyLock, OnceLock};
use textwrap::{Options, WordSeparator, WordSplitter};

/// Columns of a line where the terminal is wider: longer lines are hard to read.
const WIDEST: usize = 100;

/// Columns of a line where the terminal is narrower, or does not tell.
const NARROWEST: usize = 40;

/// Bars, from the left: a word, the bar itself, counts, and a message.
const BAR: &str = "{prefix} {wide_bar} {pos}/{len}{msg}";

static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// True if standard error is a terminal; unset in a program that only uses the library.
static WATCHED: OnceLock<bool> = OnceLock::new();

/// Begins to show bars, if standard error is a terminal. Call once.
pub fn watch() -> bool {
    *WATCHED.get_or_init(|| io::stderr().is_terminal())
}

/// True if somebody watches.
pub fn is_watched() -> bool {
    WATCHED.get().copied().unwrap_or(false)
}

/// Prints while no bar is in the way; the bars are drawn again below.
pub fn above_bars<T>(print: impl FnOnce() -> T) -> T {
    if is_watched() { BARS.suspend(print) } else { print() }
}

/// Columns of a line.
fn columns() -> usize {
    let (_, columns) = console::Term::stderr().size();
    usize::from(columns).clamp(NARROWEST, WIDEST)
}

/// The text after `label`, in lines that fit the terminal; all but the first are indented. Words stay whole, so that
/// paths can be copied.
pub fn wrapped(label: &str, text: &str) -> String {
    wrapped_to(columns(), label, text)
}

fn wrapped_to(columns: usize, label: &str, text: &str) -> String {
    let options = Options::new(columns)
        .subsequent_indent("    ")
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let mut lines = Vec::new();
    for (i, line) in text.split('\n').enumerate() {
        let indent = if i == 0 { label } else { "    " };
        lines.extend(textwrap::wrap(line, options.clone().initial_indent(indent)).into_iter().map(|l| l.into_owned()));
    }
    lines.join("\n")
}

/// A bar that counts pieces of work. It leaves the screen when it is dropped.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar after the word `what`, at nothing of `total`; drawn as soon as something was done.
    pub fn begin(what: impl Into<String>, total: usize) -> Self {
        if !is_watched() {
            return Self(ProgressBar::hidden());
        }
        let bar = BARS.add(ProgressBar::new(total as u64));
        bar.set_style(ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.into());
        Self(bar)
    }

    /// `done` of `total` pieces are done.
    pub fn at(&self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
    }

    /// So many more are done.
    pub fn add(&self, done: usize) {
        self.0.inc(done as u64);
    }

    /// Shows other words on both sides.
    pub fn say(&self, what: String, message: String) {
        self.0.set_prefix(what);
        self.0.set_message(message);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        if is_watched() {
            BARS.remove(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_words_stay_whole() {
        let path = "/a/path/that/is/longer/than/any/line/of/this/terminal-and-has-hyphens";
        let text =
            format!("{path}: one two three four five six seven eight nine\nhelp: a second line\n  an indented one");
        let lines = wrapped_to(40, "warning: ", &text);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[0], format!("warning: {path}:"));
        assert_eq!(lines[1], "    one two three four five six seven");
        assert_eq!(&lines[3..], ["    help: a second line", "      an indented one"]);
        assert!(lines.iter().all(|l| l.len() <= 40 || l.contains(path)), "{lines:#?}");
        assert_eq!(wrapped_to(40, "", "a table   of columns"), "a table   of columns");
    }
}

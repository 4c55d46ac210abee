//! Standard output and standard error that may refuse: a reader that has left is no error, a full disk is one with its
//! place.
//!
//! Texts hold names out of files. Control characters in them are shown escaped, so that no file can steer a terminal.

use super::screen;
use anyhow::{Result, anyhow};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, Write};

/// The reader of standard output has left: nobody wants the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("standard output: its reader has left")]
pub struct ClosedPipe;

/// Prints a report that is whole. Where its reader has left, nothing is said, and the command's own result stands.
///
/// # Errors
/// If standard output refuses otherwise, such as a full disk.
pub fn print(text: impl Display) -> Result<()> {
    match write(&escaped(&text.to_string())) {
        Err(error) if error.is::<ClosedPipe>() => Ok(()),
        written => written,
    }
}

/// As [`print`], with a line end.
///
/// # Errors
/// As [`print`].
pub fn print_line(text: impl Display) -> Result<()> {
    print(format_args!("{text}\n"))
}

/// As [`print`], of JSON over several lines. Characters are escaped as JSON has it, so that its readers see no
/// difference.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    let escaped = escape(&text, |c| format!("\\u{:04x}", c as u32));
    match write(&format!("{escaped}\n")) {
        Err(error) if error.is::<ClosedPipe>() => Ok(()),
        written => written,
    }
}

/// As [`stream_line`], of JSON in one line.
///
/// # Errors
/// As [`stream_line`].
pub fn stream_json(value: &Value) -> Result<()> {
    let text = value.to_string();
    write(&format!("{}\n", escape(&text, |c| format!("\\u{:04x}", c as u32))))
}

/// Prints a line of a report that takes long to come to its end.
///
/// # Errors
/// As [`print`]; [`ClosedPipe`] if the reader has left, so that the work ends.
pub fn stream_line(text: impl Display) -> Result<()> {
    write(&escaped(&format!("{text}\n")))
}

/// Says something on standard error, in lines that fit a terminal. A refusal is let be: there is no other place to tell
/// of it.
pub fn complain(text: impl Display) {
    let text = escaped(&text.to_string()).into_owned();
    let text = if screen::is_watched() { screen::wrapped("", &text) } else { text };
    let _ = screen::above_bars(|| io::stderr().write_all(format!("{text}\n").as_bytes()));
}

fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    screen::above_bars(|| out.write_all(text.as_bytes()).and_then(|()| out.flush())).map_err(|error| {
        match error.kind() {
            ErrorKind::BrokenPipe => ClosedPipe.into(),
            _ => anyhow!("standard output: cannot write: {error}\nhelp: free some space there, or send it elsewhere"),
        }
    })
}

/// The text with every character that steers a terminal written as `\u{1b}`; line ends and tabs stay.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |c| c.escape_unicode().to_string())
}

fn escape(text: &str, form: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut all = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_steering(c) {
            let _ = all.write_str(&form(c));
        } else {
            all.push(c);
        }
    }
    Cow::Owned(all)
}

/// Control characters of either set, line ends of Unicode, and what turns the direction of writing.
fn is_steering(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || matches!(c, '\u{2028}' | '\u{2029}') || c.is_control() && !matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        assert!(matches!(escaped("a plain\n\ttable, größer"), Cow::Borrowed(_)));
        assert_eq!(escaped("\x1b[2Jcat\r\u{9b}3\u{202e}\x7f"), "\\u{1b}[2Jcat\\u{d}\\u{9b}3\\u{202e}\\u{7f}");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({"name": "\u{9b}2J\u{202e}\x7f\x1b"});
        let text = serde_json::to_string(&value).unwrap();
        let shown = escape(&text, |c| format!("\\u{:04x}", c as u32));
        assert!(!shown.contains(is_steering), "{shown:?}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}

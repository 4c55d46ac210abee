//! Errors in the files that evaluation reads.

use std::path::PathBuf;

/// Every message names the file and the place, what was found and what was expected, and ends with a `help:` line.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error("{}: cannot be read: {error}\nhelp: check the path and its permissions", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },

    /// Not JSON, or JSON of another shape; line and column from 1.
    #[error("{}:{line}:{column}: {problem}\nhelp: {help}", path.display())]
    Json { path: PathBuf, line: usize, column: usize, problem: String, help: &'static str },

    #[error("{}: {place}: missing key `{key}`\nhelp: {help}", path.display())]
    MissingKey { path: PathBuf, place: String, key: &'static str, help: &'static str },

    #[error("{}: {place}: found {found}, expected {expected}\nhelp: {help}", path.display())]
    BadValue { path: PathBuf, place: String, found: String, expected: &'static str, help: &'static str },

    #[error("{}: {place}: {key} {id} is not in {known}\nhelp: {help}", path.display())]
    UnknownId { path: PathBuf, place: String, key: &'static str, id: i64, known: String, help: &'static str },
}

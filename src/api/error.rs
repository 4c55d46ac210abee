//! The one error of the library: a message with its place, what was found and what was expected, and its causes.

use std::fmt;

/// An error. The message names the file and, where there is something to do about it, ends in a line `help: ...`.
#[derive(Debug)]
pub struct Error(anyhow::Error);

/// A result of the library.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

//! Failures between a node and its SuperLink.

use thiserror::Error;

/// Flower's number for a key that is registered already.
pub const KEY_IN_USE: u32 = 23;
/// Flower's number for a SuperLink that takes registered keys only.
pub const REGISTRATION_DISABLED: u32 = 2001;
/// Flower's number for a node that cannot be activated: it still counts as present, or nobody knows its key.
pub const ACTIVATION_FAILED: u32 = 2004;
/// Flower's number for a run that is over, or not begun.
pub const RUN_NOT_RUNNING: u32 = 2007;

#[derive(Debug, Error)]
pub enum WireError {
    /// No answer came: no network, no name, nobody listens, or it took too long.
    #[error("{server}: no answer: {reason}")]
    Unreachable { server: String, reason: String },

    /// The server cannot answer now.
    #[error("{server}: it cannot answer now (HTTP {status})")]
    Unavailable { server: String, status: u16 },

    /// The server waits for an object itself.
    #[error("{server}: object {object} has not arrived there yet")]
    Absent { server: String, object: String },

    #[error(
        "{server}: its certificate is not trusted: {reason}\nhelp: name the authority that signed it with \
         --root-certificates FILE.pem; a clock that is wrong by months makes a valid certificate look invalid, too"
    )]
    Certificate { server: String, reason: String },

    /// The server does not accept our signature; `ahead_s` is this machine's clock less the server's, where it said.
    #[error("{server}: it does not accept this node's signature (HTTP 401): {}", clock(*.ahead_s))]
    Unauthorised { server: String, ahead_s: Option<i64> },

    /// The server refuses with a reason of its own.
    #[error("{server}: it refuses {request}: {detail} (HTTP {status}, code {code})")]
    Refused { server: String, request: &'static str, status: u16, code: u32, detail: String },

    /// An answer that no sound server gives.
    #[error("{server}: its answer to {request} makes no sense: {found}, expected {expected}")]
    Malformed { server: String, request: &'static str, found: String, expected: String },
}

/// A clock so far ahead is refused by Flower.
const MOST_AHEAD_S: i64 = 5;
/// A clock so far behind is refused by Flower.
const MOST_BEHIND_S: i64 = 305;

fn clock(ahead_s: Option<i64>) -> String {
    const HELP: &str = "\nhelp: a board without a clock battery has the right time only after it was set over the network: \
                        wait for it (`timedatectl`), or set it";
    match ahead_s {
        Some(s) if s >= MOST_AHEAD_S => format!("this machine's clock is {s} s ahead of the server's{HELP}"),
        Some(s) if s <= -MOST_BEHIND_S => format!("this machine's clock is {} s behind the server's{HELP}", -s),
        Some(_) => "the clocks agree, so the server does not know the key, or no longer".into(),
        None => "it did not tell its time, so the clocks could not be compared".into(),
    }
}

impl WireError {
    /// True if the same request may succeed later with nothing changed here.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }

    /// True if the signature was refused for the time it was made at.
    pub fn is_clock(&self) -> bool {
        let far = |s: &i64| *s >= MOST_AHEAD_S || *s <= -MOST_BEHIND_S;
        matches!(self, Self::Unauthorised { ahead_s, .. } if ahead_s.as_ref().is_some_and(far))
    }

    /// Flower's number for the reason of a refusal.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_named_with_its_difference_and_a_right_one_is_not() {
        let refused = |ahead_s| WireError::Unauthorised { server: "s:1".into(), ahead_s };
        assert!(
            refused(Some(3600)).to_string().contains("clock is 3600 s ahead of the server's\nhelp: a board without")
        );
        assert!(refused(Some(-900)).to_string().contains("clock is 900 s behind the server's\nhelp: "));
        assert!(refused(Some(-900)).is_clock() && refused(Some(6)).is_clock());
        assert!(refused(Some(2)).to_string().contains("the clocks agree"));
        assert!(!refused(Some(-100)).is_clock() && !refused(None).is_clock());
    }
}

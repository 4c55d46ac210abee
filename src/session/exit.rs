//! Exit codes that both the command line and the service use; 0 is success and 1 a failure.

/// A run was stopped and can be resumed (`EX_TEMPFAIL` of sysexits.h).
pub const RESUMABLE: u8 = 75;

/// A command was called in a wrong way; clap's as well.
pub const USAGE: u8 = 2;

//! Boards that learn together without sending photos: what travels, and what a node does with it.
//!
//! `node` is a board's work on a round, `update` what it says of it, `simulate` a fleet on one machine. `wire` is Flower's
//! language; `federation` a membership, `join` a node at work, `mailbox` and `reply_file` what it keeps on disk meanwhile.

pub mod array;
pub mod average;
mod chance;
mod dry_run;
mod federation;
mod heartbeat;
mod join;
mod mailbox;
mod membership;
pub mod node;
pub mod participant;
mod patience;
pub mod privacy;
mod reply_file;
pub mod simulate;
pub mod update;
pub mod wire;

pub use dry_run::dry_run;
pub use join::WorkingNode;
pub use mailbox::Mailbox;
pub use membership::{check_settings, connect, privacy_of, take_part};

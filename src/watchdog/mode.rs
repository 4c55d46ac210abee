//! The watchdog's permissions: cure, advise, or nothing.

use serde::{Deserialize, Serialize};

/// The watchdog's permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Cure,
    /// Say what is wrong and what would be done.
    Advise,
    Off,
}

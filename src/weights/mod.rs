//! Weights to start from: found in files and packages, checked, kept in the user's data folder, with the names of their
//! classes.
//!
//! A package is read as it was downloaded and never unpacked by the names in it. Everything in it may be hostile:
//! lengths are bounded, what inflates is counted, links and names that lead elsewhere are errors.

mod about;
mod assets;
mod contents;
mod error;
mod found;
mod known;
mod labels;
mod listing;
mod names;
mod record;
mod resolve;
mod store;
mod tarball;
mod zipped;

pub use error::WeightsError;
pub use labels::PLACEHOLDER;
pub use names::{ClassNames, class_names, match_names};
pub use record::WeightsRecord;
pub use resolve::{ADD, GET, default_weights, resolve};
pub use store::{Added, Inspect, Store, VARIABLE};

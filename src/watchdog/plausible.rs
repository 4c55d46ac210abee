//! Bounds on what is read back from a journal, a trace or a checkpoint, so that no count in a file decides how long a rule
//! takes, how much memory it asks for, or whether a sum overflows.

/// Steps, epochs, images and lines: integers that 64-bit floating point holds exactly.
pub const MOST_COUNT: u64 = 1 << 53;

/// Images of one optimizer step, adjustments included.
pub const MOST_BATCH: u32 = 1 << 22;

/// Classes, and stages or feature maps, of a network.
pub const MOST_CLASSES: usize = 1 << 16;
pub const MOST_STAGES: usize = 256;

/// Images of a data set that are named by index.
pub const MOST_INDEX: u32 = 1 << 24;

/// # Errors
/// If a count is more than [`MOST_COUNT`].
pub fn count(name: &str, value: u64) -> Result<(), String> {
    at_most(name, value, MOST_COUNT)
}

/// # Errors
/// If a value is more than `most`.
pub fn at_most<T: PartialOrd + std::fmt::Display>(name: &str, value: T, most: T) -> Result<(), String> {
    if value > most { Err(format!("{name} = {value}, above {most}")) } else { Ok(()) }
}

/// # Errors
/// If a number is infinite or NaN.
pub fn finite<'a>(name: &str, values: impl IntoIterator<Item = &'a f32>) -> Result<(), String> {
    match values.into_iter().find(|v| !v.is_finite()) {
        Some(value) => Err(format!("{name} = {value}")),
        None => Ok(()),
    }
}

/// # Errors
/// If an index is not below `end`.
pub fn indices<'a>(name: &str, all: impl IntoIterator<Item = &'a u32>, end: u32) -> Result<(), String> {
    match all.into_iter().find(|i| **i >= end) {
        Some(index) => Err(format!("{name}: image {index}, not below {end}")),
        None => Ok(()),
    }
}

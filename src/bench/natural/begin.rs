//! The weights that a run of the bench begins with.

/// The knowledge of photos like these in the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    Good,
    /// Weights that know nothing of photos like these.
    Weak,
}

//! The raw outputs of a network, before scores and boxes are made of them.

/// Raw predictions of a number of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// `[N, A, K]`.
    pub logits: Vec<f32>,
    /// `[N, A, 4]`.
    pub deltas: Vec<f32>,
}

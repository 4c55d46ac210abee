//! The accumulation window: gradients and positive anchors of some micro-batches, **summed**, divided once.
//!
//! SSD's loss is normalised by matched anchors. Averaging micro-batches that were normalised one by one optimises
//! another objective; summing first makes 4 x 2 equal to 1 x 8 up to rounding.

use crate::kernel::ChannelSums;
use crate::model::SsdModel;
use crate::ops::GradientSums;

/// The sums that one optimizer step is made from. Their memory is used again by the next.
#[derive(Debug, Default)]
pub struct Window {
    /// By layer position; none for layers that do not learn and before the first micro-batch.
    pub gradients: GradientSums,
    /// Inputs by layer position, where this window observed them; else empty.
    pub inputs: Vec<ChannelSums>,
    pub images: usize,
    /// Matched anchors.
    pub positives: usize,
    /// Class loss, summed over images.
    pub class: f64,
    /// Box loss, summed over images.
    pub boxes: f64,
}

impl Window {
    /// The divisor of the sums.
    pub fn normaliser(&self) -> f64 {
        self.positives.max(1) as f64
    }

    /// Makes room for the gradients of the layers that learn now.
    pub fn prepare(&mut self, model: &SsdModel) {
        self.gradients.prepare(model.layers.iter().map(|layer| layer.learns().then(|| layer.sizes())));
    }

    /// Begins the next window: everything back to zero, the gradients' memory kept.
    pub fn clear(&mut self) {
        let mut gradients = std::mem::take(&mut self.gradients);
        gradients.clear();
        *self = Self { gradients, ..Self::default() };
    }
}

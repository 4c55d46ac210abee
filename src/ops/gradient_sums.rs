//! Weight gradients that backward passes add to, in place.
//!
//! They do not travel through the autodiff graph: an accumulation window owns one buffer per parameter from its first
//! step to its last, and every backward pass adds to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Gradient sums of one layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerGradients {
    /// As the layer's weight.
    pub dw: Vec<f32>,
    /// `[Cout]`.
    pub db: Vec<f32>,
    /// True if the numbers are those of a window that is over, and zero stands for them.
    over: bool,
}

/// One layer's sums, shared with the operations under way.
#[derive(Clone, Debug)]
pub(super) struct SumsCell(Arc<Mutex<LayerGradients>>);

impl SumsCell {
    fn new([w, b]: [usize; 2]) -> Self {
        Self(Arc::new(Mutex::new(LayerGradients { dw: vec![0.0; w], db: vec![0.0; b], over: false })))
    }

    /// The sums as they are. They become zero here, when they are about to be added to: what was zeroed long before
    /// would have to be fetched from memory again.
    pub(super) fn lock(&self) -> MutexGuard<'_, LayerGradients> {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut sums.over) {
            zero(&mut sums.dw);
            sums.db.fill(0.0);
        }
        sums
    }
}

/// Numbers that one thread zeroes: below twice as many, a fork costs more than it gains.
const TASK_NUMBERS: usize = 1 << 15;

fn zero(numbers: &mut [f32]) {
    if numbers.len() < 2 * TASK_NUMBERS || rayon::current_num_threads() == 1 {
        return numbers.fill(0.0);
    }
    let (one, other) = numbers.split_at_mut(numbers.len() / 2);
    rayon::join(|| zero(one), || zero(other));
}

/// Gradient sums by layer position; none for a layer that does not learn.
#[derive(Debug, Default)]
pub struct GradientSums {
    layers: Vec<Option<SumsCell>>,
}

impl GradientSums {
    /// Makes room for layers with these lengths of weight and bias (`None`: does not learn). Sums that are there stay.
    pub fn prepare(&mut self, sizes: impl IntoIterator<Item = Option<[usize; 2]>>) {
        let mut old = std::mem::take(&mut self.layers).into_iter();
        self.layers = sizes
            .into_iter()
            .map(|size| {
                let there = old.next().flatten();
                size.map(|size| there.unwrap_or_else(|| SumsCell::new(size)))
            })
            .collect();
    }

    /// Back to zero, memory kept.
    pub fn clear(&mut self) {
        for SumsCell(cell) in self.layers.iter().flatten() {
            cell.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        }
    }

    /// Layers, learning or not.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The sums of the layer at `position`; `None` where it does not learn.
    pub fn get(&self, position: usize) -> Option<MutexGuard<'_, LayerGradients>> {
        Some(self.layers.get(position)?.as_ref()?.lock())
    }

    pub(super) fn cell(&self, position: usize) -> Option<SumsCell> {
        self.layers.get(position)?.clone()
    }
}

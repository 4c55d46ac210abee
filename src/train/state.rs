//! Everything a run is made of at one moment: what is saved is this, what is not saved is derivable.

use super::progress::Progress;
use super::recipe::Recipe;
use crate::model::{ConvLayer, ConvWeights, Ssd, SsdModel};
use crate::optim::{Ema, InputMean, Optimizer};
use crate::watchdog::Watchdog;

pub struct TrainState {
    pub model: SsdModel,
    /// Slots by layer position; empty for frozen layers.
    pub optimizer: Optimizer,
    /// Those of weight and bias at 2·position and 2·position + 1; empty for frozen layers. `None` where the recipe keeps no
    /// average.
    pub ema: Option<Ema>,
    /// Mean inputs by layer position; empty for frozen layers.
    pub means: Vec<InputMean>,
    pub progress: Progress,
    /// What the watchdog remembers; `None` before the run begins and where nothing is watched.
    pub watchdog: Option<Watchdog>,
}

impl TrainState {
    /// The start of a run from these weights.
    pub fn new(network: &Ssd<ConvWeights>, recipe: &Recipe) -> Self {
        let mut model = SsdModel::new(network, |stage| recipe.training(stage));
        model.round_kept(recipe.half_activations);
        let sizes = model.layers.iter().map(ConvLayer::trained_sizes);
        let half = recipe.half_state;
        let optimizer = Optimizer::new(recipe.optimizer, half, sizes.clone());
        let ema = (recipe.ema > 0.0).then(|| Ema::new(recipe.ema, sizes.flatten(), half));
        let means = vec![InputMean::default(); model.layers.len()];
        Self { model, optimizer, ema, means, progress: Progress::default(), watchdog: None }
    }

    /// The weights to judge and to keep: the moving average where there is one.
    pub fn averaged(&self) -> Ssd<ConvWeights> {
        let mut network = self.model.weights();
        if let Some(ema) = &self.ema {
            for (i, (_, conv)) in network.convs_mut().into_iter().enumerate() {
                ema.average(2 * i, &mut conv.weight);
                ema.average(2 * i + 1, &mut conv.bias);
            }
        }
        network
    }
}

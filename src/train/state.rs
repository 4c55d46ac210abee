//! The state of a run: weights, optimizer moments, moving average, counters and watchdog. All of it is saved;
//! anything else is derived from it.

use super::progress::RunProgress;
use super::recipe::Recipe;
use crate::model::{ConvLayer, ConvWeights, Ssd, SsdModel};
use crate::optim::{Ema, InputMean, Optimizer, StateVec};
use crate::watchdog::Watchdog;

pub struct TrainState {
    pub model: SsdModel,
    /// Slots by layer position; empty for frozen layers.
    pub optimizer: Optimizer,
    /// EMA lags: the weight of layer `i` at `2i`, its bias at `2i + 1`; empty for frozen layers. `None` without an average.
    pub ema: Option<Ema>,
    /// Mean inputs by layer position; empty for frozen layers.
    pub means: Vec<InputMean>,
    pub progress: RunProgress,
    /// The watchdog with its history; `None` before the run begins and where the watchdog is off.
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
        Self { model, optimizer, ema, means, progress: RunProgress::default(), watchdog: None }
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

    /// Gives the layer at `position` other weights, its optimizer a fresh start and its average no lag.
    pub(super) fn replace_layer(&mut self, position: usize, new: &ConvWeights) {
        let layer = &mut self.model.layers[position];
        layer.update(|weight, bias, _| {
            weight.copy_from_slice(&new.weight);
            bias.copy_from_slice(&new.bias);
        });
        let mut fresh = Optimizer::new(self.optimizer.kind, self.optimizer.half, [layer.trained_sizes()]);
        self.optimizer.layers[position] = fresh.layers.remove(0);
        if let Some(ema) = &mut self.ema {
            ema.lags[2 * position..2 * position + 2].iter_mut().for_each(StateVec::set_to_zero);
        }
    }
}

//! Healthy runs with other recipes than the default: a watchdog that knows only one recipe would raise false alarms
//! on the others.

use crate::optim::{Decay, OptimizerKind};
use crate::train::{LossKind, Recipe};

/// A sound way to train that is not the default one.
#[derive(Clone, Copy, Debug)]
pub struct Variety {
    pub name: &'static str,
    /// Share of the training images.
    pub share: f64,
    apply: fn(&mut Recipe),
}

impl Variety {
    /// The recipe as it is.
    pub const USUAL: Variety = variety("usual", 1.0, |_| {});

    pub const ALL: [Variety; 12] = [
        Self::USUAL,
        variety("batch-4", 1.0, |r| (r.batch, r.micro_batch) = (4, 4)),
        variety("batch-8-of-2", 1.0, |r| (r.batch, r.micro_batch) = (8, 2)),
        variety("all-layers", 1.0, |r| r.freeze = 0),
        variety("heads-only", 1.0, |r| r.freeze = 19),
        variety("sgd", 1.0, |r| (r.optimizer, r.lr) = (OptimizerKind::Sgd { momentum: 0.9 }, 1e-2)),
        variety("focal", 1.0, |r| r.loss = LossKind::Focal),
        variety("half-as-long", 1.0, |r| r.epochs = r.epochs.div_ceil(2)),
        variety("twice-as-long", 1.0, |r| r.epochs *= 2),
        variety("few-images", 0.375, |_| {}),
        variety("plain-updates", 1.0, |r| {
            (r.centred, r.lr, r.backbone_rate, r.bias_rate, r.min_anchors) = (false, 1e-3, 0.1, 1.0, 1);
        }),
        variety("steps-down", 1.0, |r| r.decay = Decay::Step),
    ];

    pub fn apply(self, recipe: &mut Recipe) {
        (self.apply)(recipe);
    }
}

const fn variety(name: &'static str, share: f64, apply: fn(&mut Recipe)) -> Variety {
    Variety { name, share, apply }
}

//! The alternatives to a run: one thing changed each, and run, to know which of them lifts AP.

use super::begin::Begin;
use super::setup::Setup;
use crate::watchdog::{Remedy, larger_side};

/// A run beside the one that is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    pub remedy: Remedy,
    pub setup: Setup,
    /// True if it has less instead of more: AP that it loses stands for what more would bring.
    pub is_reversed: bool,
}

impl Alternative {
    /// All alternatives to a run on a set of `all` training photos.
    pub fn of(base: &Setup, all: usize) -> Vec<Self> {
        let one = |remedy: Remedy, setup: Setup| Self { remedy, setup, is_reversed: false };
        let larger = larger_side(base.side);
        let mut found = vec![
            one(Remedy::Longer, Setup { epochs: 3 * base.epochs, ..base.clone() }),
            one(Remedy::LargerInput, Setup { side: larger, ..base.clone() }),
        ];
        if 2 * base.photos <= all {
            found.push(one(Remedy::MorePhotos, Setup { photos: (4 * base.photos).min(all), ..base.clone() }));
        } else {
            let fewer = Setup { photos: base.photos / 2, ..base.clone() };
            found.push(Self { is_reversed: true, ..one(Remedy::MorePhotos, fewer) });
        }
        if base.begin == Begin::Weak {
            found.push(one(Remedy::OtherStart, Setup { begin: Begin::Good, ..base.clone() }));
        }
        if base.noise.is_some() {
            found.push(one(Remedy::MendLabels, Setup { noise: None, ..base.clone() }));
        }
        found
    }

    /// Gain over the base, as AP.
    pub fn gain(&self, ap: f64, base: f64) -> f64 {
        if self.is_reversed { base - ap } else { ap - base }
    }
}

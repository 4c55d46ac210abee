//! The natural conditions of the bench: sound runs that are short of one thing, as nature makes them.

use super::begin::Begin;
use super::label_noise::LabelNoise;
use super::setup::Setup;
use clap::ValueEnum;

/// The part of the conditions that a run of the bench goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Half {
    /// The conditions that rules are made on.
    Made,
    /// The conditions that rules are judged on.
    Judged,
    Both,
}

/// The one thing that a run is short of, or nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shortage {
    Nothing,
    /// So many epochs in all.
    Epochs(u64),
    /// A side of the input of so many pixels.
    Pixels(usize),
    /// So many training photos in all.
    Photos(usize),
    /// The weak start in place of the good one.
    Start,
    Labels(LabelNoise, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    pub name: &'static str,
    /// True if rules are judged on it; fixed before the rules were made.
    pub is_judged: bool,
    shortage: Shortage,
}

impl Condition {
    pub const ALL: [Condition; 16] = [
        made("usual", Shortage::Nothing),
        judged("long", Shortage::Epochs(30)),
        made("epochs-3", Shortage::Epochs(3)),
        judged("epochs-5", Shortage::Epochs(5)),
        made("input-96", Shortage::Pixels(96)),
        judged("input-128", Shortage::Pixels(128)),
        made("photos-20", Shortage::Photos(20)),
        judged("photos-40", Shortage::Photos(40)),
        made("weak-start", Shortage::Start),
        judged("unlabelled-40", Shortage::Labels(LabelNoise::Unlabelled, 0.4)),
        made("unlabelled-20", Shortage::Labels(LabelNoise::Unlabelled, 0.2)),
        judged("shifted-25", Shortage::Labels(LabelNoise::Shifted, 0.25)),
        made("shifted-40", Shortage::Labels(LabelNoise::Shifted, 0.4)),
        judged("swapped-30", Shortage::Labels(LabelNoise::Swapped, 0.3)),
        made("swapped-15", Shortage::Labels(LabelNoise::Swapped, 0.15)),
        judged("doubled-30", Shortage::Labels(LabelNoise::Doubled, 0.3)),
    ];

    pub fn is_in(&self, half: Half) -> bool {
        match half {
            Half::Made => !self.is_judged,
            Half::Judged => self.is_judged,
            Half::Both => true,
        }
    }

    /// The run under this condition; `usual` is the run without a shortage. `None` where the set cannot show it.
    pub fn applied(&self, usual: &Setup, classes: usize) -> Option<Setup> {
        let mut setup = usual.clone();
        match self.shortage {
            Shortage::Nothing => {}
            Shortage::Epochs(epochs) => setup.epochs = epochs,
            Shortage::Pixels(side) => setup.side = side,
            Shortage::Photos(photos) => {
                setup.photos = photos.min(usual.photos / 2);
                // As many steps as the usual run has, or half as many: photos alone are short.
                setup.epochs *= (usual.photos / (2 * setup.photos).max(1)).clamp(1, 4) as u64;
            }
            Shortage::Start => setup.begin = Begin::Weak,
            Shortage::Labels(LabelNoise::Swapped, _) if classes < 2 => return None,
            Shortage::Labels(noise, share) => setup.noise = Some((noise, share)),
        }
        Some(setup)
    }
}

const fn made(name: &'static str, shortage: Shortage) -> Condition {
    Condition { name, is_judged: false, shortage }
}

const fn judged(name: &'static str, shortage: Shortage) -> Condition {
    Condition { name, is_judged: true, shortage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_have_as_many_conditions_and_each_changes_one_thing() {
        let judged = Condition::ALL.iter().filter(|c| c.is_judged).count();
        assert_eq!(2 * judged, Condition::ALL.len());
        let usual = Setup { side: 224, epochs: 10, photos: 200, begin: Begin::Good, noise: None };
        for condition in Condition::ALL {
            let short = condition.applied(&usual, 3).expect("three classes show everything");
            let fewer = short.photos < usual.photos;
            let changes = [
                short.side != usual.side,
                short.epochs != usual.epochs && !fewer,
                fewer,
                short.begin != usual.begin,
                short.noise.is_some(),
            ];
            let expected = usize::from(condition.name != "usual");
            assert_eq!(changes.iter().filter(|c| **c).count(), expected, "{}", condition.name);
        }
        assert!(Condition::ALL.iter().any(|c| c.applied(&usual, 1).is_none()), "one class cannot be swapped");
    }
}

//! Box audit: are objects where the labels' boxes are?
//!
//! Before the first step photos are shown whole to the network that the run begins with, and a regression on its feature
//! maps learns, cell by cell, what is inside labelled boxes; what it says of a photo was learned from others (as in
//! [`Appearance`](super::Appearance): held-out predictions against labels, Northcutt et al. 2021, "Confident learning").
//! A box that stands out from what is around it is in place; where a place beside it stands out more, the object is
//! there. In training the network learns the wrong places, too, so that losses tell less and later.

use super::appearance::{Appearance, below};
use super::signals::short;
use super::symptoms::median;
use serde::{Deserialize, Serialize};

/// In units of what is usual: from where on a box is in the wrong place, and surely so.
const WRONG: f32 = 0.5;
const SURE: f32 = 1.0;

/// How much a box in place must stand out, of 1 at best, for the maps to say anything. Measured: 0.14 to 0.25 on two sets of
/// photos with two pretrained networks and on scenes, 0.08 to 0.15 with 40 % of their boxes shifted, below 0.07 where
/// photos are full of objects.
const SEEN: f32 = 0.05;

/// How far the boxes of every judged image stand out from what is around them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Ascending.
    pub images: Vec<u32>,
    /// Of an image's object in most doubt: contrast of its box, less the largest beside it, in units of what is usual
    /// where it is positive: about 1 for a box in place, negative where another place is better.
    pub margins: Vec<f32>,
    /// That unit.
    pub usual: f32,
}

impl Presence {
    /// Images below which there is nothing to compare with.
    pub const FEWEST: usize = Appearance::FEWEST;

    /// From contrasts less the largest beside, by image, ascending.
    pub fn of(margins: &[(u32, f64)]) -> Self {
        let positive: Vec<f64> = margins.iter().map(|m| m.1).filter(|m| *m > 0.0).collect();
        let usual = median(&positive);
        let unit = if usual > 0.0 { usual } else { 1.0 };
        Self {
            images: margins.iter().map(|m| m.0).collect(),
            margins: margins.iter().map(|m| short(m.1 / unit)).collect(),
            usual: short(usual),
        }
    }

    /// Share of the images whose boxes are where something is; `None` where too few were judged, or too little is seen,
    /// to say.
    pub fn agreement(&self) -> Option<f64> {
        let (judged, agreed) = (self.images.len(), self.margins.iter().filter(|m| **m > 0.0).count());
        (judged >= Self::FEWEST && self.usual > SEEN).then(|| agreed as f64 / judged as f64)
    }

    /// Images with a box surely in the wrong place.
    pub fn surely_displaced(&self) -> usize {
        self.margins.iter().filter(|m| **m < -SURE).count()
    }

    /// How many times as many images have a box surely in the wrong place as one of which it is not sure. Where the network
    /// sees little of what is labelled, margins form one heap around zero, and the figure is below 1; boxes in wrong places
    /// form a heap of their own. Measured: 2.6 on two sets of photos with 40 % of their boxes shifted; on the same sets as
    /// they are 0.1 and less with a pretrained network, 0.1 and 0.8 with one that was trained on drawn scenes.
    pub fn heap_apart(&self) -> f64 {
        let unsure = self.margins.iter().filter(|m| (-SURE..=0.0).contains(*m)).count();
        self.surely_displaced() as f64 / unsure.max(1) as f64
    }

    /// Images with a box in the wrong place, most surely first.
    pub fn displaced(&self) -> Vec<u32> {
        below(&self.images, &self.margins, -WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_in_units_of_what_is_usual() {
        let margin = |i: u32| if i < 5 { -0.3 } else { 0.1 + 0.02 * f64::from(i % 6) };
        let presence = Presence::of(&(0..20).map(|i| (3 * i, margin(i))).collect::<Vec<_>>());
        assert!((presence.usual - 0.14).abs() < 0.021, "{presence:?}");
        assert_eq!(presence.agreement(), Some(0.75));
        assert_eq!((presence.surely_displaced(), presence.displaced()), (5, vec![0, 3, 6, 9, 12]));
        assert_eq!(presence.heap_apart(), 5.0);
    }

    #[test]
    fn one_heap_around_zero_has_no_other_apart() {
        let heap: Vec<(u32, f64)> = (0..100).map(|i| (i, 0.2 * (f64::from(i) / 50.0 - 0.8))).collect();
        let presence = Presence::of(&heap);
        assert!(presence.surely_displaced() > 0 && presence.heap_apart() < 1.0, "{presence:?}");
    }

    #[test]
    fn little_to_see_says_nothing() {
        let all = |n: u32, margin: f64| Presence::of(&(0..n).map(|i| (i, margin)).collect::<Vec<_>>());
        assert_eq!(all(15, 0.2).agreement(), None, "few");
        assert_eq!(all(60, 0.02).agreement(), None, "no object stands out");
        assert_eq!(all(60, -0.2).agreement(), None, "nothing agrees");
        assert_eq!(Presence::of(&[]).agreement(), None);
    }
}

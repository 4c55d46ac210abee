//! Rules about the sizes of boxes before the first step: boxes in another unit, and objects too small for the input. Small
//! is not wrong: wrong units need evidence that another unit fits.

use crate::watchdog::diagnosis::percent;
use crate::watchdog::facts::RunFacts;
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::symptoms::binomial_tail;

/// Share of images with boxes in another unit that every data set may have.
const UNMATCHED: f64 = 0.03;

/// Boxes whose coordinates are all below this lie in a corner: in another unit they would be eight times as large and more.
const CORNER: f32 = 0.125;

/// Chance of that for an image whose objects lie anywhere.
const IN_CORNER: f64 = 1.0 / 64.0;

/// Share of the objects below a cell's side from which on the input is too small for the set.
const TINY: f32 = 0.5;

/// Chance below which so many are no chance.
const CHANCE: f64 = 1e-5;

/// Images whose boxes are specks in a corner.
pub fn boxes(facts: &RunFacts) -> Option<CauseFound> {
    let specks = specks(facts);
    let share = specks.len() as f64 / facts.images.max(1) as f64;
    let chance = binomial_tail(specks.len() as u64, facts.unmatched.len() as u64, IN_CORNER);
    if share < UNMATCHED || chance > CHANCE {
        return None;
    }
    let sentence = format!(
        "{} of {} training images have all their boxes in the upper left eighth, so small that no anchor comes near: in \
         another unit they would be of usual size; look for other units or a missing scale in their label files",
        specks.len(),
        facts.images
    );
    let confidence = if share > 0.1 { 0.9 } else { 0.7 };
    Some(CauseFound::new(CauseEvidence::BoxesUnmatched, confidence, sentence).with("share", share).naming(specks))
}

/// Images whose boxes no anchor comes near, and all of which lie in the corner that coordinates in a larger unit shrink to.
fn specks(facts: &RunFacts) -> Vec<u32> {
    let all = facts.unmatched.iter().zip(&facts.extents);
    all.filter(|(_, extent)| **extent < CORNER).map(|(image, _)| *image).collect()
}

/// Objects smaller than a cell of the finest map. Small is not wrong: a larger input makes them larger.
pub fn tiny(facts: &RunFacts) -> Option<CauseFound> {
    let sides = facts.sides.filter(|s| s.below >= TINY && s.enough > s.input)?;
    let sentence = format!(
        "the input of {} pixels is small for these objects: {} of them are smaller than a cell of the finest feature map \
         ({} pixels), the median one is {:.0} pixels; at {} pixels three quarters would be larger than a cell",
        sides.input,
        percent(f64::from(sides.below)),
        sides.cell,
        sides.median,
        sides.enough
    );
    let found = CauseFound::new(CauseEvidence::ObjectsTooSmall, 0.8, sentence);
    Some(found.with("below", f64::from(sides.below)).with("enough", f64::from(sides.enough)))
}

#[cfg(test)]
mod tests {
    use super::super::before;
    use super::*;
    use crate::watchdog::cause::Cause;
    use crate::watchdog::{ObjectSides, advice};

    fn causes(facts: &RunFacts) -> Vec<Cause> {
        before(facts).into_iter().map(|found| found.cause()).collect()
    }

    #[test]
    fn small_objects_are_not_taken_for_another_unit() {
        let sides = ObjectSides { input: 160, cell: 16, median: 7.0, below: 0.9, enough: 416 };
        let spread = |i: u32| 0.1 + 0.9 * i as f32 / 222.0;
        let small = RunFacts {
            images: 225,
            unmatched: (0..222).collect(),
            extents: (0..222).map(spread).collect(),
            sides: Some(sides),
            ..RunFacts::default()
        };
        assert_eq!(causes(&small), [Cause::ObjectsTooSmall]);
        assert!(advice(Cause::ObjectsTooSmall, &small).contains("--imgsz 416"));
        // Some small ones among others are no reason to say anything.
        let some = ObjectSides { below: 0.2, ..sides };
        assert_eq!(causes(&RunFacts { sides: Some(some), ..small.clone() }), []);
        let units = RunFacts { extents: vec![0.02; 222], sides: None, ..small };
        assert_eq!(causes(&units), [Cause::BoxesUnmatched]);
    }
}

//! Resampling of images: which to show more often because their class is rare, and which to leave out.

use super::action::Action;
use super::adjustments::Adjustments;
use super::facts::RunFacts;

/// Share of the images that may be set aside in all.
pub const MOST_ASIDE: f64 = 0.5;

/// Showings of a rare class's images an epoch, and the share of an epoch that they may take.
const MOST_TIMES: f64 = 10.0;
const MOST_REPEATED: f64 = 0.25;

/// Share of images without objects that is enough to learn what is none: what detectors are commonly given.
const EMPTY_ENOUGH: f64 = 0.1;

/// Shows the images of a rare class more often: `wanted` times an epoch, within bounds.
///
/// Seen more often it is learned in other company; a weight in the loss only makes the same steps longer.
pub fn repeat(facts: &RunFacts, class: usize, wanted: f64) -> Option<Action> {
    let images = facts.shown_in.get(class).filter(|images| !images.is_empty())?;
    let most = MOST_REPEATED * facts.images as f64 / images.len() as f64;
    let times = wanted.min(MOST_TIMES).min(most).floor() as u32;
    (times > 1).then(|| Action::Repeat { images: images.clone(), times })
}

/// Sets aside images without objects beyond as many as are of use.
pub fn surplus(facts: &RunFacts, now: &Adjustments) -> Option<Action> {
    let labelled = facts.images.saturating_sub(facts.empty_images) as f64;
    let keep = (labelled * EMPTY_ENOUGH / (1.0 - EMPTY_ENOUGH)).ceil() as usize;
    let is_in = |i: &&u32| now.set_aside.binary_search(i).is_err();
    let empty: Vec<u32> = facts.empty.iter().filter(is_in).copied().collect();
    let most = ((MOST_ASIDE * facts.images as f64) as usize).saturating_sub(now.set_aside.len());
    let surplus = empty.len().saturating_sub(keep).min(most);
    // Spread over the set: neighbours in a folder are often neighbours in time.
    let images: Vec<u32> = (0..surplus).map(|i| empty[i * empty.len() / surplus]).collect();
    (!images.is_empty()).then_some(Action::SetAside { images })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_images_without_objects_stays() {
        let half = RunFacts { images: 40, empty_images: 20, empty: (0..20).collect(), batch: 2, ..RunFacts::default() };
        let none = Adjustments::default();
        let Some(Action::SetAside { images }) = surplus(&half, &none) else { panic!("nothing is set aside") };
        assert!(images.len() == 17 && images.is_sorted(), "{images:?}");
        let few = RunFacts { images: 40, empty_images: 2, empty: vec![3, 9], ..RunFacts::default() };
        assert_eq!(surplus(&few, &none), None);
        // No more than half of the set in all.
        let most = Adjustments { set_aside: (20..38).collect(), ..none };
        let Some(Action::SetAside { images }) = surplus(&half, &most) else { panic!("nothing is set aside") };
        assert_eq!(images.len(), 2);
    }

    #[test]
    fn images_of_a_rare_class_are_repeated_within_bounds() {
        let facts = RunFacts { images: 40, shown_in: vec![Vec::new(), vec![3, 8]], ..RunFacts::default() };
        assert_eq!(repeat(&facts, 1, 16.0), Some(Action::Repeat { images: vec![3, 8], times: 5 }));
        assert_eq!(repeat(&facts, 1, 3.2), Some(Action::Repeat { images: vec![3, 8], times: 3 }));
        assert_eq!((repeat(&facts, 1, 1.5), repeat(&facts, 0, 16.0)), (None, None));
    }
}

//! Class-name audit (confident learning, Northcutt et al. 2021): do the labels' class names agree with what the
//! objects look like?
//!
//! Before the first step labelled objects are cut out and shown to the network that the run begins with. A regression on
//! what its late layers make of all the *other* images' objects then says which class each one looks like (held-out
//! predictions against labels: Northcutt et al. 2021, "Confident learning"). A loss that stays high tells less: in
//! training the network also learns the wrong names.
//!
//! Where labels are right and classes differ, it mostly agrees. Classes that are hard to tell apart give disagreement, too,
//! so there is a second round: a regression on the images that were agreed with only. Hesitation stays hesitation then,
//! but an object that carries another class's name is contradicted as surely as others are confirmed, and what is left
//! explains the classes well.

use super::signals::short;
use super::symptoms::{FeatureRows, HeldOutPredictions, held_out, median};
use serde::{Deserialize, Serialize};

/// Penalties of the regression to choose from, for features whose rows have a mean square length of about 1. With 1 to 6
/// swapped labels were ranked best on two sets of photos and two pretrained networks.
const PENALTIES: [f64; 4] = [0.3, 1.0, 3.0, 8.0];

/// Share of the usual agreement from which on disagreement counts.
const SURE: f32 = 0.5;

/// How far the labels of every judged image agree with what its objects look like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Appearance {
    /// Ascending.
    pub images: Vec<u32>,
    /// Mean over an image's objects of the answer for the label less the largest for another class, in units of what is
    /// usual where it is positive: about 1 for a right label, about -1 for a wrong one.
    pub margins: Vec<f32>,
    /// Images that were agreed with in the first round.
    pub agreed: u32,
    /// Share of the classes' variance that the second round explains in images that it was not fitted on: near 0 where
    /// what the network sees does not depend on the class.
    pub explained: f32,
}

impl Appearance {
    /// Images below which there is nothing to compare with.
    pub const FEWEST: usize = 16;

    /// From features of objects; the groups are images.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn of(objects: FeatureRows) -> Self {
        let begun = held_out(objects, &PENALTIES, |_| true);
        let first = margins(objects, &begun);
        let agrees = |image: u32| first.binary_search_by_key(&image, |m| m.0).is_ok_and(|at| first[at].1 > 0.0);
        let agreed = first.iter().filter(|m| m.1 > 0.0).count();
        let refined = if agreed < first.len() { held_out(objects, &[begun.penalty], agrees) } else { begun };
        let second = margins(objects, &refined);
        let usual = median(&second.iter().filter(|m| agrees(m.0)).map(|m| m.1).collect::<Vec<_>>());
        let unit = if usual > 0.0 { usual } else { 1.0 };
        Self {
            images: second.iter().map(|m| m.0).collect(),
            margins: second.iter().map(|m| short(m.1 / unit)).collect(),
            agreed: agreed as u32,
            explained: short(refined.explained),
        }
    }

    /// Share of the images that were agreed with; `None` where too few were judged to say.
    pub fn agreement(&self) -> Option<f64> {
        let judged = self.images.len();
        (judged >= Self::FEWEST).then(|| f64::from(self.agreed) / judged as f64)
    }

    /// How surely the images that were not agreed with are contradicted by the others, against how surely those are
    /// confirmed: below 0.6 where classes are hard to tell apart, about 1 where names are wrong.
    pub fn opposition(&self) -> f64 {
        let mut margins: Vec<f64> = self.margins.iter().map(|m| f64::from(*m)).collect();
        margins.sort_by(f64::total_cmp);
        -median(&margins[..margins.len().saturating_sub(self.agreed as usize)])
    }

    /// Images whose labels are surely disagreed with, most surely first.
    pub fn contradicted(&self) -> Vec<u32> {
        below(&self.images, &self.margins, -SURE)
    }
}

/// Images whose margin lies below this, lowest first.
pub(super) fn below(images: &[u32], margins: &[f32], level: f32) -> Vec<u32> {
    let all = images.iter().copied().zip(margins.iter().copied());
    let mut found: Vec<(u32, f32)> = all.filter(|(_, margin)| *margin < level).collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    found.into_iter().map(|(image, _)| image).collect()
}

/// The mean margin of every image.
fn margins(objects: FeatureRows, found: &HeldOutPredictions) -> Vec<(u32, f64)> {
    let margin = |row: usize| {
        let (answers, label) = (&found.answers[row * objects.classes..][..objects.classes], objects.labels[row]);
        let others = answers.iter().enumerate().filter(|(class, _)| *class != label);
        answers[label] - others.map(|(_, a)| *a).fold(f64::NEG_INFINITY, f64::max)
    };
    let mut begin = 0;
    let images = objects.groups.chunk_by(|a, b| a == b).map(|group| {
        let own = begin..begin + group.len();
        begin = own.end;
        (group[0], own.map(margin).sum::<f64>() / group.len() as f64)
    });
    images.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;
    use crate::watchdog::{Cause, RunFacts, before};

    /// 150 images of one to two objects of three classes, `apart` deviations from each other; the first `wrong` images
    /// carry the next class's name.
    fn appearance(apart: f64, wrong: u32, seed: u64) -> Appearance {
        const WIDTH: usize = 12;
        let mut noise = Noise::new(seed);
        let (mut features, mut groups, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for image in 0..150u32 {
            for object in 0..=image % 2 {
                let class = ((image / 2 + object) % 3) as usize;
                let scale = (WIDTH as f64).sqrt();
                let at = |i: usize| if i % 3 == class { apart } else { 0.0 };
                features.extend((0..WIDTH).map(|i| ((at(i) + noise.normal()) / scale) as f32));
                groups.push(image);
                labels.push(if image < wrong { (class + 1) % 3 } else { class });
            }
        }
        let weights = vec![1.0; labels.len()];
        let (groups, labels) = (&groups[..], &labels[..]);
        Appearance::of(FeatureRows { features: &features, width: WIDTH, groups, labels, classes: 3, weights: &weights })
    }

    #[test]
    fn images_with_swapped_names_are_found() {
        let sound = appearance(3.0, 0, 1);
        assert!(sound.agreement() > Some(0.97) && sound.contradicted().len() <= 1, "{sound:?}");
        let swapped = appearance(3.0, 30, 1);
        let found = swapped.contradicted();
        let right = found.iter().filter(|&&image| image < 30).count();
        assert!(right >= 28 && found.len() - right <= 2, "{found:?}");
        assert!(swapped.agreement().is_some_and(|a| (0.75..0.85).contains(&a)), "{swapped:?}");
        assert!(swapped.opposition() > 0.8, "{}", swapped.opposition());
    }

    #[test]
    fn classes_that_look_alike_are_no_swapped_names() {
        let said = |apart: f64, wrong: u32, seed: u64| {
            let appearance = Some(appearance(apart, wrong, seed));
            let facts = RunFacts { appearance, spread: Some(0.5), ..RunFacts::default() };
            before(&facts).iter().any(|found| found.cause() == Cause::LabelsSwapped)
        };
        let count = |apart: f64, wrong: u32| (0..20).filter(|&seed| said(apart, wrong, seed)).count();
        let alarms: Vec<usize> = [0.4, 0.7, 1.0, 1.5].map(|apart| count(apart, 0)).into();
        assert!(alarms.iter().sum::<usize>() <= 1, "{alarms:?}");
        assert!(count(2.0, 30) >= 19);
    }

    #[test]
    fn little_to_compare_says_nothing() {
        let weights = [1.0; 3];
        let few = FeatureRows {
            features: &[0.0; 3],
            width: 1,
            groups: &[0, 1, 2],
            labels: &[0, 1, 0],
            classes: 2,
            weights: &weights,
        };
        let few = Appearance::of(few);
        assert!(few.agreement().is_none() && few.contradicted().is_empty() && few.opposition().is_finite(), "{few:?}");
    }
}

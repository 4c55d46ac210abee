//! For each cause the ladder of cures that are tried in turn, and the bounds of a single cure.

use super::action::Action;
use super::adjustments::Adjustments;
use super::facts::{RunFacts, StageKind};
use super::finding::{CauseEvidence, CauseFound};
use super::resampling::{MOST_ASIDE, repeat, surplus};

/// Largest factor on a learning rate that is too low.
const MOST_UP: f64 = 1000.0;

/// Smallest factor on a learning rate that is too high.
const MOST_DOWN: f64 = 0.02;

/// Confidence from which on images are set aside for their labels.
const CERTAIN: f32 = 0.75;

/// Largest weight of a rare class in the loss.
const MOST_CLASS_WEIGHT: f64 = 8.0;

/// The actions of this rung of the cause's ladder, where the schedule stands at `factor`; `None` above its top.
pub fn rung(found: &CauseFound, rung: u32, facts: &RunFacts, now: &Adjustments, factor: f64) -> Option<Action> {
    let ladder = ladder(found, facts, now, factor);
    let top = ladder.len() as u32;
    match ladder.into_iter().nth(rung as usize) {
        // A limit of the machine is said once.
        None if rung == 0 && top == 0 => Some(Action::Advise),
        other => other,
    }
}

fn ladder(found: &CauseFound, facts: &RunFacts, now: &Adjustments, factor: f64) -> Vec<Action> {
    use CauseEvidence::*;
    let back = |rate, backbone| Action::RollBack { rate, backbone };
    match found.evidence {
        RateTooHigh { heat } => {
            // The heat will be at its highest when the schedule is.
            let heat = f64::from(heat) / factor.clamp(0.05, 1.0);
            let by = (0.5 / heat).clamp(MOST_DOWN, 0.5) as f32;
            vec![back(by, 1.0), back(by.min(0.3), 1.0), back(0.3, 1.0), Action::Stop]
        }
        BackboneCollapsed => vec![back(1.0, 0.2), back(1.0, 0.0), Action::Stop],
        RateTooLow { update_ratio } => faster(f64::from(update_ratio), facts),
        NeverWarmsUp | DecaysAtOnce | OutlastsRun => vec![Action::Reschedule],
        NonFinite => vec![back(1.0, 1.0), back(0.5, 1.0), back(0.25, 1.0), Action::Stop],
        GradientsExplode { .. } => {
            let norm = if facts.clip > 0.0 { facts.clip / 4.0 } else { 1.0 };
            vec![Action::Clip { norm: norm as f32 }, back(0.5, 1.0), Action::Stop]
        }
        // The weights of the run's start are no better where the stage was so from the beginning.
        DeadStage { stage, from_the_start: true } | SaturatedStage { stage, from_the_start: true } => {
            vec![Action::Renew { stages: vec![stage] }]
        }
        DeadStage { stage, .. } | SaturatedStage { stage, .. } | GradientsVanish { stage } => {
            vec![Action::Reload { stage }, Action::Renew { stages: vec![stage] }]
        }
        FeatureMapStarves { map } => fresh_heads(map, facts),
        ClassStarves { class, share } => favour(class, f64::from(share), facts),
        // Leaving photos out takes more certainty than telling of them.
        BoxesWrong | LabelsSwapped | ObjectsUnlabelled if found.diagnosis.confidence < CERTAIN => Vec::new(),
        PoisonousImage | BoxesWrong | LabelsSwapped | ObjectsUnlabelled | BoxesUnmatched => {
            set_aside(&found.diagnosis.images, facts, now)
        }
        NoPositives { share } => fewer_idle_steps(f64::from(share), facts, now),
        WeightDecayTooLarge => {
            let by = (facts.usual_weight_decay / facts.weight_decay.max(1e-12)).clamp(1e-4, 1.0);
            vec![Action::ScaleDecay { by: by as f32 }]
        }
        Overfitting => {
            let augment = facts.may_augment.then_some(Action::Augment);
            // The run is not ended: most of what a falling rate brings comes with the last epochs, and `patience` is for those
            // who want an early end. On 160 photos, an ended run kept AP 0.59 where whole ones reach 0.68.
            augment.into_iter().chain([Action::ScaleRate { by: 0.3 }]).collect()
        }
        DataExhausted => vec![Action::ScaleRate { by: 0.1 }, Action::Stop],
        // More photos help; on scenes and two sets of photos a lower rate or more augmentation gained nothing, or lost.
        TooFewPhotos => Vec::new(),
        // Half the rate quiets the noise as twice the batch does (Smith et al. 2018), but on scenes and two sets of photos
        // runs that were left alone came out as well or better.
        BatchTooSmall => Vec::new(),
        WeightsNotLoaded | WeakStart | PipelineStarved | ObjectsTooSmall | ClassStray { .. } => Vec::new(),
    }
}

/// A rate at which the stage that moves most moves by half of what a well-set extra moves by at its most.
fn faster(update_ratio: f64, facts: &RunFacts) -> Vec<Action> {
    let usual = 1.5e-3 * facts.tolerance.min(4.0);
    let by = (usual / update_ratio.max(1e-9)).clamp(2.0, MOST_UP);
    vec![Action::ScaleRate { by: by as f32 }, Action::ScaleRate { by: by.sqrt() as f32 }]
}

/// New weights for the heads of a feature map: fitted where they are dead, else random, one head after the other.
fn fresh_heads(map: usize, facts: &RunFacts) -> Vec<Action> {
    let kinds = [StageKind::ClassHead, StageKind::BoxHead];
    let stages: Vec<usize> = kinds.iter().filter_map(|k| facts.of_kind(*k).nth(map)).collect();
    let afresh: Vec<Action> = stages.iter().map(|&stage| Action::Reinitialise { stage }).collect();
    std::iter::once(Action::Renew { stages }).chain(afresh).collect()
}

/// A rare class is shown more often, then weighed more. A class that no image shows cannot be favoured.
fn favour(class: usize, share: f64, facts: &RunFacts) -> Vec<Action> {
    if share <= 0.0 {
        return Vec::new();
    }
    let even = 1.0 / facts.classes.len().max(1) as f64;
    let weights = |power: f64| {
        let mut weights = vec![1.0; facts.classes.len()];
        if let Some(weight) = weights.get_mut(class) {
            *weight = (even / share).powf(power).clamp(1.0, MOST_CLASS_WEIGHT) as f32;
        }
        Action::WeighClasses { weights }
    };
    repeat(facts, class, 0.5 * even / share).into_iter().chain([weights(0.5), weights(1.0)]).collect()
}

/// Images are left out, as long as enough of the set is left.
fn set_aside(images: &[u32], facts: &RunFacts, now: &Adjustments) -> Vec<Action> {
    let allowed = (MOST_ASIDE * facts.images as f64) as usize;
    let new: Vec<u32> = images.iter().copied().filter(|i| now.set_aside.binary_search(i).is_err()).collect();
    if new.is_empty() || now.set_aside.len() + new.len() > allowed {
        return Vec::new();
    }
    vec![Action::SetAside { images: new }]
}

/// Surplus images without objects are left out; where steps without a positive remain, more images make a step.
///
/// Gradients are summed over a step's micro-batches: a micro-batch without positives only wastes time, a step without
/// any follows noise.
fn fewer_idle_steps(share: f64, facts: &RunFacts, now: &Adjustments) -> Vec<Action> {
    let pieces = (facts.batch * now.batch / facts.micro_batch.max(1)).max(1);
    let idle_steps = share.powi(pieces as i32);
    let accumulate = (idle_steps > 0.2).then_some(Action::Accumulate { times: 2 });
    // The ladder stays as long when its first rung has been taken.
    let aside = surplus(facts, &Adjustments::default()).map(|all| surplus(facts, now).unwrap_or(all));
    aside.into_iter().chain(accumulate).collect()
}

#[cfg(test)]
mod tests {
    use super::super::advice::advice;
    use super::*;

    #[test]
    fn every_cause_has_a_bounded_ladder_and_an_advice() {
        let facts = RunFacts { classes: vec!["a".into(), "b".into()], images: 20, ..RunFacts::default() };
        let all = [
            CauseEvidence::RateTooHigh { heat: 1.0 },
            CauseEvidence::RateTooLow { update_ratio: 1e-6 },
            CauseEvidence::ClassStarves { class: 1, share: 0.01 },
            CauseEvidence::PoisonousImage,
            CauseEvidence::WeakStart,
            CauseEvidence::DeadStage { stage: 0, from_the_start: false },
            CauseEvidence::NonFinite,
        ];
        for evidence in all {
            let (cause, found) = (evidence.cause(), CauseFound::new(evidence, 1.0, String::new()).naming(vec![3]));
            let steps = (0..).map_while(|r| rung(&found, r, &facts, &Adjustments::default(), 0.5)).count();
            assert!((1..=4).contains(&steps), "{cause:?}: {steps}");
            assert!(!advice(cause, &facts).is_empty());
        }
        let found = CauseFound::new(CauseEvidence::BoxesWrong, 1.0, String::new()).naming((0..15).collect());
        assert_eq!(rung(&found, 0, &facts, &Adjustments::default(), 1.0), Some(Action::Advise), "more than half");
        let found = CauseFound::new(CauseEvidence::RateTooHigh { heat: 3.0 }, 1.0, String::new());
        let Some(Action::RollBack { rate, .. }) = rung(&found, 0, &facts, &Adjustments::default(), 0.32) else {
            panic!()
        };
        assert!((0.04..0.06).contains(&rate), "{rate}");
    }
}

//! Advice for each cause: what only a person can do.

use super::cause::Cause;
use super::facts::RunFacts;

/// The advice for the person, in one sentence.
pub fn advice(cause: Cause, facts: &RunFacts) -> String {
    let class = |c: usize| facts.class_name(c);
    match cause {
        Cause::NonFinite => "Look at the images of that step, and start with a lower rate.".into(),
        Cause::PoisonousImage => "Look at this image and its label file.".into(),
        Cause::RateTooHigh => format!("Start the next run with a lower rate than {:.1e} (--lr).", facts.lr),
        Cause::RateTooLow => format!("Start the next run with a higher rate than {:.1e} (--lr).", facts.lr),
        Cause::NeverWarmsUp => "Make the warm-up a tenth of the run or less (--warmup).".into(),
        Cause::DecaysAtOnce | Cause::OutlastsRun => "Tie the decay to the run's length (--decay cosine).".into(),
        Cause::GradientsVanish(s) | Cause::GradientsExplode(s) | Cause::DeadStage(s) | Cause::SaturatedStage(s) => {
            format!("Check {} in the weights file.", facts.stage_name(s))
        }
        Cause::BackboneCollapsed => {
            "Give the backbone a lower rate (--backbone-rate) or hold it longer (--hold).".into()
        }
        Cause::WeightsNotLoaded => "Give a file with a pretrained backbone (--weights).".into(),
        Cause::WeakStart => "Begin with weights trained for detection, or train for many more epochs.".into(),
        Cause::FeatureMapStarves(_) => "Check that the input size suits the size of the objects (--imgsz).".into(),
        Cause::ClassStarves(c) => format!("Photograph more of {}.", class(c)),
        Cause::BoxesWrong => "Look at the named images: their boxes do not lie on the objects.".into(),
        Cause::LabelsSwapped => "Look at the named images: their objects carry another class's name.".into(),
        Cause::ObjectsUnlabelled => "Look at the named images: they show objects that nobody labelled.".into(),
        Cause::ClassStray(c) => format!("Photograph more of {}, or leave the class out.", class(c)),
        Cause::BoxesUnmatched => {
            "Look at the label files of the named images: units, order of coordinates, scale.".into()
        }
        Cause::ObjectsTooSmall => match facts.sides {
            Some(sides) => {
                format!("Train with a larger input (--imgsz {}), or cut the photos into parts.", sides.larger_input())
            }
            None => "Train with a larger input (--imgsz).".into(),
        },
        Cause::NoPositives => {
            "Check why so many images have no object that an anchor matches (fieldtune check).".into()
        }
        Cause::Overfitting | Cause::TooFewPhotos | Cause::DataExhausted => {
            format!("Label more photos: {} are too few.", facts.images)
        }
        Cause::BatchTooSmall => format!("Use a larger batch than {} (--batch).", facts.batch),
        Cause::WeightDecayTooLarge => {
            format!("Use a weight decay near {:.0e}, not {:.0e}.", facts.usual_weight_decay, facts.weight_decay)
        }
        Cause::PipelineStarved => "Pack the data set on a faster disk, or give the loader more threads.".into(),
    }
}

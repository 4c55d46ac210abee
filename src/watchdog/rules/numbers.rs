//! Rules for NaN and infinite values, and for a single image that causes them.

use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::history::RuleView;
use crate::watchdog::signals::short;

/// Times the median image's loss at which one appearance is proof enough.
const BEYOND_DOUBT: f32 = 50.0;

/// An image is outrageous by its own loss, not because all losses of its step are: then the network is to blame.
pub fn poisonous_image(view: &RuleView) -> Option<CauseFound> {
    let last = view.last()?;
    let shock = last.shock?;
    let before: Vec<_> = view.memory.digests.iter().rev().skip(1).filter_map(|d| d.shock).collect();
    // Different images one after the other: not an image's fault.
    if before.iter().take(3).any(|s| s.image != shock.image) && before.len() >= 2 {
        return None;
    }
    let again = before.iter().any(|s| s.image == shock.image);
    if shock.times < BEYOND_DOUBT && !again {
        return None;
    }
    let broken = shock.times >= short(1e30);
    let how = if broken { "is NaN".into() } else { format!("is {:.0} times the median image's", shock.times) };
    let sentence = format!(
        "at step {} the loss of one image {how}, while the others are as before: its gradient would drown them all",
        last.step
    );
    let confidence = if again || broken { 0.95 } else { 0.85 };
    let found =
        CauseFound::new(CauseEvidence::PoisonousImage, confidence, sentence).with("times", f64::from(shock.times));
    Some(found.naming(vec![shock.image]))
}

pub fn non_finite(view: &RuleView) -> Option<CauseFound> {
    let step = view.last()?.non_finite?;
    // An image whose loss is NaN by itself is the other rule's, and a rate that is too high has its own.
    let hot = super::rate::too_high(view);
    if let Some(mut hot) = hot {
        let before = hot.diagnosis.sentence;
        hot.diagnosis.sentence =
            format!("at step {step} the loss or a gradient was NaN or infinite; before that, {before}");
        return Some(hot);
    }
    let loss = view.middle(3, |d| d.loss());
    let before = loss.map_or(String::new(), |l| format!("; the loss before was {l:.2} and nothing was out of order"));
    let sentence = format!("at step {step} the loss or its gradient was NaN or infinite{before}");
    Some(CauseFound::new(CauseEvidence::NonFinite, 0.9, sentence).with("step", step as f64))
}

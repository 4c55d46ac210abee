//! Rules for faults of the data set as training shows them: no positives, a starving class or feature map,
//! overfitting, nothing left to learn.

use crate::watchdog::diagnosis::percent;
use crate::watchdog::facts::StageKind;
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::history::RuleView;
use crate::watchdog::signals::{EpochSignals, short};
use crate::watchdog::symptoms::{ALPHA, binomial_tail, is_flat, median, trend};

/// Micro-batches without a positive, more than the images without objects explain.
pub fn no_positives(view: &RuleView) -> Option<CauseFound> {
    let recent = view.recent(16);
    let (total, barren) =
        recent.iter().fold((0, 0), |(n, k), d| (n + u64::from(d.micro_batches), k + u64::from(d.barren)));
    let empty = view.facts.empty_images as f64 / view.facts.images.max(1) as f64;
    let expected = empty.powi(view.facts.micro_batch.max(1) as i32).max(0.03);
    let share = barren as f64 / total.max(1) as f64;
    let unexplained = share > 2.0 * expected && share > 0.2;
    if total < 16 || !(unexplained || share > 0.4) || binomial_tail(barren, total, expected.min(0.2)) > ALPHA {
        return None;
    }
    let sentence = format!(
        "{barren} of the last {total} micro-batches had no matched anchor; {} of the images are without objects, which \
         explains {}",
        percent(empty),
        percent(expected)
    );
    Some(
        CauseFound::new(CauseEvidence::NoPositives { share: short(share) }, 0.9, sentence)
            .with("share", share)
            .with("expected", expected),
    )
}

/// A feature map whose heads get no gradient, or that no longer gets the anchors it should.
pub fn feature_map_starves(view: &RuleView) -> Option<CauseFound> {
    let shares = view.shares(|d| &d.maps);
    let total: u64 = shares.iter().map(|s| s.0).sum();
    let heads: Vec<usize> = view.facts.of_kind(StageKind::ClassHead).collect();
    for (map, &(positives, loss)) in shares.iter().enumerate() {
        let share = positives as f64 / total.max(1) as f64;
        // Cut off: objects are matched here, and what is learned from them is nothing.
        let silent = heads.get(map).filter(|&&i| view.facts.stages[i].trained).is_some_and(|&i| {
            let norms: Vec<f64> =
                view.looks().filter_map(|d| d.stages.get(i)).map(|s| f64::from(s.grad_norm)).collect();
            norms.len() >= 8 && norms[norms.len() - 8..].iter().all(|g| *g < 1e-7)
        });
        // A look sees one step, in which a rarely matched map may have nothing to learn.
        if silent && positives >= 40 && share > 0.08 {
            let sentence = format!(
                "feature map {map} has {} of the matched anchors at loss {loss:.1}, but its heads get no gradient",
                percent(share)
            );
            return Some(CauseFound::new(CauseEvidence::FeatureMapStarves { map }, 0.9, sentence).with("share", share));
        }
        // Starved: the labels have objects for it, training does not match them.
        let known: u64 = view.facts.map_positives.iter().sum();
        let Some(&expected) = view.facts.map_positives.get(map).filter(|_| known > 0) else { continue };
        let expected = expected as f64 / known as f64;
        if expected > 0.08
            && total > 400
            && share < 0.1 * expected
            && binomial_tail(total - positives, total, 1.0 - expected) < ALPHA
        {
            let sentence = format!(
                "feature map {map} gets {} of the matched anchors, the labels have {} for it",
                percent(share),
                percent(expected)
            );
            return Some(CauseFound::new(CauseEvidence::FeatureMapStarves { map }, 0.8, sentence).with("share", share));
        }
    }
    None
}

/// A rare class that stays unlearned while another is learned.
pub fn class_starves(view: &RuleView) -> Option<CauseFound> {
    const EPOCHS: usize = 4;
    let epochs = &view.memory.epochs;
    let shares = view.shares(|d| &d.classes);
    let total: u64 = shares.iter().map(|s| s.0).sum();
    if epochs.len() < EPOCHS || shares.len() < 2 || total == 0 {
        return None;
    }
    let recent = &epochs[epochs.len() - EPOCHS..];
    let ap = |e: &EpochSignals, c: usize| e.class_ap.get(c).copied().unwrap_or(0.0);
    let latest = recent.last()?;
    let (class, share) = (0..shares.len())
        .map(|c| (c, shares[c].0 as f64 / total as f64))
        .filter(|&(c, _)| view.facts.objects.get(c).is_none_or(|n| *n > 0) && !view.facts.is_stray(c))
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    let best = (0..shares.len()).max_by(|&a, &b| ap(latest, a).total_cmp(&ap(latest, b)))?;
    let unlearned = recent.iter().all(|e| ap(e, class) < 0.05 || ap(e, class) < 0.15 * ap(e, best));
    let scarce = share < 0.04f64.min(0.3 / shares.len() as f64);
    if !scarce || !unlearned || ap(latest, best) < 0.25 || class == best {
        return None;
    }
    let sentence = format!(
        "class {} gets {} of the matched anchors; its AP has been at most {:.2} for {EPOCHS} epochs while that of {} is {:.2}",
        view.facts.class_name(class),
        percent(share),
        recent.iter().map(|e| ap(e, class)).fold(0.0, f32::max),
        view.facts.class_name(best),
        ap(latest, best)
    );
    Some(
        CauseFound::new(CauseEvidence::ClassStarves { class, share: short(share) }, 0.9, sentence)
            .with("share", share)
            .with("best_ap", f64::from(ap(latest, best))),
    )
}

fn sum(loss: [f32; 2]) -> f64 {
    f64::from(loss[0]) + f64::from(loss[1])
}

/// The classes are learned by heart, whatever becomes of the boxes: on training images their loss is a third of what it is
/// on validation images, where it has not been as low as it was for four epochs and more.
fn classes_by_heart(epochs: &[EpochSignals]) -> bool {
    const LATEST: usize = 4;
    let held_out: Vec<f64> = epochs.iter().filter_map(|e| e.validation.map(|v| f64::from(v[0]))).collect();
    let Some(from) = held_out.len().checked_sub(LATEST) else { return false };
    let (before, latest) = held_out.split_at(from);
    let lowest = before.iter().copied().fold(f64::INFINITY, f64::min);
    let now = f64::from(epochs[epochs.len() - 1].training[0]);
    latest.iter().all(|l| *l > 1.05 * lowest && *l > 3.0 * now)
}

/// The training loss goes on falling, the validation figures turn: loss by trend, or AP by a lasting drop.
pub fn overfitting(view: &RuleView) -> Option<CauseFound> {
    let epochs = &view.memory.epochs;
    let last = epochs.last()?;
    let train: Vec<f64> = epochs.iter().map(|e| sum(e.training)).collect();
    let held_out: Vec<f64> = epochs.iter().filter_map(|e| e.validation.map(sum)).collect();
    if held_out.len() == epochs.len() && epochs.len() >= 6 {
        let lowest = held_out.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let since = &held_out[lowest.0..];
        let now = median(&held_out[held_out.len() - 3..]);
        let gap = now / train[train.len() - 1].max(1e-6);
        let fell = train[train.len() - 1] < 0.9 * train[lowest.0];
        let turned = since.len() >= 4 && now > 1.25 * lowest.1 && fell;
        // Photos shown uncropped at the end of a run make the gap wide without any harm: the figures must turn, too.
        let apart = epochs.len() >= 8
            && gap > 2.0
            && now > 1.1 * lowest.1
            && trend(&held_out[held_out.len() - 8..]).is_some_and(|t| t.falling() > 0.05);
        // Where almost nothing is left to learn from, a slow but certain rise is enough, if it is one that matters.
        let by_heart = epochs.len() >= 8
            && gap > 3.0
            && now > 1.05 * lowest.1
            && trend(&held_out[held_out.len() - 8..]).is_some_and(|t| t.rising() < 0.01);
        let by_classes = classes_by_heart(epochs);
        // While AP still rises, no harm is done.
        let ap = |e: &EpochSignals| e.ap.unwrap_or(0.0);
        let (recent, earlier) = epochs.split_at(epochs.len() - 3);
        let rising = |(a, b): (&[EpochSignals], &[EpochSignals])| {
            let best = |e: &[EpochSignals]| e.iter().map(ap).fold(0.0, f32::max);
            best(b) > 1.02 * best(a)
        };
        let whole = turned || apart || by_heart;
        if (whole || by_classes) && !rising((recent, earlier)) {
            let (which, part): (_, fn([f32; 2]) -> f64) =
                if whole { ("loss", sum) } else { ("class loss", |loss| f64::from(loss[0])) };
            let held_out: Vec<f64> = epochs.iter().filter_map(|e| e.validation.map(part)).collect();
            let lowest = held_out.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
            let sentence = format!(
                "the {which} is {:.2} on training images and {:.2} on validation images, where it was {:.2} after epoch {}: \
                 the network learns these {} photos by heart",
                part(last.training),
                median(&held_out[held_out.len() - 3..]),
                lowest.1,
                epochs[lowest.0].epoch,
                view.facts.images
            );
            return Some(CauseFound::new(CauseEvidence::Overfitting, 0.9, sentence).with("gap", gap));
        }
        return None;
    }
    let best = epochs.iter().enumerate().max_by(|a, b| a.1.ap.unwrap_or(0.0).total_cmp(&b.1.ap.unwrap_or(0.0)))?;
    let (peak, now) = (best.1.ap?, last.ap?);
    let since = epochs.len() - 1 - best.0;
    let below = epochs[best.0 + 1..].iter().all(|e| e.ap.unwrap_or(0.0) < 0.9 * peak);
    if since < 5 || !below || now > 0.8 * peak || train[train.len() - 1] > 0.85 * train[best.0] {
        return None;
    }
    let sentence = format!(
        "AP has fallen from {peak:.3} after epoch {} to {now:.3}, while the training loss fell from {:.2} to {:.2}",
        best.1.epoch,
        train[best.0],
        train[train.len() - 1]
    );
    Some(
        CauseFound::new(CauseEvidence::Overfitting, 0.8, sentence)
            .with("peak", f64::from(peak))
            .with("now", f64::from(now)),
    )
}

/// Neither loss nor AP moves at a full rate, far below a blind network's loss: more epochs bring nothing.
pub fn exhausted(view: &RuleView) -> Option<CauseFound> {
    const EPOCHS: usize = 8;
    let epochs = &view.memory.epochs;
    if epochs.len() < 2 * EPOCHS || view.last()?.factor < 0.5 {
        return None;
    }
    let recent = &epochs[epochs.len() - EPOCHS..];
    let loss: Vec<f64> = recent.iter().map(|e| sum(e.training)).collect();
    let ap: Vec<f64> = recent.iter().filter_map(|e| e.ap.map(f64::from)).collect();
    let learned = median(&loss) < 0.3 * view.start_loss()?.iter().sum::<f64>();
    if !learned || ap.len() < EPOCHS || !is_flat(&loss, 0.1 * median(&loss)) || !is_flat(&ap, 0.02) {
        return None;
    }
    let sentence = format!(
        "over {EPOCHS} epochs at {} of the full rate neither the loss ({:.2}) nor AP ({:.3}) has moved",
        percent(f64::from(view.last()?.factor)),
        median(&loss),
        median(&ap)
    );
    Some(
        CauseFound::new(CauseEvidence::DataExhausted, 0.7, sentence)
            .with("loss", median(&loss))
            .with("ap", median(&ap)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::cause::Cause;
    use crate::watchdog::facts::RunFacts;
    use crate::watchdog::history::History;

    fn found(epochs: &[([f32; 2], [f32; 2], f32)]) -> Option<Cause> {
        let epochs = (1..).zip(epochs).map(|(epoch, &(training, validation, ap))| EpochSignals {
            epoch,
            training,
            validation: Some(validation),
            ap: Some(ap),
            ..EpochSignals::default()
        });
        let memory = History { epochs: epochs.collect(), ..History::default() };
        overfitting(&RuleView { facts: &RunFacts::default(), memory: &memory }).map(|found| found.cause())
    }

    #[test]
    fn classes_learned_by_heart_are_overfitting_though_boxes_still_get_better() {
        // Every fourth epoch of a run on a dozen scenes.
        let a_dozen = [
            ([3.0, 2.6], [3.49, 3.47], 0.025),
            ([2.2, 1.4], [3.47, 3.12], 0.058),
            ([1.53, 0.78], [3.58, 2.91], 0.085),
            ([1.0, 0.39], [3.70, 2.81], 0.105),
            ([0.78, 0.3], [3.81, 2.78], 0.104),
            ([0.64, 0.2], [3.90, 2.76], 0.104),
            ([0.66, 0.22], [3.94, 2.76], 0.106),
            ([0.73, 0.3], [3.96, 2.75], 0.105),
        ];
        assert_eq!(found(&a_dozen), Some(Cause::Overfitting));
        // The calm end of a run makes a gap, too: there the figures do not turn.
        let calm = a_dozen.map(|(training, [_, boxes], ap)| (training, [3.3, boxes], ap));
        assert_eq!(found(&calm), None);
        let learning: Vec<_> = (0..8).map(|i| (a_dozen[i].0, a_dozen[i].1, 0.02 * i as f32)).collect();
        assert_eq!(found(&learning), None);
    }
}

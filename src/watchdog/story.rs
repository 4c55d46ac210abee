//! The journal told to a person: what happened, why, what was done, what it changed, and what is left to do.

use super::advice::advice;
use super::cure::Action;
use super::diagnosis::{Cause, listed};
use super::facts::RunFacts;
use super::journal::{Entry, Outcome};
use super::signals::EpochSignals;
use super::suspects::OUTSTANDING;

/// Sentences, one event a line, advice last. `name` gives the file name of a training image.
pub fn story(entries: &[Entry], name: &dyn Fn(u32) -> String) -> Vec<String> {
    let mut facts = RunFacts::default();
    let mut lines = Vec::new();
    let mut causes: Vec<(Cause, Vec<u32>)> = Vec::new();
    let mut epochs: Vec<&EpochSignals> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Run { facts: run, .. } => facts = (**run).clone(),
            Entry::Epoch(epoch) => epochs.push(epoch),
            Entry::Diagnosis(found) => {
                let named: Vec<String> = found.images.iter().map(|&i| name(i)).collect();
                let which = if named.is_empty() { String::new() } else { format!(": {}", listed(&named)) };
                lines.push(format!(
                    "{}, {}: {}{which}.",
                    when(found.step, &facts),
                    found.cause.words(),
                    found.sentence
                ));
                match causes.iter_mut().find(|(cause, _)| *cause == found.cause) {
                    Some((_, images)) => images.extend(&found.images),
                    None => causes.push((found.cause, found.images.clone())),
                }
            }
            Entry::Cure(cure) if cure.action == Action::Advise => {}
            Entry::Cure(cure) => {
                let said = if cure.applied { "Cure" } else { "Advised cure" };
                lines.push(format!("  {said} at step {}: {}.", cure.step, cure.sentence));
            }
            Entry::Verdict(verdict) => {
                let said = match verdict.outcome {
                    Outcome::Helped => "It helped",
                    Outcome::NoChange => "It did not help",
                    Outcome::Worse => "It did harm",
                    Outcome::Overtaken => "It was cut short",
                };
                lines.push(format!("  {said} (step {}): {}.", verdict.step, verdict.sentence));
            }
            Entry::GaveUp { step, sentence, .. } => lines.push(format!("  Step {step}: {sentence}.")),
            Entry::Digest(_) | Entry::Pace(_) => {}
        }
    }
    let mut told = vec![summary(&epochs, lines.is_empty())];
    told.extend(lines);
    told.extend(worth_a_look(&epochs, name));
    for (cause, mut images) in causes {
        let mut seen = std::collections::BTreeSet::new();
        images.retain(|i| seen.insert(*i));
        let named: Vec<String> = images.iter().map(|&i| name(i)).collect();
        let which = if named.is_empty() { String::new() } else { format!(" ({})", listed(&named)) };
        told.push(format!("To do: {}{which}", advice(cause, &facts)));
    }
    told
}

/// The images that stand out most at the end, whether or not they are enough for a diagnosis.
fn worth_a_look(epochs: &[&EpochSignals], name: &dyn Fn(u32) -> String) -> Option<String> {
    const SHOWN: usize = 14;
    let suspicion = epochs.last().map(|e| &e.suspicion).filter(|s| s.epochs >= 4)?;
    let standing_out = suspicion.worst.iter().filter(|s| s.score() > OUTSTANDING);
    let names: Vec<String> = standing_out.take(SHOWN).map(|s| name(s.index)).collect();
    let said = "Worth a look, for their losses stay high, highest first: ";
    (!names.is_empty()).then(|| format!("{said}{}.", names.join(", ")))
}

/// The images that stand out most at the end, most suspicious first, with what speaks against each.
pub fn suspicious(entries: &[Entry], most: usize) -> Vec<(u32, String)> {
    let mut epochs = entries.iter().filter_map(|e| if let Entry::Epoch(epoch) = e { Some(epoch) } else { None });
    let Some(last) = epochs.next_back().filter(|e| e.suspicion.epochs >= 4) else { return Vec::new() };
    let told = last.suspicion.worst.iter().take(most).map(|s| {
        let doubts = [(s.misplaced(), "boxes"), (s.swapped(), "names"), (s.unlabelled(), "unlabelled")];
        let strongest = doubts.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or("", |d| d.1);
        (s.index, format!("{strongest} {:.1}", s.score()))
    });
    told.collect()
}

fn when(step: u64, facts: &RunFacts) -> String {
    match step {
        0 => "Before the run".into(),
        _ => format!("Step {step} (epoch {})", step.saturating_sub(1) / facts.steps_per_epoch.max(1) + 1),
    }
}

fn summary(epochs: &[&EpochSignals], healthy: bool) -> String {
    let health = if healthy { "nothing stood in the way of learning" } else { "not everything was in order" };
    let ([first, ..], [.., last]) = (epochs, epochs) else {
        return format!("In this run {health}.");
    };
    let loss = |e: &EpochSignals| e.training[0] + e.training[1];
    let best = epochs.iter().filter_map(|e| e.ap.map(|ap| (ap, e.epoch))).max_by(|a, b| a.0.total_cmp(&b.0));
    let best = best.map_or(String::new(), |(ap, epoch)| format!(", the best AP was {ap:.3} after epoch {epoch}"));
    format!("In {} epochs the loss went from {:.2} to {:.2}{best}; {health}.", last.epoch, loss(first), loss(last))
}

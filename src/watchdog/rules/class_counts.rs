//! Rules about how many objects each class has, before the first step: none at all, too few against the others, next to none
//! altogether.

use crate::watchdog::diagnosis::{listed, percent};
use crate::watchdog::facts::RunFacts;
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::signals::short;

/// Share of an even share of the objects below which a class starves.
const SCARCE: f64 = 0.1;

/// Classes that no training image shows, although they are judged.
pub fn classes(facts: &RunFacts) -> Option<CauseFound> {
    let absent = |c: &usize| facts.objects[*c] == 0 && !facts.is_stray(*c);
    let empty: Vec<usize> = (0..facts.objects.len()).filter(absent).collect();
    let first = *empty.first()?;
    let names: Vec<String> = empty.iter().map(|&c| facts.class_name(c).to_string()).collect();
    let sentence = format!("no training image shows {}: what is not shown cannot be learned", listed(&names));
    Some(
        CauseFound::new(CauseEvidence::ClassStarves { class: first, share: 0.0 }, 1.0, sentence)
            .with("classes", empty.len() as f64),
    )
}

/// A class whose share of the objects is a tenth of an even one, in a set large enough to tell.
pub fn scarce(facts: &RunFacts) -> Option<CauseFound> {
    let total: u64 = facts.objects.iter().sum();
    let known = facts.objects.iter().enumerate().filter(|(c, n)| **n > 0 && !facts.is_stray(*c));
    let (class, &count) = known.min_by_key(|(_, n)| **n)?;
    let even = 1.0 / facts.objects.len() as f64;
    let share = count as f64 / total as f64;
    if facts.objects.len() < 2 || total < 50 || share > SCARCE * even {
        return None;
    }
    let sentence = format!(
        "class {} has {count} of {total} labelled objects ({}, an even share is {}): the others will be learned in its place",
        facts.class_name(class),
        percent(share),
        percent(even)
    );
    Some(
        CauseFound::new(CauseEvidence::ClassStarves { class, share: short(share) }, 0.8, sentence).with("share", share),
    )
}

/// Classes of which there are so few objects that they are neither learned nor judged.
pub fn stray(facts: &RunFacts) -> Option<CauseFound> {
    let strays: Vec<usize> = (0..facts.objects.len()).filter(|&c| facts.is_stray(c)).collect();
    let &class = strays.first().filter(|_| strays.len() < facts.objects.len())?;
    let names: Vec<String> = strays.iter().map(|&c| facts.class_name(c).to_string()).collect();
    let sentence = format!(
        "of {} there are too few labelled objects to learn from or to judge by; AP shows next to nothing of that, and the \
         other classes do not suffer",
        listed(&names)
    );
    Some(CauseFound::new(CauseEvidence::ClassStray { class }, 0.9, sentence).with("classes", strays.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::super::before;
    use super::*;
    use crate::watchdog::cause::Cause;

    fn causes(facts: &RunFacts) -> Vec<Cause> {
        before(facts).into_iter().map(|found| found.cause()).collect()
    }

    #[test]
    fn a_class_of_one_box_is_told_last_and_is_no_reason() {
        let of = |objects: Vec<u64>, judged_objects: Vec<u64>| RunFacts {
            classes: (0..objects.len()).map(|i| format!("class {i}")).collect(),
            images: 100,
            objects,
            judged_objects,
            ..RunFacts::default()
        };
        assert_eq!(causes(&of(vec![200, 100, 1], vec![40, 30, 0])), [Cause::ClassStray(2)]);
        assert_eq!(causes(&of(vec![200, 100, 0], vec![40, 30, 1])), [Cause::ClassStray(2)]);
        assert_eq!(causes(&of(vec![200, 100, 0], vec![40, 30, 12])), [Cause::ClassStarves(2)]);
        let both = RunFacts { empty_images: 50, ..of(vec![200, 100, 3, 1], vec![40, 30, 12, 0]) };
        assert_eq!(causes(&both), [Cause::NoPositives, Cause::ClassStarves(2), Cause::ClassStray(3)]);
    }
}

//! All findings of a set, in bounded memory: every one is counted, the first of each kind and file are kept.
//!
//! A photo with a million boxes, or a hundred thousand photos without labels, must not fill the memory with sentences.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use super::finding::{Finding, FindingAction, FindingKind, Severity};

/// Findings of one kind that are kept.
const KEPT_PER_KIND: usize = 1000;
/// Findings of one kind in one file that are kept.
const KEPT_PER_FILE: usize = 20;

/// Exact counts, and the findings that are kept; as a slice, the latter.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    counts: BTreeMap<(FindingKind, Severity, FindingAction), usize>,
    /// Kept so far, of a kind and of a kind in a file.
    of_kind: HashMap<FindingKind, usize>,
    of_file: HashMap<(FindingKind, String), usize>,
}

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        *self.counts.entry((finding.kind, finding.severity, finding.action)).or_default() += 1;
        let of_kind = self.of_kind.entry(finding.kind).or_default();
        if *of_kind >= KEPT_PER_KIND {
            return;
        }
        let of_file = self.of_file.entry((finding.kind, finding.place.file.clone())).or_default();
        // Findings of the whole set have no file.
        if *of_file >= KEPT_PER_FILE && !finding.place.file.is_empty() {
            return;
        }
        *of_kind += 1;
        *of_file += 1;
        self.kept.push(finding);
    }

    pub fn note(
        &mut self,
        kind: FindingKind,
        place: super::annotation::FilePlace,
        action: FindingAction,
        detail: impl Into<String>,
    ) {
        self.add(Finding::new(kind, place, action, detail));
    }

    /// Adds findings of which only some were kept.
    pub fn append(&mut self, other: Findings) {
        let mut missing = other.counts;
        for finding in other.kept {
            let key = (finding.kind, finding.severity, finding.action);
            if let Some(left) = missing.get_mut(&key) {
                *left = left.saturating_sub(1);
            }
            self.add(finding);
        }
        for (key, left) in missing.into_iter().filter(|(_, left)| *left > 0) {
            *self.counts.entry(key).or_default() += left;
        }
    }

    /// With every place inside the folder of this name: the findings of one set among several.
    pub fn within(mut self, folder: &str) -> Self {
        for finding in &mut self.kept {
            let file = &finding.place.file;
            finding.place.file = if file.is_empty() { folder.to_string() } else { format!("{folder}/{file}") };
        }
        self
    }

    /// All of this kind, kept or not.
    pub fn count(&self, kind: FindingKind) -> usize {
        self.counts.iter().filter(|((k, ..), _)| *k == kind).map(|(_, n)| n).sum()
    }

    /// All with this severity, kept or not.
    pub fn count_of(&self, severity: Severity) -> usize {
        self.counts.iter().filter(|((_, s, _), _)| *s == severity).map(|(_, n)| n).sum()
    }

    /// Number by kind, severity and action.
    pub fn counts(&self) -> &BTreeMap<(FindingKind, Severity, FindingAction), usize> {
        &self.counts
    }

    /// Worst first, then by kind and file.
    pub fn sort(&mut self) {
        self.kept.sort_by(|a, b| {
            b.severity.cmp(&a.severity).then(a.kind.cmp(&b.kind)).then_with(|| a.place.file.cmp(&b.place.file))
        });
    }
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, findings: I) {
        findings.into_iter().for_each(|f| self.add(f));
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        let mut all = Self::default();
        all.extend(findings);
        all
    }
}

impl Deref for Findings {
    type Target = [Finding];

    fn deref(&self) -> &[Finding] {
        &self.kept
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::annotation::FilePlace;
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut findings = Findings::default();
        for line in 0..100_000 {
            findings.note(FindingKind::NearDuplicateBox, FilePlace::line("a.xml", line), FindingAction::Kept, "again");
            findings.note(
                FindingKind::ImageWithoutLabels,
                FilePlace::file(format!("{line}.jpg")),
                FindingAction::Dropped,
                "none",
            );
        }
        assert_eq!(findings.count(FindingKind::NearDuplicateBox), 100_000);
        assert_eq!(findings.iter().filter(|f| f.kind == FindingKind::NearDuplicateBox).count(), KEPT_PER_FILE);
        assert_eq!(findings.len(), KEPT_PER_FILE + KEPT_PER_KIND);
        let mut sum = Findings::default();
        sum.append(findings.clone());
        sum.append(findings);
        assert_eq!(sum.count(FindingKind::ImageWithoutLabels), 200_000);
        assert_eq!(sum.count_of(Severity::Warning), 400_000);
    }
}

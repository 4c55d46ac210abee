//! The findings of packing, kept in the pack: who trains on a pack that was there already is told the same.

use serde_json::{Value, json};

use crate::data::check::Report;
use crate::data::finding::FindingKind;

/// The account and the errors of the set that was packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackNotes {
    /// The lines of the account.
    pub account: Vec<String>,
    /// One sentence for each kind of error.
    pub errors: Vec<Noted>,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    pub kind: FindingKind,
    pub sentence: String,
    /// True if training on such a set cannot mean well.
    pub forbids_training: bool,
}

impl PackNotes {
    pub fn of(report: &Report) -> Self {
        let noted = |(kind, sentence, forbids_training)| Noted { kind, sentence, forbids_training };
        Self { account: report.account.lines(), errors: report.errors().into_iter().map(noted).collect() }
    }

    pub(super) fn to_text(&self) -> String {
        let error = |e: &Noted| json!([e.kind.name(), e.sentence, e.forbids_training]);
        json!({"account": self.account, "errors": self.errors.iter().map(error).collect::<Vec<_>>()}).to_string()
    }

    /// Entries that are absent or do not parse are left out: notes describe, they decide nothing that is read.
    pub(super) fn from_text(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let texts =
            |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect();
        let noted = |v: &Value| {
            let kind = FindingKind::of_name(v[0].as_str()?)?;
            Some(Noted { kind, sentence: v[1].as_str()?.to_string(), forbids_training: v[2].as_bool()? })
        };
        let errors = value["errors"].as_array().into_iter().flatten().filter_map(noted).collect();
        Self { account: texts(&value["account"]), errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_the_text() {
        let noted =
            Noted { kind: FindingKind::ValidationIsTraining, sentence: "all \"of\" it".into(), forbids_training: true };
        let notes = PackNotes { account: vec!["photos: 3".into()], errors: vec![noted] };
        assert_eq!(PackNotes::from_text(&notes.to_text()), notes);
        assert_eq!(PackNotes::from_text("no JSON"), PackNotes::default());
    }
}

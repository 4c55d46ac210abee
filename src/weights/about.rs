//! A description of imported weights, as a sentence for people.

use crate::interchange::{Imported, Scope};

/// A description of imported weights in a line or two.
pub(super) fn about(imported: &Imported) -> String {
    let what = match &imported.scope {
        Scope::Detector => format!("detector of {} classes", imported.network.classes.saturating_sub(1)),
        Scope::Backbone { why } => format!("backbone ({why})"),
    };
    let side = imported
        .input_size
        .map_or("open".into(), |[h, w]| if h == w { format!("{h} px") } else { format!("{h}x{w} px") });
    let scores = match imported.scope {
        Scope::Detector => format!(", scores by {}", imported.network.convention.scores),
        Scope::Backbone { .. } => String::new(),
    };
    format!("{what}, {} parameters, input {side}{scores}", imported.parameter_count())
}

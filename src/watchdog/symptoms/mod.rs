//! Statistical statements about series of signals: pure functions, each with its literature and its false-alarm rate.
//!
//! Levels are for one application. The rules look at a run some hundred times, so they ask for [`ALPHA`] and for an
//! effect of a size that matters besides: over 300 looks at 20 tests the chance of any false alarm from chance alone
//! stays below `300 · 20 · 1e-6 = 0.6 %`.

mod beyond;
mod centre;
mod cholesky;
mod folds;
mod oscillation;
mod plateau;
mod rank;
mod ridge;
mod spike;
mod tail;
mod trend;

pub use beyond::beyond;
pub use centre::{deviation, median, quantile};
pub use folds::Folds;
pub use oscillation::{Oscillation, oscillation, scale_change};
pub use plateau::{blind_class_loss, is_flat};
pub use rank::{AreaUnderCurve, auc, higher};
pub use ridge::{FeatureRows, HeldOutPredictions, held_out};
pub use spike::spike;
pub use tail::{binomial_tail, normal_tail};
pub use trend::{Trend, trend};

/// Level at which the rules believe a test.
pub const ALPHA: f64 = 1e-6;

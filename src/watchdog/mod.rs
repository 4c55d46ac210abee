//! The watchdog: notices that a run stagnates, names the cause with its numbers, cures it if it may, checks that it
//! helped, and tells the story.
//!
//! ```text
//! step signals -> digest -> symptoms -> diagnosis -> cure -> verdict
//!                 epoch  ---^              |          |
//!                                       journal <-----+--> adjustments, read by training
//! ```
//!
//! At the end `limits` says what limits the result, also of a run without a fault.
//!
//! This layer knows nothing of tensors, photos or training: plain numbers come in, values go out. Everything it
//! remembers is one serialisable value, and what it decides follows from what it journalled.

mod action;
mod adjustments;
mod advice;
mod appearance;
mod cause;
mod course;
mod diagnosis;
mod digest;
mod facts;
mod finding;
mod history;
mod journal;
mod ladder;
mod ledger;
mod limit;
mod limit_rules;
mod limits;
mod mode;
mod plausible;
mod presence;
mod remedy;
mod replay;
mod resampling;
mod rules;
mod shortfall;
mod signals;
mod story;
mod suspects;
mod symptoms;
mod trace;
mod treatment;
mod watch;

pub use action::Action;
pub use adjustments::{Adjustments, Reschedule};
pub use advice::advice;
pub use appearance::Appearance;
pub use cause::{Cause, Effect, Priority, ShownBy, Traits};
pub use course::Course;
pub use diagnosis::Diagnosis;
pub use digest::{Digest, Share, Shock};
pub use facts::{ObjectSides, RunFacts, StageFacts, StageKind, larger_side};
pub use finding::{CauseEvidence, CauseFound};
pub use journal::{BadLine, Cure, CureOutcome, CureVerdict, JournalEntry, parse};
pub use ledger::Ledger;
pub use limit::{Change, Limit, LimitKind};
pub use limits::limits;
pub use mode::Mode;
pub use presence::Presence;
pub use remedy::Remedy;
pub use replay::replay;
pub use rules::{HOT, before};
pub use shortfall::{ClassMixup, MIXUPS, Shortfall};
pub use signals::{EpochFigures, EpochSignals, FeedRate, Portion, StageSignals, StepSignals};
pub use story::{Doubt, Suspected, story, suspicious};
pub use suspects::{ImageSignals, Suspect, Suspicion};
pub use symptoms::{
    AreaUnderCurve, FeatureRows, Folds, Oscillation, Trend, auc, binomial_tail, blind_class_loss, higher, is_flat,
    median, oscillation, scale_change, spike, trend,
};
pub use trace::read_trace;
pub use treatment::Treatment;
pub use watch::Watchdog;

#[cfg(test)]
mod tests {
    /// Seeded normal deviates: splitmix64 and Box-Muller, so that tests need nothing from outside.
    pub struct Noise(u64);

    impl Noise {
        pub fn new(seed: u64) -> Self {
            Self(seed)
        }

        /// In (0, 1).
        pub fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        }

        pub fn normal(&mut self) -> f64 {
            (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
        }
    }
}

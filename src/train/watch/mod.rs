//! The watchdog's connection to training: signals of steps and facts about the run are gathered here, and one-off
//! cures are carried out.

pub(super) mod box_audit;
pub(super) mod layer_norms;
pub(super) mod mishap;
pub(super) mod name_audit;
pub(super) mod one_off;
pub(super) mod recorder;
pub(super) mod reinit;
pub(super) mod run_facts;
mod twins;

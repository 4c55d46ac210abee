//! Whether a run's memory plan fits this machine.

use crate::board::{Memory, MemoryLimit};
use crate::train::{MemoryPlan, Recipe, TrainState};
use crate::watchdog::Mode;
use anyhow::{Result, bail};
use std::path::Path;

/// Plans the run's memory and shrinks the micro-batch until the plan fits what is left here: the step stays the same.
/// `threads` counts those of the network and those of the loader.
///
/// # Errors
/// If not even single images fit.
pub fn fit_memory(
    state: &TrainState,
    recipe: &mut Recipe,
    size: usize,
    threads: [usize; 2],
    watchdog: Mode,
) -> Result<()> {
    let plan = |recipe: &Recipe| MemoryPlan::new(state, recipe, size, threads, watchdog);
    let first = plan(recipe);
    log::info!("{first}");
    let Some(memory) = Memory::available(Path::new("/")) else { return Ok(()) };
    // The state is allocated already: what it takes is no longer among what is left.
    let held = first.program + first.weights + first.optimizer + first.average;
    let left = memory.available_bytes as usize;
    let fits = |plan: &MemoryPlan| plan.total().saturating_sub(held) <= left;
    let mut chosen = first.clone();
    while !fits(&chosen) && recipe.micro_batch > 1 {
        recipe.micro_batch = (1..recipe.micro_batch).rev().find(|&n| recipe.batch.is_multiple_of(n)).unwrap_or(1);
        chosen = plan(recipe);
    }
    let (left, whose) = (
        left >> 20,
        match memory.limit {
            MemoryLimit::Machine => "this machine has to spare",
            MemoryLimit::ControlGroup => "the control group's memory.max leaves",
        },
    );
    if !fits(&chosen) {
        let wanted = chosen.total().saturating_sub(held) >> 20;
        bail!(
            "memory: training takes {wanted} MB more, {whose} {left} MB\nhelp: end other programs, raise the limit, or use \
             a smaller --imgsz or a larger --freeze"
        );
    }
    if chosen != first {
        log::warn!("{whose} {left} MB: micro-batch {} instead of {}", chosen.micro_batch, first.micro_batch);
        log::info!("{chosen}");
    }
    Ok(())
}

//! Fits a run into this machine's memory: shrinks the micro-batch until the memory plan fits, or refuses with the
//! numbers.

use crate::board::{Memory, MemoryLimit};
use crate::boxes::InputSize;
use crate::train::{MemoryPlan, Recipe, TrainState};
use crate::watchdog::Mode;
use anyhow::{Result, bail};
use std::path::Path;

/// Plans the run's memory and shrinks the micro-batch until the plan fits what is left here: the step stays the same.
/// `threads` counts those of the network and those of the loader; `budget_mb` is the most that
/// the run may take in all.
///
/// # Errors
/// If not even single images fit.
pub fn fit_memory(
    state: &TrainState,
    recipe: &mut Recipe,
    size: InputSize,
    threads: [usize; 2],
    watchdog: Mode,
    budget_mb: Option<u64>,
) -> Result<()> {
    let plan = |micro_batch: usize| {
        let recipe = Recipe { micro_batch, ..recipe.clone() };
        MemoryPlan::new(state, &recipe, size, threads, watchdog)
    };
    let first = plan(recipe.micro_batch);
    log::info!("{first}");
    let Some(memory) = Memory::available(Path::new("/")) else { return Ok(()) };
    // The state is allocated already: what it takes is no longer among what is left.
    let held = first.program + first.weights + first.optimizer + first.average;
    let budget = budget_mb.map_or(usize::MAX, |mb| ((mb as usize) << 20).saturating_sub(held));
    let available = memory.available_bytes as usize;
    let left = available.min(budget);
    let fits = |plan: &MemoryPlan| plan.total().saturating_sub(held) <= left;
    let chosen = smaller_until(&first, recipe.batch, plan, fits);
    let (left, whose) = (
        left >> 20,
        match memory.limit {
            _ if budget < available => "memory_mb, or the board's settings, leave",
            MemoryLimit::Machine => "this machine has to spare",
            MemoryLimit::ControlGroup => "the control group's memory limit leaves",
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
        recipe.micro_batch = chosen.micro_batch;
        log::warn!("{whose} {left} MB: micro-batch {} instead of {}", chosen.micro_batch, first.micro_batch);
        log::info!("{chosen}");
    }
    Ok(())
}

/// The plan, or that of the next smaller micro-batch that cuts the batch evenly, until one fits or single images are left.
fn smaller_until(
    first: &MemoryPlan,
    batch: usize,
    plan: impl Fn(usize) -> MemoryPlan,
    fits: impl Fn(&MemoryPlan) -> bool,
) -> MemoryPlan {
    let mut chosen = first.clone();
    while !fits(&chosen) && chosen.micro_batch > 1 {
        let next = (1..chosen.micro_batch).rev().find(|&n| batch.is_multiple_of(n)).unwrap_or(1);
        chosen = plan(next);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{initialise_network, ssdlite_mobilenet_v2};
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    const SIZE: InputSize = InputSize::square(96);

    /// Plans of a narrow network by micro-batch, with so many leading stages frozen.
    fn plans(freeze: usize) -> impl Fn(usize) -> MemoryPlan {
        let network = initialise_network(&ssdlite_mobilenet_v2(0.35, 3, false), &mut Pcg64Mcg::seed_from_u64(3));
        let recipe = Recipe { batch: 12, freeze, ..Recipe::default() };
        let state = TrainState::new(&network, &recipe);
        move |micro_batch| MemoryPlan::new(&state, &Recipe { micro_batch, ..recipe.clone() }, SIZE, [1, 1], Mode::Cure)
    }

    #[test]
    fn the_micro_batch_shrinks_to_divisors_of_the_batch_until_the_plan_fits() {
        let plan = plans(0);
        let first = plan(12);
        for (wanted, limit) in [(12, first.total()), (4, plan(4).total()), (1, plan(2).total() - 1), (1, 0)] {
            let chosen = smaller_until(&first, 12, &plan, |p| p.total() <= limit);
            assert_eq!(chosen, plan(wanted), "limit {limit}");
        }
    }

    #[test]
    fn images_cost_activations_alone_and_frozen_stages_cost_less() {
        let [all, frozen] = [plans(0), plans(18)];
        let [one, two, three] = [all(1), all(2), all(3)];
        assert_eq!(three.activations - two.activations, two.activations - one.activations);
        assert_eq!((one.weights, one.gradients, one.optimizer), (three.weights, three.gradients, three.optimizer));
        assert_eq!(one.optimizer, one.gradients, "AdamW has two moments of half the size");
        let kept = frozen(1);
        assert!(kept.activations < one.activations, "{kept} against {one}");
        assert!(kept.gradients < one.gradients && 2 * kept.average == kept.gradients, "{kept}");
        assert_eq!(kept.weights, one.weights);
    }
}

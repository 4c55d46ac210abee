//! A recipe beside the default one: the differences of runs on the same photos with the same seed.

use super::cell::{AccuracyCell, CellResult};
use crate::eval::Interval;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Draws of the bootstrap over pairs.
const DRAWS: usize = 2000;

/// Seed of the draws, fixed so that a table is the same again.
const SEED: u64 = 0xACC;

/// Mean differences of AP and AP50 over pairs of runs, with a bootstrap interval of 95 % over the pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    recipe: String,
    pairs: usize,
    /// Of AP: mean, low, high.
    ap: [f64; 3],
    ap50: [f64; 3],
    /// CPU seconds of the recipe, as a multiple of the other's.
    cost: f64,
}

impl Comparison {
    /// `None` where no pair of runs is there.
    pub fn of(done: &[(&AccuracyCell, CellResult)], recipe: &str, other: &str) -> Option<Self> {
        let of = |name: &str| done.iter().filter(move |(cell, _)| cell.recipe == name).collect::<Vec<_>>();
        let others = of(other);
        let pairs: Vec<(CellResult, CellResult)> = of(recipe)
            .into_iter()
            .filter_map(|(cell, result)| {
                let twin = others
                    .iter()
                    .find(|(o, _)| (&o.data, o.seed) == (&cell.data, cell.seed) && o.minutes == cell.minutes)?;
                Some((*result, twin.1))
            })
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let differences = |figure: fn(&CellResult) -> f64| {
            spread(&pairs.iter().map(|(own, twin)| figure(own) - figure(twin)).collect::<Vec<_>>())
        };
        let cpu = |figure: fn(&(CellResult, CellResult)) -> f64| pairs.iter().map(figure).sum::<f64>();
        Some(Self {
            recipe: recipe.into(),
            pairs: pairs.len(),
            ap: differences(|r| r.ap),
            ap50: differences(|r| r.ap50),
            cost: cpu(|p| p.0.cpu_seconds) / cpu(|p| p.1.cpu_seconds),
        })
    }
}

/// Mean, and the middle 95 % of the means of draws with replacement.
fn spread(values: &[f64]) -> [f64; 3] {
    let n = values.len();
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let means = (0..DRAWS).map(|_| (0..n).map(|_| values[rng.random_range(0..n)]).sum::<f64>() / n as f64);
    let mean = values.iter().sum::<f64>() / n as f64;
    let Interval { low, high } = Interval::of(means).unwrap_or(Interval { low: mean, high: mean });
    [mean, low, high]
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { recipe, pairs, ap, ap50, cost } = self;
        write!(f, "{recipe} against the default, {pairs} pairs: ")?;
        write!(
            f,
            "AP {:+.3} ({:+.3} to {:+.3}), AP50 {:+.3} ({:+.3} to {:+.3})",
            ap[0], ap[1], ap[2], ap50[0], ap50[1], ap50[2]
        )?;
        write!(f, ", {cost:.2} of its CPU seconds")?;
        if *pairs < 6 {
            f.write_str("; few pairs make an interval too narrow")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(recipe: &str, set: &str, seed: u64, ap: f64) -> (AccuracyCell, CellResult) {
        let cell = AccuracyCell {
            recipe: recipe.into(),
            job: None,
            set: set.into(),
            data: set.into(),
            weights: None,
            epochs: None,
            minutes: None,
            seed,
        };
        (cell, CellResult { ap, ap50: ap + 0.3, epochs: 2, cpu_seconds: if recipe == "a" { 20.0 } else { 10.0 } })
    }

    #[test]
    fn runs_are_paired_by_set_and_seed() {
        // One set is much easier than the other; the recipe is better by 0.02 on both, give or take.
        let runs = [
            run("default", "easy", 0, 0.8),
            run("default", "hard", 0, 0.2),
            run("default", "hard", 1, 0.25),
            run("a", "hard", 1, 0.26),
            run("a", "easy", 0, 0.83),
            run("a", "hard", 0, 0.22),
            run("a", "hard", 7, 0.9),
        ];
        let done: Vec<_> = runs.iter().map(|(cell, result)| (cell, *result)).collect();
        let found = Comparison::of(&done, "a", "default").unwrap();
        assert_eq!((found.pairs, found.cost), (3, 2.0));
        assert!((found.ap[0] - 0.02).abs() < 1e-12);
        assert!(found.ap[1] >= 0.01 - 1e-12 && found.ap[2] <= 0.03 + 1e-12, "{:?}", found.ap);
        assert!(Comparison::of(&done, "b", "default").is_none());
    }
}

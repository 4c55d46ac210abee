//! Losses over the steps of a run of any length, in bounded memory: where there are too many points, neighbours become one.

use crate::report::page::StepFigures;

/// Points kept: more than a chart has pixels.
const MOST: usize = 800;

/// Means over runs of steps.
#[derive(Clone, Debug)]
pub struct Timeline {
    points: Vec<StepFigures>,
    /// Steps of a point.
    span: u64,
    /// The point that is being filled: sums, and how many steps they are of.
    open: StepFigures,
    steps: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { points: Vec::new(), span: 1, open: StepFigures::default(), steps: 0 }
    }
}

impl Timeline {
    /// Adds the means over `steps` steps that end at `figures.step`. Steps that are behind the last one are a run that
    /// went back: those after it are forgotten. Figures that are not finite are left out.
    pub fn add(&mut self, figures: StepFigures, steps: u64) {
        if !(figures.class_loss.is_finite() && figures.box_loss.is_finite() && figures.lr.is_finite()) {
            return;
        }
        if figures.step <= self.last_step() {
            self.points.retain(|p| p.step < figures.step);
            (self.open, self.steps) = (StepFigures::default(), 0);
        }
        let (n, open) = (steps.max(1), &mut self.open);
        open.step = figures.step;
        open.class_loss += figures.class_loss * n as f64;
        open.box_loss += figures.box_loss * n as f64;
        open.lr += figures.lr * n as f64;
        self.steps += n;
        if self.steps >= self.span {
            self.points.extend(self.filling());
            (self.open, self.steps) = (StepFigures::default(), 0);
        }
        if self.points.len() >= MOST {
            let mean = |a: f64, b: f64| (a + b) / 2.0;
            let joined = |pair: &[StepFigures]| match pair {
                [a, b] => StepFigures {
                    step: b.step,
                    class_loss: mean(a.class_loss, b.class_loss),
                    box_loss: mean(a.box_loss, b.box_loss),
                    lr: mean(a.lr, b.lr),
                },
                _ => pair[0],
            };
            self.points = self.points.chunks(2).map(joined).collect();
            self.span *= 2;
        }
    }

    fn last_step(&self) -> u64 {
        self.points.last().map_or(0, |p| p.step).max(self.open.step)
    }

    fn filling(&self) -> Option<StepFigures> {
        let n = self.steps as f64;
        let o = self.open;
        (self.steps > 0).then(|| StepFigures {
            step: o.step,
            class_loss: o.class_loss / n,
            box_loss: o.box_loss / n,
            lr: o.lr / n,
        })
    }

    /// All points, the one that is being filled as well.
    pub fn points(&self) -> Vec<StepFigures> {
        self.points.iter().copied().chain(self.filling()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64, loss: f64) -> StepFigures {
        StepFigures { step, class_loss: loss, box_loss: 1.0, lr: 0.5 }
    }

    #[test]
    fn a_long_run_keeps_few_points_and_its_means() {
        let mut timeline = Timeline::default();
        (1..=100_001).for_each(|step| timeline.add(at(step, step as f64), 1));
        let points = timeline.points();
        assert!(points.len() <= MOST && points.len() > MOST / 3, "{}", points.len());
        assert_eq!((points[0].lr, points.last().unwrap().step), (0.5, 100_001));
        assert!(points.windows(2).all(|p| p[0].step < p[1].step && p[0].class_loss < p[1].class_loss));
        assert!((points[0].class_loss - points[0].step as f64 / 2.0).abs() <= 1.0, "{:?}", points[0]);
    }

    #[test]
    fn a_run_that_went_back_forgets_what_came_after() {
        let mut timeline = Timeline::default();
        (1..=10).for_each(|step| timeline.add(at(step, 1.0), 1));
        timeline.add(at(6, 9.0), 1);
        timeline.add(at(7, f64::NAN), 1);
        let steps: Vec<u64> = timeline.points().iter().map(|p| p.step).collect();
        assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
        assert_eq!(timeline.points()[5].class_loss, 9.0);
    }
}

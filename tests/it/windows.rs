//! The accumulation window: what is summed over micro-batches of any size gives the same step.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::gradients::{CLASSES, SIZE, batch, network};
use fieldtune::boxes::CornerBox;
use fieldtune::data::{AugmentOptions, Object, Record, RgbImage};
use fieldtune::kernel::ChannelSums;
use fieldtune::loss::SsdLoss;
use fieldtune::model::{ConvWeights, Ssd};
use fieldtune::ops;
use fieldtune::optim::{Decay, OptimizerKind, Schedule};
use fieldtune::train::{
    Event, Job, Observe, Recipe, Records, StepReport, TrainBatch, TrainState, Window, apply, micro_step, train,
};
use fieldtune::watchdog::Mode;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// The difference of sums in another order, relative to the norm of the sum.
const ROUNDING: f64 = 1e-5;

/// The same where updates are centred: what is left after the mean's part was taken out of a gradient, and the shift
/// of a layer's average output that moves its bias, are small differences of larger sums.
const CENTRED_ROUNDING: f64 = 2e-3;

const IMAGES: usize = 8;

/// Plain SGD, so that a step is as smooth as its gradient: Adam's first steps have the size of the rate whatever the
/// gradient, and a component of rounding noise moves as far as any other.
fn recipe(centred: bool) -> Recipe {
    Recipe {
        optimizer: OptimizerKind::Sgd { momentum: 0.9 },
        lr: 1e-3,
        decay: Decay::Constant,
        warmup: 0,
        freeze: 3,
        centred,
        augment: AugmentOptions::none(),
        ..Recipe::default()
    }
}

/// Images `first..first + n` of a batch.
fn part(whole: &TrainBatch, first: usize, n: usize) -> TrainBatch {
    let image = SIZE * SIZE * 3;
    TrainBatch {
        images: whole.images[first * image..(first + n) * image].to_vec(),
        size: SIZE.into(),
        targets: whole.targets[first..first + n].to_vec(),
    }
}

/// The window over eight images in micro-batches of `micro`.
fn window(state: &TrainState, whole: &TrainBatch, micro: usize) -> Window {
    let (loss, mut window) = (SsdLoss::new(CLASSES), Window::default());
    for first in (0..IMAGES).step_by(micro) {
        micro_step(&state.model, &loss, part(whole, first, micro), &mut window, Observe::Nothing);
    }
    window
}

/// Norm of a difference relative to the norm of what it should be.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut got.iter().zip(want).map(|(&g, &w)| f64::from(g) - f64::from(w)));
    difference / norm(&mut want.iter().map(|&w| f64::from(w))).max(f64::from(f32::MIN_POSITIVE))
}

/// Largest distance of a layer's change since `start` from the change that it should be.
fn step_distance(start: &Ssd<ConvWeights>, got: &Ssd<ConvWeights>, want: &Ssd<ConvWeights>) -> f64 {
    let moved = |to: &[f32], from: &[f32]| to.iter().zip(from).map(|(a, b)| a - b).collect::<Vec<_>>();
    let layers = start.convs().into_iter().zip(got.convs()).zip(want.convs());
    let distances = layers.flat_map(|(((_, s), (_, g)), (_, w))| {
        let change = |at: &ConvWeights| [moved(&at.weight, &s.weight), moved(&at.bias, &s.bias)];
        let size = [&s.weight, &s.bias].map(|v| v.iter().map(|v| v.abs()).fold(0.0, f32::max));
        let [got, want] = [g, w].map(change);
        // A change is only known to the rounding of what it was added to.
        let pairs = got.into_iter().zip(want).zip(size);
        pairs.map(|((g, w), size)| {
            let worst = g.iter().zip(&w).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let allowed = w.iter().map(|v| v.abs()).fold(0.0, f32::max) + size * f32::EPSILON / ROUNDING as f32;
            f64::from(worst / allowed.max(f32::MIN_POSITIVE))
        })
    });
    distances.fold(0.0, f64::max)
}

#[test]
fn micro_batches_of_any_size_sum_to_the_same_step() {
    let (network, whole) = (network(), batch(IMAGES));
    for (centred, rounding) in [(false, ROUNDING), (true, CENTRED_ROUNDING)] {
        let recipe = recipe(centred);
        let schedule = Schedule { decay: Decay::Constant, warmup: 0, total: 1, again: None };
        let fresh = || {
            let mut state = TrainState::new(&network, &recipe);
            let TrainState { model, means, .. } = &mut state;
            model.forward_observed(ops::tensor(part(&whole, 0, 2).images, [2, SIZE, SIZE, 3]), &mut |i, x| {
                let ([_, _, _, channels], mut seen) = (x.dims(), ChannelSums::default());
                ops::read(x, |x| seen.add(x, channels));
                means[i].follow(&seen);
            });
            state
        };
        let mut reference = fresh();
        let mut once = window(&reference, &whole, IMAGES);
        let gradients = |window: &Window| -> Vec<_> {
            (0..window.gradients.len()).map(|i| window.gradients.get(i).map(|g| g.clone())).collect()
        };
        let wanted = gradients(&once);
        let stats = apply(&mut reference, &mut once, &recipe, &schedule);
        let stepped = reference.model.weights();
        for micro in [4, 2, 1] {
            let mut state = fresh();
            let mut summed = window(&state, &whole, micro);
            assert_eq!((summed.images, summed.positives), (once.images, once.positives), "micro-batches of {micro}");
            let losses = [(summed.class, once.class), (summed.boxes, once.boxes)];
            assert!(losses.iter().all(|(got, want)| (got / want - 1.0).abs() < ROUNDING), "{micro}: {losses:?}");
            let mut worst = 0f64;
            for (i, (got, want)) in gradients(&summed).iter().zip(&wanted).enumerate() {
                let (Some(got), Some(want)) = (got, want) else {
                    assert!(got.is_none() && want.is_none(), "layer {i} is frozen for some sizes only");
                    continue;
                };
                worst = worst.max(distance(&got.dw, &want.dw)).max(distance(&got.db, &want.db));
            }
            assert!(worst <= ROUNDING, "{IMAGES} images in micro-batches of {micro}: gradients differ by {worst:.1e}");
            let same = apply(&mut state, &mut summed, &recipe, &schedule);
            assert_eq!((same.images, same.positives), (stats.images, stats.positives));
            let moved = step_distance(&network, &state.model.weights(), &stepped);
            assert!(moved <= rounding, "{IMAGES} images in micro-batches of {micro}: steps differ by {moved:.1e}");
            println!("{IMAGES} / {micro}, centred {centred}: gradients differ by {worst:.1e}, steps by {moved:.1e}");
        }
    }
}

/// Photos of noise with one bright square each.
pub fn photos(n: usize) -> Records {
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let photo = |i: usize| {
        let mut pixels: Vec<u8> = (0..SIZE * SIZE * 3).map(|_| rng.random_range(0..120)).collect();
        let (side, x, y) = (rng.random_range(24..48), rng.random_range(0..48), rng.random_range(0..48));
        for row in y..y + side {
            pixels[(row * SIZE + x) * 3..(row * SIZE + x + side) * 3].fill(250);
        }
        let [x0, y0, x1, y1] = [x, y, x + side, y + side].map(|v| v as f64 / SIZE as f64);
        let bbox = CornerBox::new(x0, y0, x1, y1);
        Record {
            source: format!("{i}.jpg"),
            source_size: [SIZE as u32; 2],
            image: RgbImage { width: SIZE, height: SIZE, pixels },
            objects: vec![Object { class: i % 2, bbox, difficult: false, crowd: false, area: None }],
        }
    };
    Records::in_memory((0..n).map(photo).collect())
}

/// A job over `photos` with its files in `folder`.
pub fn job(folder: &Path, recipe: Recipe, watchdog: Mode) -> Job {
    Job {
        recipe,
        size: SIZE.into(),
        class_names: vec!["left".into(), "right".into()],
        folder: folder.into(),
        checkpoint_every: Duration::from_secs(3600),
        loader_threads: 0,
        watchdog,
        schedule: None,
        requests: Arc::default(),
        trained_on: None,
        mishap: None,
    }
}

/// A run over `photos`: every optimizer step, and the weights it ends with.
fn run(recipe: Recipe, photos: &Records) -> (Vec<StepReport>, Ssd<ConvWeights>) {
    watched(recipe, photos, Mode::Cure, None)
}

/// The same; after its first step the run is asked for micro-batches of at most `asked` images.
fn watched(
    recipe: Recipe,
    photos: &Records,
    watchdog: Mode,
    asked: Option<usize>,
) -> (Vec<StepReport>, Ssd<ConvWeights>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("weights")).expect("a writable folder");
    let mut state = TrainState::new(&network(), &recipe);
    let job = job(folder.path(), recipe, watchdog);
    let mut steps = Vec::new();
    let none = Records::in_memory(Vec::new());
    train(&job, &mut state, photos, &none, &AtomicBool::new(false), &mut |event| {
        if let Event::Step(report) = event {
            steps.push(report);
            if let Some(most) = asked {
                job.requests.ask_micro_batch(most);
            }
        }
    })
    .expect("a run over good photos");
    (steps, state.model.weights())
}

#[test]
fn a_run_does_not_depend_on_the_micro_batch() {
    let photos = photos(2 * IMAGES);
    for (centred, rounding) in [(false, ROUNDING), (true, CENTRED_ROUNDING)] {
        let at = |micro_batch| run(Recipe { epochs: 1, batch: IMAGES, micro_batch, ..recipe(centred) }, &photos);
        let (steps, once) = at(IMAGES);
        assert_eq!(steps.len(), 2);
        for micro_batch in [4, 2, 1] {
            let (same, summed) = at(micro_batch);
            for (same, step) in same.iter().zip(&steps) {
                assert_eq!((same.stats.images, same.stats.positives), (step.stats.images, step.stats.positives));
            }
            let moved = step_distance(&network(), &summed, &once);
            println!("runs with micro-batches of {micro_batch}, centred {centred}, differ by {moved:.1e}");
            assert!(moved <= rounding, "micro-batches of {micro_batch}, centred {centred}: {moved:.1e}");
        }
    }
}

#[test]
fn micro_batches_that_shrink_within_an_epoch_change_rounding_only() {
    let photos = photos(3 * IMAGES);
    for (centred, rounding) in [(false, ROUNDING), (true, CENTRED_ROUNDING)] {
        let recipe = Recipe { epochs: 1, batch: IMAGES, micro_batch: IMAGES, ..recipe(centred) };
        let (steps, once) = run(recipe.clone(), &photos);
        let (same, shrunk) = watched(recipe, &photos, Mode::Cure, Some(2));
        let seen = |steps: &[StepReport]| -> Vec<_> {
            steps.iter().map(|s| (s.step, s.stats.images, s.stats.positives)).collect()
        };
        assert_eq!(seen(&same), seen(&steps), "no image is left out, none comes twice");
        let moved = step_distance(&network(), &shrunk, &once);
        println!("from the second step on in micro-batches of 2, centred {centred}: {moved:.1e}");
        assert!(moved <= rounding, "centred {centred}: {moved:.1e}");
    }
}

#[test]
fn watching_changes_no_bit() {
    let photos = photos(2 * IMAGES);
    for centred in [false, true] {
        let recipe = Recipe { epochs: 3, batch: 4, micro_batch: 2, ..recipe(centred) };
        let bits = |mode| {
            let (_, network) = watched(recipe.clone(), &photos, mode, None);
            let all =
                network.convs().into_iter().flat_map(|(_, c)| c.weight.iter().chain(&c.bias).map(|v| v.to_bits()));
            all.collect::<Vec<u32>>()
        };
        let alone = bits(Mode::Off);
        assert!(alone == bits(Mode::Advise) && alone == bits(Mode::Cure), "centred {centred}");
    }
}

#[test]
fn an_unfinished_window_is_a_step() {
    let (steps, _) = run(Recipe { epochs: 2, batch: 4, micro_batch: 2, ..recipe(false) }, &photos(7));
    let images: Vec<usize> = steps.iter().map(|s| s.stats.images).collect();
    assert_eq!(images, [4, 3, 4, 3]);
    let counted: Vec<u64> = steps.iter().map(|s| s.step).collect();
    assert_eq!(counted, [1, 2, 3, 4]);
    assert!(steps.iter().all(|s| s.total == 4), "the schedule knows of every step");
}

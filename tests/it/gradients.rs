//! The gradient of the SSD loss through a whole small network against central differences.
//!
//! A whole layer is moved along a direction, not one weight: through fifty layers of `f32` a single weight's effect
//! drowns in rounding. Along the gradient itself, cut down to a random half of its components, the slope is that
//! half's norm; a component that is wrong tilts the direction and shows.

use fieldtune::boxes::{Anchors, BoxCoder, CornerBox, Matcher, ScoreFunction};
use fieldtune::loss::{Classification, ImageGradients, SsdLoss, TargetEncoder, Targets};
use fieldtune::model::{
    Activation, ConvKind, ConvLayer, ConvSpec, ConvWeights, LayerTraining, Ssd, SsdModel, Stage, initialise_network,
    ssd_mobilenet_v2, ssdlite_mobilenet_v2,
};
use fieldtune::ops;
use fieldtune::train::{Observe, TrainBatch, Window, micro_step};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Smallest input whose six feature maps still differ, 6x6 to 1x1.
pub const SIZE: usize = 96;

/// Columns of the class predictors, background included.
pub const CLASSES: usize = 3;

/// Largest relative error of a slope.
const SLOPE_TOLERANCE: f64 = 0.02;

/// A kink of ReLU6, mining or smooth L1 between its two ends bends a difference, and a shorter one steps over fewer;
/// how often the step may be quartered before rounding takes over.
const REFINEMENTS: usize = 7;

/// Share of the loss by which the first difference should change it.
const LOSS_CHANGE: f64 = 1e-4;

/// Largest step relative to the norm of what is moved.
const LARGEST_STEP: f64 = 5e-3;

/// A narrow network in which signals neither fade nor saturate, with scales other than 1.
pub fn network() -> Ssd<ConvWeights> {
    lively(&ssdlite_mobilenet_v2(0.35, CLASSES, true))
}

fn lively(specs: &Ssd<ConvSpec>) -> Ssd<ConvWeights> {
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let mut network = initialise_network(specs, &mut rng);
    for (stage, conv) in network.convs_mut() {
        let predictor =
            matches!(stage, Stage::BoxHead(_) | Stage::ClassHead(_)) && conv.spec.kind == ConvKind::Pointwise;
        let linear = conv.spec.activation == Activation::Linear;
        let gain = if predictor {
            10.0
        } else if linear {
            0.5
        } else {
            1.0
        };
        conv.weight.iter_mut().for_each(|w| *w *= gain);
        conv.bias.iter_mut().for_each(|b| *b = rng.random_range(-0.2..0.4));
        conv.unfold();
    }
    network
}

/// `n` images of noise `[n, S, S, 3]`, and two objects in each.
pub fn batch(n: usize) -> TrainBatch {
    let mut rng = Pcg64Mcg::seed_from_u64(12);
    let images = (0..n * SIZE * SIZE * 3).map(|_| rng.random_range(-1.0..1.0)).collect();
    let maps = ssdlite_mobilenet_v2(0.35, CLASSES, true).map_sizes([SIZE, SIZE]);
    let encoder =
        TargetEncoder { anchors: Anchors::tf_ssd(&maps), coder: BoxCoder::default(), matcher: Matcher::default() };
    // Each close to an anchor of another map, so that every head has something to learn.
    let near = [(0.25, 0.2), (0.5, 0.35), (0.25, 0.5), (0.5, 0.65), (0.5, 0.8), (0.5, 0.92)];
    let mut objects = near.into_iter().cycle().map(|(center, side)| {
        let (w, h) = (side * rng.random_range(0.9..1.05), side * rng.random_range(0.9..1.05));
        CornerBox::new(center - w / 2.0, center - h / 2.0, center + w / 2.0, center + h / 2.0)
    });
    let mut object = || objects.next().expect("a cycle has no end");
    let targets = (0..n).map(|_| encoder.encode(&[1, 2], &[object(), object()])).collect();
    TrainBatch { images, size: SIZE.into(), targets }
}

/// A network whose gradient is that of the numbers that went forward: none is rounded in between.
fn exact(network: &Ssd<ConvWeights>, training: impl Fn(Stage) -> LayerTraining) -> SsdModel {
    let mut model = SsdModel::new(network, training);
    model.round_kept(false);
    model
}

/// The loss of a batch, forward only.
fn loss_of(model: &SsdModel, loss: &SsdLoss, batch: &TrainBatch) -> f64 {
    let n = batch.targets.len();
    let predictions = model.forward(ops::tensor(batch.images.clone(), [n, SIZE, SIZE, 3]));
    let [_, anchors, columns] = predictions.logits.dims();
    let (mut dlogits, mut ddeltas) = (vec![0.0; anchors * columns], vec![0.0; anchors * 4]);
    let mut image = |logits: &[f32], deltas: &[f32], targets: &Targets| {
        let l = loss.image(logits, deltas, targets, ImageGradients { logits: &mut dlogits, deltas: &mut ddeltas });
        l.class + l.boxes
    };
    ops::read(&predictions.logits, |logits| {
        ops::read(&predictions.deltas, |deltas| {
            let images = logits.chunks_exact(anchors * columns).zip(deltas.chunks_exact(anchors * 4));
            images.zip(&batch.targets).map(|((l, d), t)| image(l, d, t)).sum()
        })
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Parameter {
    Weight,
    Bias,
}

/// Adds `step · direction` to one parameter of a layer.
fn nudge(layer: &mut ConvLayer, parameter: Parameter, direction: &[f32], step: f64) {
    layer.update(|weight, bias, _| {
        let values = if parameter == Parameter::Weight { weight } else { bias };
        values.iter_mut().zip(direction).for_each(|(v, &d)| *v = (f64::from(*v) + step * f64::from(d)) as f32);
    });
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn every_layers_gradient_is_the_slope_of_the_loss() {
    let (network, plain, batch) = (network(), lively(&ssd_mobilenet_v2(0.35, CLASSES)), batch(3));
    let mut rng = Pcg64Mcg::seed_from_u64(13);
    for (network, classification) in [
        (&network, Classification::default()),
        (&network, Classification::Focal { alpha: 0.25, gamma: 2.0 }),
        (&plain, Classification::mining(ScoreFunction::Sigmoid)),
    ] {
        let loss = SsdLoss { classification, ..SsdLoss::new(CLASSES) };
        let mut model = exact(network, |_| LayerTraining::Trained);
        let mut window = Window::default();
        micro_step(&model, &loss, batch.clone(), &mut window, Observe::Nothing);
        let value = loss_of(&model, &loss, &batch);
        assert!((value - window.class - window.boxes).abs() <= 1e-9 * value, "both passes see the same loss");
        let mut worst = 0f64;
        for i in 0..model.layers.len() {
            let gradients = window.gradients.get(i).expect("every layer is trained");
            let weights = model.layers[i].weights();
            let parts = [
                (Parameter::Weight, gradients.dw.clone(), weights.weight),
                (Parameter::Bias, gradients.db.clone(), weights.bias),
            ];
            for (parameter, gradient, values) in parts {
                let half: Vec<f32> = gradient.iter().map(|&g| if rng.random() { g } else { 0.0 }).collect();
                let slope = norm(&half);
                let place = format!("{classification:?} {:?} {:?} {parameter:?}", model.stage(i), weights.spec.kind);
                assert!(slope > 0.0, "{place}: no gradient arrives");
                let direction: Vec<f32> = half.iter().map(|&g| (f64::from(g) / slope) as f32).collect();
                let mut step = (LOSS_CHANGE * value / slope).min(LARGEST_STEP * norm(&values));
                let mut at = |step: f64| {
                    nudge(&mut model.layers[i], parameter, &direction, step);
                    loss_of(&model, &loss, &batch)
                };
                let mut error = f64::INFINITY;
                for _ in 0..REFINEMENTS {
                    // There, across, and back again.
                    let (above, below) = (at(step), at(-2.0 * step));
                    at(step);
                    error = error.min(((above - below) / (2.0 * step) / slope - 1.0).abs());
                    if error <= SLOPE_TOLERANCE {
                        break;
                    }
                    step /= 4.0;
                }
                assert!(error <= SLOPE_TOLERANCE, "{place}: no difference comes closer than {error:.1e} to {slope}");
                worst = worst.max(error);
            }
        }
        println!("{classification:?}: largest relative error of a slope {worst:.1e}");
    }
}

#[test]
fn frozen_layers_have_no_gradient_and_change_no_other() {
    let (network, batch, loss) = (network(), batch(2), SsdLoss::new(CLASSES));
    let gradients = |training: &dyn Fn(Stage) -> LayerTraining| {
        let mut window = Window::default();
        micro_step(&exact(&network, training), &loss, batch.clone(), &mut window, Observe::Nothing);
        (0..window.gradients.len()).map(|i| window.gradients.get(i).map(|g| g.clone())).collect::<Vec<_>>()
    };
    let all = gradients(&|_| LayerTraining::Trained);
    let stages: Vec<Stage> = network.convs().into_iter().map(|(stage, _)| stage).collect();
    // The leading stages, as a recipe freezes them; and a hole in the middle, through which gradients still pass.
    let leading = |stage: Stage| matches!(stage, Stage::Stem | Stage::Block(0..3));
    let middle = |stage: Stage| matches!(stage, Stage::Block(5) | Stage::Last | Stage::ClassHead(_));
    for frozen in [leading as fn(Stage) -> bool, middle] {
        let some = gradients(&|stage| if frozen(stage) { LayerTraining::Frozen } else { LayerTraining::Trained });
        for ((stage, all), some) in stages.iter().zip(&all).zip(&some) {
            assert_eq!(some.as_ref(), all.as_ref().filter(|_| !frozen(*stage)), "{stage:?}");
        }
    }
}

//! `fieldtune bench step`: time and memory of one training step.

use super::network::NetworkArgument;
use super::peak_rss_mb;
use crate::board::release_freed_memory;
use crate::boxes::{BoxCoder, CornerBox, InputSize, Matcher};
use crate::kernel::{Isa, awake, peak_gflops};
use crate::loss::TargetEncoder;
use crate::model::initialise_network;
use crate::session::{set_threads, terminal};
use crate::train::{Observe, Predicted, Recipe, TrainBatch, TrainState, Window, apply};
use anyhow::Result;
use clap::Args;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde_json::json;
use std::time::Instant;

#[derive(Debug, Args)]
pub struct StepArguments {
    /// Micro-batches to measure
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    pub micro_batch: Vec<usize>,
    /// Threads for the network [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Leading stages not trained, as in `train`
    #[arg(long, default_value_t = 0)]
    pub freeze: usize,
    /// Classes without the background
    #[arg(long, default_value_t = 4)]
    pub classes: usize,
    /// Input size in pixels, a side or HEIGHTxWIDTH
    #[arg(long, default_value = "300")]
    pub imgsz: InputSize,
    /// The network to measure
    #[arg(long, value_enum, default_value_t)]
    pub network: NetworkArgument,
    /// Steps measured after one to warm up; the fastest counts
    #[arg(long, default_value_t = 10)]
    pub steps: usize,
    /// One JSON object a row
    #[arg(long)]
    pub json: bool,
}

/// Fastest times of one setting, milliseconds per image.
struct StepRow {
    micro_batch: usize,
    forward: f64,
    loss: f64,
    backward: f64,
    optimizer: f64,
    /// Pages that the system had to find for a step, on average over the second half of the steps; `None` where it does not
    /// tell.
    faults: Option<f64>,
    /// Operations per image of forward and backward, padding counted, the loss and the optimizer not.
    flops: f64,
}

pub fn run(arguments: StepArguments) -> Result<u8> {
    crate::session::check_size(arguments.imgsz)?;
    let threads = set_threads(arguments.threads)?;
    if !arguments.json {
        terminal::stream_line(format_args!(
            "micro-batch  threads  forward  loss  backward  optimizer    total ms/image  peak RSS MB  faults/step  of FMA peak"
        ))?;
    }
    let peak = peak_gflops(Isa::best()) * threads as f64;
    for &micro_batch in &arguments.micro_batch {
        release_freed_memory();
        super::forget_peak_rss();
        let row = measure(&arguments, micro_batch.max(1));
        let total = row.forward + row.loss + row.backward + row.optimizer;
        let rss = peak_rss_mb();
        let share = row.flops / (total * 1e-3) / 1e9 / peak;
        if arguments.json {
            let parts = json!({
                "forward": row.forward, "loss": row.loss, "backward": row.backward, "optimizer": row.optimizer,
                "total": total
            });
            let backend = Isa::best().name();
            terminal::stream_line(format_args!(
                "{}",
                json!({"microbatch": row.micro_batch, "threads": threads, "backend": backend, "freeze": arguments.freeze,
                       "ms_per_image": parts, "peak_rss_mb": rss, "minor_faults_per_step": row.faults,
                       "flops_share": share, "gflop_per_image": row.flops / 1e9})
            ))?;
        } else {
            terminal::stream_line(format_args!(
                "{:>11}  {threads:>7}  {:>7.1}  {:>4.1}  {:>8.1}  {:>9.1}  {total:>17.1}  {:>11}  {:>11}  {share:>11.2}",
                row.micro_batch,
                row.forward,
                row.loss,
                row.backward,
                row.optimizer,
                rss.map_or("-".to_string(), |mb| format!("{mb:.0}")),
                row.faults.map_or("-".to_string(), |faults| format!("{faults:.1}"))
            ))?;
        }
    }
    Ok(0)
}

/// The cost of an image in a training step, in seconds, by the recipe's micro-batch and frozen stages: the fastest of a few.
pub fn seconds_per_image(recipe: &Recipe, classes: usize, imgsz: InputSize) -> f64 {
    let micro_batch = recipe.micro_batch;
    let arguments = StepArguments {
        micro_batch: vec![micro_batch],
        threads: None,
        freeze: recipe.freeze,
        classes,
        imgsz,
        network: NetworkArgument::default(),
        steps: 3,
        json: false,
    };
    let row = measure(&arguments, micro_batch);
    // Over a window of several micro-batches there is one step of the optimizer.
    let steps = micro_batch as f64 / recipe.batch as f64;
    (row.forward + row.loss + row.backward + row.optimizer * steps) / 1e3
}

fn measure(arguments: &StepArguments, n: usize) -> StepRow {
    let specs = arguments.network.specs(arguments.classes + 1);
    let network = initialise_network(&specs, &mut Pcg64Mcg::seed_from_u64(1));
    let recipe = Recipe { freeze: arguments.freeze, batch: n, micro_batch: n, hold: 0.0, ..Recipe::default() };
    let schedule = recipe.schedule(1000);
    let mut state = TrainState::new(&network, &recipe);
    drop(network);
    let names: Vec<String> = (0..arguments.classes).map(|i| format!("class {i}")).collect();
    let loss = recipe.ssd_loss(&names, state.model.convention().scores);
    let encoder = TargetEncoder {
        anchors: specs.anchors(arguments.imgsz.dims()).unwrap_or_else(|e| panic!("{e}")),
        coder: BoxCoder::default(),
        matcher: Matcher::default(),
    };
    let last = arguments.classes as u32;
    let objects = [CornerBox::new(0.1, 0.1, 0.5, 0.5), CornerBox::new(0.4, 0.4, 0.8, 0.9)];
    let targets = vec![encoder.encode(&[1, last], &objects); n];
    let size = arguments.imgsz;
    let images: Vec<f32> = (0..n * size.numbers()).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let mut window = Window::default();
    let mut fastest = [f64::INFINITY; 4];
    let settled = arguments.steps / 2 + 1;
    let mut faults_before = None;
    for step in 0..=arguments.steps {
        if step == settled {
            faults_before = super::minor_faults();
        }
        let batch = TrainBatch { images: images.clone(), size, targets: targets.clone() };
        let mut began = Instant::now();
        let mut lap = || std::mem::replace(&mut began, Instant::now()).elapsed().as_secs_f64();
        let [forward, judging, backward] = awake(|| {
            window.clear();
            let predicted = Predicted::new(&state.model, batch, &mut window, Observe::Nothing);
            let forward = lap();
            let judged = predicted.judge(&loss);
            let judging = lap();
            judged.back(&mut window);
            [forward, judging, lap()]
        });
        apply(&mut state, &mut window, &recipe, &schedule);
        let times = [forward, judging, backward, lap()];
        if step > 0 {
            for (best, time) in fastest.iter_mut().zip(times) {
                *best = best.min(time);
            }
        }
    }
    let counted = (arguments.steps + 1).saturating_sub(settled).max(1) as f64;
    let faults = super::minor_faults().zip(faults_before).map(|(after, before)| (after - before) as f64 / counted);
    let [forward, loss, backward, optimizer] = fastest.map(|seconds| seconds * 1e3 / n as f64);
    let flops = flops(&state, size);
    StepRow { micro_batch: n, forward, loss, backward, optimizer, faults, flops }
}

/// Multiplies and adds of one image, forward and backward: two for each multiply-accumulate, and as many again for the
/// gradient of the input and of the weight where there is one.
fn flops(state: &TrainState, size: InputSize) -> f64 {
    let mut learning = false;
    let layers = state.model.geometries_of_all(size).into_iter().zip(&state.model.layers);
    let per_layer = layers.map(|(geometry, layer)| {
        let passes = 1 + usize::from(learning) + usize::from(layer.learns());
        learning |= layer.learns();
        (2 * passes * geometry.macs()) as f64
    });
    per_layer.sum()
}

//! `fieldtune bench kernels`: every layer of the network alone, forward and backward, against the core's peak.

use super::network::NetworkArgument;
use crate::boxes::InputSize;
use crate::kernel::{
    ConvGeometry, Gradients, Isa, KernelKind, LayerValues, backward, forward, memory_gb_per_s, peak_gflops,
};
use crate::model::{SsdModel, initialise_network};
use crate::session::{set_threads, terminal};
use anyhow::Result;
use clap::Args;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::json;
use std::time::Instant;

#[derive(Debug, Args)]
pub struct KernelArguments {
    /// Threads for the kernels
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Images at once
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Input size in pixels, a side or HEIGHTxWIDTH
    #[arg(long, default_value = "300")]
    pub imgsz: InputSize,
    /// Classes without the background
    #[arg(long, default_value_t = 4)]
    pub classes: usize,
    /// The network to measure
    #[arg(long, value_enum, default_value_t)]
    pub network: NetworkArgument,
    /// Runs of each; the fastest counts
    #[arg(long, default_value_t = 20)]
    pub runs: usize,
    /// One JSON object a row
    #[arg(long)]
    pub json: bool,
}

/// The size of a core's caches in numbers, roughly: larger shapes are held against memory.
const CACHED_BYTES: usize = 32 << 20;

/// The directions a layer is run in.
const DIRECTIONS: [&str; 3] = ["forward", "input", "weight"];

pub fn run(arguments: KernelArguments) -> Result<u8> {
    crate::session::check_size(arguments.imgsz)?;
    set_threads(Some(arguments.threads))?;
    let specs = arguments.network.specs(arguments.classes + 1);
    let network = initialise_network(&specs, &mut Pcg64Mcg::seed_from_u64(1));
    // (sizes, how many layers have them)
    let mut shapes: Vec<(ConvGeometry, usize)> = Vec::new();
    for g in SsdModel::for_inference(&network).geometries_of_all(arguments.imgsz) {
        // Without the activation, whose mask is a pass of its own here and part of the product in the network.
        let g = ConvGeometry { relu6: false, n: arguments.batch.max(1), ..g };
        match shapes.iter_mut().find(|(other, _)| *other == g) {
            Some((_, count)) => *count += 1,
            None => shapes.push((g, 1)),
        }
    }
    let memory = memory_gb_per_s();
    if !arguments.json {
        terminal::stream_line(format_args!(
            "memory: {memory:.1} GB/s, a copy by one thread; shapes of more than {} MB are marked",
            CACHED_BYTES >> 20
        ))?;
    }
    for isa in Isa::available() {
        let peak = peak_gflops(isa) * arguments.threads as f64;
        if !arguments.json {
            terminal::stream_line(format_args!("{}: {peak:.0} GFLOP/s at most", isa.name()))?;
            terminal::stream_line(format_args!(
                "kind       input           output          x   forward  input  weight  GFLOP/s  (share)  GB/s  (share of memory)"
            ))?;
        }
        let mut sums: Vec<(KernelKind, [f64; 2])> = Vec::new();
        for (g, count) in &shapes {
            let times = measure(isa, g, arguments.runs.max(1));
            show(&arguments, isa, g, *count, times, [peak, memory])?;
            for time in times.into_iter().flatten() {
                let part = [*count as f64 * 2.0 * g.macs() as f64, *count as f64 * time];
                match sums.iter_mut().find(|(kind, _)| *kind == g.kind) {
                    Some((_, sum)) => *sum = [sum[0] + part[0], sum[1] + part[1]],
                    None => sums.push((g.kind, part)),
                }
            }
        }
        if !arguments.json {
            for (kind, [flops, seconds]) in sums {
                let speed = flops / seconds / 1e9;
                let (ms, share) = (seconds * 1e3, speed / peak);
                terminal::stream_line(format_args!(
                    "{kind:?} in all: {ms:.2} ms, {speed:.1} GFLOP/s, {share:.2} of the peak"
                ))?;
            }
            terminal::stream_line("")?;
        }
    }
    Ok(0)
}

fn show(
    a: &KernelArguments,
    isa: Isa,
    g: &ConvGeometry,
    count: usize,
    times: [Option<f64>; 3],
    [peak, memory]: [f64; 2],
) -> Result<()> {
    let speed = |time: f64| 2.0 * g.macs() as f64 / time / 1e9;
    let bytes = size_of::<f32>() * (g.input_len() + g.output_len() + g.weight_len());
    let gb_per_s = |time: f64| bytes as f64 / time / 1e9;
    if a.json {
        for (direction, time) in DIRECTIONS.iter().zip(times) {
            let Some(time) = time else { continue };
            let row = json!({
                "backend": isa.name(), "kind": format!("{:?}", g.kind).to_lowercase(), "direction": direction,
                "input": [g.n, g.h, g.w, g.cin], "output": [g.n, g.oh, g.ow, g.cout], "stride": g.stride,
                "layers": count, "ms": time * 1e3, "gflops": speed(time), "share": speed(time) / peak,
                "gb_per_s": gb_per_s(time), "memory_share": gb_per_s(time) / memory, "cached": bytes <= CACHED_BYTES
            });
            terminal::stream_line(format_args!("{row}"))?;
        }
        return Ok(());
    }
    let columns = times.map(|t| t.map_or("-".into(), |t| format!("{:.0} ({:.2})", speed(t), speed(t) / peak)));
    terminal::stream_line(format_args!(
        "{:<9}  {:<14}  {:<14}  {count}  {:>11} {:>11} {:>11}  {}{}",
        format!("{:?}", g.kind),
        format!("{}x{}x{}", g.h, g.w, g.cin),
        format!("{}x{}x{}", g.oh, g.ow, g.cout),
        columns[0],
        columns[1],
        columns[2],
        times.map(|t| t.map_or("-".into(), |t| format!("{:.0} ({:.2})", gb_per_s(t), gb_per_s(t) / memory))).join(" "),
        if bytes > CACHED_BYTES { " *" } else { "" }
    ))
}

/// Fastest times in seconds: forward, gradient of the input (none for the first layer), gradient of the weight.
fn measure(isa: Isa, g: &ConvGeometry, runs: usize) -> [Option<f64>; 3] {
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let (weight, scale, bias, x) = (draw(g.weight_len()), draw(g.cout), draw(g.cout), draw(g.input_len()));
    let (mut y, mut dy) = (draw(g.output_len()), draw(g.output_len()));
    let (mut dx, mut dw) = (draw(g.input_len()), draw(g.weight_len()));
    let layer = LayerValues { geometry: *g, weight: &weight, scale: &scale, bias: &bias };
    let mut fastest = [f64::INFINITY; 3];
    for _ in 0..=runs {
        let began = Instant::now();
        forward(isa, &layer, &x, None, &mut y);
        fastest[0] = fastest[0].min(began.elapsed().as_secs_f64());
        // Nobody asks for the gradient of the photo.
        if g.cin > 3 {
            let began = Instant::now();
            let out = Gradients { dx: Some(&mut dx), dw: None, db: None };
            backward(isa, &layer, &x, None, &mut dy, out);
            fastest[1] = fastest[1].min(began.elapsed().as_secs_f64());
        }
        let began = Instant::now();
        backward(isa, &layer, &x, None, &mut dy, Gradients { dx: None, dw: Some(&mut dw), db: None });
        fastest[2] = fastest[2].min(began.elapsed().as_secs_f64());
    }
    fastest.map(|t| t.is_finite().then_some(t))
}

//! The training step of `fieldtune bench step` with burn's own convolutions on its NdArray backend.
//!
//!     stock_burn MICRO_BATCH[,..] THREADS STEPS
//!
//! Forward, backward and a plain SGD step. In place of SSD's loss stands half the sum of squares of all predictions,
//! which costs less; everything else is the same network.

#![allow(deprecated)] // burn-ndarray is deprecated upstream in favour of burn-flex

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use serde_json::json;
use std::time::Instant;

/// (expansion, channels, repeats, stride of the first): MobileNetV2, table 2.
const GROUPS: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];
const EXTRAS: [[usize; 2]; 4] = [[256, 512], [128, 256], [128, 256], [64, 128]];
const TAP: usize = 13;

struct Conv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    groups: usize,
    activation: bool,
}

impl Conv {
    fn new(cin: usize, cout: usize, kernel: usize, stride: usize, groups: usize, activation: bool) -> Self {
        let device = Device::ndarray().autodiff();
        let fan_in = (cin / groups * kernel * kernel) as f64;
        let normal = Distribution::Normal(0.0, (2.0 / fan_in).sqrt());
        let weight = Tensor::random([cout, cin / groups, kernel, kernel], normal, &device).require_grad();
        Self { weight, bias: Tensor::zeros([cout], &device).require_grad(), stride, groups, activation }
    }

    fn pointwise(cin: usize, cout: usize, activation: bool) -> Self {
        Self::new(cin, cout, 1, 1, 1, activation)
    }

    fn depthwise(channels: usize, stride: usize) -> Self {
        Self::new(channels, channels, 3, stride, channels, true)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let kernel = self.weight.dims()[2];
        let pad = |size: usize| {
            let total = ((size.div_ceil(self.stride) - 1) * self.stride + kernel).saturating_sub(size);
            (total / 2, total - total / 2)
        };
        let options =
            ConvOptions::new_with_padding([self.stride; 2], [pad(height), pad(width)], [1, 1], self.groups);
        let y = conv2d(x, self.weight.clone(), Some(self.bias.clone()), options);
        if self.activation { y.clamp(0.0, 6.0) } else { y }
    }
}

struct Block {
    expand: Option<Conv>,
    depthwise: Conv,
    project: Conv,
    residual: bool,
}

struct Network {
    stem: Conv,
    blocks: Vec<Block>,
    last: Conv,
    extras: Vec<[Conv; 3]>,
    heads: Vec<[Conv; 2]>,
}

impl Network {
    fn new(classes: usize) -> Self {
        let (mut blocks, mut cin) = (Vec::new(), 32);
        for [expansion, cout, repeats, first] in GROUPS {
            for i in 0..repeats {
                let (stride, wide) = (if i == 0 { first } else { 1 }, cin * expansion);
                blocks.push(Block {
                    expand: (expansion > 1).then(|| Conv::pointwise(cin, wide, true)),
                    depthwise: Conv::depthwise(wide, stride),
                    project: Conv::pointwise(wide, cout, false),
                    residual: stride == 1 && cin == cout,
                });
                cin = cout;
            }
        }
        let (mut extras, mut channels) = (Vec::new(), vec![576, 1280]);
        for [reduce, cout] in EXTRAS {
            let input = channels[channels.len() - 1];
            extras.push([
                Conv::pointwise(input, reduce, true),
                Conv::depthwise(reduce, 2),
                Conv::pointwise(reduce, cout, true),
            ]);
            channels.push(cout);
        }
        let per_cell = [3, 6, 6, 6, 6, 6];
        let heads = channels.into_iter().zip(per_cell).flat_map(|(c, anchors)| {
            [classes + 1, 4].map(|n| [Conv::depthwise(c, 1), Conv::pointwise(c, anchors * n, false)])
        });
        let heads = heads.collect();
        Self { stem: Conv::new(3, 32, 3, 2, 1, true), blocks, last: Conv::pointwise(320, 1280, true), extras, heads }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<1> {
        let (mut x, mut maps) = (self.stem.forward(images), Vec::new());
        for (i, block) in self.blocks.iter().enumerate() {
            let wide = block.expand.as_ref().map_or_else(|| x.clone(), |e| e.forward(x.clone()));
            if i == TAP {
                maps.push(wide.clone());
            }
            let y = block.project.forward(block.depthwise.forward(wide));
            x = if block.residual { x + y } else { y };
        }
        x = self.last.forward(x);
        maps.push(x.clone());
        for extra in &self.extras {
            x = extra.iter().fold(x, |x, conv| conv.forward(x));
            maps.push(x.clone());
        }
        let losses = self.heads.iter().enumerate().map(|(i, head)| {
            let y = head.iter().fold(maps[i / 2].clone(), |x, conv| conv.forward(x));
            (y.clone() * y).sum() * 0.5
        });
        losses.reduce(|a, b| a + b).expect("there are heads")
    }

    fn layers(&mut self) -> Vec<&mut Conv> {
        let blocks = self.blocks.iter_mut().flat_map(|b| b.expand.iter_mut().chain([&mut b.depthwise, &mut b.project]));
        [&mut self.stem, &mut self.last]
            .into_iter()
            .chain(blocks)
            .chain(self.extras.iter_mut().flatten())
            .chain(self.heads.iter_mut().flatten())
            .collect()
    }
}

fn peak_rss_mb() -> f64 {
    // SAFETY: getrusage fills the structure it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_maxrss as f64 / 1024.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [micro_batches, threads, steps] = arguments.as_slice() else {
        eprintln!("usage: stock_burn MICRO_BATCH[,..] THREADS STEPS");
        std::process::exit(2);
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let threads = number(threads);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads start");
    for n in micro_batches.split(',').map(number) {
        let mut network = Network::new(4);
        let device = Device::ndarray().autodiff();
        let images = Tensor::<4>::random([n, 3, 300, 300], Distribution::Uniform(-1.0, 1.0), &device);
        let mut fastest = [f64::INFINITY; 4];
        for step in 0..=number(steps) {
            let began = Instant::now();
            let loss = network.forward(images.clone());
            let forward = began.elapsed().as_secs_f64();
            let gradients = loss.backward();
            let both = began.elapsed().as_secs_f64();
            for layer in network.layers() {
                let dw = layer.weight.grad(&gradients).expect("every layer learns");
                let db = layer.bias.grad(&gradients).expect("every layer learns");
                layer.weight = Tensor::from_inner(layer.weight.clone().inner() - dw * 1e-6).require_grad();
                layer.bias = Tensor::from_inner(layer.bias.clone().inner() - db * 1e-6).require_grad();
            }
            let total = began.elapsed().as_secs_f64();
            if step > 0 {
                for (best, time) in fastest.iter_mut().zip([forward, both - forward, total - both, total]) {
                    *best = best.min(time);
                }
            }
        }
        let [forward, backward, optimizer, total] = fastest.map(|s| s * 1e3 / n as f64);
        let parts = json!({"forward": forward, "backward": backward, "optimizer": optimizer, "total": total});
        println!(
            "{}",
            json!({"microbatch": n, "threads": threads, "backend": "burn-ndarray", "freeze": 0,
                   "ms_per_image": parts, "peak_rss_mb": peak_rss_mb()})
        );
    }
}

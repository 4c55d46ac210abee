//! Every kernel on every instruction set of this processor against the obvious loops in `f64`.
//!
//! Buffers stand off alignment between guard zones, and those a kernel must overwrite start as NaN.

use fieldtune::kernel::{ConvGeometry, Gradients, Isa, KernelKind, LayerValues, backward, forward, reference};
use fieldtune::model::{Activation, ConvKind, ConvSpec, Padding, Ssd, ssdlite_mobilenet_v2};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Largest error of a sum of products, relative to the sum of their magnitudes.
const SUM_TOLERANCE: f64 = 1e-6;

/// Thread counts that every case runs with: alone, and more than rows divide by evenly.
const THREADS: [usize; 2] = [1, 3];

/// Floats of guard zone; odd, so that no buffer is aligned to a vector.
const GUARD: usize = 13;

/// A value no kernel produces, compared bit by bit.
const SENTINEL: u32 = 0x5EA1_0BAD;

/// A buffer between two guard zones.
#[derive(Clone)]
struct Guarded(Vec<f32>);

impl Guarded {
    fn new(values: &[f32]) -> Self {
        let zone = [f32::from_bits(SENTINEL); GUARD];
        Self([&zone, values, &zone].concat())
    }

    fn poisoned(len: usize) -> Self {
        Self::new(&vec![f32::NAN; len])
    }

    fn values(&self) -> &[f32] {
        &self.0[GUARD..self.0.len() - GUARD]
    }

    fn values_mut(&mut self) -> &mut [f32] {
        let end = self.0.len() - GUARD;
        &mut self.0[GUARD..end]
    }

    fn is_intact(&self) -> bool {
        let zones = self.0[..GUARD].iter().chain(&self.0[self.0.len() - GUARD..]);
        zones.into_iter().all(|v| v.to_bits() == SENTINEL)
    }

    fn bits(&self) -> Vec<u32> {
        self.0.iter().map(|v| v.to_bits()).collect()
    }
}

/// One layer with numbers, and what `f64` makes of them.
struct Case {
    name: String,
    geometry: ConvGeometry,
    weight: Guarded,
    scale: Guarded,
    bias: Guarded,
    x: Guarded,
    residual: Guarded,
    /// The output that the ReLU6 mask is read off.
    y: Guarded,
    dy: Guarded,
    /// The content of the weight and bias gradients before they are added to.
    dw: Guarded,
    db: Guarded,
    forward: Expected,
    forward_residual: Expected,
    backward: [Expected; 3],
    /// The gradient behind the ReLU6's mask, left in `dy`.
    masked: Vec<f32>,
}

/// Values and the magnitudes they are sums of.
struct Expected {
    values: Vec<f64>,
    magnitudes: Vec<f64>,
}

impl Expected {
    /// Largest error relative to the magnitude.
    #[track_caller]
    fn error(&self, got: &[f32], what: &str) -> f64 {
        assert_eq!(got.len(), self.values.len(), "{what}");
        let mut worst = 0f64;
        for (i, ((&got, want), magnitude)) in got.iter().zip(&self.values).zip(&self.magnitudes).enumerate() {
            let error = (f64::from(got) - want).abs() / magnitude.max(f64::from(f32::MIN_POSITIVE));
            assert!(error <= SUM_TOLERANCE, "{what}[{i}]: {got}, reference {want}, relative error {error:.1e}");
            worst = worst.max(error);
        }
        worst
    }

    fn plus(mut self, added: &[f32]) -> Self {
        for ((value, magnitude), &a) in self.values.iter_mut().zip(&mut self.magnitudes).zip(added) {
            *value += f64::from(a);
            *magnitude += f64::from(a.abs());
        }
        self
    }
}

fn magnitudes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| v.abs()).collect()
}

impl Case {
    fn new(name: &str, geometry: ConvGeometry, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut draw =
            |len: usize, low: f32, high: f32| -> Vec<f32> { (0..len).map(|_| rng.random_range(low..high)).collect() };
        let g = geometry;
        // Deviation 2 and a bias over all of ReLU6's range: many outputs are exactly 0 and many exactly 6.
        let spread = 6.0 / ((g.weight_len() / g.cout) as f32).sqrt();
        let weight = draw(g.weight_len(), -spread, spread);
        let (scale, bias) = (draw(g.cout, 0.5, 1.5), draw(g.cout, -2.0, 8.0));
        let (x, residual) = (draw(g.input_len(), -1.0, 1.0), draw(g.output_len(), -1.0, 1.0));
        let dy = draw(g.output_len(), -1.0, 1.0);
        let (dw, db) = (draw(g.weight_len(), -1.0, 1.0), draw(g.cout, -1.0, 1.0));
        let (w, s, b, xs) = (magnitudes(&weight), magnitudes(&scale), magnitudes(&bias), magnitudes(&x));
        let layer = LayerValues { geometry, weight: &weight, scale: &scale, bias: &bias };
        // With magnitudes in place of values the reference sums the magnitudes of the terms.
        let size = LayerValues { geometry, weight: &w, scale: &s, bias: &b };
        let linear = LayerValues { geometry: ConvGeometry { relu6: false, ..g }, ..size };
        let forward = Expected {
            values: reference::forward(&layer, &x, None),
            magnitudes: reference::forward(&linear, &xs, None),
        };
        let y: Vec<f32> = forward.values.iter().map(|&v| v as f32).collect();
        let added = Expected { values: forward.values.clone(), magnitudes: forward.magnitudes.clone() }.plus(&residual);
        let [vx, vw, vb] = reference::backward(&layer, &x, &y, &dy);
        let [mx, mw, mb] = reference::backward(&size, &xs, &y, &magnitudes(&dy));
        let passes = |i: usize| !g.relu6 || (y[i] > 0.0 && y[i] < 6.0);
        let masked = dy.iter().enumerate().map(|(i, &d)| if passes(i) { d } else { 0.0 }).collect();
        Self {
            name: format!("{name} {g:?}"),
            geometry,
            forward,
            forward_residual: added,
            backward: [
                Expected { values: vx, magnitudes: mx },
                Expected { values: vw, magnitudes: mw }.plus(&dw),
                Expected { values: vb, magnitudes: mb }.plus(&db),
            ],
            masked,
            weight: Guarded::new(&weight),
            scale: Guarded::new(&scale),
            bias: Guarded::new(&bias),
            x: Guarded::new(&x),
            residual: Guarded::new(&residual),
            y: Guarded::new(&y),
            dy: Guarded::new(&dy),
            dw: Guarded::new(&dw),
            db: Guarded::new(&db),
        }
    }

    fn layer(&self) -> LayerValues<'_> {
        let (weight, scale, bias) = (self.weight.values(), self.scale.values(), self.bias.values());
        LayerValues { geometry: self.geometry, weight, scale, bias }
    }

    fn run_forward(&self, isa: Isa, residual: Option<&Guarded>) -> Guarded {
        let mut y = Guarded::poisoned(self.geometry.output_len());
        forward(isa, &self.layer(), self.x.values(), residual.map(Guarded::values), y.values_mut());
        assert!(y.is_intact(), "{}: wrote outside y", self.name);
        y
    }

    /// `[dy, dx, dw, db]` afterwards; those that are not wanted stay as they were.
    fn run_backward(&self, isa: Isa, [input, weight, bias]: [bool; 3]) -> [Guarded; 4] {
        let mut dy = self.dy.clone();
        let mut dx = Guarded::poisoned(self.geometry.input_len());
        let (mut dw, mut db) = (self.dw.clone(), self.db.clone());
        let y = self.geometry.relu6.then_some(self.y.values());
        let out = Gradients {
            dx: input.then_some(dx.values_mut()),
            dw: weight.then_some(dw.values_mut()),
            db: bias.then_some(db.values_mut()),
        };
        backward(isa, &self.layer(), self.x.values(), y, dy.values_mut(), out);
        let all = [dy, dx, dw, db];
        assert!(all.iter().all(Guarded::is_intact), "{}: wrote outside a gradient", self.name);
        all
    }

    /// Runs all passes on one instruction set in the surrounding pool; returns the largest error.
    fn check(&self, isa: Isa) -> f64 {
        let threads = rayon::current_num_threads();
        let what = |part: &str| format!("{} of {} on {isa:?} with {threads} threads", part, self.name);
        let y = self.run_forward(isa, None);
        let mut worst = self.forward.error(y.values(), &what("y"));
        assert_eq!(y.bits(), self.run_forward(isa, None).bits(), "{}", what("a second forward pass"));
        if self.geometry.kind == KernelKind::Pointwise && !self.geometry.relu6 {
            let y = self.run_forward(isa, Some(&self.residual));
            worst = worst.max(self.forward_residual.error(y.values(), &what("y with residual")));
        }
        let all = self.run_backward(isa, [true, true, true]);
        assert_eq!(all[0].values(), self.masked, "{}", what("dy"));
        let parts = [("dx", 0), ("dw", 1), ("db", 2)];
        for (part, i) in parts {
            worst = worst.max(self.backward[i].error(all[i + 1].values(), &what(part)));
        }
        for wanted in [[true, false, false], [false, true, true], [false, false, true]] {
            let some = self.run_backward(isa, wanted);
            let before = [&Guarded::poisoned(self.geometry.input_len()), &self.dw, &self.db];
            for (i, wanted) in wanted.into_iter().enumerate() {
                let expected = if wanted { &all[i + 1] } else { before[i] };
                assert_eq!(some[i + 1].bits(), expected.bits(), "{}: {wanted:?}", what(parts[i].0));
            }
        }
        worst
    }
}

/// Checks every case on every instruction set and thread count, and says how close it was.
fn check_all(cases: impl IntoIterator<Item = (String, ConvGeometry)>) {
    check_with(&THREADS, cases);
}

/// As [`check_all`], with these numbers of threads.
pub fn check_with(threads: &[usize], cases: impl IntoIterator<Item = (String, ConvGeometry)>) {
    let pool = |&n: &usize| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a thread pool");
    let pools: Vec<_> = threads.iter().map(pool).collect();
    let (mut worst, mut count) = ((0f64, String::new()), 0);
    for (name, geometry) in cases {
        let case = Case::new(&name, geometry, count);
        count += 1;
        for isa in Isa::available() {
            for pool in &pools {
                let error = pool.install(|| case.check(isa));
                if error > worst.0 {
                    worst = (error, format!("{name} on {isa:?}"));
                }
            }
        }
    }
    println!("{count} shapes on {:?}: largest relative error {:.1e} at {}", Isa::available(), worst.0, worst.1);
}

/// Every distinct convolution of the network at an input of `size` pixels, by its stage.
pub fn layers(net: &Ssd<ConvSpec>, size: usize) -> Vec<(String, ConvGeometry)> {
    let mut all: Vec<(String, ConvGeometry)> = Vec::new();
    let mut take = |stage: String, spec: &ConvSpec, [h, w]: [usize; 2]| {
        let geometry = spec.geometry([1, h, w, spec.in_channels]);
        if all.iter().all(|(_, g)| *g != geometry) {
            all.push((stage, geometry));
        }
        [geometry.oh, geometry.ow]
    };
    let mut at = take("stem".into(), &net.stem, [size, size]);
    for (i, block) in net.blocks.iter().enumerate() {
        for spec in block.expand.iter().chain([&block.depthwise, &block.project]) {
            at = take(format!("block {i}"), spec, at);
        }
    }
    at = take("last".into(), &net.last, at);
    for (i, extra) in net.extras.iter().enumerate() {
        for spec in extra.layers() {
            at = take(format!("extra {i}"), spec, at);
        }
    }
    for (i, (head, at)) in net.heads.iter().zip(net.map_sizes([size, size])).enumerate() {
        let boxes = head.box_depthwise.iter().chain([&head.box_predictor]);
        for spec in boxes.chain(&head.class_depthwise).chain([&head.class_predictor]) {
            take(format!("head {i}"), spec, at);
        }
    }
    all
}

#[test]
fn every_layer_at_full_size_equals_the_reference() {
    check_all(layers(&ssdlite_mobilenet_v2(1.0, 91, false), 300));
}

#[test]
fn every_layer_of_a_small_photo_equals_the_reference() {
    check_all(layers(&ssdlite_mobilenet_v2(1.0, 21, false), 64));
    check_all(layers(&ssdlite_mobilenet_v2(0.35, 3, true), 96));
}

pub fn spec(kind: ConvKind, kernel: [usize; 2], stride: usize, padding: Padding, channels: [usize; 2]) -> ConvSpec {
    let [in_channels, out_channels] = channels;
    let activation = if (in_channels + kernel[1]).is_multiple_of(2) { Activation::Relu6 } else { Activation::Linear };
    ConvSpec { kind, kernel, stride, padding, in_channels, out_channels, activation }
}

#[test]
fn odd_depthwise_shapes_equal_the_reference() {
    let pytorch = Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 };
    let lopsided = Padding::Explicit { top: 2, left: 0, bottom: 0, right: 1 };
    let mut cases = Vec::new();
    for channels in [1, 3, 5, 17, 24, 33] {
        for kernel in [[3, 3], [2, 2], [1, 1], [5, 3]] {
            for (stride, padding) in
                [(1, Padding::TfSame), (2, Padding::TfSame), (1, pytorch), (2, pytorch), (2, lopsided)]
            {
                for (n, size) in [(1, [1, 1]), (3, [5, 4]), (1, [6, 9]), (3, [2, 2])] {
                    let spec = spec(ConvKind::Depthwise, kernel, stride, padding, [channels, channels]);
                    if fits(&spec, size) {
                        cases.push(("odd depthwise".into(), spec.geometry([n, size[0], size[1], channels])));
                    }
                }
            }
        }
    }
    // Large enough to be shared between threads, in rows that three do not divide.
    for (stride, padding) in [(1, pytorch), (2, Padding::TfSame), (2, pytorch)] {
        let spec = spec(ConvKind::Depthwise, [3, 3], stride, padding, [33, 33]);
        cases.push(("forked depthwise".into(), spec.geometry([3, 40, 41, 33])));
    }
    check_all(cases);
}

/// True if a map with its padding is at least as large as the kernel.
pub fn fits(spec: &ConvSpec, [h, w]: [usize; 2]) -> bool {
    let ((top, bottom), (left, right)) = (
        spec.padding.vertical(h, spec.kernel[0], spec.stride),
        spec.padding.horizontal(w, spec.kernel[1], spec.stride),
    );
    h + top + bottom >= spec.kernel[0] && w + left + right >= spec.kernel[1]
}

#[test]
fn odd_pointwise_and_dense_shapes_equal_the_reference() {
    let pytorch = Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 };
    let mut cases = Vec::new();
    for cin in [1, 3, 5, 17, 24, 33] {
        for cout in [1, 3, 5, 17, 24, 33] {
            for (n, size) in [(1, [1, 1]), (3, [5, 4]), (2, [7, 7])] {
                let pointwise = spec(ConvKind::Pointwise, [1, 1], 1, Padding::TfSame, [cin, cout]);
                cases.push(("odd pointwise".into(), pointwise.geometry([n, size[0], size[1], cin])));
            }
        }
        for padding in [Padding::TfSame, pytorch] {
            let dense = spec(ConvKind::Dense, [3, 3], 2, padding, [cin, 5]);
            cases.push(("odd dense".into(), dense.geometry([3, 6, 5, cin])));
        }
    }
    // Large enough to be shared between threads: by rows of pixels, and by rows of the weight.
    for channels in [[33, 65], [67, 35]] {
        let spec = spec(ConvKind::Pointwise, [1, 1], 1, Padding::TfSame, channels);
        cases.push(("forked pointwise".into(), spec.geometry([3, 13, 17, channels[0]])));
    }
    let stem = spec(ConvKind::Dense, [3, 3], 2, Padding::TfSame, [3, 16]);
    cases.push(("forked dense".into(), stem.geometry([2, 81, 80, 3])));
    check_all(cases);
}

/// A 1x1 layer on one pixel: `y = act(scale·x + bias)`.
fn one_pixel<R>(relu6: bool, [scale, bias]: [f32; 2], f: impl Fn(Isa, &LayerValues) -> R) -> Vec<R> {
    let spec = spec(ConvKind::Pointwise, [1, 1], 1, Padding::TfSame, [1, 1]);
    let geometry = ConvGeometry { relu6, ..spec.geometry([1, 1, 1, 1]) };
    let layer = LayerValues { geometry, weight: &[1.0], scale: &[scale], bias: &[bias] };
    Isa::available().into_iter().map(|isa| f(isa, &layer)).collect()
}

#[test]
fn relu6_passes_no_gradient_at_exactly_0_and_exactly_6() {
    let inside = [f32::MIN_POSITIVE, 1e-45, 3.0, 5.9999995];
    for (y, slope) in inside.map(|y| (y, 1.0)).into_iter().chain([0.0, -0.0, 6.0].map(|y| (y, 0.0))) {
        let gradients = one_pixel(true, [2.0, 0.0], |isa, layer| {
            let (mut dy, mut dx, mut db) = ([1.5], [f32::NAN], [0.25]);
            let out = Gradients { dx: Some(&mut dx), dw: None, db: Some(&mut db) };
            backward(isa, layer, &[7.0], Some(&[y]), &mut dy, out);
            (dx[0], db[0])
        });
        assert!(gradients.iter().all(|&g| g == (3.0 * slope, 0.25 + 1.5 * slope)), "y = {y:e}: {gradients:?}");
    }
}

#[test]
fn a_value_that_is_no_number_stays_visible() {
    for (x, linear, relu6) in [(f32::NAN, f32::NAN, f32::NAN), (f32::INFINITY, f32::INFINITY, 6.0)] {
        for (activation, want) in [(false, linear), (true, relu6)] {
            let outputs = one_pixel(activation, [1.0, 0.5], |isa, layer| {
                let mut y = [0.0];
                forward(isa, layer, &[x], None, &mut y);
                y[0]
            });
            assert!(outputs.iter().all(|y| y.to_bits() & 0x7FFF_FFFF == want.to_bits()), "x = {x}: {outputs:?}");
        }
    }
}

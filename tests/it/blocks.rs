//! Blocks as one operation against their layers one by one in `f64`, on every instruction set and thread count.

use fieldtune::kernel::{
    BlockGradients, BlockInput, BlockLayers, ChannelSums, ConvGeometry, Isa, Keep, KernelKind, LayerSums, LayerValues,
    block_backward, block_forward, reference,
};
use half::f16;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Largest norm of an error relative to the norm of what it should be: sums of some thousand products in `f32`.
const TOLERANCE: f64 = 3e-6;

/// A sum this near to a bound of ReLU6 may fall on either side when it is rounded, and its gradient with it: other numbers
/// are drawn then.
const AT_BOUND: f64 = 2e-6;
const REDRAWN: u64 = 1 << 32;

/// Thread counts that every case runs with: alone, and more than images or rows divide by evenly.
const THREADS: [usize; 2] = [1, 3];

const GUARD: usize = 7;

/// One layer's sizes and numbers.
struct Numbers {
    geometry: ConvGeometry,
    weight: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
}

impl Numbers {
    fn new(geometry: ConvGeometry, rng: &mut Pcg64Mcg) -> Self {
        let spread = 3.0 / ((geometry.weight_len() / geometry.cout) as f32).sqrt();
        let mut draw = |n: usize, low: f32, high: f32| (0..n).map(|_| rng.random_range(low..high)).collect();
        Self {
            geometry,
            weight: draw(geometry.weight_len(), -spread, spread),
            scale: draw(geometry.cout, 0.5, 1.5),
            bias: draw(geometry.cout, -1.0, 4.0),
        }
    }

    fn layer(&self) -> LayerValues<'_> {
        LayerValues { geometry: self.geometry, weight: &self.weight, scale: &self.scale, bias: &self.bias }
    }
}

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    n: usize,
    /// Size of the depthwise layer's input.
    h: usize,
    w: usize,
    cin: usize,
    wide: usize,
    cout: usize,
    stride: usize,
    /// Above, below, left, right.
    padding: [usize; 4],
    expand: Option<KernelKind>,
    residual: bool,
    relu6: bool,
}

impl Sizes {
    fn layers(&self) -> Vec<ConvGeometry> {
        let Sizes { n, h, w, cin, wide, cout, stride, padding: [top, bottom, left, right], .. } = *self;
        let pointwise = |h: usize, w: usize, cin: usize, cout: usize, relu6: bool| {
            let kind = KernelKind::Pointwise;
            ConvGeometry { kind, n, h, w, cin, oh: h, ow: w, cout, kh: 1, kw: 1, stride: 1, top: 0, left: 0, relu6 }
        };
        let (oh, ow) = ((h + top + bottom - 3) / stride + 1, (w + left + right - 3) / stride + 1);
        let kind = KernelKind::Depthwise;
        let depthwise =
            ConvGeometry { kind, n, h, w, cin: wide, oh, ow, cout: wide, kh: 3, kw: 3, stride, top, left, relu6: true };
        let expand = self.expand.map(|kind| match kind {
            KernelKind::Dense => ConvGeometry {
                kind,
                n,
                h: 2 * h,
                w: 2 * w - 1,
                cin,
                oh: h,
                ow: w,
                cout: wide,
                kh: 3,
                kw: 3,
                stride: 2,
                top: 0,
                left: 1,
                relu6: true,
            },
            _ => pointwise(h, w, cin, wide, true),
        });
        expand.into_iter().chain([depthwise, pointwise(oh, ow, wide, cout, self.relu6)]).collect()
    }
}

fn draw(n: usize, rng: &mut Pcg64Mcg) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn widened(half: &[u16]) -> Vec<f32> {
    half.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect()
}

fn rounded(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

#[track_caller]
fn close(got: &[f32], want: &[f64], what: &str) -> f64 {
    assert_eq!(got.len(), want.len(), "{what}");
    let (mut error, mut size) = (0f64, 1e-12f64);
    for (&g, &w) in got.iter().zip(want) {
        error += (f64::from(g) - w).powi(2);
        size += w * w;
    }
    let relative = (error / size).sqrt();
    assert!(relative <= TOLERANCE, "{what}: relative error {relative:.1e}");
    relative
}

/// A poisoned buffer between guards, of which `f` gets the middle.
fn guarded(len: usize, fill: f32, f: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut buffer = vec![-77.0; GUARD + len + GUARD];
    buffer[GUARD..GUARD + len].fill(fill);
    f(&mut buffer[GUARD..GUARD + len]);
    let zones = buffer[..GUARD].iter().chain(&buffer[GUARD + len..]);
    assert!(zones.into_iter().all(|&v| v == -77.0), "wrote outside a buffer");
    buffer[GUARD..GUARD + len].to_vec()
}

/// The gradients of a block.
struct Wanted {
    dx: Vec<f64>,
    /// Of weight and bias, layer by layer.
    sums: Vec<[Vec<f64>; 2]>,
}

impl Wanted {
    /// `inputs` are those of every layer, and the last one's output.
    fn of(numbers: &[Numbers], inputs: &[Vec<f32>], dy: &[f32], residual: bool) -> Self {
        let (mut d, mut dx, mut sums) = (dy.to_vec(), Vec::new(), Vec::new());
        for (i, n) in numbers.iter().enumerate().rev() {
            let [back, dw, db] = reference::backward(&n.layer(), &inputs[i], &inputs[i + 1], &d);
            (d, dx) = (rounded(&back), back);
            sums.push([dw, db]);
        }
        sums.reverse();
        if residual {
            dx.iter_mut().zip(dy).for_each(|(dx, &d)| *dx += f64::from(d));
        }
        Self { dx, sums }
    }

    /// Compares what was added to ones; returns the largest relative error.
    #[track_caller]
    fn compare(&self, got: &[[Vec<f32>; 2]], what: impl Fn(&str) -> String) -> f64 {
        let mut worst = 0f64;
        for (i, ([dw, db], wanted)) in got.iter().zip(&self.sums).enumerate() {
            let [plus_w, plus_b] = wanted.each_ref().map(|v| v.iter().map(|v| v + 1.0).collect::<Vec<f64>>());
            worst = worst.max(close(dw, &plus_w, &what(&format!("dw {i}"))));
            worst = worst.max(close(db, &plus_b, &what(&format!("db {i}"))));
        }
        worst
    }
}

/// A block with drawn numbers, and the results of the reference: one layer after the other in `f64`, rounded between layers
/// as any implementation would.
struct Case {
    sizes: Sizes,
    numbers: Vec<Numbers>,
    /// Of every layer, and the last one's output.
    inputs: Vec<Vec<f32>>,
    y: Vec<f64>,
    dy: Vec<f32>,
    wanted: Wanted,
    /// The block's input and its expansion in 16 bits.
    halves: [Vec<u16>; 2],
    from_halves: Vec<FromHalves>,
}

/// The gradients where the input, the expansion or both were kept in 16 bits: layers behind are computed again, from that.
struct FromHalves {
    input: bool,
    expansion: bool,
    wanted: Wanted,
}

/// True if an output of the layer lies at a bound of ReLU6.
fn is_at_bound(numbers: &Numbers, x: &[f32]) -> bool {
    let layer = numbers.layer();
    let linear = LayerValues { geometry: ConvGeometry { relu6: false, ..layer.geometry }, ..layer };
    let near = |v: &f64| v.abs().min((v - 6.0).abs()) < AT_BOUND;
    numbers.geometry.relu6 && reference::forward(&linear, x, None).iter().any(near)
}

impl Case {
    /// The numbers of `seed`; `None` where an output lies at a bound.
    fn draw(sizes: Sizes, seed: u64) -> Option<Self> {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let numbers: Vec<Numbers> = sizes.layers().into_iter().map(|g| Numbers::new(g, &mut rng)).collect();
        let x = draw(numbers[0].geometry.input_len(), &mut rng);
        let mut inputs = vec![x.clone()];
        let mut y = Vec::new();
        for (i, n) in numbers.iter().enumerate() {
            let last = i + 1 == numbers.len();
            y = reference::forward(&n.layer(), &inputs[i], (sizes.residual && last).then_some(&x[..]));
            inputs.push(rounded(&y));
        }
        let dy = draw(y.len(), &mut rng);
        let wanted = Wanted::of(&numbers, &inputs, &dy, sizes.residual);
        let halves = [0, 1].map(|i| inputs[i].iter().map(|&v| f16::from_f32(v).to_bits()).collect());
        let mut near_bound = numbers.iter().zip(&inputs).any(|(n, x)| is_at_bound(n, x));
        let mut case = Self { sizes, numbers, inputs, y, dy, wanted, halves, from_halves: Vec::new() };
        let kept: &[(bool, bool)] = match sizes.expand {
            None => &[],
            Some(KernelKind::Dense) => &[(false, true)],
            Some(_) => &[(false, true), (true, false), (true, true)],
        };
        for &(input, expansion) in kept {
            let (from, near) = case.of_halves(input, expansion);
            near_bound |= near;
            case.from_halves.push(from);
        }
        (!near_bound).then_some(case)
    }

    /// The gradients from what is kept, and whether an output lies at a bound then.
    fn of_halves(&self, input: bool, expansion: bool) -> (FromHalves, bool) {
        let next = |i: usize, x: &[f32]| rounded(&reference::forward(&self.numbers[i].layer(), x, None));
        let x = if input { widened(&self.halves[0]) } else { self.inputs[0].clone() };
        let wide = if expansion { widened(&self.halves[1]) } else { next(0, &x) };
        let near_bound = !expansion && is_at_bound(&self.numbers[0], &x) || is_at_bound(&self.numbers[1], &wide);
        let behind = next(1, &wide);
        let inputs = [x, wide, behind, self.inputs[3].clone()];
        let wanted = Wanted::of(&self.numbers, &inputs, &self.dy, self.sizes.residual);
        (FromHalves { input, expansion, wanted }, near_bound)
    }

    fn block(&self) -> BlockLayers<'_> {
        let [before @ .., depthwise, project] = &self.numbers[..] else { panic!("a block has two or three layers") };
        let expand = before.first().map(Numbers::layer);
        BlockLayers { expand, depthwise: depthwise.layer(), project: project.layer(), residual: self.sizes.residual }
    }
}

/// A case on one instruction set with some threads.
struct Run<'a> {
    case: &'a Case,
    isa: Isa,
    pool: rayon::ThreadPool,
}

/// A gradient of the input, and what was added to ones for each layer's weight and bias.
type Gradients = (Vec<f32>, Vec<[Vec<f32>; 2]>);

impl Run<'_> {
    fn what(&self, part: &str) -> String {
        let threads = self.pool.current_num_threads();
        format!("{part} of {:?} on {:?} with {threads} threads", self.case.sizes, self.isa)
    }

    fn forward(&self, seen: Option<&mut [ChannelSums]>, keep: Keep) -> Vec<f32> {
        let case = self.case;
        guarded(case.y.len(), f32::NAN, |to| {
            self.pool.install(|| block_forward(self.isa, &case.block(), &case.inputs[0], to, seen, keep));
        })
    }

    /// The gradients from an input and perhaps an expansion; `y` is the output of the forward pass.
    fn backward(&self, x: BlockInput, expansion: Option<&[u16]>, y: &[f32], learns: bool) -> Gradients {
        let case = self.case;
        let mut sums: Vec<[Vec<f32>; 2]> =
            case.numbers.iter().map(|n| [vec![1.0; n.weight.len()], vec![1.0; n.bias.len()]]).collect();
        let has_input = case.sizes.expand != Some(KernelKind::Dense);
        let dx = guarded(if has_input { case.inputs[0].len() } else { 0 }, f32::NAN, |to| {
            let all = sums.iter_mut().map(|[dw, db]| LayerSums { dw, db }).collect();
            let gradients = BlockGradients { dx: has_input.then_some(to), sums: learns.then_some(all) };
            let out = case.sizes.relu6.then_some(y);
            self.pool.install(|| block_backward(self.isa, &case.block(), x, out, &case.dy, expansion, gradients));
        });
        (dx, sums)
    }

    /// Holds a forward pass to the reference; returns its output and the largest relative error.
    fn check_forward(&self) -> (Vec<f32>, f64) {
        let case = self.case;
        let mut seen = vec![ChannelSums::default(); case.numbers.len()];
        let got = self.forward(Some(&mut seen), Keep::default());
        let mut worst = close(&got, &case.y, &self.what("y"));
        for ((n, x), seen) in case.numbers.iter().zip(&case.inputs).zip(&seen) {
            let c = n.geometry.cin;
            let mut sums = vec![0f64; c];
            x.iter().enumerate().for_each(|(k, &v)| sums[k % c] += f64::from(v));
            assert_eq!(seen.rows, x.len() / c, "{}", self.what("rows seen"));
            let got: Vec<f32> = seen.sums.iter().map(|&v| v as f32).collect();
            worst = worst.max(close(&got, &sums, &self.what("sums seen")));
        }
        (got, worst)
    }

    /// Keeping values in 16 bits does not change the output `y`.
    fn check_kept(&self, kind: KernelKind, y: &[f32]) {
        let case = self.case;
        let pointwise = kind == KernelKind::Pointwise;
        let mut input = vec![u16::MAX; if pointwise { case.inputs[0].len() } else { 0 }];
        let mut expansion = vec![u16::MAX; case.inputs[1].len()];
        let keep = Keep { input: pointwise.then_some(&mut input), expansion: Some(&mut expansion) };
        let same = self.forward(None, keep);
        assert!(y == same, "{}", self.what("y while numbers are kept"));
        assert!(!pointwise || input == case.halves[0], "{}", self.what("the input kept"));
        for (got, &want) in widened(&expansion).into_iter().zip(&case.inputs[1]) {
            // Half a unit in the last place, and what was rounded another way before.
            assert!((got - want).abs() <= want.abs() / 2000.0 + 1e-5, "{}: {got} of {want}", self.what("kept"));
        }
    }

    /// Holds a backward pass to the reference; returns the largest relative error.
    fn check_backward(&self, x: BlockInput, expansion: Option<&[u16]>, y: &[f32], wanted: &Wanted, from: &str) -> f64 {
        let what = |part: &str| self.what(&format!("{part}{from}"));
        let (dx, sums) = self.backward(x, expansion, y, true);
        let mut worst = wanted.compare(&sums, what);
        if self.case.sizes.expand != Some(KernelKind::Dense) {
            worst = worst.max(close(&dx, &wanted.dx, &what("dx")));
        }
        // In stages several threads sum in another order than in bands, but always in the same.
        assert!(self.backward(x, expansion, y, true) == (dx.clone(), sums), "{}", what("gradients once more"));
        assert!(self.backward(x, expansion, y, false).0 == dx, "{}", what("dx of a frozen block"));
        worst
    }

    fn check(&self) -> f64 {
        let case = self.case;
        let (y, mut worst) = self.check_forward();
        if let Some(kind) = case.sizes.expand {
            self.check_kept(kind, &y);
        }
        let whole = BlockInput::Whole(&case.inputs[0]);
        worst = worst.max(self.check_backward(whole, None, &y, &case.wanted, ""));
        for FromHalves { input, expansion, wanted } in &case.from_halves {
            let x = if *input { BlockInput::Half(&case.halves[0]) } else { whole };
            let kept: Option<&[u16]> = expansion.then_some(&case.halves[1]);
            let from = format!(" from what is kept, input {input}, expansion {expansion}");
            worst = worst.max(self.check_backward(x, kept, &y, wanted, &from));
        }
        worst
    }
}

/// Holds a block of these sizes to the reference everywhere; returns the largest relative error.
fn check(sizes: Sizes, seed: u64) -> f64 {
    let case = (0..).find_map(|redrawn| Case::draw(sizes, seed + redrawn * REDRAWN)).expect("the range has no end");
    let mut worst = 0f64;
    for isa in Isa::available() {
        for threads in THREADS {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            worst = worst.max(Run { case: &case, isa, pool }.check());
        }
    }
    worst
}

#[test]
fn blocks_of_every_shape_equal_their_layers() {
    let pytorch = [1, 1, 1, 1];
    let mut worst = 0f64;
    let mut seed = 0;
    for (n, h, w) in [(1, 1, 1), (3, 5, 4), (1, 9, 7), (2, 19, 21), (1, 40, 38)] {
        for (cin, wide, cout) in [(4, 24, 4), (3, 17, 5), (16, 48, 16), (8, 33, 24)] {
            for (stride, padding) in
                [(1, pytorch), (2, pytorch), (2, [0, 1, 0, 1]), (2, [0, 2, 1, 0]), (1, [2, 0, 0, 2])]
            {
                for expand in [None, Some(KernelKind::Pointwise), Some(KernelKind::Dense)] {
                    let cin = if expand.is_none() { wide } else { cin };
                    let cout = if expand.is_none() { wide } else { cout };
                    let fits = |size: usize, a: usize, b: usize| size + a + b >= 3;
                    let (top, bottom, left, right) = (padding[0], padding[1], padding[2], padding[3]);
                    if !fits(h, top, bottom) || !fits(w, left, right) {
                        continue;
                    }
                    let same = stride == 1 && padding.iter().sum::<usize>() == 4 && top + bottom == 2 && cin == cout;
                    let residual = same && expand != Some(KernelKind::Dense) && seed % 2 == 0;
                    let relu6 = !residual && seed % 3 == 0;
                    let sizes = Sizes { n, h, w, cin, wide, cout, stride, padding, expand, residual, relu6 };
                    worst = worst.max(check(sizes, seed));
                    seed += 1;
                }
            }
        }
    }
    println!("{seed} blocks: largest relative error {worst:.1e}");
}

//! Blocks as one operation against their layers one by one in `f64`, on every instruction set and thread count.

use fieldtune::kernel::{
    Block, BlockGradients, ChannelSums, ConvGeometry, Input, Isa, Keep, Kind, Layer, LayerSums, block_backward,
    block_forward, reference,
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

    fn layer(&self) -> Layer<'_> {
        Layer { geometry: self.geometry, weight: &self.weight, scale: &self.scale, bias: &self.bias }
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
    expand: Option<Kind>,
    residual: bool,
    relu6: bool,
}

impl Sizes {
    fn layers(&self) -> Vec<ConvGeometry> {
        let Sizes { n, h, w, cin, wide, cout, stride, padding: [top, bottom, left, right], .. } = *self;
        let pointwise = |h: usize, w: usize, cin: usize, cout: usize, relu6: bool| {
            let kind = Kind::Pointwise;
            ConvGeometry { kind, n, h, w, cin, oh: h, ow: w, cout, kh: 1, kw: 1, stride: 1, top: 0, left: 0, relu6 }
        };
        let (oh, ow) = ((h + top + bottom - 3) / stride + 1, (w + left + right - 3) / stride + 1);
        let kind = Kind::Depthwise;
        let depthwise =
            ConvGeometry { kind, n, h, w, cin: wide, oh, ow, cout: wide, kh: 3, kw: 3, stride, top, left, relu6: true };
        let expand = self.expand.map(|kind| match kind {
            Kind::Dense => ConvGeometry {
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

fn check(sizes: Sizes, seed: u64) -> f64 {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let numbers: Vec<Numbers> = sizes.layers().into_iter().map(|g| Numbers::new(g, &mut rng)).collect();
    let x = draw(numbers[0].geometry.input_len(), &mut rng);
    // One by one, in f64, rounded between layers as any implementation would.
    let mut inputs = vec![x.clone()];
    let mut y = Vec::new();
    for (i, n) in numbers.iter().enumerate() {
        let last = i + 1 == numbers.len();
        y = reference::forward(&n.layer(), &inputs[i], (sizes.residual && last).then_some(&x[..]));
        inputs.push(rounded(&y));
    }
    let dy = draw(y.len(), &mut rng);
    let wanted = Wanted::of(&numbers, &inputs, &dy, sizes.residual);
    let at_bound = |i: usize, x: &[f32]| {
        let Layer { geometry, .. } = numbers[i].layer();
        let linear = Layer { geometry: ConvGeometry { relu6: false, ..geometry }, ..numbers[i].layer() };
        let near = |v: &f64| v.abs().min((v - 6.0).abs()) < AT_BOUND;
        geometry.relu6 && reference::forward(&linear, x, None).iter().any(near)
    };
    let mut near_bound = (0..numbers.len()).any(|i| at_bound(i, &inputs[i]));
    // What is kept has 16 bits; what lies behind it is computed again, from that.
    let [half_input, half_expansion]: [Vec<u16>; 2] =
        [0, 1].map(|i| inputs[i].iter().map(|&v| f16::from_f32(v).to_bits()).collect());
    let mut kept = |input: bool, expansion: bool| {
        let next = |i: usize, x: &[f32]| rounded(&reference::forward(&numbers[i].layer(), x, None));
        let x = if input { widened(&half_input) } else { x.clone() };
        let wide = if expansion { widened(&half_expansion) } else { next(0, &x) };
        near_bound |= !expansion && at_bound(0, &x) || at_bound(1, &wide);
        let behind = next(1, &wide);
        let wanted = Wanted::of(&numbers, &[x, wide, behind, inputs[3].clone()], &dy, sizes.residual);
        (input, expansion, wanted)
    };
    let from_half: Vec<(bool, bool, Wanted)> = match sizes.expand {
        None => Vec::new(),
        Some(Kind::Dense) => vec![kept(false, true)],
        Some(_) => vec![kept(false, true), kept(true, false), kept(true, true)],
    };
    if near_bound {
        return check(sizes, seed + REDRAWN);
    }
    let count = numbers.len();
    let (depthwise, project) = (numbers[count - 2].layer(), numbers[count - 1].layer());
    let expand = (count == 3).then(|| numbers[0].layer());
    let block = Block { expand, depthwise, project, residual: sizes.residual };
    let mut worst = 0f64;
    for isa in Isa::available() {
        for threads in THREADS {
            let what = |part: &str| format!("{part} of {sizes:?} on {isa:?} with {threads} threads");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            let mut seen = vec![ChannelSums::default(); count];
            let got = guarded(y.len(), f32::NAN, |to| {
                pool.install(|| block_forward(isa, &block, &x, to, Some(&mut seen), Keep::default()));
            });
            if let Some(kind) = sizes.expand {
                let pointwise = kind == Kind::Pointwise;
                let mut input = vec![u16::MAX; if pointwise { x.len() } else { 0 }];
                let mut expansion = vec![u16::MAX; inputs[1].len()];
                let same = guarded(y.len(), f32::NAN, |to| {
                    let keep = Keep { input: pointwise.then_some(&mut input), expansion: Some(&mut expansion) };
                    pool.install(|| block_forward(isa, &block, &x, to, None, keep));
                });
                assert!(got == same, "{}", what("y while numbers are kept"));
                assert!(!pointwise || input == half_input, "{}", what("the input kept"));
                for (got, &want) in widened(&expansion).into_iter().zip(&inputs[1]) {
                    // Half a unit in the last place, and what was rounded another way before.
                    assert!((got - want).abs() <= want.abs() / 2000.0 + 1e-5, "{}: {got} of {want}", what("kept"));
                }
            }
            worst = worst.max(close(&got, &y, &what("y")));
            for (i, seen) in seen.iter().enumerate() {
                let c = numbers[i].geometry.cin;
                let mut sums = vec![0f64; c];
                inputs[i].iter().enumerate().for_each(|(k, &v)| sums[k % c] += f64::from(v));
                assert_eq!(seen.rows, inputs[i].len() / c, "{}", what("rows seen"));
                let got: Vec<f32> = seen.sums.iter().map(|&v| v as f32).collect();
                worst = worst.max(close(&got, &sums, &what("sums seen")));
            }
            let out = sizes.relu6.then_some(&got[..]);
            let input = sizes.expand != Some(Kind::Dense);
            let mut sums: Vec<[Vec<f32>; 2]> =
                numbers.iter().map(|n| [vec![1.0; n.weight.len()], vec![1.0; n.bias.len()]]).collect();
            let got = guarded(if input { x.len() } else { 0 }, f32::NAN, |to| {
                let sums = sums.iter_mut().map(|[dw, db]| LayerSums { dw, db }).collect();
                let gradients = BlockGradients { dx: input.then_some(to), sums: Some(sums) };
                pool.install(|| block_backward(isa, &block, Input::Whole(&x), out, &dy, None, gradients));
            });
            if input {
                worst = worst.max(close(&got, &wanted.dx, &what("dx")));
            }
            worst = worst.max(wanted.compare(&sums, what));
            for (input_kept, expansion_kept, wanted) in &from_half {
                let what = |part: &str| {
                    what(&format!("{part} from what is kept, input {input_kept}, expansion {expansion_kept}"))
                };
                let x_kept = if *input_kept { Input::Half(&half_input) } else { Input::Whole(&x) };
                let expansion: Option<&[u16]> = expansion_kept.then_some(&half_expansion);
                let back = |learns: bool| {
                    let mut sums: Vec<[Vec<f32>; 2]> =
                        numbers.iter().map(|n| [vec![1.0; n.weight.len()], vec![1.0; n.bias.len()]]).collect();
                    let dx = guarded(if input { x.len() } else { 0 }, f32::NAN, |to| {
                        let all = sums.iter_mut().map(|[dw, db]| LayerSums { dw, db }).collect();
                        let gradients = BlockGradients { dx: input.then_some(to), sums: learns.then_some(all) };
                        pool.install(|| block_backward(isa, &block, x_kept, out, &dy, expansion, gradients));
                    });
                    (dx, sums)
                };
                let (dx, sums) = back(true);
                if input {
                    worst = worst.max(close(&dx, &wanted.dx, &what("dx")));
                }
                worst = worst.max(wanted.compare(&sums, what));
                // In stages several threads sum in another order than in bands, but always in the same.
                assert!(back(true) == (dx.clone(), sums), "{}", what("gradients once more"));
                assert!(back(false).0 == dx, "{}", what("dx of a frozen block"));
            }
            if input {
                let again = guarded(x.len(), f32::NAN, |to| {
                    let gradients = BlockGradients { dx: Some(to), sums: None };
                    pool.install(|| block_backward(isa, &block, Input::Whole(&x), out, &dy, None, gradients));
                });
                assert_eq!(got, again, "{}", what("dx of a frozen block"));
            }
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
                for expand in [None, Some(Kind::Pointwise), Some(Kind::Dense)] {
                    let cin = if expand.is_none() { wide } else { cin };
                    let cout = if expand.is_none() { wide } else { cout };
                    let fits = |size: usize, a: usize, b: usize| size + a + b >= 3;
                    let (top, bottom, left, right) = (padding[0], padding[1], padding[2], padding[3]);
                    if !fits(h, top, bottom) || !fits(w, left, right) {
                        continue;
                    }
                    let same = stride == 1 && padding.iter().sum::<usize>() == 4 && top + bottom == 2 && cin == cout;
                    let residual = same && expand != Some(Kind::Dense) && seed % 2 == 0;
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

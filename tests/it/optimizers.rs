//! One optimizer step and the moving average, on every instruction set, against their formulas in `f64`.

use fieldtune::kernel::{AdamwParameter, AdamwStep, Isa, MovingAverage, SgdStep, adamw, follow, sgd, squared_sum};
use fieldtune::optim::{StateVec, dither};
use half::bf16;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Largest error relative to the magnitudes that were added up.
const STEP_TOLERANCE: f64 = 5e-7;

/// Lengths around the widths of vectors, and a long one.
const LENGTHS: [usize; 9] = [0, 1, 3, 7, 8, 15, 17, 33, 2500];

fn draw(len: usize, range: std::ops::Range<f32>, seed: u64) -> Vec<f32> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(range.clone())).collect()
}

#[track_caller]
fn assert_close(got: f32, want: f64, magnitude: f64, what: &str) {
    assert_near(got, want, STEP_TOLERANCE * magnitude, what);
}

#[track_caller]
fn assert_near(got: f32, want: f64, tolerance: f64, what: &str) {
    let error = (f64::from(got) - want).abs();
    assert!(error <= tolerance + 1e-30, "{what}: {got}, reference {want}");
}

/// A number of the state in 16 bits is off by less than a unit of its eighth bit.
const STATE_UNIT: f64 = 1.0 / 128.0;

/// State with these numbers, `half` of it in 16 bits.
fn state(numbers: &[f32], half: bool) -> StateVec {
    match half {
        false => StateVec::F32(numbers.to_vec()),
        true => StateVec::Bf16(numbers.iter().map(|&n| bf16::from_f32(n)).collect()),
    }
}

fn numbers(state: &StateVec) -> Vec<f32> {
    state.numbers().collect()
}

/// Every instruction set, every length, state in 32 and in 16 bits.
fn cases() -> impl Iterator<Item = (Isa, usize, bool)> {
    let each = |isa| LENGTHS.into_iter().flat_map(move |len| [(isa, len, false), (isa, len, true)]);
    Isa::available().into_iter().flat_map(each)
}

/// How far off what is held of a number may be.
fn unit(half: bool, number: f64) -> f64 {
    if half { STATE_UNIT * number.abs() } else { 0.0 }
}

const ADAMW: AdamwStep = AdamwStep {
    gradient_scale: 0.125,
    beta1: 0.9,
    beta2: 0.999,
    step_size: 1e-2,
    root_correction: 3.2,
    epsilon: 1e-8,
    keep: 0.9996,
};

#[test]
fn adamw_equals_its_formula() {
    let [scale, beta1, beta2] = [ADAMW.gradient_scale, ADAMW.beta1, ADAMW.beta2].map(f64::from);
    let [size, root, epsilon, keep] =
        [ADAMW.step_size, ADAMW.root_correction, ADAMW.epsilon, ADAMW.keep].map(f64::from);
    for (case, (isa, len, half)) in cases().enumerate() {
        let [mut m, mut v, mut lag] =
            [(-0.1..0.1, 2), (0.0..0.1, 3), (-0.1..0.1, 5)].map(|(range, seed)| state(&draw(len, range, seed), half));
        let (w0, [m0, v0, lag0]) = (draw(len, -1.0..1.0, 1), [&m, &v, &lag].map(numbers));
        // A gradient of exactly zero on the first element: nothing may divide by it.
        let mut g = draw(len, -1.0..1.0, 4);
        g.iter_mut().take(1).for_each(|g| *g = 0.0);
        let mut w = w0.clone();
        let average = Some(MovingAverage { lag: lag.as_mut(), keep: 0.75 });
        let parameter = AdamwParameter { w: &mut w, g: &g, m: m.as_mut(), v: v.as_mut(), average };
        adamw(isa, ADAMW, parameter, dither(case as u64));
        let [m, v, lag] = [&m, &v, &lag].map(numbers);
        for i in 0..len {
            let name = |what: &str| format!("{isa:?} {what}[{i}] of {len}, half: {half}");
            let [w0, m0, v0, d] = [w0[i], m0[i], v0[i], g[i]].map(f64::from);
            let d = d * scale;
            let first = beta1 * m0 + (1.0 - beta1) * d;
            let second = beta2 * v0 + (1.0 - beta2) * d * d;
            let moved = size * first / (second.sqrt() * root + epsilon);
            assert_near(m[i], first, STEP_TOLERANCE * (m0.abs() + d.abs()) + unit(half, first), &name("m"));
            assert_near(v[i], second, STEP_TOLERANCE * second + unit(half, second), &name("v"));
            let cancelled = size * (m0.abs() + d.abs()) / (second.sqrt() * root + epsilon);
            assert_close(w[i], w0 * keep - moved, w0.abs() + cancelled, &name("w"));
            let [before, now] = [lag0[i], w[i]].map(f64::from);
            let lagging = 0.75 * (before + (now - w0));
            let about = before.abs() + now.abs() + w0.abs();
            assert_near(lag[i], lagging, STEP_TOLERANCE * about + unit(half, lagging), &name("lag"));
        }
    }
}

#[test]
fn a_parameter_without_gradient_and_history_only_decays() {
    let step = AdamwStep { gradient_scale: 1.0, root_correction: 30.0, keep: 0.5, ..ADAMW };
    for (isa, half) in Isa::available().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
        let (mut w, mut m, mut v) = ([2.0], StateVec::zeros(1, half), StateVec::zeros(1, half));
        let parameter = AdamwParameter { w: &mut w, g: &[0.0], m: m.as_mut(), v: v.as_mut(), average: None };
        adamw(isa, step, parameter, u16::MAX);
        assert_eq!((w, numbers(&m), numbers(&v)), ([1.0], vec![0.0], vec![0.0]), "{isa:?}");
    }
}

#[test]
fn sgd_equals_its_formula() {
    let step = SgdStep { gradient_scale: 0.125, momentum: 0.9, lr: 1e-2, weight_decay: 1e-3 };
    let [scale, momentum, lr, decay] = [step.gradient_scale, step.momentum, step.lr, step.weight_decay].map(f64::from);
    for (case, (isa, len, half)) in cases().enumerate() {
        let [mut v, mut lag] = [2, 5].map(|seed| state(&draw(len, -0.1..0.1, seed), half));
        let (w0, g, [v0, lag0]) = (draw(len, -1.0..1.0, 1), draw(len, -1.0..1.0, 3), [&v, &lag].map(numbers));
        let mut w = w0.clone();
        let average = Some(MovingAverage { lag: lag.as_mut(), keep: 0.75 });
        sgd(isa, step, &mut w, &g, v.as_mut(), average, dither(case as u64));
        let [v, lag] = [&v, &lag].map(numbers);
        for i in 0..len {
            let name = |what: &str| format!("{isa:?} {what}[{i}] of {len}, half: {half}");
            let [w0, v0, g, lag0, now] = [w0[i], v0[i], g[i], lag0[i], w[i]].map(f64::from);
            let velocity = momentum * v0 + g * scale + decay * w0;
            let magnitude = momentum * v0.abs() + (g * scale).abs() + (decay * w0).abs();
            assert_near(v[i], velocity, STEP_TOLERANCE * magnitude + unit(half, velocity), &name("v"));
            assert_close(w[i], w0 - lr * velocity, w0.abs() + lr * magnitude, &name("w"));
            let (lagging, about) = (0.75 * (lag0 + (now - w0)), lag0.abs() + now.abs() + w0.abs());
            assert_near(lag[i], lagging, STEP_TOLERANCE * about + unit(half, lagging), &name("lag"));
        }
    }
}

#[test]
fn the_average_moves_by_its_share() {
    for (case, (isa, len, half)) in cases().enumerate() {
        let (before, after) = (draw(len, -1.0..1.0, 1), draw(len, -1.0..1.0, 2));
        for keep in [0.0f32, 0.98, 1.0] {
            let mut lag = state(&draw(len, -0.1..0.1, 3), half);
            let lag0 = numbers(&lag);
            follow(isa, MovingAverage { lag: lag.as_mut(), keep }, &before, &after, dither(case as u64));
            for (i, lag) in numbers(&lag).into_iter().enumerate() {
                let [l, b, a, keep] = [lag0[i], before[i], after[i], keep].map(f64::from);
                // The new average is `keep` parts the old and `1 - keep` parts the parameter.
                let lagging = a - (keep * (b - l) + (1.0 - keep) * a);
                let tolerance = STEP_TOLERANCE * (l.abs() + b.abs() + a.abs()) + unit(half, lagging);
                assert_near(lag, lagging, tolerance, &format!("{isa:?} [{i}] of {len}, half: {half}"));
            }
        }
    }
}

#[test]
fn a_mean_of_thousand_steps_does_not_stand_still_in_16_bits() {
    let still = AdamwStep { step_size: 0.0, keep: 1.0, ..ADAMW };
    for isa in Isa::available() {
        let start = draw(257, 0.01..1.0, 1);
        let (mut w, g) = (vec![0.5; start.len()], vec![0.0; start.len()]);
        let [mut m, mut v, mut lag] = [(); 3].map(|()| state(&start, true));
        let start = numbers(&v);
        for step in 1..=1000 {
            let average = Some(MovingAverage { lag: lag.as_mut(), keep: 0.999 });
            let parameter = AdamwParameter { w: &mut w, g: &g, m: m.as_mut(), v: v.as_mut(), average };
            adamw(isa, still, parameter, dither(step));
        }
        let left = f64::from(0.999f32).powi(1000);
        for (name, state) in [("second moment", &v), ("lag", &lag)] {
            let shares: Vec<f64> = numbers(state).iter().zip(&start).map(|(n, s)| f64::from(n / s)).collect();
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            assert!((mean / left - 1.0).abs() < 0.01, "{isa:?}: {mean} of a {name} is left, expected {left}");
            let worst = shares.iter().map(|share| (share / left - 1.0).abs()).fold(0.0, f64::max);
            assert!(worst < 0.05, "{isa:?}: a {name} is off by {worst}");
        }
    }
}

#[test]
fn state_in_16_bits_moves_weights_as_state_in_32_bits_does() {
    let len = 999;
    let mut weights = [false, true].map(|half| {
        let mut w = draw(len, -1.0..1.0, 1);
        let [mut m, mut v, mut lag] = [(); 3].map(|()| StateVec::zeros(len, half));
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        for step in 1..=500u64 {
            // A bowl around zero, seen through noise of very different sizes.
            let noisy = |(i, w): (usize, &f32)| (w + rng.random_range(-1.0..1.0)) * 10f32.powi(i as i32 % 7 - 5);
            let g: Vec<f32> = w.iter().enumerate().map(noisy).collect();
            let corrections = [0.9f64, 0.999].map(|beta| 1.0 - beta.powi(step as i32));
            let of_step = AdamwStep {
                step_size: (1e-3 / corrections[0]) as f32,
                root_correction: (1.0 / corrections[1].sqrt()) as f32,
                gradient_scale: 1.0,
                ..ADAMW
            };
            let average = Some(MovingAverage { lag: lag.as_mut(), keep: 0.99 });
            let parameter = AdamwParameter { w: &mut w, g: &g, m: m.as_mut(), v: v.as_mut(), average };
            adamw(Isa::best(), of_step, parameter, dither(step));
        }
        let averages: Vec<f32> = w.iter().zip(lag.numbers()).map(|(w, lag)| w - lag).collect();
        (w, averages)
    });
    let [(whole, whole_average), (half, half_average)] = &mut weights;
    for (whole, half) in [(&*whole, &*half), (&*whole_average, &*half_average)] {
        let mean = whole.iter().zip(half).map(|(a, b)| f64::from(a - b)).sum::<f64>() / len as f64;
        let worst = whole.iter().zip(half).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        // Half a unit of 1e-3, the length of a step, and of what 500 steps can go.
        assert!(mean.abs() < 5e-4 && worst < 2.5e-2, "off by {mean} on average, by {worst} at most");
    }
}

#[test]
fn squares_are_summed_in_f64() {
    for len in LENGTHS {
        let x = draw(len, -1e4..1e4, 1);
        let want: f64 = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        assert!((squared_sum(&x) - want).abs() <= 1e-13 * want, "{len} values");
    }
    // The square of neither fits an f32.
    assert!((squared_sum(&[3e30, 4e30]).sqrt() / 5e30 - 1.0).abs() < 1e-6);
}

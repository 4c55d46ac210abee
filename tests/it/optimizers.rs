//! One optimizer step and the moving average, on every instruction set, against their formulas in `f64`.

use fieldtune::kernel::{AdamwParameter, AdamwStep, Average, Isa, SgdStep, adamw, lerp, sgd, squared_sum};
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
    let error = (f64::from(got) - want).abs();
    assert!(error <= STEP_TOLERANCE * magnitude + 1e-30, "{what}: {got}, reference {want}");
}

#[test]
fn adamw_equals_its_formula() {
    let step = AdamwStep {
        gradient_scale: 0.125,
        beta1: 0.9,
        beta2: 0.999,
        step_size: 1e-2,
        root_correction: 3.2,
        epsilon: 1e-8,
        keep: 0.9996,
    };
    let [scale, beta1, beta2] = [step.gradient_scale, step.beta1, step.beta2].map(f64::from);
    let [size, root, epsilon, keep] = [step.step_size, step.root_correction, step.epsilon, step.keep].map(f64::from);
    for (isa, len) in Isa::available().into_iter().flat_map(|isa| LENGTHS.map(|len| (isa, len))) {
        let (w0, m0, v0) = (draw(len, -1.0..1.0, 1), draw(len, -0.1..0.1, 2), draw(len, 0.0..0.1, 3));
        // A gradient of exactly zero on the first element: nothing may divide by it.
        let mut g = draw(len, -1.0..1.0, 4);
        g.iter_mut().take(1).for_each(|g| *g = 0.0);
        let (mut w, mut m, mut v) = (w0.clone(), m0.clone(), v0.clone());
        let average0 = draw(len, -1.0..1.0, 5);
        let mut followed = average0.clone();
        let average = Some(Average { numbers: &mut followed, weight: 0.25 });
        adamw(isa, step, AdamwParameter { w: &mut w, g: &g, m: &mut m, v: &mut v, average });
        for i in 0..len {
            let [w0, m0, v0, d] = [w0[i], m0[i], v0[i], g[i]].map(f64::from);
            let d = d * scale;
            let first = beta1 * m0 + (1.0 - beta1) * d;
            let second = beta2 * v0 + (1.0 - beta2) * d * d;
            let moved = size * first / (second.sqrt() * root + epsilon);
            assert_close(m[i], first, m0.abs() + d.abs(), &format!("{isa:?} m[{i}] of {len}"));
            assert_close(v[i], second, second, &format!("{isa:?} v[{i}] of {len}"));
            let cancelled = size * (m0.abs() + d.abs()) / (second.sqrt() * root + epsilon);
            assert_close(w[i], w0 * keep - moved, w0.abs() + cancelled, &format!("{isa:?} w[{i}] of {len}"));
            let [before, now] = [average0[i], w[i]].map(f64::from);
            let about = before.abs() + now.abs();
            assert_close(followed[i], before + (now - before) * 0.25, about, &format!("{isa:?} average[{i}] of {len}"));
        }
    }
}

#[test]
fn a_parameter_without_gradient_and_history_only_decays() {
    let step = AdamwStep {
        gradient_scale: 1.0,
        beta1: 0.9,
        beta2: 0.999,
        step_size: 1e-2,
        root_correction: 30.0,
        epsilon: 1e-8,
        keep: 0.5,
    };
    for isa in Isa::available() {
        let (mut w, mut m, mut v) = ([2.0], [0.0], [0.0]);
        adamw(isa, step, AdamwParameter { w: &mut w, g: &[0.0], m: &mut m, v: &mut v, average: None });
        assert_eq!((w, m, v), ([1.0], [0.0], [0.0]), "{isa:?}");
    }
}

#[test]
fn sgd_equals_its_formula() {
    let step = SgdStep { gradient_scale: 0.125, momentum: 0.9, lr: 1e-2, weight_decay: 1e-3 };
    let [scale, momentum, lr, decay] = [step.gradient_scale, step.momentum, step.lr, step.weight_decay].map(f64::from);
    for (isa, len) in Isa::available().into_iter().flat_map(|isa| LENGTHS.map(|len| (isa, len))) {
        let (w0, v0, g) = (draw(len, -1.0..1.0, 1), draw(len, -0.1..0.1, 2), draw(len, -1.0..1.0, 3));
        let (mut w, mut v) = (w0.clone(), v0.clone());
        sgd(isa, step, &mut w, &g, &mut v);
        for i in 0..len {
            let [w0, v0, g] = [w0[i], v0[i], g[i]].map(f64::from);
            let velocity = momentum * v0 + g * scale + decay * w0;
            let magnitude = momentum * v0.abs() + (g * scale).abs() + (decay * w0).abs();
            assert_close(v[i], velocity, magnitude, &format!("{isa:?} v[{i}] of {len}"));
            assert_close(w[i], w0 - lr * velocity, w0.abs() + lr * magnitude, &format!("{isa:?} w[{i}] of {len}"));
        }
    }
}

#[test]
fn the_average_moves_by_its_share() {
    for (isa, len) in Isa::available().into_iter().flat_map(|isa| LENGTHS.map(|len| (isa, len))) {
        let (a0, value) = (draw(len, -1.0..1.0, 1), draw(len, -1.0..1.0, 2));
        for share in [0.0f32, 0.02, 1.0] {
            let mut average = a0.clone();
            lerp(isa, &mut average, &value, share);
            for i in 0..len {
                let [a, v, s] = [a0[i], value[i], share].map(f64::from);
                assert_close(average[i], a + (v - a) * s, a.abs() + v.abs(), &format!("{isa:?} [{i}] of {len}"));
            }
        }
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

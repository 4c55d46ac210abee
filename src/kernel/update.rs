//! The arithmetic of an optimiser step over one parameter, in a single pass.

use super::isa::{Isa, fma, per_isa};
use super::state_slice::{StateSlice, StoredNumber};
use half::bf16;

/// One step of AdamW (Loshchilov & Hutter 2019, decoupled weight decay), bias corrections already worked in.
#[derive(Clone, Copy, Debug)]
pub struct AdamwStep {
    /// Multiplies the raw gradient: clipping and the window's normaliser.
    pub gradient_scale: f32,
    pub beta1: f32,
    pub beta2: f32,
    /// `lr / (1 - beta1^t)`.
    pub step_size: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub root_correction: f32,
    pub epsilon: f32,
    /// `1 - lr·weight_decay`.
    pub keep: f32,
}

/// One step of SGD with momentum, as PyTorch writes it: `v = momentum·v + g + decay·w`, `w -= lr·v`.
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    pub gradient_scale: f32,
    pub momentum: f32,
    pub lr: f32,
    pub weight_decay: f32,
}

/// An exponential moving average of a parameter, held as how far it lags behind: parameter minus average. That is small
/// where the parameter is large, so that few bits tell it well.
#[derive(Debug)]
pub struct MovingAverage<'a> {
    pub lag: StateSlice<'a>,
    /// Share of the old average kept: `lag = keep·(lag + move)`.
    pub keep: f32,
}

/// A parameter and what AdamW knows of it; all of the same length, all state held alike.
#[derive(Debug)]
pub struct AdamwParameter<'a> {
    /// Updated in place.
    pub w: &'a mut [f32],
    pub g: &'a [f32],
    /// Running first moment.
    pub m: StateSlice<'a>,
    /// Running second moment.
    pub v: StateSlice<'a>,
    pub average: Option<MovingAverage<'a>>,
}

/// Numbers of a parameter that one task moves: below, a fork costs more than it gains.
const TASK_FLOATS: usize = 1 << 15;

impl AdamwParameter<'_> {
    /// Two halves.
    fn split(self) -> [Self; 2] {
        let at = self.w.len() / 2;
        let ([w, w_rest], (g, g_rest)) = (self.w.split_at_mut(at).into(), self.g.split_at(at));
        let ([m, m_rest], [v, v_rest]) = (self.m.split_at(at), self.v.split_at(at));
        let [average, average_rest] = match self.average {
            Some(MovingAverage { lag, keep }) => lag.split_at(at).map(|lag| Some(MovingAverage { lag, keep })),
            None => [None, None],
        };
        [Self { w, g, m, v, average }, Self { w: w_rest, g: g_rest, m: m_rest, v: v_rest, average: average_rest }]
    }
}

/// A step with the constants of the average behind it and of rounding.
#[derive(Clone, Copy)]
struct Move<T> {
    step: T,
    /// As in [`MovingAverage`].
    keep: f32,
    /// As for [`StateSlice`].
    dither: u16,
}

/// The lag, empty where there is no average, and the share kept.
fn parts<'a>(average: Option<MovingAverage<'a>>, like: &StateSlice) -> (StateSlice<'a>, f32) {
    average.map_or((like.nothing(), 0.0), |MovingAverage { lag, keep }| (lag, keep))
}

/// How far an average lags behind a number that moved.
#[inline(always)]
fn lagging<S: StoredNumber>(lag: S, moved: f32, keep: f32, dither: u16) -> S {
    S::rounded(keep * (lag.number() + moved), dither)
}

/// Makes of every number what `moved` makes of it by its place, and the average follows where there is one.
#[inline(always)]
fn move_all(
    w: &mut [f32],
    mut moved: impl FnMut(usize, f32) -> f32,
    lag: &mut [impl StoredNumber],
    keep: f32,
    dither: u16,
) {
    if lag.is_empty() {
        for (i, w) in w.iter_mut().enumerate() {
            *w = moved(i, *w);
        }
        return;
    }
    let n = w.len();
    let lag = &mut lag[..n];
    for i in 0..n {
        let after = moved(i, w[i]);
        lag[i] = lagging(lag[i], after - w[i], keep, dither);
        w[i] = after;
    }
}

/// One step, and the average behind it. Threads share what is long; each number's arithmetic is its own, so that the
/// result does not depend on them. `dither` as for [`StateSlice`].
///
/// # Panics
/// If anything is shorter than the parameter, or not held alike.
pub fn adamw(isa: Isa, step: AdamwStep, parameter: AdamwParameter, dither: u16) {
    if rayon::current_num_threads() > 1 && parameter.w.len() >= 2 * TASK_FLOATS {
        let [one, other] = parameter.split();
        rayon::join(|| adamw(isa, step, one, dither), || adamw(isa, step, other, dither));
        return;
    }
    let AdamwParameter { w, g, m, v, average } = parameter;
    let (lag, keep) = parts(average, &m);
    let step = Move { step, keep, dither };
    match (m, v, lag) {
        (StateSlice::F32(m), StateSlice::F32(v), StateSlice::F32(lag)) => {
            adamw_f32(isa, step, w, g, m, v, lag);
        }
        (StateSlice::Bf16(m), StateSlice::Bf16(v), StateSlice::Bf16(lag)) => {
            adamw_bf16(isa, step, w, g, m, v, lag);
        }
        other => panic!("state held alike, found {other:?}"),
    }
}

per_isa! {
    fn adamw_f32(
        step: Move<AdamwStep>, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], lag: &mut [f32]
    ) = adamw_body
}

per_isa! {
    fn adamw_bf16(
        step: Move<AdamwStep>, w: &mut [f32], g: &[f32], m: &mut [bf16], v: &mut [bf16], lag: &mut [bf16]
    ) = adamw_body
}

#[inline(always)]
fn adamw_body<const FUSED: bool>(
    Move { step, keep, dither }: Move<AdamwStep>,
    w: &mut [f32],
    g: &[f32],
    m: &mut [impl StoredNumber],
    v: &mut [impl StoredNumber],
    lag: &mut [impl StoredNumber],
) {
    let n = w.len();
    let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
    let moved = |i: usize, w: f32| {
        let d = g[i] * step.gradient_scale;
        let first = fma::<FUSED>(step.beta1, m[i].number() - d, d);
        let second = fma::<FUSED>(step.beta2, v[i].number(), (1.0 - step.beta2) * d * d);
        m[i] = StoredNumber::rounded(first, dither);
        v[i] = StoredNumber::rounded(second, dither);
        let root = fma::<FUSED>(second.sqrt(), step.root_correction, step.epsilon);
        w * step.keep - step.step_size * first / root
    };
    move_all(w, moved, lag, keep, dither);
}

/// One step, and the average behind it. `dither` as for [`StateSlice`].
///
/// # Panics
/// If anything is shorter than the parameter, or not held alike.
pub fn sgd(
    isa: Isa,
    step: SgdStep,
    w: &mut [f32],
    g: &[f32],
    v: StateSlice,
    average: Option<MovingAverage>,
    dither: u16,
) {
    let (lag, keep) = parts(average, &v);
    let step = Move { step, keep, dither };
    match (v, lag) {
        (StateSlice::F32(v), StateSlice::F32(lag)) => sgd_f32(isa, step, w, g, v, lag),
        (StateSlice::Bf16(v), StateSlice::Bf16(lag)) => sgd_bf16(isa, step, w, g, v, lag),
        other => panic!("state held alike, found {other:?}"),
    }
}

per_isa! {
    fn sgd_f32(step: Move<SgdStep>, w: &mut [f32], g: &[f32], v: &mut [f32], lag: &mut [f32]) = sgd_body
}

per_isa! {
    fn sgd_bf16(step: Move<SgdStep>, w: &mut [f32], g: &[f32], v: &mut [bf16], lag: &mut [bf16]) = sgd_body
}

#[inline(always)]
fn sgd_body<const FUSED: bool>(
    Move { step, keep, dither }: Move<SgdStep>,
    w: &mut [f32],
    g: &[f32],
    v: &mut [impl StoredNumber],
    lag: &mut [impl StoredNumber],
) {
    let n = w.len();
    let (g, v) = (&g[..n], &mut v[..n]);
    let moved = |i: usize, w: f32| {
        let d = fma::<FUSED>(step.weight_decay, w, g[i] * step.gradient_scale);
        let velocity = fma::<FUSED>(step.momentum, v[i].number(), d);
        v[i] = StoredNumber::rounded(velocity, dither);
        fma::<FUSED>(-step.lr, velocity, w)
    };
    move_all(w, moved, lag, keep, dither);
}

/// The average of a parameter that went from `before` to `after`. `dither` as for [`StateSlice`].
///
/// # Panics
/// If anything is shorter than `after`.
pub fn follow(isa: Isa, average: MovingAverage, before: &[f32], after: &[f32], dither: u16) {
    let MovingAverage { lag, keep } = average;
    match lag {
        StateSlice::F32(lag) => follow_f32(isa, lag, before, after, keep, dither),
        StateSlice::Bf16(lag) => follow_bf16(isa, lag, before, after, keep, dither),
    }
}

per_isa! {
    fn follow_f32(lag: &mut [f32], before: &[f32], after: &[f32], keep: f32, dither: u16) = follow_body
}

per_isa! {
    fn follow_bf16(lag: &mut [bf16], before: &[f32], after: &[f32], keep: f32, dither: u16) = follow_body
}

#[inline(always)]
fn follow_body<const FUSED: bool>(
    lag: &mut [impl StoredNumber],
    before: &[f32],
    after: &[f32],
    keep: f32,
    dither: u16,
) {
    let n = after.len();
    let (lag, before) = (&mut lag[..n], &before[..n]);
    for i in 0..n {
        lag[i] = lagging(lag[i], after[i] - before[i], keep, dither);
    }
}

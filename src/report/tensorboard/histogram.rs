//! Values counted in buckets that grow by a tenth, as TensorFlow's own histograms do.

use super::message::MessageBytes;

/// Upper bound of the first bucket, and how far the last one reaches.
const SMALLEST: f64 = 1e-12;
const LARGEST: f64 = 1e20;
const GROWTH: f64 = 1.1;

/// `HistogramProto` of the values that are finite and not negative; `None` if there are none.
pub fn histogram(values: &[f64]) -> Option<MessageBytes> {
    let mut sound: Vec<f64> = values.iter().copied().filter(|v| v.is_finite() && *v >= 0.0).collect();
    sound.sort_by(f64::total_cmp);
    let (min, max) = (*sound.first()?, *sound.last()?);
    let (mut limits, mut counts) = (Vec::new(), Vec::new());
    let (mut limit, mut at) = (SMALLEST, 0);
    while at < sound.len() && limit < LARGEST {
        let inside = sound[at..].iter().take_while(|v| **v < limit).count();
        // Empty buckets below the first value say nothing; the one just below it bounds it.
        if inside == 0 && at == 0 {
            (limits, counts) = (vec![limit], vec![0.0]);
        } else {
            limits.push(limit);
            counts.push(inside as f64);
        }
        at += inside;
        limit *= GROWTH;
    }
    if at < sound.len() {
        limits.push(f64::MAX);
        counts.push((sound.len() - at) as f64);
    }
    let sum: f64 = sound.iter().sum();
    let squares: f64 = sound.iter().map(|v| v * v).sum();
    let of = MessageBytes::default().double(1, min).double(2, max).double(3, sound.len() as f64).double(4, sum);
    Some(of.double(5, squares).doubles(6, &limits).doubles(7, &counts))
}

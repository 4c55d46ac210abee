//! The box loss: smooth L1.

/// Smooth L1 with beta 1 (Girshick 2015): `x²/2` where `|x| < 1`, `|x| - 1/2` beyond. Returns (loss, gradient).
pub fn smooth_l1(x: f32) -> (f64, f32) {
    if x.abs() < 1.0 { (f64::from(x) * f64::from(x) / 2.0, x) } else { (f64::from(x.abs()) - 0.5, x.signum()) }
}

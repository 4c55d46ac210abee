//! Cholesky's decomposition and what is solved with it.

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Several sums at once: one alone would wait for every addition.
    const LANES: usize = 8;
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0f64; LANES];
    for (a, b) in a.zip(b) {
        (0..LANES).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f64>() + rest
}

/// Cholesky's factor in the lower triangle, in place, of a positive definite matrix whose lower triangle is given.
pub fn decompose(matrix: &mut [f64], width: usize) {
    for i in 0..width {
        let (above, below) = matrix.split_at_mut(i * width);
        for j in 0..i {
            let rest = below[j] - dot(&below[..j], &above[j * width..][..j]);
            below[j] = rest / above[j * width + j];
        }
        let rest = below[i] - dot(&below[..i], &below[..i]);
        // Positive by the penalty; what rounding may leave of a row that says nothing is not to divide by.
        below[i] = rest.max(1e-12).sqrt();
    }
}

/// `L x = v`, in place.
pub fn substitute(factor: &[f64], v: &mut [f64]) {
    let width = v.len();
    for i in 0..width {
        v[i] = (v[i] - dot(&factor[i * width..][..i], &v[..i])) / factor[i * width + i];
    }
}

/// `Lᵀ x = v`, in place.
pub fn substitute_back(factor: &[f64], v: &mut [f64]) {
    let width = v.len();
    for i in (0..width).rev() {
        v[i] /= factor[i * width + i];
        let x = v[i];
        (0..i).for_each(|j| v[j] -= factor[i * width + j] * x);
    }
}

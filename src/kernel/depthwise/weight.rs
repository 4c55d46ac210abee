//! The weight gradient: nine sums per channel that stay in registers over all rows.

use super::plane::{Band, Plane, RawBand, Zeros, each_vector};
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// `dw[i,j,c] += scale[c]·Σ x[y·s+i−top, x·s+j−left, c]·dy[y,x,c]` and `db[c] += Σ dy[y,x,c]` over output rows `rows`.
///
/// # Panics
/// If a buffer is too short.
#[allow(clippy::too_many_arguments)]
pub(in crate::kernel) fn backward_weight(
    isa: Isa,
    plane: &Plane,
    x: Band,
    dy: Band,
    zeros: Zeros,
    rows: Range<usize>,
    scale: &[f32],
    dw: &mut [f32],
    db: &mut [f32],
) {
    let c = plane.c;
    if rows.is_empty() {
        return;
    }
    assert!(x.covers(plane.inputs(rows.clone()), plane.w * c), "input of {plane:?}");
    assert!(dy.covers(rows.clone(), plane.ow * c) && zeros.len() >= plane.w * c, "output gradient of {plane:?}");
    assert!(dw.len() == 9 * c && db.len() == c && scale.len() == c, "weight gradient of {plane:?}");
    // SAFETY: the assertions above.
    unsafe {
        weight_raw(
            isa,
            *plane,
            x.raw(),
            dy.raw(),
            zeros.as_ptr(),
            rows,
            scale.as_ptr(),
            dw.as_mut_ptr(),
            db.as_mut_ptr(),
        )
    }
}

per_simd! {
    unsafe fn weight_raw(
        plane: Plane,
        x: RawBand,
        dy: RawBand,
        zeros: *const f32,
        rows: Range<usize>,
        scale: *const f32,
        dw: *mut f32,
        db: *mut f32,
    ) = weight_body
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn weight_body<S: Simd>(
    plane: Plane,
    x: RawBand,
    dy: RawBand,
    zeros: *const f32,
    rows: Range<usize>,
    scale: *const f32,
    dw: *mut f32,
    db: *mut f32,
) {
    let c = plane.c;
    let inner = plane.left.div_ceil(plane.stride);
    let end_inner = if plane.w + plane.left < 3 { 0 } else { (plane.w + plane.left - 3) / plane.stride + 1 };
    let inner = inner.min(plane.ow)..end_inner.min(plane.ow).max(inner.min(plane.ow));
    // SAFETY: rows, columns and channels lie inside the buffers; those that do not are read from `zeros`.
    unsafe {
        each_vector!(c, at, lanes, PART => {
            let mut sums = [[S::splat(0.0); 3]; 3];
            let mut total = S::splat(0.0);
            for oy in rows.clone() {
                let lines: [*const f32; 3] = std::array::from_fn(|i| {
                    match (oy * plane.stride + i).checked_sub(plane.top) {
                        Some(iy) if iy < plane.h => x.row(iy, plane.w * c).add(at),
                        _ => zeros,
                    }
                });
                let d = dy.row(oy, plane.ow * c).add(at);
                for ox in (0..inner.start).chain(inner.end..plane.ow) {
                    let d = lanes.load::<S, PART>(d.add(ox * c));
                    total = S::add(total, d);
                    for j in 0..3 {
                        let ix = (ox * plane.stride + j).checked_sub(plane.left).filter(|&ix| ix < plane.w);
                        let Some(ix) = ix else { continue };
                        for (line, sums) in lines.into_iter().zip(&mut sums) {
                            sums[j] = S::fma(lanes.load::<S, PART>(line.add(ix * c)), d, sums[j]);
                        }
                    }
                }
                let mut ox = inner.start;
                // Two outputs side by side share a column at stride 2 and two at stride 1.
                macro_rules! run {
                    ($stride:literal, $g:literal) => {
                        while inner.end - ox >= $g {
                            let from = ox * $stride - plane.left;
                            let ds: [S::V; $g] =
                                std::array::from_fn(|o| lanes.load::<S, PART>(d.add((ox + o) * c)));
                            for &d in &ds {
                                total = S::add(total, d);
                            }
                            for (line, sums) in lines.into_iter().zip(&mut sums) {
                                let line = line.add(from * c);
                                for i in 0..($g - 1) * $stride + 3 {
                                    let x = lanes.load::<S, PART>(line.add(i * c));
                                    for (o, &d) in ds.iter().enumerate() {
                                        if i >= o * $stride && i < o * $stride + 3 {
                                            sums[i - o * $stride] = S::fma(x, d, sums[i - o * $stride]);
                                        }
                                    }
                                }
                            }
                            ox += $g;
                        }
                    };
                }
                if plane.stride == 1 {
                    run!(1, 2);
                    run!(1, 1);
                } else {
                    run!(2, 2);
                    run!(2, 1);
                }
            }
            let s = lanes.load::<S, PART>(scale.add(at));
            for (t, &sum) in sums.iter().flatten().enumerate() {
                let to = dw.add(t * c + at);
                lanes.store::<S, PART>(to, S::fma(sum, s, lanes.load::<S, PART>(to)));
            }
            let to = db.add(at);
            lanes.store::<S, PART>(to, S::add(lanes.load::<S, PART>(to), total));
        });
    }
}

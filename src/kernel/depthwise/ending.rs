//! The destination of sums, and the last operation on them.

use super::plane::Lanes;
use crate::kernel::simd::Simd;

/// The last operation on a sum before it is stored, known where a loop is compiled.
pub(super) trait Epilogue: Copy {
    /// ReLU6.
    const CLAMPS: bool;
    /// The sum where the output that `aux` holds lies between the bounds of ReLU6, else 0; the sum over pixels is
    /// **added** to
    /// `sums`. Such sums begin at 0, all others where the weights say.
    const MASKS: bool;
}

#[derive(Clone, Copy)]
pub(super) struct Ends<const CLAMPS: bool, const MASKS: bool>;

impl<const CLAMPS: bool, const MASKS: bool> Epilogue for Ends<CLAMPS, MASKS> {
    const CLAMPS: bool = CLAMPS;
    const MASKS: bool = MASKS;
}

/// Stored as they are.
pub(super) type Plain = Ends<false, false>;
pub(super) type Clamped = Ends<true, false>;
pub(super) type Masked = Ends<false, true>;

/// The destination of one pixel's sums; those of the pixels beside it go beside it.
#[derive(Clone, Copy)]
pub(super) struct PixelOut {
    pub(super) y: *mut f32,
    /// Not looked at unless the ending masks.
    pub(super) aux: *const f32,
    /// Likewise.
    pub(super) sums: *mut f32,
}

impl PixelOut {
    /// The pixel `pixel` numbers further on, from channel `at`.
    #[inline(always)]
    pub(super) fn at(self, pixel: usize, at: usize) -> Self {
        Self {
            y: self.y.wrapping_add(pixel + at),
            aux: self.aux.wrapping_add(pixel + at),
            sums: self.sums.wrapping_add(at),
        }
    }

    /// Ends and stores the sums of `G` neighbouring pixels, which are `pixel` bytes apart.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd, E: Epilogue, const PART: bool, const NV: usize, const G: usize>(
        mut self,
        lanes: Lanes,
        pixel: usize,
        sums: [[S::V; NV]; G],
    ) {
        // SAFETY: the caller vouches for the pixels and channels.
        unsafe {
            let mut total = [S::splat(0.0); NV];
            macro_rules! each {
                ($($g:literal)*) => {
                    $(
                        if $g < G {
                            let mut sum = sums[$g];
                            if E::CLAMPS {
                                sum = sum.map(|v| S::clamp6(v));
                            }
                            if E::MASKS {
                                let y = lanes.next::<S, PART, NV>(&mut self.aux, pixel);
                                for v in 0..NV {
                                    sum[v] = S::mask6(sum[v], y[v]);
                                    total[v] = S::add(total[v], sum[v]);
                                }
                            }
                            lanes.store::<S, PART, NV>(self.y, sum);
                            self.y = S::opaque(self.y.wrapping_byte_add(pixel)).cast_mut();
                        }
                    )*
                };
            }
            each!(0 1 2 3 4 5 6 7);
            if E::MASKS {
                let before = lanes.load::<S, PART, NV>(self.sums);
                lanes.store::<S, PART, NV>(self.sums, std::array::from_fn(|v| S::add(before[v], total[v])));
            }
        }
    }
}

//! Where sums go, and what becomes of them on the way.

use super::plane::Lanes;
use crate::kernel::simd::Simd;

/// What becomes of a sum before it is stored, known where a loop is compiled.
pub(super) trait Ending: Copy {
    /// ReLU6.
    const CLAMPS: bool;
    /// Where the output that `aux` holds lies between the bounds of ReLU6, else 0.
    const MASKS: bool;
    /// The sum over pixels is **added** elsewhere.
    const SUMS: bool;
}

#[derive(Clone, Copy)]
pub(super) struct Ends<const CLAMPS: bool, const MASKS: bool, const SUMS: bool>;

impl<const CLAMPS: bool, const MASKS: bool, const SUMS: bool> Ending for Ends<CLAMPS, MASKS, SUMS> {
    const CLAMPS: bool = CLAMPS;
    const MASKS: bool = MASKS;
    const SUMS: bool = SUMS;
}

/// Distances in bytes of the neighbours of a pixel: 0, 1, 2, .. columns away.
pub(super) type Columns = [usize; 10];

#[inline(always)]
pub(super) fn columns_of<S: Simd>(c: usize) -> Columns {
    std::array::from_fn(|i| S::opaque_distance(i * c * size_of::<f32>()))
}

/// Where one pixel's sums go; pixels beside it are columns away.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) y: *mut f32,
    /// Not looked at unless the ending masks.
    pub(super) aux: *const f32,
    /// Not looked at unless the ending sums.
    pub(super) sums: *mut f32,
}

impl Out {
    /// The pixel `pixel` numbers further on, from channel `at`.
    #[inline(always)]
    pub(super) fn at(self, pixel: usize, at: usize) -> Self {
        Self {
            y: self.y.wrapping_add(pixel + at),
            aux: self.aux.wrapping_add(pixel + at),
            sums: self.sums.wrapping_add(at),
        }
    }

    /// Ends and stores `G` sums of neighbouring pixels.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd, E: Ending, const PART: bool, const G: usize>(
        self,
        lanes: Lanes,
        columns: &Columns,
        sums: [S::V; G],
    ) {
        // SAFETY: the caller vouches for the pixels and channels.
        unsafe {
            let mut total = S::splat(0.0);
            for (o, mut sum) in sums.into_iter().enumerate() {
                if E::CLAMPS {
                    sum = S::clamp6(sum);
                }
                if E::MASKS {
                    sum = S::mask6(sum, lanes.load::<S, PART>(self.aux.byte_add(columns[o])));
                }
                if E::SUMS {
                    total = S::add(total, sum);
                }
                lanes.store::<S, PART>(self.y.byte_add(columns[o]), sum);
            }
            if E::SUMS {
                lanes.store::<S, PART>(self.sums, S::add(lanes.load::<S, PART>(self.sums), total));
            }
        }
    }
}

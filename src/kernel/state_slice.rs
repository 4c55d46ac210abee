//! Numbers that an optimizer remembers from step to step, of 32 bits or of the upper 16 of them: bfloat16, an `f32`'s whole
//! range with eight significant bits.

use half::bf16;

/// Numbers of a run's state, to be worked on.
///
/// A running mean moves by a thousandth of itself, which eight bits do not show: rounded to the nearest it would stand
/// still. So every step adds another `dither` to the bits that are dropped, the same for all numbers; where its values are
/// spread evenly over 0 to 65535, what is rounded is right on average.
#[derive(Debug)]
pub enum StateSlice<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
}

impl<'a> StateSlice<'a> {
    /// The first `at` numbers and the others.
    pub(super) fn split_at(self, at: usize) -> [Self; 2] {
        match self {
            Self::F32(numbers) => <[_; 2]>::from(numbers.split_at_mut(at)).map(Self::F32),
            Self::Bf16(numbers) => <[_; 2]>::from(numbers.split_at_mut(at)).map(Self::Bf16),
        }
    }

    /// No numbers, held alike.
    pub(super) fn nothing<'b>(&self) -> StateSlice<'b> {
        match self {
            Self::F32(_) => StateSlice::F32(&mut []),
            Self::Bf16(_) => StateSlice::Bf16(&mut []),
        }
    }
}

/// How a number of the state is held.
pub(super) trait StoredNumber: Copy {
    fn number(self) -> f32;

    /// Rounded away from zero where `dither` carries the dropped bits over.
    fn rounded(number: f32, dither: u16) -> Self;
}

impl StoredNumber for f32 {
    #[inline(always)]
    fn number(self) -> f32 {
        self
    }

    #[inline(always)]
    fn rounded(number: f32, _: u16) -> Self {
        number
    }
}

// Bit by bit: the crate's own conversions ask every number whether it is one.
impl StoredNumber for bf16 {
    #[inline(always)]
    fn number(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn rounded(number: f32, dither: u16) -> Self {
        bf16::from_bits((number.to_bits().wrapping_add(u32::from(dither)) >> 16) as u16)
    }
}

//! The values that a block keeps for its backward pass, in 16 bits.

use crate::kernel::half_float::{narrow, widen};
use crate::kernel::isa::Isa;
use crate::kernel::line_buffer::LineBuffer;
use std::ops::Range;

/// Buffers in which a block's forward pass leaves what its backward pass reads instead, rounded to 16 bits
/// ([`narrow`]).
///
/// [`narrow`]: crate::kernel::narrow
#[derive(Debug, Default)]
pub struct Keep<'a> {
    /// Of a block with a pointwise expansion.
    pub input: Option<&'a mut [u16]>,
    /// The expanded tensor.
    pub expansion: Option<&'a mut [u16]>,
}

impl<'a> Keep<'a> {
    pub(super) fn is_nothing(&self) -> bool {
        self.input.is_none() && self.expansion.is_none()
    }

    /// Takes away the first of each: so many numbers of the input and of the expanded tensor.
    pub(super) fn take(&mut self, input: usize, expansion: usize) -> Keep<'a> {
        fn first<'a>(of: &mut Option<&'a mut [u16]>, len: usize) -> Option<&'a mut [u16]> {
            let (first, rest) = of.take()?.split_at_mut(len);
            *of = Some(rest);
            Some(first)
        }
        Keep { input: first(&mut self.input, input), expansion: first(&mut self.expansion, expansion) }
    }
}

/// A block's input in the backward pass.
#[derive(Clone, Copy, Debug)]
pub enum BlockInput<'a> {
    Whole(&'a [f32]),
    /// As forward kept it.
    Half(&'a [u16]),
}

impl<'a> BlockInput<'a> {
    pub(super) fn len(self) -> usize {
        match self {
            BlockInput::Whole(x) => x.len(),
            BlockInput::Half(x) => x.len(),
        }
    }

    /// Some of its numbers.
    pub(super) fn part(self, numbers: Range<usize>) -> Self {
        match self {
            BlockInput::Whole(x) => BlockInput::Whole(&x[numbers]),
            BlockInput::Half(x) => BlockInput::Half(&x[numbers]),
        }
    }

    /// Its numbers, which a buffer takes where they have to be made wide.
    pub(super) fn wide<'b>(self, isa: Isa, buffer: &'b mut LineBuffer) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            BlockInput::Whole(x) => x,
            BlockInput::Half(x) => {
                let wide = buffer.first(x.len());
                widen(isa, x, wide);
                wide
            }
        }
    }

    /// Its numbers, where nothing rounds them.
    pub(super) fn whole(self) -> &'a [f32] {
        match self {
            BlockInput::Whole(x) => x,
            BlockInput::Half(_) => panic!("only inputs of pointwise expansions are kept in 16 bits"),
        }
    }
}

/// Takes what a band of rows keeps for its backward pass, as the rows are made.
pub(super) struct KeptBand<'a> {
    pub(super) isa: Isa,
    pub(super) keep: Keep<'a>,
    /// Rows of the expanded tensor that belong to the band: it makes some of its neighbours', too.
    pub(super) own: Range<usize>,
    /// The block's input, one image's.
    pub(super) x: &'a [f32],
    /// Numbers of a row of the input and of the expanded tensor.
    pub(super) row_in: usize,
    pub(super) row: usize,
}

impl KeptBand<'_> {
    pub(super) fn wants(&self) -> bool {
        !self.keep.is_nothing()
    }

    /// Keeps those of `rows`, freshly `made`, that belong to the band.
    pub(super) fn take(&mut self, rows: Range<usize>, made: &[f32]) {
        let (own, row, row_in) = (&self.own, self.row, self.row_in);
        let mine = rows.start.max(own.start)..rows.end.min(own.end);
        if mine.is_empty() {
            return;
        }
        if let Some(kept) = &mut self.keep.expansion {
            let made = &made[(mine.start - rows.start) * row..][..mine.len() * row];
            narrow(self.isa, made, &mut kept[(mine.start - own.start) * row..][..made.len()]);
        }
        if let Some(kept) = &mut self.keep.input {
            let read = &self.x[mine.start * row_in..mine.end * row_in];
            narrow(self.isa, read, &mut kept[(mine.start - own.start) * row_in..][..read.len()]);
        }
    }
}

//! Memory that kernels work in, handed back when they are done and used again by the next.
//!
//! A training step asks for the same buffers every time; taking them from a pool keeps them out of the allocator, so
//! that a run's memory is settled after its first step. Each purpose has a pool of its own: a set of buffers that
//! served as tiles would otherwise come back as packed weights and grow for both.

use super::depthwise::PackedTaps;
use super::gemm::Panels;
use super::line_buffer::LineBuffer;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers of one kernel call on one thread. They only ever grow; what they hold at first is arbitrary.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub expanded: LineBuffer,
    pub wide: LineBuffer,
    pub d_wide: LineBuffer,
    pub d_expanded: LineBuffer,
    pub masked: LineBuffer,
    pub patches: LineBuffer,
    /// Nothing but zeros.
    pub zeros: LineBuffer,
    /// Takes what nobody asked for.
    pub unused: LineBuffer,
}

/// Whole maps of a block that runs in stages, or a dense layer's patches: one set, however many threads share the work.
#[derive(Debug, Default)]
pub(super) struct Stages {
    pub expanded: LineBuffer,
    pub wide: LineBuffer,
    pub d_wide: LineBuffer,
    pub d_expanded: LineBuffer,
    pub masked: LineBuffer,
    pub input: LineBuffer,
    pub patches: LineBuffer,
    /// Nothing but zeros.
    pub zeros: LineBuffer,
}

/// The weights of one kernel call, packed for all its threads.
#[derive(Debug, Default)]
pub(super) struct PackedWeights {
    pub panels: [Panels; 3],
    pub taps: [PackedTaps; 2],
}

/// A thread's share of weight gradients.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub sums: LineBuffer,
}

type Pool<T> = Mutex<Vec<T>>;

/// A buffer lent from a pool.
pub(super) trait Pooled: Default + 'static {
    fn pool() -> &'static Pool<Self>;

    /// The one given back last, or a new one.
    fn take() -> Loan<Self> {
        let free = Self::pool().lock().unwrap_or_else(PoisonError::into_inner).pop();
        Loan(Some(free.unwrap_or_default()))
    }
}

macro_rules! pooled {
    ($($of:ty),*) => {$(
        impl Pooled for $of {
            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$of> = Mutex::new(Vec::new());
                &POOL
            }
        }
    )*};
}

pooled!(Workspace, Stages, PackedWeights, Partial);

/// On loan from a pool until it is dropped.
pub(super) struct Loan<T: Pooled>(Option<T>);

impl<T: Pooled> Drop for Loan<T> {
    fn drop(&mut self) {
        if let Some(lent) = self.0.take() {
            T::pool().lock().unwrap_or_else(PoisonError::into_inner).push(lent);
        }
    }
}

impl<T: Pooled> Deref for Loan<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("a loan holds what was lent until it is dropped")
    }
}

impl<T: Pooled> DerefMut for Loan<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("a loan holds what was lent until it is dropped")
    }
}

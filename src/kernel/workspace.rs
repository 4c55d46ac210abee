//! Memory that kernels work in, handed back when they are done and used again by the next.
//!
//! A training step asks for the same buffers every time; taking them from a pool keeps them out of the allocator, so
//! that a run's memory is settled after its first step.

use super::depthwise::Weights;
use super::gemm::Panels;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers of one kernel call on one thread. They only ever grow; what they hold at first is arbitrary.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub expanded: Vec<f32>,
    pub wide: Vec<f32>,
    pub d_wide: Vec<f32>,
    pub d_expanded: Vec<f32>,
    pub masked: Vec<f32>,
    pub patches: Vec<f32>,
    /// Nothing but zeros.
    pub zeros: Vec<f32>,
    /// Takes what nobody asked for.
    pub unused: Vec<f32>,
    /// A thread's share of weight gradients.
    pub partial: Vec<f32>,
    pub panels: [Panels; 4],
    pub taps: [Weights; 2],
}

static POOL: Mutex<Vec<Workspace>> = Mutex::new(Vec::new());

/// A workspace on loan from the pool.
pub(super) struct Loan(Option<Workspace>);

impl Workspace {
    /// The workspace given back last, or a new one.
    pub(super) fn take() -> Loan {
        let free = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Loan(Some(free.unwrap_or_default()))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(workspace) = self.0.take() {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        }
    }
}

impl Deref for Loan {
    type Target = Workspace;
    fn deref(&self) -> &Workspace {
        self.0.as_ref().expect("a loan holds its workspace until it is dropped")
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut Workspace {
        self.0.as_mut().expect("a loan holds its workspace until it is dropped")
    }
}

/// The first `len` numbers of a buffer that grows where it has to.
pub(super) fn first(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

//! One optimizer step: forward and backward pass of its micro-batches, their gradients in a window, the update.

pub(super) mod forward_backward;
pub(super) mod targets;
pub(super) mod update;
pub(super) mod window;

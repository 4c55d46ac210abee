//! Validation: AP on held-back images after each epoch, and the best weights as `best.onnx`.

pub(super) mod evaluation;
pub(super) mod held_out;
pub(super) mod validation;

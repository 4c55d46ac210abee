//! The narrow detector (width 0.35) that is part of the program: the demo and the watchdog's bench start from it.

/// ONNX; it has seen generated scenes only. `fieldtune demo --pretrain` made it.
pub static PRETRAINED: &[u8] = include_bytes!("../cli/demo.onnx");

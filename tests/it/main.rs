//! One binary, one story per module.

mod boxes_golden;
mod onnx;
mod onnx_bad_input;
mod onnx_variants;

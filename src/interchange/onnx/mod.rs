//! ONNX: bytes to protobuf messages and back, tensors to arrays and back, and a graph under construction.

pub mod builder;
mod census;
pub mod file;
pub mod read;
pub mod tensor;

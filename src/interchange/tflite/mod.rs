//! TensorFlow Lite: flatbuffer to graph, its operators put into the graph's words.
//!
//! Maps are NHWC in the file and stay so: each convolution is written as one on NCHW between two transposes, which the
//! normal form sees through. Quantised tensors become their real numbers; the range of a quantised activation stays in
//! the graph as a pair of nodes, because it may stand for a ReLU6 that the converter dropped.

mod detections;
mod file;
mod labels;
mod metadata;
mod operators;
mod options;
mod read;
mod tensors;

pub use file::is_tflite;
pub use metadata::own_texts;
pub use read::graph;

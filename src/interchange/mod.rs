//! Networks as files: reading them by structure, writing them, and proving with tract that a written file computes what
//! was trained.
//!
//! Only this folder knows NCHW and operator names. A reader (`onnx`, `tflite`, `torch`) turns bytes into the one graph
//! (`graph`, constants evaluated) and recognises nothing; `recognise` goes from the graph to layers (the normal form), to
//! backbone and heads, to the network's own tree, and parses nothing.

mod arrays;
mod error;
mod export;
mod graph;
mod import;
mod imported;
mod interpreter;
mod metadata;
mod onnx;
mod outputs;
mod prove;
mod recognise;
mod table;
mod tflite;
mod torch;
mod written;

pub use arrays::{ArrayNumbers, NamedArray};
pub use error::InterchangeError;
pub use export::{
    ByteInput, Calibration, Clipping, Document, ExportOptions, Form, Images, Opset, TfliteNumbers, TfliteOptions,
    TfliteOutputs, export, export_tflite,
};
pub use graph::StoredTensor;
pub use import::import;
pub use imported::{Imported, Normalisation, Scope};
pub use interpreter::Interpreter;
pub use metadata::{Metadata, TrainedOn};
pub use outputs::Outputs;
pub use prove::{Difference, Verifier, largest_difference, verify};
pub use table::{ConvMatch, Role};
pub use written::{FileAnswer, FoundRow, WrittenFile};

//! Networks as ONNX files: reading them by structure, writing them, and proving with tract that a written file
//! computes what was trained.
//!
//! Only this folder knows NCHW and operator names. Reading goes file -> graph (constants evaluated) -> layers (the
//! normal form) -> backbone and heads -> the network's own tree.

mod array;
mod backbone;
mod builder;
mod error;
mod export;
mod file;
mod graph;
mod heads;
mod import;
mod jetson;
mod layers;
mod metadata;
mod names;
mod node;
mod normal;
mod table;
mod tensor;
mod verify;

pub use error::OnnxError;
pub use export::{Document, ExportOptions, Form, Images, export};
pub use import::{Imported, Normalisation, Scope, import};
pub use metadata::Metadata;
pub use table::{Match, Role, Stored};
pub use verify::{Difference, Outputs, Verifier, verify};

//! Errors of a network's file, each with the place and a way out.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The reason that a file could not be read, matched, written or run.
#[derive(Debug, Error)]
pub enum InterchangeError {
    #[error("{}: cannot read: {error}\nhelp: check the path and its permissions", path.display())]
    Read { path: PathBuf, error: io::Error },

    #[error("{}: cannot write: {error}\nhelp: check that the folder exists, is writable and has room", path.display())]
    Write { path: PathBuf, error: io::Error },

    /// The bytes are not an ONNX model.
    #[error("{}: found {found}, expected an ONNX model, a TFLite model or a state dict\nhelp: {help}", path.display())]
    NotOnnx { path: PathBuf, found: String, help: &'static str },

    /// The bytes are a model of another kind than the reader's, or a damaged one.
    #[error("{}: found {found}, expected {expected}\nhelp: {help}", path.display())]
    Format { path: PathBuf, found: String, expected: String, help: &'static str },

    /// A model in a form that one runtime made for itself; `found` says which file to give instead.
    #[error("{}: found {found}, expected plain convolutions\nhelp: give the file that this one was made from", path.display())]
    OtherForm { path: PathBuf, found: String },

    /// A tensor whose declared shape, type or place disagrees with its bytes.
    #[error("{}: tensor `{tensor}`: found {found}, expected {expected}\nhelp: {help}", path.display())]
    Tensor { path: PathBuf, tensor: String, found: String, expected: String, help: &'static str },

    /// A convolution that belongs to the network but does not fit into it.
    #[error("{}: node `{node}`: found {found}, expected {expected}\nhelp: {help}", path.display())]
    Node { path: PathBuf, node: String, found: String, expected: String, help: &'static str },

    /// The graph is not a MobileNetV2, or not all of one: nothing is imported from it.
    #[error(
        "{}: {matched} of {total} backbone layers matched ({} %): at node `{node}`: found {found}, expected {expected}\n\
         help: give an SSD-MobileNet-V2 (SSDLite or plain) or a MobileNetV2 classifier; a backbone is taken whole or not at all",
        path.display(), 100 * matched / total
    )]
    Backbone { path: PathBuf, matched: usize, total: usize, node: String, found: String, expected: String },

    /// A network or options that cannot be written as asked.
    #[error("{}: {place}: found {found}, expected {expected}", path.display())]
    Export { path: PathBuf, place: String, found: String, expected: String },

    /// tract could not load or run the file.
    #[error("{}: tract: {reason}\nhelp: the file is damaged or uses operators that tract does not know", path.display())]
    Run { path: PathBuf, reason: String },

    /// The outputs or the images given do not have the sizes that the file works with.
    #[error("{}: {place}: found {found}, expected {expected}", path.display())]
    Verify { path: PathBuf, place: String, found: String, expected: String },
}

impl InterchangeError {
    pub(super) fn tensor(
        path: &Path,
        tensor: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        help: &'static str,
    ) -> Self {
        let (found, expected) = (found.into(), expected.into());
        Self::Tensor { path: path.into(), tensor: tensor.into(), found, expected, help }
    }

    pub(super) fn node(
        path: &Path,
        node: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        help: &'static str,
    ) -> Self {
        let (found, expected) = (found.into(), expected.into());
        Self::Node { path: path.into(), node: node.into(), found, expected, help }
    }
}

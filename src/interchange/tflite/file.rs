//! The file's bytes as a verified flatbuffer.

use std::path::Path;

use flatbuffers::VerifierOptions;
use tract_tflite::tflite::{Model, root_as_model_with_opts};

use crate::interchange::InterchangeError;

/// True if the bytes begin as a TFLite model does.
pub fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"TFL3")
}

/// Every offset and length of the model is checked here, once; reading it afterwards cannot leave the bytes.
///
/// # Errors
/// If the bytes are damaged.
pub fn model<'a>(path: &Path, bytes: &'a [u8]) -> Result<Model<'a>, InterchangeError> {
    // A network of this family has some 500 tensors and 100 operators, each a table or two.
    let bounds = VerifierOptions {
        max_depth: 32,
        max_tables: 100_000,
        max_apparent_size: bytes.len().saturating_mul(4),
        ignore_missing_null_terminator: false,
    };
    root_as_model_with_opts(&bounds, bytes).map_err(|error| InterchangeError::Format {
        path: path.into(),
        // The rest of the message is a trace through the schema.
        found: format!("a TFLite model that is damaged ({})", error.to_string().lines().next().unwrap_or_default()),
        expected: "a whole one".into(),
        help: "the file is damaged; download or convert it again",
    })
}

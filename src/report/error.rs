//! Errors when a picture is written.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("{}: cannot write the picture: {error}\nhelp: check that the folder exists and has space", path.display())]
    Write { path: PathBuf, error: std::io::Error },

    #[error("a picture of {width} x {height} pixels cannot be encoded: {error}\nhelp: draw an image that has pixels")]
    Encode { width: usize, height: usize, error: image::ImageError },
}

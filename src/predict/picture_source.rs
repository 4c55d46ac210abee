//! The origin of a picture, for names of results and copies of the original.

use super::frames::{FrameForm, StreamFrame};
use super::photo_list::is_photo;
use crate::data::RgbImage;
use crate::report::encode_jpeg;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

#[derive(Clone, Copy, Debug)]
pub enum PictureSource<'a> {
    File(&'a Path),
    Frame(&'a StreamFrame),
}

impl PictureSource<'_> {
    /// Its name in lists: the path, or `frame-000001`.
    pub fn label(self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Frame(frame) => frame.name(),
        }
    }

    /// The stem of its results' names.
    pub fn stem(self) -> OsString {
        match self {
            Self::File(path) => path.file_stem().unwrap_or("photo".as_ref()).to_os_string(),
            Self::Frame(frame) => frame.name().into(),
        }
    }

    /// The ending of a copy.
    pub fn extension(self) -> String {
        let own = match self {
            Self::File(path) if is_photo(path) => path.extension().and_then(|e| e.to_str()).map(str::to_string),
            _ => None,
        };
        own.unwrap_or_else(|| "jpg".into())
    }

    /// Writes the original, byte for byte where it is a file of its own; `image` is what it shows.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn copy_to(self, image: &RgbImage, to: &Path) -> Result<()> {
        let written = match self {
            Self::File(path) => fs::copy(path, to).map(drop),
            Self::Frame(StreamFrame { form: FrameForm::Mjpeg, bytes, .. }) => fs::write(to, bytes),
            Self::Frame(_) => fs::write(to, encode_jpeg(image)?),
        };
        written.with_context(|| format!("{}: cannot write the photo", to.display()))
    }
}

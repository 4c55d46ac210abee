//! Writing pictures.

use std::fs;
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError, ImageResult};

use super::ReportError;
use crate::data::RgbImage;

/// The image as the bytes of a PNG file.
///
/// # Errors
/// If the image has no pixels, or not as many as its size says.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>, ReportError> {
    encode(image).map_err(|error| ReportError::Encode { width: image.width, height: image.height, error })
}

fn encode(image: &RgbImage) -> ImageResult<Vec<u8>> {
    let side = |n: usize| {
        u32::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
            ImageError::Parameter(image::error::ParameterError::from_kind(
                image::error::ParameterErrorKind::DimensionMismatch,
            ))
        })
    };
    let (width, height) = (side(image.width)?, side(image.height)?);
    if image.pixels.len() != image.width * image.height * 3 {
        side(0)?;
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(&image.pixels, width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

/// Writes the image as PNG, over a file that is there.
///
/// # Errors
/// As [`encode_png`], and where the file cannot be written.
pub fn write_png(image: &RgbImage, path: &Path) -> Result<(), ReportError> {
    let bytes = encode_png(image)?;
    fs::write(path, bytes).map_err(|error| ReportError::Write { path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let image = RgbImage { width: 2, height: 1, pixels: vec![1, 2, 3, 4, 5, 6] };
        let bytes = encode_png(&image).expect("a picture");
        let back = image::load_from_memory(&bytes).expect("a PNG").into_rgb8();
        assert_eq!((back.dimensions(), back.as_raw().as_slice()), ((2, 1), image.pixels.as_slice()));
    }

    #[test]
    fn pictures_without_pixels_and_folders_that_are_not_there_are_errors() {
        let none = RgbImage { width: 0, height: 3, pixels: vec![] };
        assert!(encode_png(&none).is_err());
        let short = RgbImage { width: 2, height: 2, pixels: vec![0; 3] };
        assert!(encode_png(&short).is_err());
        let image = RgbImage { width: 1, height: 1, pixels: vec![0; 3] };
        let message = write_png(&image, Path::new("/nowhere/a.png")).expect_err("no folder").to_string();
        assert!(message.starts_with("/nowhere/a.png: cannot write"), "{message}");
    }
}

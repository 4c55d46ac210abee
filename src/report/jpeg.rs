//! Pictures as JPEG: about a tenth of a PNG's bytes where the picture is a photo.

use std::fs;
use std::path::Path;

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::ReportError;
use crate::data::RgbImage;

/// Boxes and letters stay sharp from this quality on.
const QUALITY: u8 = 90;

/// The image as the bytes of a JPEG file.
///
/// # Errors
/// If the image has no pixels, more than 65535 on a side, or not as many as its size says.
pub fn encode_jpeg(image: &RgbImage) -> Result<Vec<u8>, ReportError> {
    let (width, height) = (image.width, image.height);
    let refused = |error| ReportError::Encode { width, height, error };
    let mismatch = image::error::ParameterErrorKind::DimensionMismatch;
    let side = |n: usize| u16::try_from(n).ok().filter(|&n| n > 0);
    let (Some(w), Some(h), true) = (side(width), side(height), image.pixels.len() == width * height * 3) else {
        return Err(refused(image::ImageError::Parameter(image::error::ParameterError::from_kind(mismatch))));
    };
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    encoder.encode(&image.pixels, w.into(), h.into(), ExtendedColorType::Rgb8).map_err(refused)?;
    Ok(bytes)
}

/// Writes the image as JPEG, over a file that is there.
///
/// # Errors
/// As [`encode_jpeg`], and where the file cannot be written.
pub fn write_jpeg(image: &RgbImage, path: &Path) -> Result<(), ReportError> {
    let bytes = encode_jpeg(image)?;
    fs::write(path, bytes).map_err(|error| ReportError::Write { path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_read_back_nearly_and_those_without_pixels_are_errors() {
        let pixels: Vec<u8> = (0..16u8).flat_map(|_| [200, 40, 90]).collect();
        let bytes = encode_jpeg(&RgbImage { width: 4, height: 4, pixels }).expect("a picture");
        let back = image::load_from_memory(&bytes).expect("a JPEG").into_rgb8();
        assert_eq!(back.dimensions(), (4, 4));
        assert!(back.pixels().all(|p| p.0.iter().zip([200, 40, 90]).all(|(a, b)| a.abs_diff(b) < 8)));
        for (width, height, pixels) in [(0, 3, 0), (2, 2, 3), (70_000, 1, 210_000)] {
            assert!(encode_jpeg(&RgbImage { width, height, pixels: vec![0; pixels] }).is_err(), "{width}x{height}");
        }
    }
}

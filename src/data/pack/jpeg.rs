//! A photo of a pack as the bytes of a JPEG file: a tenth of the room, for the time of decoding it at every use.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::data::image::Photo;
use crate::data::jpeg_frame::JpegFrame;
use crate::data::sample::RgbImage;

/// Of photos that are scaled down, 1 to 100; colour is not subsampled.
const QUALITY: u8 = 92;

/// The image as a JPEG file. `original` is the file it was decoded from: if that is a JPEG of just these pixels, its
/// bytes are kept, so that nothing is lost.
///
/// # Errors
/// If a side is longer than JPEG allows.
pub fn encode(image: &RgbImage, original: &[u8]) -> Result<Vec<u8>, String> {
    let is_small = original.len() < image.pixels.len() / 2;
    if is_small && JpegFrame::find(original).is_some() {
        let size = [image.width, image.height];
        if decode(original, size).is_ok_and(|same| same == *image) {
            return Ok(original.to_vec());
        }
    }
    let mut bytes = Vec::new();
    let (width, height) = (image.width as u32, image.height as u32);
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    encoder.write_image(&image.pixels, width, height, ExtendedColorType::Rgb8).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// Decodes what [`encode`] gave.
///
/// # Errors
/// The text says what is there instead of a JPEG of `size`, width and height.
pub fn decode(bytes: &[u8], size: [usize; 2]) -> Result<RgbImage, String> {
    let found = JpegFrame::find(bytes).map(|frame| [frame.width as usize, frame.height as usize]);
    // Told before anything is decoded: a damaged header may promise any size.
    if found != Some(size) {
        return Err(format!("no JPEG of {}x{} pixels", size[0], size[1]));
    }
    let photo = Photo::decode(bytes, Path::new("")).map_err(|_| "a JPEG that does not decode".to_string())?;
    match [photo.image.width, photo.image.height] == size && photo.stored_size().map(|n| n as usize) == size {
        true => Ok(photo.image),
        false => Err("a JPEG that is turned or too large".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> RgbImage {
        let pixel = |i: usize| [(i % 40 * 6) as u8, (i / 40 * 8) as u8, 90];
        RgbImage { width: 40, height: 30, pixels: (0..1200).flat_map(pixel).collect() }
    }

    #[test]
    fn an_image_survives_nearly_and_an_original_exactly() {
        let image = image();
        let bytes = encode(&image, b"").expect("encodes");
        let back = decode(&bytes, [40, 30]).expect("decodes");
        let off = image.pixels.iter().zip(&back.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off.is_some_and(|most| most < 12), "{off:?}");
        // A photo decoded from these bytes is kept as these bytes; any other is encoded anew.
        assert_eq!(encode(&back, &bytes).expect("encodes"), bytes);
        assert_ne!(encode(&image, &bytes).expect("encodes").len(), 0);
        let other = encode(&RgbImage { pixels: vec![7; 3600], ..image }, &bytes).expect("encodes");
        assert_ne!(other, bytes);
    }

    #[test]
    fn a_jpeg_of_another_size_or_none_is_an_error() {
        let bytes = encode(&image(), b"").expect("encodes");
        assert!(decode(&bytes, [30, 40]).expect_err("turned").contains("no JPEG of 30x40"));
        assert!(decode(&bytes[..bytes.len() / 2], [40, 30]).is_err());
        assert!(decode(b"pixels", [40, 30]).is_err());
    }
}

//! Image files to upright RGB pixels, within a bound on memory: above it, a photo comes at a fraction of its size.
//!
//! A JPEG that ends early is decoded as far as it goes. If (nearly) all rows are there it is used, else not: a network
//! must not learn that objects look like the decoder's grey.

use std::io::{self, Cursor};
use std::path::Path;

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::error::DataError;
use super::exif::{Orientation, orientation_value};
use super::jpeg_end;
use super::photo_memory::photo_memory;
use super::reduced::{self, MAX_REDUCED_PIXELS, NotReduced, Reduction};
use super::resize::resize;
use super::sample::RgbImage;
use super::stored::StoredBytes;
use super::text::{NOT_FETCHED, is_lfs_pointer};

/// Larger images are decoded at a fraction of their size: decoding takes three bytes per pixel and more, and boards are
/// small.
const MAX_PIXELS: u64 = 64 << 20;
/// No photo's file is larger; what is, is no photo.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Share of the rows that may be missing from a truncated file that is still used.
const MAX_MISSING_ROWS: f64 = 0.05;

/// A decoded image file.
#[derive(Debug)]
pub struct Photo {
    /// Upright; of a very large file, at a fraction of its size.
    pub image: RgbImage,
    /// Width and height of the upright photo in the file's own pixels.
    pub size: [u32; 2],
    /// How the stored picture was turned.
    pub orientation: Orientation,
    /// An orientation in the file that is none of the eight, and was left aside.
    pub invalid_orientation: Option<u32>,
    /// Share of the rows that are missing, where the file ends early.
    pub truncated: Option<f64>,
}

impl Photo {
    /// Decodes the file.
    ///
    /// # Errors
    /// If it cannot be read, is no image of a known format, is too large, or too much of it is missing.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::of(&StoredBytes::Disk(path.into()))
    }

    /// Decodes the image wherever its bytes are.
    ///
    /// # Errors
    /// As [`Photo::read`].
    pub fn of(stored: &StoredBytes) -> Result<Self, DataError> {
        let path = stored.on_disk();
        let size = stored.len().map_err(DataError::io(path, "read the image"))?;
        if size > MAX_FILE_BYTES {
            return Err(too_large(path, format!("a file of {size} bytes")));
        }
        let bytes = stored.read(MAX_FILE_BYTES).map_err(DataError::io(path, "read the image"))?;
        Self::decode(&bytes, path)
    }

    /// Width and height as stored, before any rotation, by the head of the file; `None` if there is no telling.
    pub fn stored_size_of(stored: &StoredBytes) -> Option<[u32; 2]> {
        let bytes = stored.read(MAX_FILE_BYTES).ok()?;
        let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().ok()?;
        reader.into_dimensions().ok().map(|(w, h)| [w, h])
    }

    /// Decodes the content of a file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Photo::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        Self::decode_within(bytes, path, photo_memory())
    }

    /// As [`Photo::decode`], with the most bytes that decoding may take.
    fn decode_within(bytes: &[u8], path: &Path, allowed: u64) -> Result<Self, DataError> {
        let fault = |found: String| DataError::Image {
            file: path.into(),
            found,
            help: "open it in an image viewer; export it again as JPEG or PNG, or remove it".into(),
        };
        if bytes.is_empty() {
            return Err(fault("an empty file".into()));
        }
        // The content decides, not the extension: PNGs named .jpg are common.
        let guessed = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let reader = guessed.map_err(DataError::io(path, "read the image"))?;
        let format = reader.format();
        if is_lfs_pointer(bytes) {
            return Err(fault(NOT_FETCHED.into()));
        }
        if format.is_none() {
            return Err(fault("not a JPEG, PNG, BMP, WebP or TIFF image".into()));
        }
        let complete = jpeg_end::reaches_end(bytes);
        let undecodable = |error: image::ImageError| {
            let ends = matches!(&error, ImageError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof);
            // Decoders' messages may run over several lines.
            let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            match complete {
                Some(false) => fault(format!("truncated image: the file ends early ({text})")),
                None if ends => fault(format!("truncated image: the file ends early ({text})")),
                _ => fault(format!("the image does not decode: {text}")),
            }
        };
        let mut decoder = reader.into_decoder().map_err(undecodable)?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err(fault(format!("an image of {width}x{height} pixels")));
        }
        let mut limits = Limits::default();
        // Sixteen bits and four channels, twice over for the decoder's own buffers.
        limits.max_alloc = Some(MAX_PIXELS * 16);
        decoder.set_limits(limits).map_err(undecodable)?;
        // An unreadable EXIF block is no reason to refuse the picture.
        let value = decoder.exif_metadata().ok().flatten().and_then(|exif| orientation_value(&exif));
        let (orientation, invalid_orientation) = match value.map(Orientation::new) {
            Some(Ok(orientation)) => (orientation, None),
            Some(Err(value)) => (Orientation::UPRIGHT, Some(value)),
            None => (Orientation::UPRIGHT, None),
        };
        let size = if orientation.swaps_sides() { [height, width] } else { [width, height] };
        let needed = bytes_to_decode(&decoder);
        let reduction = if needed > allowed { Reduction::within(allowed) } else { Reduction::USUAL };
        let stored = match pixels > MAX_PIXELS || needed > allowed {
            false => whole(decoder).map_err(undecodable)?,
            true => reduced::decode(bytes, format, [width, height], reduction).map_err(|error| match error {
                NotReduced::TooLarge(found) if pixels > MAX_PIXELS => too_large(path, found),
                NotReduced::TooLarge(found) => too_dear(path, &found, [needed, allowed]),
                NotReduced::Broken(text) if complete == Some(false) => {
                    fault(format!("truncated image: the file ends early ({text})"))
                }
                NotReduced::Broken(text) => fault(format!("the image does not decode: {text}")),
            })?,
        };
        let truncated = (complete == Some(false)).then(|| flat_rows_at_end(&stored) as f64 / stored.height as f64);
        if let Some(missing) = truncated.filter(|m| *m > MAX_MISSING_ROWS) {
            return Err(fault(format!("truncated image: {:.0} % of the rows are missing", 100.0 * missing)));
        }
        Ok(Self { image: orientation.turn(stored), size, orientation, invalid_orientation, truncated })
    }

    /// The size as stored in the file, before it was turned.
    pub fn stored_size(&self) -> [u32; 2] {
        let [w, h] = self.size;
        if self.orientation.swaps_sides() { [h, w] } else { [w, h] }
    }
}

/// Bytes that the picture takes in its full size: as decoded, in eight bits, and turned upright.
fn bytes_to_decode(decoder: &impl ImageDecoder) -> u64 {
    let (width, height) = decoder.dimensions();
    let rgb = 3 * u64::from(width) * u64::from(height);
    let converted = if decoder.color_type() == ColorType::Rgb8 { 0 } else { rgb };
    decoder.total_bytes().saturating_add(converted + rgb)
}

/// The picture in its full size.
fn whole(decoder: impl ImageDecoder) -> Result<RgbImage, ImageError> {
    let decoded = DynamicImage::from_decoder(decoder)?.into_rgb8();
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    Ok(RgbImage { width, height, pixels: decoded.into_raw() })
}

fn too_large(path: &Path, found: String) -> DataError {
    let (whole, reduced) = (MAX_PIXELS >> 20, MAX_REDUCED_PIXELS >> 20);
    DataError::Image {
        file: path.into(),
        found: format!(
            "{found}, larger than the limit of {whole} megapixels ({reduced} for baseline JPEG and for PNG without interlacing)"
        ),
        help: "scale it down, or save it as a baseline JPEG; the network sees a few hundred pixels".into(),
    }
}

fn too_dear(path: &Path, found: &str, [needed, allowed]: [u64; 2]) -> DataError {
    DataError::Image {
        file: path.into(),
        found: format!(
            "{found}, which takes {} MB to decode, more than the {} MB of memory that are left for a photo",
            needed >> 20,
            allowed >> 20
        ),
        help: "scale it down, save it as a baseline JPEG (which is decoded small), or give more --memory".into(),
    }
}

/// Rows at the end that are one colour each: what a decoder makes of missing data.
fn flat_rows_at_end(image: &RgbImage) -> usize {
    let rows = image.pixels.chunks_exact(3 * image.width);
    rows.rev().take_while(|row| row.chunks_exact(3).all(|p| p == &row[..3])).count()
}

impl RgbImage {
    /// The image scaled down so that no side exceeds `max_side`, each pixel the mean of those it covers; never up.
    pub fn bounded(self, max_side: usize) -> RgbImage {
        let longest = self.width.max(self.height);
        if longest <= max_side {
            return self;
        }
        let scaled = |side: usize| ((side * max_side + longest / 2) / longest).max(1);
        let (width, height) = (scaled(self.width), scaled(self.height));
        resize(&self, width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exif::tests::exif_block;
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, codecs};

    /// A gradient, so that no row is flat.
    fn gradient(width: usize, height: usize) -> RgbImage {
        let pixel = |i: usize| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 128];
        RgbImage { width, height, pixels: (0..width * height).flat_map(pixel).collect() }
    }

    fn jpeg(image: &RgbImage, exif: Option<Vec<u8>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
        if let Some(exif) = exif {
            encoder.set_exif_metadata(exif).expect("takes EXIF");
        }
        let (w, h) = (image.width as u32, image.height as u32);
        encoder.write_image(&image.pixels, w, h, ExtendedColorType::Rgb8).expect("encodes");
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Photo, String> {
        Photo::decode(bytes, Path::new("a.jpg")).map_err(|e| e.to_string())
    }

    #[test]
    fn photos_that_take_more_memory_than_is_allowed_come_small_or_are_refused_by_name() {
        // The smallest bound: 2048 x 2048 pixels take twice three bytes each, which is twice as much.
        let image = gradient(2048, 2048);
        let mut bmp = std::io::Cursor::new(Vec::new());
        let rgb = image::RgbImage::from_raw(2048, 2048, image.pixels.clone()).expect("as many pixels");
        rgb.write_to(&mut bmp, image::ImageFormat::Bmp).expect("encodes");
        let decoder = ImageReader::new(Cursor::new(bmp.get_ref())).with_guessed_format().expect("a BMP").into_decoder();
        let needed = bytes_to_decode(&decoder.expect("decodes"));
        assert_eq!(needed, 2 * 3 * 2048 * 2048);
        let decode = |bytes: &[u8], allowed| Photo::decode_within(bytes, Path::new("a"), allowed);
        assert_eq!(decode(bmp.get_ref(), needed).expect("it fits").image.width, 2048);
        let refused = decode(bmp.get_ref(), needed - 1).unwrap_err().to_string();
        assert!(refused.contains("24 MB to decode, more than the 23 MB") && refused.contains("--memory"), "{refused}");
        let small = decode(&jpeg(&image, None), needed - 1).expect("a JPEG comes small");
        assert_eq!((small.size, small.image.width), ([2048, 2048], 1024));
    }

    #[test]
    fn orientation_is_applied_and_invalid_ones_are_left_aside() {
        let image = gradient(64, 32);
        let turned = decode(&jpeg(&image, Some(exif_block(6)))).expect("decodes");
        assert_eq!((turned.image.width, turned.image.height, turned.stored_size()), (32, 64, [64, 32]));
        // The stored left edge (dark red) is on top now.
        assert!(turned.image.pixels[0] < 20 && turned.image.pixels[3 * 32 * 63] > 230);
        for value in [0, 65537] {
            let photo = decode(&jpeg(&image, Some(exif_block(value)))).expect("decodes");
            assert_eq!((photo.image.width, photo.invalid_orientation), (64, Some(value)));
        }
    }

    #[test]
    fn a_truncated_jpeg_is_refused_unless_only_its_end_marker_is_missing() {
        let whole = jpeg(&gradient(256, 256), None);
        assert_eq!(decode(&whole).expect("decodes").truncated, None);
        let nearly = decode(&whole[..whole.len() - 2]).expect("decodes");
        assert_eq!(nearly.truncated, Some(0.0));
        for share in [0.0, 0.05, 0.3, 0.5, 0.8] {
            let cut = (whole.len() as f64 * share) as usize + 4;
            let error = decode(&whole[..cut]).expect_err("is cut");
            assert!(error.starts_with("a.jpg: ") && error.contains("truncated image"), "{share}: {error}");
            assert!(error.contains("\nhelp: "), "{error}");
        }
    }

    #[test]
    fn other_content_is_refused_with_a_reason() {
        for (bytes, fault) in [
            (&b""[..], "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull"),
            (b"hello, world, this is text", "not a JPEG, PNG, BMP, WebP or TIFF image"),
            (b"\x89PNG\r\n\x1a\nrubbish", "truncated image"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDRxxxxxxxxxxxxxyyyyzzzzzzzzzzzz", "the image does not decode"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "truncated image"),
        ] {
            let error = decode(bytes).expect_err("is no image");
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn grey_images_become_rgb_and_content_beats_the_extension() {
        let mut bytes = Vec::new();
        let encoder = codecs::png::PngEncoder::new(&mut bytes);
        encoder.write_image(&[7, 200], 2, 1, ExtendedColorType::L8).expect("encodes");
        assert_eq!(decode(&bytes).expect("decodes").image.pixels, [7, 7, 7, 200, 200, 200]);
    }

    #[test]
    fn bounding_averages_and_keeps_the_shape() {
        let image = RgbImage { width: 4, height: 2, pixels: [[0; 3], [40; 3], [80; 3], [120; 3]].repeat(2).concat() };
        let small = image.clone().bounded(2);
        assert_eq!((small.width, small.height, small.pixels.as_slice()), (2, 1, &[20, 20, 20, 100, 100, 100][..]));
        assert_eq!(image.clone().bounded(4), image);
        let thin = gradient(1000, 1).bounded(10);
        assert_eq!((thin.width, thin.height), (10, 1));
    }
}

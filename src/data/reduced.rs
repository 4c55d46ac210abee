//! Photos too large to be decoded whole, decoded at a fraction of their size in bounded memory.
//!
//! A JPEG is scaled in its cosine transform: of each 8x8 block only the lowest 4x4, 2x2 or 1 coefficients are transformed
//! back, which is the block's picture at a half, a quarter or an eighth. A PNG is read row by row, and squares of pixels are
//! averaged as they come. Other formats, a PNG whose rows are interlaced, and a progressive JPEG whose coefficients do
//! not fit (all of them are needed before the first pixel) are refused by name.

use std::io::Cursor;

use image::ImageFormat;
use jpeg_decoder::PixelFormat;

use super::jpeg_frame::JpegFrame;
use super::sample::RgbImage;

/// Larger photos are refused: no camera takes them, and a small file can promise any size.
pub const MAX_REDUCED_PIXELS: u64 = 256 << 20;

/// How small a photo may become, and the memory that its way there may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduction {
    /// The longest side of the reduced photo is at least this, in pixels, and below twice as much.
    pub least_side: u32,
    /// Coefficients of a progressive JPEG that are held at once, in bytes.
    pub coefficient_bytes: u64,
}

impl Reduction {
    /// For photos of many pixels, on a machine with memory enough.
    pub const USUAL: Self = Self { least_side: 1280, coefficient_bytes: 384 << 20 };

    /// For photos that would take more than `bytes` of memory whole: below 1280 pixels a side, 10 MB.
    pub const fn within(bytes: u64) -> Self {
        Self { least_side: 640, coefficient_bytes: bytes }
    }
}

/// The reason that a large photo was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReduced {
    /// It can be decoded whole only, or not at all; what it is, in words.
    TooLarge(String),
    /// It does not decode; the decoder's words.
    Broken(String),
}

/// Decodes a photo of `size` (width, height) at a fraction of it.
///
/// # Errors
/// If the format can be decoded whole only, or the content does not decode.
pub fn decode(
    bytes: &[u8],
    format: Option<ImageFormat>,
    size: [u32; 2],
    reduction: Reduction,
) -> Result<RgbImage, NotReduced> {
    let [width, height] = size;
    let said = |what: &str| NotReduced::TooLarge(format!("{what} of {width}x{height} pixels"));
    let is_huge = u64::from(width) * u64::from(height) > MAX_REDUCED_PIXELS || width.max(height) > u32::from(u16::MAX);
    match format {
        Some(ImageFormat::Jpeg) if !is_huge => jpeg(bytes, size, reduction, &said),
        Some(ImageFormat::Png) if !is_huge => png(bytes, size, reduction, &said),
        Some(format) => Err(said(&format!("a {} image", format!("{format:?}").to_uppercase()))),
        None => Err(said("an image")),
    }
}

fn jpeg(
    bytes: &[u8],
    [width, height]: [u32; 2],
    reduction: Reduction,
    said: &dyn Fn(&str) -> NotReduced,
) -> Result<RgbImage, NotReduced> {
    let broken = |error: jpeg_decoder::Error| NotReduced::Broken(error.to_string());
    let frame = JpegFrame::find(bytes).ok_or_else(|| NotReduced::Broken("no frame header".into()))?;
    if frame.progressive && frame.coefficient_bytes() > reduction.coefficient_bytes {
        return Err(said("a progressive JPEG"));
    }
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(bytes));
    decoder.read_info().map_err(broken)?;
    // The decoder takes the smallest scale at which one side suffices.
    let longest = width.max(height);
    let wanted =
        |side: u32| (u64::from(side) * u64::from(reduction.least_side) / u64::from(longest)).clamp(1, 65535) as u16;
    decoder.scale(wanted(width), wanted(height)).map_err(broken)?;
    let pixels = decoder.decode().map_err(broken)?;
    let info = decoder.info().ok_or_else(|| NotReduced::Broken("no frame header".into()))?;
    let pixels = match info.pixel_format {
        PixelFormat::RGB24 => pixels,
        PixelFormat::L8 => pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
        PixelFormat::L16 | PixelFormat::CMYK32 => return Err(said("a JPEG for print (CMYK) or of 16 bits")),
    };
    Ok(RgbImage { width: info.width.into(), height: info.height.into(), pixels })
}

fn png(
    bytes: &[u8],
    [width, height]: [u32; 2],
    reduction: Reduction,
    said: &dyn Fn(&str) -> NotReduced,
) -> Result<RgbImage, NotReduced> {
    let broken = |error: png::DecodingError| NotReduced::Broken(error.to_string());
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(broken)?;
    if reader.info().interlaced {
        return Err(said("an interlaced PNG"));
    }
    let channels = reader.output_color_type().0.samples();
    let mut squares = Squares::new(width as usize, height as usize, reduction.least_side as usize);
    while let Some(row) = reader.next_row().map_err(broken)? {
        squares.add_row(row.data(), channels);
    }
    squares.finish().ok_or_else(|| NotReduced::Broken("rows are missing".into()))
}

/// Squares of pixels that are averaged row by row; those at the right and lower edge are what is left.
struct Squares {
    /// Pixels along a square's side.
    side: usize,
    size: [usize; 2],
    sums: Vec<u64>,
    /// Rows added so far.
    rows: usize,
    pixels: Vec<u8>,
}

impl Squares {
    fn new(width: usize, height: usize, least_side: usize) -> Self {
        let side = (width.max(height) / least_side).max(1);
        let columns = width.div_ceil(side);
        let pixels = Vec::with_capacity(3 * columns * height.div_ceil(side));
        Self { side, size: [width, height], sums: vec![0; 3 * columns], rows: 0, pixels }
    }

    /// Adds a row of `channels` bytes a pixel: grey, grey and alpha, red green blue, or these and alpha.
    fn add_row(&mut self, row: &[u8], channels: usize) {
        let columns = row.chunks(channels * self.side).zip(self.sums.chunks_exact_mut(3));
        for (square, sums) in columns {
            for pixel in square.chunks_exact(channels) {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum += u64::from(if channels < 3 { pixel[0] } else { pixel[c] });
                }
            }
        }
        self.rows += 1;
        if self.rows.is_multiple_of(self.side) || self.rows == self.size[1] {
            self.end_row_of_squares();
        }
    }

    fn end_row_of_squares(&mut self) {
        let high = (self.rows - 1) % self.side + 1;
        for (column, sums) in self.sums.chunks_exact_mut(3).enumerate() {
            let wide = self.side.min(self.size[0] - column * self.side);
            let count = (high * wide) as u64;
            self.pixels.extend(sums.iter().map(|sum| ((sum + count / 2) / count) as u8));
            sums.fill(0);
        }
    }

    fn finish(self) -> Option<RgbImage> {
        let [width, height] = self.size.map(|n| n.div_ceil(self.side));
        (self.pixels.len() == 3 * width * height).then_some(RgbImage { width, height, pixels: self.pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, codecs};

    /// Red grows to the right and green downwards.
    fn gradient(width: usize, height: usize) -> Vec<u8> {
        let pixel = |i: usize| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 128];
        (0..width * height).flat_map(pixel).collect()
    }

    /// The gradient at a fraction of its size, within a few of 255.
    fn assert_gradient(image: &RgbImage, tolerance: i32) {
        for (y, row) in image.pixels.chunks_exact(3 * image.width).enumerate() {
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                let expected = [x * 255 / image.width, y * 255 / image.height, 128];
                for (found, expected) in pixel.iter().zip(expected) {
                    let off = i32::from(*found) - expected as i32;
                    assert!(off.abs() <= tolerance, "{x},{y}: {pixel:?}");
                }
            }
        }
    }

    #[test]
    fn jpegs_and_pngs_come_small_and_look_the_same() {
        let (width, height) = (2900, 1450);
        let pixels = gradient(width as usize, height as usize);
        let mut jpeg = Vec::new();
        let encoder = codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95);
        encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).expect("encodes");
        let mut png = Vec::new();
        let encoder = codecs::png::PngEncoder::new(&mut png);
        encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).expect("encodes");
        for (bytes, format) in [(jpeg, ImageFormat::Jpeg), (png, ImageFormat::Png)] {
            let image = decode(&bytes, Some(format), [width, height], Reduction::USUAL).expect("decodes");
            assert_eq!((image.width, image.height), (1450, 725), "{format:?}");
            assert_gradient(&image, 4);
            let cut =
                decode(&bytes[..bytes.len() / 2], Some(format), [width, height], Reduction::USUAL).expect_err("is cut");
            assert!(matches!(cut, NotReduced::Broken(_)), "{cut:?}");
        }
    }

    #[test]
    fn squares_at_the_edges_are_what_is_left_and_grey_becomes_rgb() {
        let (width, height) = (3 * 640 + 1, 4);
        let mut squares = Squares::new(width, height, 640);
        for row in [0, 3, 6, 100] {
            squares.add_row(&vec![row; width], 1);
        }
        let image = squares.finish().expect("all rows");
        assert_eq!((image.width, image.height), (640 + 1, 2));
        assert!(image.pixels[..3 * image.width].iter().all(|&p| p == 3), "the mean of 0, 3 and 6");
        assert!(image.pixels[3 * image.width..].iter().all(|&p| p == 100));
        assert!(Squares::new(10, 10, 640).finish().is_none());
    }

    #[test]
    fn what_needs_its_whole_size_is_named() {
        let named = |format| match decode(b"", format, [70_000, 70_000], Reduction::USUAL) {
            Err(NotReduced::TooLarge(found)) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(Some(ImageFormat::Jpeg)), "a JPEG image of 70000x70000 pixels");
        assert_eq!(named(Some(ImageFormat::Tiff)), "a TIFF image of 70000x70000 pixels");
        // A frame header of three components without subsampling: 864 MB of coefficients.
        let progressive = [
            &[0xff, 0xd8, 0xff, 0xc2, 0, 17, 8][..],
            &12_000u16.to_be_bytes(),
            &12_000u16.to_be_bytes(),
            &[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0],
        ]
        .concat();
        let found = decode(&progressive, Some(ImageFormat::Jpeg), [12_000, 12_000], Reduction::USUAL);
        assert_eq!(found, Err(NotReduced::TooLarge("a progressive JPEG of 12000x12000 pixels".into())));
        let small = decode(b"", Some(ImageFormat::WebP), [9000, 9000], Reduction::USUAL);
        assert_eq!(small, Err(NotReduced::TooLarge("a WEBP image of 9000x9000 pixels".into())));
    }
}

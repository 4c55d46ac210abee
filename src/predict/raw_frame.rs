//! Frames of a stream as plain pixels, as `ffmpeg -f rawvideo` and `rpicam-vid --codec yuv420` write them.

use crate::data::RgbImage;
use clap::ValueEnum;
use std::str::FromStr;

/// Longest side of a frame in pixels.
const LONGEST: usize = 8192;

/// How pixels stand in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PixelLayout {
    Rgb24,
    Bgr24,
    Gray,
    /// Planes of Y, of U and of V, the latter two at half the size (I420), in the limited range of ITU-R BT.601.
    Yuv420,
}

/// Width and height of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize {
    pub width: usize,
    pub height: usize,
}

impl FromStr for FrameSize {
    type Err = String;

    /// `640x480`, width before height.
    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=LONGEST).contains(side));
        let sides = text.split_once('x').and_then(|(w, h)| Some((side(w)?, side(h)?)));
        let (width, height) =
            sides.ok_or(format!("expected WIDTHxHEIGHT of 1 to {LONGEST} pixels, such as 640x480"))?;
        Ok(Self { width, height })
    }
}

impl FrameSize {
    /// Bytes of one frame.
    pub fn bytes(self, layout: PixelLayout) -> usize {
        let pixels = self.width * self.height;
        match layout {
            PixelLayout::Rgb24 | PixelLayout::Bgr24 => 3 * pixels,
            PixelLayout::Gray => pixels,
            PixelLayout::Yuv420 => pixels + 2 * self.width.div_ceil(2) * self.height.div_ceil(2),
        }
    }

    /// The frame as a picture.
    ///
    /// # Panics
    /// If there are not as many bytes as [`FrameSize::bytes`] says.
    pub fn picture(self, layout: PixelLayout, bytes: Vec<u8>) -> RgbImage {
        assert_eq!(bytes.len(), self.bytes(layout), "one whole frame");
        let Self { width, height } = self;
        let pixels = match layout {
            PixelLayout::Rgb24 => bytes,
            PixelLayout::Bgr24 => bytes.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect(),
            PixelLayout::Gray => bytes.iter().flat_map(|&grey| [grey; 3]).collect(),
            PixelLayout::Yuv420 => {
                let (luma, chroma) = bytes.split_at(width * height);
                let (blue, red) = chroma.split_at(chroma.len() / 2);
                let half = width.div_ceil(2);
                let at = |i: usize| i / width / 2 * half + i % width / 2;
                luma.iter().enumerate().flat_map(|(i, &y)| rgb(y, blue[at(i)], red[at(i)])).collect()
            }
        };
        RgbImage { width, height, pixels }
    }
}

/// Y from 16 to 235, U and V from 16 to 240 around 128 (ITU-R BT.601).
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = (1.164_383 * (f32::from(y) - 16.0), f32::from(u) - 128.0, f32::from(v) - 128.0);
    // A cast from a float stops at 0 and 255.
    [y + 1.596_027 * v, y - 0.391_762 * u - 0.812_968 * v, y + 2.017_232 * u].map(|c| c.round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        assert_eq!("640x480".parse(), Ok(FrameSize { width: 640, height: 480 }));
        for text in ["", "640", "640x", "0x4", "9000x4", "4x-1", "4x4x4"] {
            assert!(text.parse::<FrameSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_layout_gives_the_colours_that_its_standard_names() {
        let size = FrameSize { width: 3, height: 1 };
        let pixels = |layout, bytes: &[u8]| size.picture(layout, bytes.to_vec()).pixels;
        assert_eq!(pixels(PixelLayout::Bgr24, &[1, 2, 3, 4, 5, 6, 7, 8, 9]), [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(pixels(PixelLayout::Gray, &[0, 9, 255]), [0, 0, 0, 9, 9, 9, 255, 255, 255]);
        // Colour bars of BT.601 at full level: red, red (they share chroma) and black.
        let bars = pixels(PixelLayout::Yuv420, &[81, 81, 16, 90, 128, 240, 128]);
        for (found, expected) in bars.iter().zip([255, 0, 0, 255, 0, 0, 0, 0, 0]) {
            assert!(found.abs_diff(expected) <= 2, "{bars:?}");
        }
    }
}

//! The EXIF orientation: how the stored picture must be turned to stand upright.
//!
//! Only IFD0's tag 0x0112 of the TIFF structure is read (TIFF 6.0, section 2; Exif 2.3, 4.6.4). Cameras and editors
//! write values outside 1 to 8; those mean nothing and are left aside, but reported.

use super::sample::RgbImage;

/// The eight ways of EXIF, by number: 1 is upright, 6 a phone held upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Orientation {
    pub const UPRIGHT: Self = Self(1);

    /// # Errors
    /// The value itself where it is none of the eight.
    pub fn new(value: u32) -> Result<Self, u32> {
        u8::try_from(value).ok().filter(|v| (1..=8).contains(v)).map(Self).ok_or(value)
    }

    /// EXIF's number, 1 to 8.
    pub fn number(self) -> u32 {
        self.0.into()
    }

    /// True if width and height change places.
    pub fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// The new place of the point (x, y) of the stored picture of this size; continuous coordinates.
    pub fn turn_point(self, [x, y]: [f64; 2], [w, h]: [f64; 2]) -> [f64; 2] {
        match self.0 {
            2 => [w - x, y],
            3 => [w - x, h - y],
            4 => [x, h - y],
            5 => [y, x],
            6 => [h - y, x],
            7 => [h - y, w - x],
            8 => [y, w - x],
            _ => [x, y],
        }
    }

    /// The corners `[x0, y0, x1, y1]` of a box on the stored picture, turned along; stays ordered.
    pub fn turn_corners(self, [x0, y0, x1, y1]: [f64; 4], size: [f64; 2]) -> [f64; 4] {
        let [a, b] = self.turn_point([x0, y0], size);
        let [c, d] = self.turn_point([x1, y1], size);
        [a.min(c), b.min(d), a.max(c), b.max(d)]
    }

    /// The picture, upright.
    pub fn turn(self, image: RgbImage) -> RgbImage {
        if self == Self::UPRIGHT {
            return image;
        }
        let (w, h) = (image.width, image.height);
        let (width, height) = if self.swaps_sides() { (h, w) } else { (w, h) };
        let mut pixels = vec![0; image.pixels.len()];
        for (y, row) in image.pixels.chunks_exact(3 * w.max(1)).enumerate() {
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                let (tx, ty) = match self.0 {
                    2 => (w - 1 - x, y),
                    3 => (w - 1 - x, h - 1 - y),
                    4 => (x, h - 1 - y),
                    5 => (y, x),
                    6 => (h - 1 - y, x),
                    7 => (h - 1 - y, w - 1 - x),
                    _ => (y, w - 1 - x),
                };
                let at = 3 * (ty * width + tx);
                pixels[at..at + 3].copy_from_slice(pixel);
            }
        }
        RgbImage { width, height, pixels }
    }
}

/// The raw value of the orientation tag in an EXIF block (TIFF header first), if there is one.
pub fn orientation_value(exif: &[u8]) -> Option<u32> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let little = match exif.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes: [u8; 4] = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let ifd = u32_at(4)? as usize;
    let count = usize::from(u16_at(ifd)?);
    for i in 0..count {
        let entry = ifd.checked_add(2 + 12 * i)?;
        if u16_at(entry)? == 0x0112 {
            // SHORT as specified, LONG as some write it.
            return match u16_at(entry + 2)? {
                3 => u16_at(entry + 8).map(u32::from),
                4 => u32_at(entry + 8),
                _ => None,
            };
        }
    }
    None
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An EXIF block with nothing but the orientation, as LONG so that any value fits.
    pub fn exif_block(orientation: u32) -> Vec<u8> {
        let mut exif = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0".to_vec();
        exif.extend(orientation.to_le_bytes());
        exif.extend([0; 4]);
        exif
    }

    #[test]
    fn the_value_is_found_whatever_it_is() {
        for value in [0, 1, 6, 65537] {
            assert_eq!(orientation_value(&exif_block(value)), Some(value));
        }
        let big = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        assert_eq!(orientation_value(big), Some(6));
        assert_eq!((Orientation::new(0), Orientation::new(65537)), (Err(0), Err(65537)));
    }

    #[test]
    fn a_cut_block_has_no_value() {
        let block = exif_block(6);
        for end in 0..block.len() - 4 {
            assert!(matches!(orientation_value(&block[..end]), None | Some(6)));
        }
        assert_eq!(orientation_value(b"II\x2a\0\xff\xff\xff\xff"), None);
    }

    #[test]
    fn boxes_turn_with_the_picture() {
        let (w, h) = (5, 3);
        let mut image = RgbImage { width: w, height: h, pixels: vec![0; 3 * w * h] };
        image.pixels[3 * (w + 3)] = 255;
        for value in 1..=8 {
            let orientation = Orientation::new(value).expect("one of the eight");
            let turned = orientation.turn(image.clone());
            let [x0, y0, x1, y1] = orientation.turn_corners([3.0, 1.0, 4.0, 2.0], [w as f64, h as f64]);
            assert_eq!((x1 - x0, y1 - y0), (1.0, 1.0));
            assert_eq!(turned.pixels[3 * (y0 as usize * turned.width + x0 as usize)], 255, "orientation {value}");
        }
        // Orientation 6: the stored top row is the right column.
        let row = RgbImage { width: 2, height: 1, pixels: vec![1, 1, 1, 2, 2, 2] };
        let turned = Orientation::new(6).expect("one of the eight").turn(row);
        assert_eq!((turned.width, turned.height, turned.pixels), (1, 2, vec![1, 1, 1, 2, 2, 2]));
    }
}

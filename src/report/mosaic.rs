//! Several photos in one picture, each with its boxes and a caption.

use embedded_graphics::geometry::Point;
use embedded_graphics::pixelcolor::Rgb888;
use image::imageops::{self, FilterType};

use super::canvas::{Canvas, blank};
use super::draw::{Marker, draw_markers};
use super::lettering::{Direction, Lettering, Type};
use crate::data::RgbImage;

const GAP: usize = 6;
const GROUND: Rgb888 = Rgb888::new(32, 34, 38);
const CAPTION: Rgb888 = Rgb888::new(210, 214, 220);

/// One photo of a mosaic.
#[derive(Clone, Debug)]
pub struct MosaicTile<'a> {
    pub image: &'a RgbImage,
    pub markers: Vec<Marker>,
    /// One line below the photo; cut where it is too long.
    pub caption: String,
}

/// The tiles row by row in `columns`, each photo's longer side `side` pixels and its shape kept; a row is as high as
/// its highest photo. Boxes are drawn after the photo is resized, so their lines keep their width.
/// No tiles give an empty square.
///
/// # Panics
/// If `columns` or `side` is zero.
pub fn mosaic(tiles: &[MosaicTile], columns: usize, side: usize) -> RgbImage {
    assert!(columns > 0 && side > 0, "a mosaic of {columns} columns of {side} pixels");
    let columns = columns.min(tiles.len().max(1));
    let style = Type::for_picture(side);
    let line = if tiles.iter().any(|t| !t.caption.is_empty()) { style.cell().height as usize + 6 } else { 0 };
    let photos: Vec<Option<RgbImage>> = tiles.iter().map(|tile| fitted(tile.image, side)).collect();
    let row_height = |row: &[Option<RgbImage>]| row.iter().flatten().map(|photo| photo.height).max().unwrap_or(side);
    let heights: Vec<usize> = photos.chunks(columns).map(row_height).collect();
    let height = heights.iter().map(|height| height + line + GAP).sum::<usize>().max(side + GAP);

    let mut picture = blank(GAP + columns * (side + GAP), GAP + height, GROUND);
    let mut canvas = Canvas { image: &mut picture };
    let mut bottom = 0;
    for (i, (tile, photo)) in tiles.iter().zip(photos).enumerate() {
        let (row, column) = (i / columns, i % columns);
        if column == 0 {
            bottom += GAP + heights[row] + if row > 0 { line } else { 0 };
        }
        let left = GAP + column * (side + GAP);
        if let Some(mut photo) = photo {
            draw_markers(&mut photo, &tile.markers);
            canvas.paste(&photo, left + (side - photo.width) / 2, bottom - photo.height);
        }
        let caption = Lettering::within(&tile.caption, style, side as u32);
        caption.write(&mut canvas, Point::new(left as i32, bottom as i32 + 3), CAPTION, Direction::Right);
    }
    picture
}

/// The image with its longer side of `side` pixels; `None` if it has no pixels.
fn fitted(image: &RgbImage, side: usize) -> Option<RgbImage> {
    let long = image.width.max(image.height);
    if image.width == 0 || image.height == 0 {
        return None;
    }
    let scaled = |n: usize| ((n * side) as f64 / long as f64).round().clamp(1.0, side as f64) as u32;
    let (width, height) = (scaled(image.width), scaled(image.height));
    let source: image::ImageBuffer<image::Rgb<u8>, &[u8]> =
        image::ImageBuffer::from_raw(image.width as u32, image.height as u32, image.pixels.as_slice())?;
    let pixels = imageops::resize(&source, width, height, FilterType::Triangle).into_raw();
    Some(RgbImage { width: width as usize, height: height as usize, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_keep_their_shape_and_fill_the_rows() {
        let wide = blank(40, 20, Rgb888::new(255, 0, 0));
        let tile = MosaicTile { image: &wide, markers: vec![], caption: String::new() };
        let picture = mosaic(&[tile.clone(), tile.clone(), tile.clone()], 2, 100);
        assert_eq!((picture.width, picture.height), (GAP + 2 * (100 + GAP), GAP + 2 * (50 + GAP)));
        let red = picture.pixels.chunks_exact(3).filter(|p| *p == [255, 0, 0]).count();
        assert_eq!(red, 3 * 100 * 50);
        let captioned = mosaic(&[MosaicTile { caption: "a.jpg".into(), ..tile }], 4, 100);
        assert_eq!((captioned.width, captioned.height), (2 * GAP + 100, 2 * GAP + 100));
    }

    #[test]
    fn nothing_and_images_without_pixels_are_empty_squares() {
        assert_eq!(mosaic(&[], 3, 50).width, 2 * GAP + 50);
        let none = RgbImage { width: 0, height: 5, pixels: vec![] };
        mosaic(&[MosaicTile { image: &none, markers: vec![], caption: "gone".into() }], 1, 50);
        assert_eq!(fitted(&blank(1000, 1, GROUND), 50).map(|i| (i.width, i.height)), Some((50, 1)));
    }
}

//! Augmentation: from a record to the image a network trains on, with the objects that stay.
//!
//! The order is SSD's: zoom out, crop, distort, resize, mirror. All geometry is drawn first, on boxes alone, so
//! that only the part of the photo that ends up visible is ever touched: it is resized straight into its place.
//! Colours are distorted on whichever side of the resizing has fewer pixels.

mod distortion;
mod options;
mod placement;
mod window;

use rand::Rng;

pub use options::{AugmentOptions, Crop};

use super::draw::Draw;
use super::resize::{Rect, resize, resize_into};
use super::{Object, Record, RgbImage, Sample};
use crate::boxes::InputSize;
use distortion::Distortion;
use placement::Placement;

/// The record as the network sees it in evaluation: stretched to `size`, every object as labelled.
///
/// The sample's `index` is 0: a record does not know its position.
pub fn plain(record: &Record, size: impl Into<InputSize>) -> Sample {
    let InputSize { height, width } = size.into();
    Sample { index: 0, image: resize(&record.image, width, height), objects: record.objects.clone() }
}

/// One random view of the record, stretched to `size`. Every object that stays has area and lies in `[0, 1]`.
///
/// The same generator state gives the same sample. The sample's `index` is 0: a record does not know its position.
pub fn augment(record: &Record, size: impl Into<InputSize>, options: &AugmentOptions, rng: &mut impl Rng) -> Sample {
    let size = size.into();
    let objects: Vec<Object> = record.objects.iter().map(|o| Object { bbox: o.bbox.clipped(), ..*o }).collect();
    let aspect = record.image.width as f64 / record.image.height as f64;
    let window = window::zoom_out(options, rng);
    let window = window::crop(window, aspect, &objects, options, rng);
    let distortion = Distortion::draw(options, rng);
    let (flips_horizontally, flips_vertically) = (rng.coin(options.flip_horizontal), rng.coin(options.flip_vertical));

    let placement = Placement::new(&window, &record.image, size);
    let min_sides = [size.width, size.height].map(|side| options.min_object_px / side as f64);
    let mut sample = Sample {
        index: 0,
        image: show(&record.image, placement, size, options.fill, &distortion),
        objects: objects.iter().filter_map(|o| window::seen_through(&window, o, min_sides)).collect(),
    };
    if flips_horizontally {
        flip_horizontally(&mut sample);
    }
    if flips_vertically {
        flip_vertically(&mut sample);
    }
    sample
}

/// The source part of `image`, distorted, at its target on a canvas of grey.
fn show(image: &RgbImage, placement: Placement, size: InputSize, fill: u8, distortion: &Distortion) -> RgbImage {
    let Placement { source, target } = placement;
    let InputSize { height, width } = size;
    let mut canvas = RgbImage { width, height, pixels: vec![fill; size.numbers()] };
    if source.area() < target.area() {
        let mut part = cut(image, source);
        distortion.apply(&mut part.pixels);
        resize_into(&part, Rect::of(&part), &mut canvas, target);
    } else {
        resize_into(image, source, &mut canvas, target);
        for y in target.y..target.y + target.height {
            distortion.apply(&mut canvas.pixels[(y * width + target.x) * 3..][..target.width * 3]);
        }
    }
    canvas
}

fn cut(image: &RgbImage, part: Rect) -> RgbImage {
    let rows = image.pixels.chunks_exact(image.width * 3).skip(part.y).take(part.height);
    let mut pixels = Vec::with_capacity(part.area() * 3);
    rows.for_each(|row| pixels.extend_from_slice(&row[part.x * 3..][..part.width * 3]));
    RgbImage { width: part.width, height: part.height, pixels }
}

/// Mirrors left and right. Twice is the identity.
pub fn flip_horizontally(sample: &mut Sample) {
    for row in sample.image.pixels.chunks_exact_mut(sample.image.width * 3) {
        // reversing the bytes reverses the pixels and each one's channels; the second step undoes the latter
        row.reverse();
        row.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
    }
    for object in &mut sample.objects {
        (object.bbox.x0, object.bbox.x1) = (1.0 - object.bbox.x1, 1.0 - object.bbox.x0);
    }
}

/// Mirrors top and bottom. Twice is the identity.
pub fn flip_vertically(sample: &mut Sample) {
    let stride = sample.image.width * 3;
    let (top, bottom) = sample.image.pixels.split_at_mut(sample.image.height / 2 * stride);
    for (a, b) in top.chunks_exact_mut(stride).zip(bottom.chunks_exact_mut(stride).rev()) {
        a.swap_with_slice(b);
    }
    for object in &mut sample.objects {
        (object.bbox.y0, object.bbox.y1) = (1.0 - object.bbox.y1, 1.0 - object.bbox.y0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::CornerBox;
    use crate::data::draw::generator;

    /// A grey-blue photo with one pure red rectangle, and the object that says so.
    fn red_on_blue(rng: &mut impl Rng) -> Record {
        let (width, height) = (60 + rng.below(200), 60 + rng.below(200));
        let (w, h) = (12 + rng.below(width / 2), 12 + rng.below(height / 2));
        let (x, y) = (rng.below(width - w), rng.below(height - h));
        let mut image = RgbImage { width, height, pixels: [40, 90, 160].repeat(width * height) };
        for row in y..y + h {
            image.pixels[(row * width + x) * 3..][..w * 3].copy_from_slice(&[255, 0, 0].repeat(w));
        }
        let part = |at: usize, of: usize| at as f64 / of as f64;
        let bbox = CornerBox::new(part(x, width), part(y, height), part(x + w, width), part(y + h, height));
        let object = Object { class: 3, bbox, difficult: false, crowd: false, area: None };
        Record { source: "red.png".into(), source_size: [width as u32, height as u32], image, objects: vec![object] }
    }

    /// Bounds of the pixels that are more than half red.
    fn red_bounds(image: &RgbImage) -> Option<CornerBox> {
        let red = image.pixels.chunks(3).enumerate().filter(|(_, p)| p[0] > 147 && p[1] < 46);
        let at = red.map(|(i, _)| (i % image.width, i / image.width));
        let bounds = at.fold(None, |bounds, (x, y)| {
            let (x0, y0, x1, y1) = bounds.unwrap_or((x, y, x, y));
            Some((x0.min(x), y0.min(y), x1.max(x), y1.max(y)))
        });
        let size = image.width as f64;
        let fraction = |v: usize| v as f64 / size;
        bounds.map(|(x0, y0, x1, y1)| CornerBox::new(fraction(x0), fraction(y0), fraction(x1 + 1), fraction(y1 + 1)))
    }

    #[test]
    fn the_box_follows_the_pixels() {
        let options = AugmentOptions { flip_vertical: 0.5, ..AugmentOptions::default().without_photometric() };
        let mut followed = 0;
        for seed in 0..400 {
            let mut rng = generator(seed, 0, 0);
            let record = red_on_blue(&mut rng);
            let sample = augment(&record, 150, &options, &mut rng);
            let Some(object) = sample.objects.first() else { continue };
            let bounds = red_bounds(&sample.image).expect("an object that stays is visible");
            followed += 1;
            let (b, r) = (object.bbox, bounds);
            // one photo pixel (magnified by a crop) and one input pixel of rounding
            let slack = 1.0 / 150.0 + 1.0 / (0.3 * record.image.width.min(record.image.height) as f64);
            for (got, want) in [(b.x0, r.x0), (b.y0, r.y0), (b.x1, r.x1), (b.y1, r.y1)] {
                assert!((got - want).abs() <= slack, "seed {seed}: box {b:?}, pixels {r:?}");
            }
        }
        assert!(followed > 350, "{followed} of 400");
    }

    #[test]
    fn every_object_that_leaves_has_area_and_lies_inside() {
        for seed in 0..400 {
            let mut rng = generator(seed, 1, 0);
            let mut record = red_on_blue(&mut rng);
            let template = record.objects[0];
            let odd = [
                CornerBox::new(-0.2, 0.1, 0.4, 1.3),
                CornerBox::new(0.5, 0.5, 0.5, 0.9),
                CornerBox::new(0.7, 0.7, 0.6, 0.6),
                CornerBox::new(0.2, 0.2, 0.201, 0.201),
                CornerBox::new(f64::NAN, 0.2, 0.3, 0.4),
            ];
            record.objects.extend(odd.map(|bbox| Object { bbox, ..template }));
            let sample = augment(&record, 96, &AugmentOptions::default(), &mut rng);
            assert_eq!((sample.image.width, sample.image.height), (96, 96));
            assert_eq!(sample.image.pixels.len(), 96 * 96 * 3);
            for Object { bbox: b, .. } in sample.objects {
                assert!(b.width() * 96.0 >= 2.0 - 1e-9 && b.height() * 96.0 >= 2.0 - 1e-9, "seed {seed}: {b:?}");
                assert!(b.x0 >= 0.0 && b.y0 >= 0.0 && b.x1 <= 1.0 && b.y1 <= 1.0, "seed {seed}: {b:?}");
            }
        }
    }

    #[test]
    fn without_any_option_it_is_the_plain_sample() {
        let mut rng = generator(9, 0, 0);
        let record = red_on_blue(&mut rng);
        let (a, b) = (augment(&record, 128, &AugmentOptions::none(), &mut rng), plain(&record, 128));
        assert_eq!(a.image, b.image);
        assert_eq!(a.objects, b.objects);
    }

    #[test]
    fn an_input_need_not_be_square() {
        let mut rng = generator(9, 0, 0);
        let record = red_on_blue(&mut rng);
        let b = record.objects[0].bbox;
        let sample = augment(&record, [60, 120], &AugmentOptions::none(), &mut rng);
        assert_eq!((sample.image.width, sample.image.height, sample.objects[0].bbox), (120, 60, b));
        let at = |x: f64, y: f64| &sample.image.pixels[((y * 60.0) as usize * 120 + (x * 120.0) as usize) * 3..][..3];
        let center = b.center();
        assert_eq!(at(center.cx, center.cy), [255, 0, 0], "stretched as the boxes are");
        // Three pixels high, but one wide, and so too small.
        let options = AugmentOptions { min_object_px: 2.0, ..AugmentOptions::none() };
        let thin = Object { bbox: CornerBox::new(0.5, 0.5, 0.5 + 1.0 / 120.0, 0.55), ..record.objects[0] };
        let record = Record { objects: vec![thin], ..record };
        assert_eq!(augment(&record, [60, 120], &options, &mut rng).objects, []);
    }

    #[test]
    fn flipping_twice_is_the_identity() {
        let mut rng = generator(4, 0, 0);
        for size in [33, 64] {
            let sample = augment(&red_on_blue(&mut rng), size, &AugmentOptions::default(), &mut rng);
            for flip in [flip_horizontally, flip_vertically] {
                let mut twice = sample.clone();
                flip(&mut twice);
                assert!(size != 64 || twice.image != sample.image);
                flip(&mut twice);
                assert_eq!(twice.image, sample.image);
                for (a, b) in twice.objects.iter().zip(&sample.objects) {
                    assert!((a.bbox.x0 - b.bbox.x0).abs() < 1e-15 && (a.bbox.y1 - b.bbox.y1).abs() < 1e-15);
                }
            }
        }
    }

    #[test]
    fn the_same_generator_gives_the_same_sample_and_another_gives_another() {
        let record = red_on_blue(&mut generator(5, 0, 0));
        let view = |position| augment(&record, 64, &AugmentOptions::default(), &mut generator(5, 0, position));
        assert_eq!(view(1).image, view(1).image);
        assert_eq!(view(1).objects, view(1).objects);
        assert_ne!(view(1).image, view(2).image);
    }
}

//! The part of the plane that a sample shows: zoom-out, then the IoU-constrained crop of SSD.
//!
//! A window is a box in fractions of the photo and may reach outside `[0, 1]`; what lies there is grey.

use rand::Rng;

use super::{AugmentOptions, Crop};
use crate::boxes::CornerBox;
use crate::data::Object;
use crate::data::draw::Draw;

/// The photo, and no more.
pub(super) const WHOLE: CornerBox = CornerBox::new(0.0, 0.0, 1.0, 1.0);

/// How often another way to crop is drawn when one found nothing, and how often each tries.
const ROUNDS: usize = 20;
const TRIALS: usize = 50;

/// The photo somewhere on a canvas up to `max_zoom_out` times its size, or just the photo.
pub(super) fn zoom_out(options: &AugmentOptions, rng: &mut impl Rng) -> CornerBox {
    let zooms = rng.coin(options.zoom_out_probability);
    let side = rng.between(1.0, options.max_zoom_out.max(1.0));
    let (x, y) = (rng.between(0.0, side - 1.0), rng.between(0.0, side - 1.0));
    if zooms { CornerBox::new(-x, -y, side - x, side - y) } else { WHOLE }
}

/// A part of `window` that obeys one of the ways to crop, or `window` where whole was drawn or nothing was found.
///
/// `aspect` is the photo's width / height in pixels. Only objects whose centre lies in the crop count for its IoU,
/// because no others stay; crowds do not count.
pub(super) fn crop(
    window: CornerBox,
    aspect: f64,
    objects: &[Object],
    options: &AugmentOptions,
    rng: &mut impl Rng,
) -> CornerBox {
    let boxes: Vec<CornerBox> = objects.iter().filter(|o| !o.crowd).map(|o| o.bbox).collect();
    if boxes.is_empty() || options.crops.is_empty() {
        return window;
    }
    for _ in 0..ROUNDS {
        let min_iou = match options.crops[rng.below(options.crops.len())] {
            Crop::Whole => return window,
            Crop::MinIou(min) => min,
            Crop::Free => 0.0,
        };
        for _ in 0..TRIALS {
            let part = draw_part(window, options.min_crop.clamp(f64::EPSILON, 1.0), rng);
            let part_aspect = part.width() / part.height() * aspect;
            if part_aspect.max(1.0 / part_aspect) > options.max_crop_aspect {
                continue;
            }
            let best = boxes.iter().filter(|b| shows_center(&part, b)).map(|b| part.iou(b)).reduce(f64::max);
            if best.is_some_and(|best| best >= min_iou) {
                return part;
            }
        }
    }
    window
}

fn draw_part(window: CornerBox, min_side: f64, rng: &mut impl Rng) -> CornerBox {
    let w = rng.between(min_side, 1.0) * window.width();
    let h = rng.between(min_side, 1.0) * window.height();
    let (x, y) = (rng.between(window.x0, window.x1 - w), rng.between(window.y0, window.y1 - h));
    CornerBox::new(x, y, x + w, y + h)
}

/// True if an object stays when `window` is shown.
pub(super) fn shows_center(window: &CornerBox, bbox: &CornerBox) -> bool {
    let center = bbox.center();
    window.x0 < center.cx && center.cx < window.x1 && window.y0 < center.cy && center.cy < window.y1
}

/// The part of an object that `window` shows, in fractions of the window; `None` if the object does not stay or less
/// than this width and height are left of it.
pub(super) fn seen_through(window: &CornerBox, object: &Object, [min_width, min_height]: [f64; 2]) -> Option<Object> {
    if !shows_center(window, &object.bbox) {
        return None;
    }
    let (w, h) = (window.width(), window.height());
    let b = &object.bbox;
    let whole =
        CornerBox::new((b.x0 - window.x0) / w, (b.y0 - window.y0) / h, (b.x1 - window.x0) / w, (b.y1 - window.y0) / h);
    let bbox = whole.clipped();
    let seen = bbox.area() / whole.area();
    let keeps = bbox.width() >= min_width && bbox.height() >= min_height && bbox.area() > 0.0;
    // what is left of a mask is not known; the share left of its box is the best guess
    keeps.then(|| Object { bbox, area: object.area.map(|a| a / (w * h) * seen), ..*object })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::draw::generator;

    fn object(bbox: CornerBox) -> Object {
        Object { class: 0, bbox, difficult: false, crowd: false, area: None }
    }

    fn some_objects(rng: &mut impl Rng) -> Vec<Object> {
        (0..1 + rng.below(6))
            .map(|_| {
                let (w, h) = (rng.between(0.02, 0.9), rng.between(0.02, 0.9));
                let (x, y) = (rng.between(0.0, 1.0 - w), rng.between(0.0, 1.0 - h));
                object(CornerBox::new(x, y, x + w, y + h))
            })
            .collect()
    }

    #[test]
    fn the_constraint_holds_for_an_object_that_stays() {
        for min_iou in [0.1, 0.3, 0.5, 0.7, 0.9] {
            let options = AugmentOptions { crops: vec![Crop::MinIou(min_iou)], ..AugmentOptions::default() };
            let mut cropped = 0;
            for seed in 0..400 {
                let mut rng = generator(seed, 0, 0);
                let (objects, aspect) = (some_objects(&mut rng), rng.between(0.5, 2.0));
                let window = zoom_out(&options, &mut rng);
                let part = crop(window, aspect, &objects, &options, &mut rng);
                if part == window {
                    continue;
                }
                cropped += 1;
                let kept = objects.iter().filter(|o| seen_through(&part, o, [0.0; 2]).is_some());
                let best = kept.map(|o| o.bbox.iou(&part)).fold(0.0, f64::max);
                assert!(best >= min_iou, "seed {seed}: {best} < {min_iou}");
            }
            // a crop may be impossible, but where it never happens the option is dead
            assert!(cropped >= if min_iou > 0.8 { 20 } else { 100 }, "IoU {min_iou}: cropped {cropped} of 400");
        }
    }

    #[test]
    fn a_crop_keeps_its_aspect_its_side_and_its_place() {
        let options = AugmentOptions::default();
        for seed in 0..500 {
            let mut rng = generator(seed, 1, 0);
            let (objects, aspect) = (some_objects(&mut rng), rng.between(0.4, 2.5));
            let window = zoom_out(&options, &mut rng);
            assert!(window.x0 <= 0.0 && window.y0 <= 0.0 && window.x1 >= 1.0 && window.y1 >= 1.0, "{window:?}");
            let side = window.width();
            assert!((1.0..=3.0 + 1e-12).contains(&side) && (side - window.height()).abs() < 1e-12);
            let part = crop(window, aspect, &objects, &options, &mut rng);
            if part != window {
                let pixel_aspect = part.width() / part.height() * aspect;
                assert!((0.5 - 1e-9..=2.0 + 1e-9).contains(&pixel_aspect), "{pixel_aspect}");
                assert!(part.width() >= 0.3 * side - 1e-9 && part.height() >= 0.3 * side - 1e-9);
                assert!(part.x0 >= window.x0 && part.x1 <= window.x1 + 1e-9);
                assert!(part.y0 >= window.y0 && part.y1 <= window.y1 + 1e-9);
            }
        }
    }

    #[test]
    fn every_option_is_drawn_and_without_objects_there_is_no_crop() {
        let options = AugmentOptions::default();
        let objects = [object(CornerBox::new(0.3, 0.3, 0.7, 0.7))];
        let whole =
            (0..700).filter(|&s| crop(WHOLE, 1.0, &objects, &options, &mut generator(s, 2, 0)) == WHOLE).count();
        // one option in seven, and the few that find nothing
        assert!((60..220).contains(&whole), "{whole} of 700 whole");
        assert_eq!(crop(WHOLE, 1.0, &[], &options, &mut generator(0, 0, 0)), WHOLE);
        let crowd = [Object { crowd: true, ..objects[0] }];
        assert_eq!(crop(WHOLE, 1.0, &crowd, &options, &mut generator(0, 0, 0)), WHOLE);
    }

    #[test]
    fn an_object_is_clipped_to_the_window_and_its_area_with_it() {
        let whole = Object { area: Some(0.08), ..object(CornerBox::new(0.2, 0.2, 0.6, 0.6)) };
        let seen = seen_through(&CornerBox::new(0.3, 0.0, 0.8, 1.0), &whole, [0.0; 2]).expect("its centre is shown");
        let b = seen.bbox;
        for (got, want) in [(b.x0, 0.0), (b.y0, 0.2), (b.x1, 0.6), (b.y1, 0.6), (seen.area.unwrap(), 0.12)] {
            assert!((got - want).abs() < 1e-12, "{got} for {want}");
        }
        assert_eq!(seen_through(&CornerBox::new(0.5, 0.0, 1.0, 1.0), &whole, [0.0; 2]), None);
        assert_eq!(seen_through(&WHOLE, &object(CornerBox::new(0.5, 0.5, 0.5, 0.9)), [0.0; 2]), None);
        assert_eq!(seen_through(&WHOLE, &object(CornerBox::new(f64::NAN, 0.5, 0.5, 0.9)), [0.0; 2]), None);
    }
}

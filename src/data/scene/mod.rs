//! Generated labelled scenes: a data set with nothing to download, for `fieldtune demo` and for tests.
//!
//! Coloured figures (one class per shape) of all sizes, turned and stretched, partly in front of one another, on
//! patterned grounds with meaningless strokes, uneven light, blur and noise. Shape alone tells the class: colour,
//! pattern, size and place are drawn without regard to it.

mod options;
mod picture;
mod shape;
mod stencil;
mod texture;
mod voc;

use rand::Rng;

pub use options::SceneOptions;
pub use voc::write_voc;

use super::draw::{Draw, generator};
use super::{Object, Record};
use shape::{Figure, SceneShape};
use stencil::Stencil;

/// Sizes and places tried for one figure before the scene is left as it is.
const TRIES: usize = 25;

/// One scene with 1 to `max_objects` objects. Each box is the extent of what can be seen of its figure.
pub fn scene(seed: u64, options: &SceneOptions) -> Record {
    let rng = &mut generator(seed, 0, 0);
    let size = options.size.max(16);
    let shapes = &SceneShape::ALL[options.first_class()..][..options.class_names().len()];
    let mut stencil = Stencil::new(size);
    let (mut figures, mut labels) = (Vec::new(), Vec::new());
    let wanted = 1 + rng.below(options.max_objects);
    while labels.len() < wanted {
        let class = rng.below(shapes.len());
        let mut drawn = (0..TRIES).map(|_| Figure::draw(shapes[class], draw_length(options, size, rng), size, rng));
        match drawn.find(|figure| stencil.lay(figure)) {
            Some(figure) => {
                figures.push(figure);
                labels.push(class);
            }
            // an empty scene has room for any figure, so only later ones are given up
            None if labels.is_empty() => continue,
            None => break,
        }
    }
    let image = picture::paint(size, &stencil, &figures, rng);
    let object = |(class, bbox)| Object { class, bbox, difficult: false, crowd: false, area: None };
    Record {
        source: format!("scene {seed:016x}"),
        source_size: [size as u32; 2],
        image,
        objects: labels.into_iter().zip(stencil.boxes()).map(object).collect(),
    }
}

/// A length in pixels: the longer of two for which each doubling of size is as likely as the next.
/// Longer ones find a place less often, so that all sizes are about as frequent in the end.
fn draw_length(options: &SceneOptions, size: usize, rng: &mut impl Rng) -> f32 {
    let longest = (size as f64 * options.max_object.clamp(0.05, 1.0)).max(4.0);
    let shortest = (options.min_object_px as f64).clamp(2.0, longest);
    let doublings = (0..).take_while(|k| shortest * (1u64 << k) as f64 <= longest * 0.9).count().max(1);
    let low = shortest * (1u64 << rng.below(doublings).max(rng.below(doublings))) as f64;
    rng.between(low, (low * 2.0).min(longest)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_the_same_everywhere_and_every_time() {
        let options = SceneOptions { size: 96, ..SceneOptions::default() };
        let record = scene(options.seed_of(0), &options);
        assert_eq!(record.image, scene(options.seed_of(0), &options).image);
        let sum = crc32fast::hash(&record.image.pixels);
        assert_eq!(sum, 2_442_350_747, "another picture than the one this test was written with");
    }

    #[test]
    fn objects_are_inside_not_tiny_and_of_every_class_and_size() {
        let options = SceneOptions { size: 128, classes: 8, ..SceneOptions::default() };
        let (mut seen, mut counts, mut small, mut large) = ([0; 8], [0; 9], 0, 0);
        for i in 0..150 {
            let record = scene(options.seed_of(i), &options);
            assert_eq!(record.image.pixels.len(), 128 * 128 * 3);
            counts[record.objects.len()] += 1;
            for object in &record.objects {
                let b = object.bbox;
                assert!(b.x0 >= 0.0 && b.y0 >= 0.0 && b.x1 <= 1.0 && b.y1 <= 1.0, "{b:?}");
                let side = b.width().max(b.height()) * 128.0;
                assert!((4.0..=110.0).contains(&side), "{side}");
                small += usize::from(side < 16.0);
                large += usize::from(side > 48.0);
                seen[object.class] += 1;
            }
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|&n| n > 0), "{counts:?}");
        assert!(seen.iter().all(|&n| n > 30), "{seen:?}");
        assert!(small > 50 && large > 50, "{small} small, {large} large");
    }

    #[test]
    fn odd_options_do_not_hang_or_panic() {
        for options in [
            SceneOptions { size: 0, max_objects: 0, classes: 0, ..SceneOptions::default() },
            SceneOptions {
                size: 20,
                min_object_px: 1000,
                max_object: 9.0,
                classes: 99,
                first_class: 50,
                ..SceneOptions::default()
            },
            SceneOptions { size: 40, max_objects: 300, min_object_px: 0, ..SceneOptions::default() },
        ] {
            assert!(!scene(1, &options).objects.is_empty());
        }
    }
}

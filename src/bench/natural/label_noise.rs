//! Labels as tired people draw them: objects left out, boxes beside the objects, wrong names, boxes drawn twice.

use crate::boxes::CornerBox;
use crate::data::{Object, Record};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelNoise {
    /// Objects without a label.
    Unlabelled,
    /// Boxes moved by half of their width and height.
    Shifted,
    /// Objects with another class's name.
    Swapped,
    /// Objects with a second, looser box.
    Doubled,
}

impl LabelNoise {
    /// Spoils this share of the objects.
    pub fn spoil(self, records: &mut [Record], share: f64, classes: usize, seed: u64) {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed ^ 0x0B5E);
        for record in records {
            let mut objects = Vec::with_capacity(record.objects.len());
            for object in std::mem::take(&mut record.objects) {
                if !rng.random_bool(share) {
                    objects.push(object);
                    continue;
                }
                match self {
                    Self::Unlabelled => {}
                    Self::Shifted => objects.push(Object { bbox: shifted(&object.bbox, rng), ..object }),
                    Self::Swapped => {
                        let class = (object.class + rng.random_range(1..classes)) % classes;
                        objects.push(Object { class, ..object });
                    }
                    Self::Doubled => {
                        objects.push(Object { bbox: grown(&object.bbox), ..object });
                        objects.push(object);
                    }
                }
            }
            record.objects = objects;
        }
    }
}

/// Moved by half of its size in both directions, and kept inside of the photo.
fn shifted(bbox: &CornerBox, rng: &mut Pcg64Mcg) -> CornerBox {
    let mut by = |side: f64, low: f64, high: f64| {
        let step = if rng.random_bool(0.5) { 0.5 } else { -0.5 } * side;
        // Towards the other side where the photo ends.
        if low + step < 0.0 || high + step > 1.0 { -step } else { step }
    };
    let (dx, dy) = (by(bbox.width(), bbox.x0, bbox.x1), by(bbox.height(), bbox.y0, bbox.y1));
    let inside = |v: f64| v.clamp(0.0, 1.0);
    CornerBox { x0: inside(bbox.x0 + dx), y0: inside(bbox.y0 + dy), x1: inside(bbox.x1 + dx), y1: inside(bbox.y1 + dy) }
}

/// Larger by a fifth on each side.
fn grown(bbox: &CornerBox) -> CornerBox {
    let (dx, dy) = (0.2 * bbox.width(), 0.2 * bbox.height());
    let inside = |v: f64| v.clamp(0.0, 1.0);
    CornerBox { x0: inside(bbox.x0 - dx), y0: inside(bbox.y0 - dy), x1: inside(bbox.x1 + dx), y1: inside(bbox.y1 + dy) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SceneOptions, scene};

    fn scenes() -> Vec<Record> {
        let options = SceneOptions { size: 64, classes: 3, ..SceneOptions::default() };
        (0..60).map(|i| scene(options.seed_of(i), &options)).collect()
    }

    #[test]
    fn each_noise_spoils_about_its_share_and_nothing_else() {
        let sound = scenes();
        let count = |records: &[Record]| records.iter().map(|r| r.objects.len()).sum::<usize>() as f64;
        let all = count(&sound);
        for noise in [LabelNoise::Unlabelled, LabelNoise::Shifted, LabelNoise::Swapped, LabelNoise::Doubled] {
            let mut spoilt = sound.clone();
            noise.spoil(&mut spoilt, 0.3, 3, 1);
            let same = |f: fn(&Object, &Object) -> bool| {
                let pairs = spoilt.iter().zip(&sound).flat_map(|(a, b)| a.objects.iter().zip(&b.objects));
                pairs.filter(|(a, b)| f(a, b)).count() as f64 / all
            };
            let share = match noise {
                LabelNoise::Unlabelled => 1.0 - count(&spoilt) / all,
                LabelNoise::Doubled => count(&spoilt) / all - 1.0,
                LabelNoise::Shifted => 1.0 - same(|a, b| a.bbox == b.bbox),
                LabelNoise::Swapped => 1.0 - same(|a, b| a.class == b.class),
            };
            assert!((share - 0.3).abs() < 0.1, "{noise:?}: {share}");
            assert!(spoilt.iter().flat_map(|r| &r.objects).all(|o| o.class < 3 && o.bbox.width() > 0.0));
        }
    }
}

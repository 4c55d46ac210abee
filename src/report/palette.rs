//! Colours: one for each class, and the text colour that reads on it.

use embedded_graphics::pixelcolor::{Rgb888, RgbColor};

/// The first classes, where nearly every data set ends: told apart on photos and by most colour-blind eyes.
const FIRST: [[u8; 3]; 8] = [
    [255, 64, 64],
    [0, 190, 255],
    [255, 210, 0],
    [40, 210, 90],
    [255, 110, 220],
    [255, 140, 0],
    [130, 110, 255],
    [0, 225, 200],
];

/// The colour of a class: bright, and far from those of its neighbours in number.
pub fn class_color(class: usize) -> [u8; 3] {
    FIRST.get(class).copied().unwrap_or_else(|| {
        // Steps of the golden ratio never come back near a hue used shortly before.
        let hue = (class as f64 * 0.618_033_988_749_895).fract() * 6.0;
        let least = [0.1, 0.4][class % 2];
        [5.0, 3.0, 1.0].map(|shift| {
            let k = (shift + hue) % 6.0;
            let part = 1.0 - (1.0 - least) * k.min(4.0 - k).clamp(0.0, 1.0);
            (part * 255.0).round() as u8
        })
    })
}

pub(super) fn rgb([r, g, b]: [u8; 3]) -> Rgb888 {
    Rgb888::new(r, g, b)
}

/// Black or white, whichever reads better on `background` (ITU-R BT.601 luma).
pub(super) fn text_on(background: Rgb888) -> Rgb888 {
    let part = |value: u8, weight: u32| u32::from(value) * weight;
    let luma = part(background.r(), 299) + part(background.g(), 587) + part(background.b(), 114);
    if luma > 128_000 { Rgb888::BLACK } else { Rgb888::WHITE }
}

/// `share` of the way from one colour to another.
pub(super) fn blend(from: Rgb888, to: Rgb888, share: f64) -> Rgb888 {
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share.clamp(0.0, 1.0)).round() as u8;
    Rgb888::new(mix(from.r(), to.r()), mix(from.g(), to.g()), mix(from.b(), to.b()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_the_first_hundred_classes_differ() {
        let mut colors: Vec<_> = (0..100).map(class_color).collect();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), 100);
    }

    #[test]
    fn text_is_dark_on_light_and_light_on_dark() {
        assert_eq!(text_on(Rgb888::new(255, 210, 0)), Rgb888::BLACK);
        assert_eq!(text_on(Rgb888::new(20, 20, 90)), Rgb888::WHITE);
    }
}

//! The sizes of a set's boxes on the network's input.

use crate::boxes::InputSize;

use super::super::sample::Object;

/// A shorter side at the network's input is below what its finest feature map resolves, in pixels.
pub const MIN_SIDE_PX: f64 = 8.0;
/// Longer sides of inputs that are offered instead.
const OFFERED: [usize; 5] = [320, 384, 448, 512, 640];

/// Width and height of every box, as fractions of the image.
#[derive(Clone, Debug, Default)]
pub struct Sides(Vec<[f32; 2]>);

impl Sides {
    pub fn add(&mut self, objects: &[Object]) {
        self.0.extend(objects.iter().map(|o| [o.bbox.width() as f32, o.bbox.height() as f32]));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Boxes that are too small on this input.
    pub fn below(&self, input: InputSize) -> usize {
        let shorter = |[w, h]: &[f32; 2]| (f64::from(*w) * input.width as f64).min(f64::from(*h) * input.height as f64);
        self.0.iter().filter(|sides| shorter(sides) < MIN_SIDE_PX).count()
    }

    /// The smallest offered input of this shape that leaves at most a quarter of them, and what it leaves.
    pub fn larger_input(&self, input: InputSize) -> Option<(InputSize, usize)> {
        let now = self.below(input);
        let offered = OFFERED.into_iter().filter(|side| *side > input.longer()).map(|side| {
            let scaled = |n: usize| n * side / input.longer().max(1);
            InputSize::new(scaled(input.height), scaled(input.width))
        });
        let mut left = offered.map(|size| (size, self.below(size)));
        let last = left.clone().next_back();
        left.find(|(_, n)| *n * 4 <= now).or(last).filter(|(_, n)| *n < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_input_is_offered_where_it_helps() {
        let sides = Sides([0.0101, 0.02, 0.02, 0.02, 0.5].map(|s| [s, 0.9]).to_vec());
        let square = InputSize::square;
        assert_eq!((sides.len(), sides.below(square(300))), (5, 4));
        assert_eq!(sides.larger_input(square(300)), Some((square(448), 1)));
        assert_eq!(sides.below(InputSize::new(100, 800)), 0);
        assert_eq!(Sides(vec![[0.5, 0.5]]).larger_input(square(300)), None);
    }
}

//! Centre sampling (assignment by place alone, cf. Tian et al. 2019): every anchor whose centre lies in the inner
//! half of an object answers for it, whatever its own size and shape; where objects overlap, for the smallest.
//!
//! Overlap ([`super::Matcher`]) gives an object a handful of anchors and calls their neighbours in the same cell
//! background, which only a network that knows objects already can tell apart. This gives it every anchor of every
//! cell at its middle, and is what learning from nothing needs. The price: objects much smaller than a cell get no
//! anchor, and several anchors claim each of the others. (Tian et al. 2019 assign so, for another head.)

use super::{Anchors, Assignment, CornerBox};

/// The inner part of an object, as a share of its sides. Nearer to the border it is unclear which object is meant, and
/// boxes are guessed badly.
const INNER: f64 = 0.5;

/// The smallest object that has each anchor's centre in its inner half.
pub fn assign_inside(anchors: &Anchors, objects: &[CornerBox]) -> Assignment {
    let owner = |cx: f64, cy: f64| {
        let around = |b: &CornerBox| {
            let middle = b.center();
            (cx - middle.cx).abs() <= INNER / 2.0 * middle.w && (cy - middle.cy).abs() <= INNER / 2.0 * middle.h
        };
        let found = objects.iter().enumerate().filter(|(_, b)| around(b));
        found.min_by(|x, y| x.1.area().total_cmp(&y.1.area())).map(|(g, _)| g as u32)
    };
    Assignment { objects: anchors.centers().iter().map(|c| owner(c.cx, c.cy)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_object_with_a_centre_in_its_middle_owns_the_anchor() {
        let anchors = Anchors::tf_ssd(&[19, 10, 5, 3, 2, 1].map(|n| [n, n]));
        let objects = [CornerBox::new(0.0, 0.0, 0.5, 0.5), CornerBox::new(0.2, 0.2, 0.3, 0.3)];
        let assignment = assign_inside(&anchors, &objects);
        for (center, owner) in anchors.centers().iter().zip(&assignment.objects) {
            let within = |low: f64, high: f64| [center.cx, center.cy].iter().all(|&v| v >= low && v <= high);
            let expected = if within(0.225, 0.275) { Some(1) } else { within(0.125, 0.375).then_some(0) };
            assert_eq!(*owner, expected, "{center:?}");
        }
    }
}

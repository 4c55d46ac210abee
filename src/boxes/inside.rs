//! Assignment by place alone: every anchor whose centre lies in an object answers for it, whatever its own size and
//! shape; where objects overlap, for the smallest.
//!
//! Overlap ([`super::Matcher`]) gives an object a handful of anchors; this gives it every cell that it covers, so that
//! a network which knows nothing yet hears of objects at thousands of places. For learning features from nothing, not
//! for the detector itself: neighbours all claim the same object. (Tian et al. 2019 assign so, for another head.)

use super::{Anchors, Assignment, CornerBox};

/// The smallest object around each anchor's centre; borders belong to it.
pub fn assign_inside(anchors: &Anchors, objects: &[CornerBox]) -> Assignment {
    let owner = |cx: f64, cy: f64| {
        let around = |b: &CornerBox| b.x0 <= cx && cx <= b.x1 && b.y0 <= cy && cy <= b.y1;
        let found = objects.iter().enumerate().filter(|(_, b)| around(b));
        found.min_by(|x, y| x.1.area().total_cmp(&y.1.area())).map(|(g, _)| g as u32)
    };
    Assignment { objects: anchors.centers().iter().map(|c| owner(c.cx, c.cy)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_object_around_a_centre_owns_the_anchor() {
        let anchors = Anchors::tf_ssd(&[19, 10, 5, 3, 2, 1].map(|n| [n, n]));
        let objects = [CornerBox::new(0.0, 0.0, 0.5, 0.5), CornerBox::new(0.2, 0.2, 0.3, 0.3)];
        let assignment = assign_inside(&anchors, &objects);
        for (center, owner) in anchors.centers().iter().zip(&assignment.objects) {
            let within = |low: f64, high: f64| [center.cx, center.cy].iter().all(|&v| v >= low && v <= high);
            let expected = if within(0.2, 0.3) { Some(1) } else { within(0.0, 0.5).then_some(0) };
            assert_eq!(*owner, expected, "{center:?}");
        }
    }
}

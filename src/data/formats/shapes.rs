//! Bounding boxes of the shapes that labelling tools draw.

/// `[x0, y0, x1, y1]` around points; `None` if there is none, or one that is not finite.
pub fn around(points: &[[f64; 2]]) -> Option<[f64; 4]> {
    let start = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    let grow = |b: [f64; 4], p: &[f64; 2]| [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])];
    let all_finite = points.iter().flatten().all(|n| n.is_finite());
    (!points.is_empty() && all_finite).then(|| points.iter().fold(start, grow))
}

/// The box around a box that is turned about its centre, clockwise on the screen, by so many degrees.
pub fn rotated([x0, y0, x1, y1]: [f64; 4], degrees: f64) -> [f64; 4] {
    if degrees == 0.0 {
        return [x0, y0, x1, y1];
    }
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (cx, cy) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
    let corner = |x: f64, y: f64| [cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos];
    let corners = [corner(x0, y0), corner(x1, y0), corner(x1, y1), corner(x0, y1)];
    around(&corners).unwrap_or([x0, y0, x1, y1])
}

/// The box around a box that is turned about its upper left corner, as Label Studio turns it.
pub fn rotated_about_corner([x0, y0, x1, y1]: [f64; 4], degrees: f64) -> [f64; 4] {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let corner = |x: f64, y: f64| [x0 + x * cos - y * sin, y0 + x * sin + y * cos];
    let (w, h) = (x1 - x0, y1 - y0);
    around(&[corner(0.0, 0.0), corner(w, 0.0), corner(w, h), corner(0.0, h)]).unwrap_or([x0, y0, x1, y1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: [f64; 4], b: [f64; 4]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn turned_boxes_are_enclosed() {
        assert!(close(rotated([0.0, 0.0, 4.0, 2.0], 90.0), [1.0, -1.0, 3.0, 3.0]));
        assert!(close(rotated_about_corner([0.0, 0.0, 4.0, 2.0], 90.0), [-2.0, 0.0, 0.0, 4.0]));
        assert_eq!(around(&[]), None);
        assert_eq!(around(&[[1.0, f64::NAN]]), None);
        assert_eq!(around(&[[1.0, 5.0], [3.0, 2.0]]), Some([1.0, 2.0, 3.0, 5.0]));
    }
}

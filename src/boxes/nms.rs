//! Greedy non-maximum suppression.

use super::CornerBox;

/// Indices of the boxes that stay, highest score first; equal scores stand in index order.
///
/// A box goes when its IoU with a higher one that stayed is **greater** than `iou_threshold`. A box without area
/// overlaps nothing, so it neither suppresses nor is suppressed. Boxes whose score is NaN never stay.
/// Law: applied to its own result, it changes nothing.
///
/// # Panics
/// If there are not as many scores as boxes.
pub fn nms(boxes: &[CornerBox], scores: &[f64], iou_threshold: f64) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "one score per box");
    let mut order: Vec<usize> = (0..boxes.len()).filter(|&i| !scores[i].is_nan()).collect();
    order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]).then(i.cmp(&j)));
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        if kept.iter().all(|&k| boxes[i].iou(&boxes[k]) <= iou_threshold) {
            kept.push(i);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nms_is_idempotent() {
        let boxes: Vec<CornerBox> = (0..40)
            .map(|i| {
                let (x, y) = (f64::from(i * 7 % 40) / 60.0, f64::from(i * 11 % 40) / 60.0);
                CornerBox::new(x, y, x + 0.3, y + 0.2)
            })
            .collect();
        let scores: Vec<f64> = (0..40).map(|i| f64::from(i * 13 % 40) / 40.0).collect();
        let kept = nms(&boxes, &scores, 0.3);
        assert!(kept.len() < boxes.len());
        let (boxes, scores): (Vec<_>, Vec<_>) = kept.iter().map(|&i| (boxes[i], scores[i])).unzip();
        assert_eq!(nms(&boxes, &scores, 0.3), (0..kept.len()).collect::<Vec<_>>());
    }

    #[test]
    fn nan_scores_are_left_out() {
        let b = CornerBox::new(0.0, 0.0, 1.0, 1.0);
        assert_eq!(nms(&[b, b, b], &[f64::NAN, 0.5, 0.6], 0.5), [2]);
    }
}

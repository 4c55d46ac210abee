//! The rows of a confusion matrix: a row a class, or with many classes those with most objects and one for the rest. A
//! matrix of ten thousand classes would take more memory than the run.

use crate::eval::{ImageDetections, ImageTruth};
use std::borrow::Cow;
use std::cmp::Reverse;

/// Rows that can be told apart.
const MOST_SHOWN: usize = 100;

/// Labels and detections with rows in place of classes.
pub struct ConfusionRows<'a> {
    pub truth: Cow<'a, [ImageTruth]>,
    pub detections: Cow<'a, [ImageDetections]>,
    pub names: Vec<String>,
}

/// With more than [`MOST_SHOWN`] classes the last row stands for all that are not shown.
pub fn confusion_rows<'a>(
    truth: &'a [ImageTruth],
    detections: &'a [ImageDetections],
    names: &[String],
) -> ConfusionRows<'a> {
    if names.len() <= MOST_SHOWN {
        return ConfusionRows { truth: truth.into(), detections: detections.into(), names: names.to_vec() };
    }
    let mut counts = vec![0usize; names.len()];
    truth.iter().flat_map(|t| &t.objects).for_each(|o| counts[o.class] += 1);
    let mut shown: Vec<usize> = (0..names.len()).collect();
    shown.sort_by_key(|&c| (Reverse(counts[c]), c));
    shown.truncate(MOST_SHOWN - 1);
    let mut row = vec![shown.len(); names.len()];
    shown.iter().enumerate().for_each(|(i, &c)| row[c] = i);
    let (mut truth, mut detections) = (truth.to_vec(), detections.to_vec());
    truth.iter_mut().flat_map(|t| &mut t.objects).for_each(|o| o.class = row[o.class]);
    detections.iter_mut().flat_map(|d| &mut d.detections).for_each(|d| d.class = row[d.class]);
    let mut rows: Vec<String> = shown.iter().map(|&c| names[c].clone()).collect();
    rows.push(format!("({} others)", names.len() - shown.len()));
    ConfusionRows { truth: truth.into(), detections: detections.into(), names: rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{CocoBox, TruthBox};

    #[test]
    fn many_classes_fold_into_the_rest() {
        let bbox = CocoBox { x: 0.0, y: 0.0, w: 9.0, h: 9.0 };
        let object = |class| TruthBox { class, bbox, area: 81.0, crowd: false, difficult: false };
        let truth = [ImageTruth { objects: vec![object(9000), object(9000), object(7), object(3)] }];
        let found = [ImageDetections { detections: Vec::new() }];
        let names: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
        let rows = confusion_rows(&truth, &found, &names);
        assert_eq!((rows.names.len(), &rows.names[..3]), (MOST_SHOWN, &["9000", "3", "7"].map(String::from)[..]));
        assert_eq!(rows.names[MOST_SHOWN - 1], "(9901 others)");
        let classes: Vec<usize> = rows.truth[0].objects.iter().map(|o| o.class).collect();
        assert_eq!(classes, [0, 0, 2, 1]);
        let few = confusion_rows(&truth[..0], &[], &names[..3]);
        assert_eq!(few.names, ["0", "1", "2"]);
    }
}

//! Labelled objects as the loss takes them: logit columns and boxes.

use crate::boxes::CornerBox;
use crate::data::Object;

/// The logit column (class + 1, column 0 is the background) and the box of each object.
pub fn columns_and_boxes<'a>(objects: impl IntoIterator<Item = &'a Object>) -> (Vec<u32>, Vec<CornerBox>) {
    objects.into_iter().map(|object| (object.class as u32 + 1, object.bbox)).unzip()
}

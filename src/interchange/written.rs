//! A written ONNX file of any form, run by tract on pixel values, one image at a time: an implementation that shares
//! nothing with the writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tract_onnx::prelude::*;

use super::InterchangeError;
use super::export::Form;
use super::outputs::Outputs;
use super::prove::{failed, planned, to_nchw};
use crate::boxes::{CornerBox, InputSize};

/// A loaded file.
pub struct WrittenFile {
    path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    form: Form,
    size: InputSize,
    /// Places of the form's outputs among the file's.
    outputs: Vec<usize>,
}

/// The answer of a file on one image.
#[derive(Clone, Debug, PartialEq)]
pub enum FileAnswer {
    Raw(Outputs),
    /// Scores `[A, K]`, and corners x1, y1, x2, y2 `[A, 4]` in fractions of the image.
    Decoded {
        scores: Vec<f32>,
        corners: Vec<f32>,
    },
    /// The rows that remained after the file's own suppression, highest score first.
    Rows(Vec<FoundRow>),
}

/// A detection of a file with suppression inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundRow {
    /// 0 is the first name: the background is not counted.
    pub class: usize,
    pub score: f32,
    /// In fractions of the image.
    pub bbox: CornerBox,
}

impl WrittenFile {
    /// Loads a file that [`super::export`] wrote in `form` for images of `size`.
    ///
    /// # Errors
    /// If the file is damaged, has other outputs, or tract cannot run it.
    pub fn load(path: &Path, form: Form, size: InputSize) -> Result<Self, InterchangeError> {
        let shape = [1, 3, size.height, size.width];
        let (plan, outputs) = planned(path, form.outputs(), shape)?;
        Ok(Self { path: path.into(), plan, form, size, outputs })
    }

    /// The file's answer on an image of its size, `[H, W, 3]` pixel values, RGB.
    ///
    /// # Errors
    /// If tract fails, or an output is shorter than the form's.
    ///
    /// # Panics
    /// If the image has another size.
    pub fn run(&self, pixels: &[u8]) -> Result<FileAnswer, InterchangeError> {
        assert_eq!(pixels.len(), self.size.numbers(), "an image of the input's size");
        let number = |&p: &u8| if self.form.takes_pixels() { f32::from(p) } else { f32::from(p) / 127.5 - 1.0 };
        let image: Vec<f32> = pixels.iter().map(number).collect();
        let mut planar = vec![0.0; image.len()];
        to_nchw(&image, &mut planar);
        let fail = |e| failed(&self.path, e);
        let tensor = Tensor::from_shape(&[1, 3, self.size.height, self.size.width], &planar).map_err(fail)?;
        let results = self.plan.run(tvec!(tensor.into())).map_err(fail)?;
        let mut values = Vec::with_capacity(self.outputs.len());
        for &place in &self.outputs {
            let view = results[place].to_plain_array_view::<f32>().map_err(fail)?;
            values.push(view.iter().copied().collect::<Vec<f32>>());
        }
        Ok(self.answer(&values))
    }

    /// The outputs in the form's own order.
    fn answer(&self, values: &[Vec<f32>]) -> FileAnswer {
        match (self.form, values) {
            (Form::RawHeads, [deltas, logits]) => {
                FileAnswer::Raw(Outputs { logits: logits.clone(), deltas: deltas.clone() })
            }
            (Form::Jetson, [scores, corners]) => {
                FileAnswer::Decoded { scores: scores.clone(), corners: corners.clone() }
            }
            (Form::Detections, [boxes, scores, classes, count]) => {
                let count = count.first().map_or(0, |&n| n.max(0.0) as usize);
                let rows = boxes.as_chunks().0.iter().zip(scores).zip(classes).take(count);
                FileAnswer::Rows(rows.map(|((&[y1, x1, y2, x2], &s), &c)| row(c - 1.0, s, [x1, y1, x2, y2])).collect())
            }
            (Form::Ssd, [rows]) => {
                let rows = rows.as_chunks::<7>().0.iter().take_while(|[image, ..]| *image >= 0.0);
                FileAnswer::Rows(rows.map(|&[_, c, s, x1, y1, x2, y2]| row(c - 1.0, s, [x1, y1, x2, y2])).collect())
            }
            (Form::Flat, [rows]) => {
                let [h, w] = self.size.dims().map(|side| side as f32);
                let rows = rows.as_chunks::<7>().0.iter().take_while(|[.., class]| *class >= 0.0);
                let one = |&[_, x1, y1, x2, y2, s, c]: &[f32; 7]| row(c, s, [x1 / w, y1 / h, x2 / w, y2 / h]);
                FileAnswer::Rows(rows.map(one).collect())
            }
            (form, _) => panic!("{form:?} has other outputs than {}", values.len()),
        }
    }
}

fn row(class: f32, score: f32, corners: [f32; 4]) -> FoundRow {
    let [x0, y0, x1, y1] = corners.map(f64::from);
    FoundRow { class: class.max(0.0) as usize, score, bbox: CornerBox::new(x0, y0, x1, y1) }
}

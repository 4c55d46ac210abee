//! Running an ONNX file with tract, an implementation that shares nothing with the trainer, and comparing.

use crate::boxes::InputSize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tract_onnx::prelude::*;

use super::InterchangeError;
use super::export::{BOX_ENCODINGS, CLASS_LOGITS};
use super::onnx::file;
use super::outputs::Outputs;

/// Largest absolute difference between two computations of the same network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    pub logits: f32,
    pub deltas: f32,
}

/// A raw-heads file, loaded and planned by tract for one batch size.
pub struct Verifier {
    path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    size: InputSize,
    batch: usize,
    /// Positions of logits and deltas among the file's outputs.
    outputs: [usize; 2],
}

impl Verifier {
    /// Loads a file whose outputs are `class_logits` and `box_encodings`, for `batch` images of `size`.
    ///
    /// # Errors
    /// If the file is damaged, has other outputs, or tract cannot run it.
    pub fn load(path: &Path, size: impl Into<InputSize>, batch: usize) -> Result<Self, InterchangeError> {
        let size = size.into();
        let shape = [batch, 3, size.height, size.width];
        let (plan, places) = planned(path, &[CLASS_LOGITS, BOX_ENCODINGS], shape)?;
        let outputs = [places[0], places[1]];
        Ok(Self { path: path.into(), plan, size, batch, outputs })
    }

    /// Predictions for NHWC images, `n` of them; the last batch is filled up with zeros.
    ///
    /// # Errors
    /// If `images` is not `n·height·width·3` long or tract fails.
    pub fn run(&self, images: &[f32], n: usize) -> Result<Outputs, InterchangeError> {
        let image = self.size.numbers();
        if images.len() != n * image {
            return Err(self.mismatch("images", images.len(), n * image));
        }
        let mut all = Outputs { logits: Vec::new(), deltas: Vec::new() };
        for chunk in images.chunks(self.batch * image) {
            let given = chunk.len() / image;
            let mut planar = vec![0.0; self.batch * image];
            for (from, to) in chunk.chunks_exact(image).zip(planar.chunks_exact_mut(image)) {
                to_nchw(from, to);
            }
            let shape = [self.batch, 3, self.size.height, self.size.width];
            let tensor = Tensor::from_shape(&shape, &planar).map_err(|e| failed(&self.path, e))?;
            let results = self.plan.run(tvec!(tensor.into())).map_err(|e| failed(&self.path, e))?;
            let [logits, deltas] = self.outputs;
            for (all, i) in [(&mut all.logits, logits), (&mut all.deltas, deltas)] {
                let view = results[i].to_plain_array_view::<f32>().map_err(|e| failed(&self.path, e))?;
                all.extend(view.iter().take(view.len() / self.batch * given));
            }
        }
        Ok(all)
    }

    /// Runs the file on NHWC images and compares with `logits` `[N, A, K]` and `deltas` `[N, A, 4]`.
    ///
    /// # Errors
    /// As [`Verifier::run`], or if the lengths differ from the file's outputs.
    pub fn compare(
        &self,
        images: &[f32],
        n: usize,
        logits: &[f32],
        deltas: &[f32],
    ) -> Result<Difference, InterchangeError> {
        let ours = self.run(images, n)?;
        if ours.logits.len() != logits.len() {
            return Err(self.mismatch("logits", logits.len(), ours.logits.len()));
        }
        if ours.deltas.len() != deltas.len() {
            return Err(self.mismatch("deltas", deltas.len(), ours.deltas.len()));
        }
        Ok(Difference {
            logits: largest_difference(&ours.logits, logits),
            deltas: largest_difference(&ours.deltas, deltas),
        })
    }

    fn mismatch(&self, place: &str, found: usize, expected: usize) -> InterchangeError {
        InterchangeError::Verify {
            path: self.path.clone(),
            place: place.into(),
            found: format!("{found} values"),
            expected: expected.to_string(),
        }
    }
}

/// Runs a raw-heads file with tract, one image at a time, and returns how far it is from the given predictions.
///
/// # Errors
/// As [`Verifier::load`] and [`Verifier::compare`].
pub fn verify(
    path: &Path,
    images: &[f32],
    n: usize,
    size: impl Into<InputSize>,
    logits: &[f32],
    deltas: &[f32],
) -> Result<Difference, InterchangeError> {
    Verifier::load(path, size, 1)?.compare(images, n, logits, deltas)
}

/// The file, planned by tract for an input of `shape`, and the places of its outputs of the names `wanted`.
///
/// # Errors
/// If the file is damaged, has other outputs, or tract cannot run it.
pub(super) fn planned(
    path: &Path,
    wanted: &[&str],
    shape: [usize; 4],
) -> Result<(Arc<TypedRunnableModel>, Vec<usize>), InterchangeError> {
    let proto = file::read(path)?;
    let graph = proto.graph.as_ref();
    let names: Vec<&str> = graph.map_or(vec![], |g| g.output.iter().map(|o| o.name.as_str()).collect());
    let produced = |name: &str| graph.is_some_and(|g| g.node.iter().any(|n| n.output.iter().any(|o| o == name)));
    let place = |wanted_name: &&str| {
        // tract takes a declared output for granted; one that no node computes would end the program there.
        let found = names.iter().position(|n| n == wanted_name).filter(|_| names.iter().all(|n| produced(n)));
        let all = if wanted.len() == 2 { "both" } else { "all" };
        found.ok_or_else(|| InterchangeError::Verify {
            path: path.into(),
            place: "outputs".into(),
            found: names.join(", "),
            expected: format!("{}, {all} computed", wanted.join(" and ")),
        })
    };
    let places = wanted.iter().map(place).collect::<Result<_, _>>()?;
    let fact = InferenceFact::dt_shape(f32::datum_type(), shape);
    let folder = path.parent().and_then(Path::to_str);
    let parsed = tract_onnx::onnx()
        // Shapes noted in the file name the batch symbolically; here it is a number.
        .with_ignore_value_info(true)
        .parse(&proto, folder)
        .map_err(|e| failed(path, e))?;
    // Optimising makes more copies of the numbers: the file's are not needed any more.
    drop(proto);
    let plan = parsed.model.with_input_fact(0, fact);
    let plan = plan.and_then(|m| m.into_optimized()?.into_runnable()).map_err(|e| failed(path, e))?;
    Ok((plan, places))
}

pub(super) fn failed(path: &Path, error: TractError) -> InterchangeError {
    InterchangeError::Run { path: path.into(), reason: format!("{error:#}") }
}

/// One NHWC image into NCHW.
pub(super) fn to_nchw(image: &[f32], planar: &mut [f32]) {
    let pixels = image.len() / 3;
    for (i, pixel) in image.chunks_exact(3).enumerate() {
        for (c, &v) in pixel.iter().enumerate() {
            planar[c * pixels + i] = v;
        }
    }
}

/// Largest absolute difference; infinite where a number is NaN or missing on one side: a broken file must not pass.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let differences = a.iter().zip(b).map(|(x, y)| (x - y).abs());
    differences.fold(0.0, |most, d| if d.is_nan() { f32::INFINITY } else { most.max(d) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_a_number_never_passes() {
        assert_eq!(largest_difference(&[1.0, 2.0], &[1.5, 2.0]), 0.5);
        assert_eq!(largest_difference(&[1.0, f32::NAN], &[1.0, f32::NAN]), f32::INFINITY);
        assert_eq!(largest_difference(&[f32::NAN, 1.0], &[0.0, 1.0]), f32::INFINITY);
    }

    #[test]
    fn channels_become_planes() {
        let mut planar = [0.0; 6];
        to_nchw(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut planar);
        assert_eq!(planar, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}

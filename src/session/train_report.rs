//! The proof that the exported file of a finished run computes what was trained.

use super::loaded::LoadedDetector;
use super::rounding::allowed_difference;
use crate::board::release_freed_memory;
use crate::data::{normalise, plain};
use crate::interchange::verify;
use crate::train::{Job, Records};
use anyhow::{Result, bail};

/// Runs the exported file with tract on validation images and compares with our own forward.
///
/// # Errors
/// If the file cannot be run, or computes something else than what was trained.
pub fn verify_export(job: &Job, validation: &Records) -> Result<()> {
    let path = job.best_path();
    let loaded = LoadedDetector::open(&path, None)?;
    let count = 4.min(validation.len());
    let size = job.size;
    let mut images = vec![0.0; count * size.numbers()];
    for (i, image) in images.chunks_exact_mut(size.numbers()).enumerate() {
        normalise(&plain(&validation.get(i)?, size).image, image);
    }
    let predictions = loaded.model.forward(crate::ops::tensor(images.clone(), [count, size.height, size.width, 3]));
    let allowed = allowed_difference(&loaded.model, &images, count, size, &predictions);
    // Tract makes copies of its own; both together are too much for a small board.
    drop(loaded);
    release_freed_memory();
    let difference = crate::ops::read(&predictions.logits, |logits| {
        crate::ops::read(&predictions.deltas, |deltas| verify(&path, &images, count, size, logits, deltas))
    })?;
    if !(difference.logits <= allowed.logits && difference.deltas <= allowed.deltas) {
        bail!(
            "{}: the exported file computes something else than what was trained: the engine tract differs by {:.1e} (logits) \
             and {:.1e} (boxes), expected at most {:.1e} and {:.1e}",
            path.display(),
            difference.logits,
            difference.deltas,
            allowed.logits,
            allowed.deltas
        );
    }
    log::info!(
        "{}: verified; the engine tract computes the same to within {:.1e} (logits) and {:.1e} (boxes) on {count} images",
        path.display(),
        difference.logits,
        difference.deltas
    );
    Ok(())
}

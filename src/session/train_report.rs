//! The proof that the exported file of a finished run computes what was trained.

use super::loaded::LoadedDetector;
use super::rounding::allowed_difference;
use super::screen::Bar;
use crate::board::release_freed_memory;
use crate::data::{normalise, plain};
use crate::interchange::{Difference, InterchangeError, Verifier};
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
    let bar = Bar::begin("verifying", count + 1);
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
    let verifier = Verifier::load(&path, size, 1)?;
    bar.add(1);
    let difference = crate::ops::read(&predictions.logits, |logits| {
        crate::ops::read(&predictions.deltas, |deltas| {
            let mut most = Difference::default();
            for i in 0..count {
                let of_image = |all: &[f32]| all.len() / count * i..all.len() / count * (i + 1);
                let [image, l, d] = [&images[..], logits, deltas].map(|all| &all[of_image(all)]);
                let found = verifier.compare(image, 1, l, d)?;
                most = Difference { logits: most.logits.max(found.logits), deltas: most.deltas.max(found.deltas) };
                bar.add(1);
            }
            Ok::<_, InterchangeError>(most)
        })
    })?;
    drop(bar);
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

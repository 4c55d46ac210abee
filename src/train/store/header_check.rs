//! Checks that a checkpoint's header can be that of a run: its checksum says that it is what was written, not by whom.

use super::header::Header;
use super::saved_tensors::SavedTensors;
use half::bf16;
use safetensors::tensor::Dtype;

/// Input sizes that any network here takes, in pixels.
const SIZES: std::ops::RangeInclusive<usize> = 32..=4096;

/// More of anything counted than a run has: what 64-bit floating point holds exactly.
const MOST_COUNT: u64 = 1 << 53;

/// More training images than a set has.
const MOST_IMAGES: usize = 1 << 30;

impl Header {
    /// # Errors
    /// The value that no run has.
    pub(super) fn check(&self) -> Result<(), String> {
        self.recipe.check().map_err(|e| format!("recipe: {e}"))?;
        if self.size.dims().iter().any(|side| !SIZES.contains(side)) {
            return Err(format!("an input of {} pixels", self.size));
        }
        self.network.check(self.size.dims()).map_err(|e| format!("network: {e}"))?;
        if self.class_names.len() + 1 != self.network.classes {
            return Err(format!("{} class names for {} columns", self.class_names.len(), self.network.classes));
        }
        self.recipe.check_classes(&self.class_names).map_err(|e| format!("recipe: {e}"))?;
        if !(1..=MOST_IMAGES).contains(&self.training.images) {
            return Err(format!("{} training images", self.training.images));
        }
        self.check_progress()?;
        let counts = self.layer_steps.iter().max().copied().unwrap_or(0);
        if counts > MOST_COUNT || self.layer_steps.len() != self.network.convs().len() {
            return Err(format!("step counts of {} layers, up to {counts}", self.layer_steps.len()));
        }
        if let Some(schedule) = &self.schedule {
            let again = schedule.again.map_or([0; 3], |a| [a.from, a.rise, a.to]);
            let peak = schedule.again.map_or(0.0, |a| a.peak);
            let counts = [schedule.warmup, schedule.total].into_iter().chain(again).max().unwrap_or(0);
            if counts > MOST_COUNT || !(0.0..=1.0).contains(&peak) {
                return Err(format!("a schedule of {counts} steps with peak {peak}"));
            }
        }
        let watchdog = self.watchdog.as_ref().map_or(Ok(()), |w| w.check(self.training.images));
        watchdog.map_err(|e| format!("watchdog: {e}"))
    }

    fn check_progress(&self) -> Result<(), String> {
        let p = &self.progress;
        let counts = [p.step, p.epoch, p.sums.steps, p.best.map_or(0, |b| b.epoch)].into_iter().max().unwrap_or(0);
        if counts > MOST_COUNT || p.epoch > self.recipe.epochs || p.position > self.training.images {
            let (epoch, position) = (p.epoch, p.position);
            return Err(format!("progress at step {}, image {position} of epoch {epoch}", p.step));
        }
        if p.history.len() as u64 > self.recipe.epochs {
            return Err(format!("a history of {} epochs", p.history.len()));
        }
        let sums = [p.sums.class, p.sums.boxes, p.sums.grad_norm, p.best.map_or(0.0, |b| b.ap)];
        if sums.iter().any(|v| !v.is_finite()) {
            return Err("sums that are not finite".into());
        }
        Ok(())
    }
}

/// Checks that the tensors are as many and as long as the header's network says, before any room is made for them.
pub(super) fn check_lengths(header: &Header, file: &SavedTensors) -> Result<(), String> {
    for (i, (_, spec)) in header.network.convs().into_iter().enumerate() {
        let expected = [("weight", spec.weight_len()), ("bias", spec.out_channels), ("scale", spec.out_channels)];
        for (name, len) in expected {
            let (name, bytes) = (format!("{name}.{i}"), len as u64 * 4);
            if file.len(&name) != Some(bytes) {
                let found = file.len(&name).map_or("no tensor".into(), |n| format!("{n} bytes"));
                return Err(format!("{found} of {name}, expected {bytes} bytes"));
            }
        }
        let mean = file.len(&format!("mean.{i}"));
        if mean.is_none_or(|bytes| bytes != 0 && bytes != spec.in_channels as u64 * 4) {
            return Err(format!("mean.{i} is not of {} channels", spec.in_channels));
        }
    }
    Ok(())
}

/// True if a tensor's bytes are numbers that a run can go on from. Second moments may have overflowed: they only make a
/// step small.
pub(super) fn are_sound(name: &str, dtype: Dtype, bytes: &[u8]) -> bool {
    let allowed = |value: f32| value.is_finite() || name.starts_with("second.") && !value.is_nan();
    match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().all(|b| allowed(f32::from_le_bytes(*b))),
        Dtype::BF16 => bytes.as_chunks().0.iter().all(|b| allowed(bf16::from_le_bytes(*b).to_f32())),
        _ => false,
    }
}

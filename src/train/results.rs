//! results.csv: one line per epoch, rewritten whole from the history, so a resumed run leaves no line twice.

use super::atomic_file;
use super::error::TrainError;
use super::progress::EpochRecord;
use std::fmt::Write as _;
use std::path::Path;

/// Writes the file.
///
/// # Errors
/// If the disk refuses.
pub fn write_results(path: &Path, history: &[EpochRecord]) -> Result<(), TrainError> {
    let mut text = String::from("epoch,step,class_loss,box_loss,grad_norm,lr,AP,AP50,AP75\n");
    let figure = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.5}"));
    for r in history {
        let (ap, ap50, ap75) = (figure(r.ap), figure(r.ap50), figure(r.ap75));
        let _ = writeln!(
            text,
            "{},{},{:.5},{:.5},{:.4},{:.3e},{ap},{ap50},{ap75}",
            r.epoch, r.step, r.class_loss, r.box_loss, r.grad_norm, r.lr
        );
    }
    atomic_file::replace(path, |temporary| std::fs::write(temporary, text), |_| Ok(()))
}

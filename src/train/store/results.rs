//! results.csv: one line per epoch, rewritten whole, so a resumed run leaves no line twice.
//!
//! The first columns are the history in the checkpoint. Time and speed depend on the clock, which no state may, and losses
//! and APs of the validation follow from the weights: a run that goes on takes these columns from the file.

use super::atomic_file;
use crate::train::error::TrainError;
use crate::train::progress::EpochRecord;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// More classes than these have no columns of their own: the file is to be opened in a spreadsheet.
const MOST_CLASSES: usize = 200;

/// A file of a million epochs is smaller.
const MOST_BYTES: u64 = 64 << 20;

const HISTORY: [&str; 9] = ["epoch", "step", "class_loss", "box_loss", "grad_norm", "lr", "AP", "AP50", "AP75"];
const BESIDES: [&str; 4] = ["time_s", "images_per_s", "val_class_loss", "val_box_loss"];
/// The error of AP, of the history, too; behind the classes, where it stands in nobody's way.
const BOUNDS: [&str; 4] = ["AP_low", "AP_high", "AP50_low", "AP50_high"];

/// An epoch with what is not part of the state. `None` where a figure is undefined or not known any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochRow {
    pub record: EpochRecord,
    /// Seconds that the run has worked until the end of this epoch, pauses between its parts not counted.
    pub seconds: Option<f64>,
    /// Training images per second in this epoch, validation not counted.
    pub images_per_second: Option<f64>,
    /// Class and box loss on the validation images, per matched anchor.
    pub held_out: Option<[f64; 2]>,
    /// AP by class, in the order of the class names; empty with more than 200 classes.
    pub class_ap: Vec<Option<f64>>,
}

/// The file and its lines.
#[derive(Debug)]
pub struct ResultsFile {
    path: PathBuf,
    /// The classes with a column of their own.
    classes: Vec<String>,
    rows: Vec<EpochRow>,
}

impl ResultsFile {
    /// The lines of `history`, completed from the file in `folder` where it has them. A file that cannot be understood
    /// leaves cells empty: it is written for people and decides nothing.
    pub fn open(folder: &Path, class_names: &[String], history: &[EpochRecord]) -> Self {
        let classes = if class_names.len() > MOST_CLASSES { Vec::new() } else { class_names.to_vec() };
        let row = |record: &EpochRecord| EpochRow { record: record.clone(), ..EpochRow::default() };
        let path = folder.join("results.csv");
        let mut results = Self { path, classes, rows: history.iter().map(row).collect() };
        if !history.is_empty()
            && let Err(error) = results.complete()
        {
            log::warn!("{}: {error}; time and losses of its epochs are left out", results.path.display());
        }
        results
    }

    /// Takes from the file what the history does not have.
    fn complete(&mut self) -> io::Result<()> {
        let mut text = String::new();
        std::fs::File::open(&self.path)?.take(MOST_BYTES).read_to_string(&mut text)?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header = reader.headers()?.clone();
        let column = |name: &str| header.iter().position(|h| h == name);
        let besides = BESIDES.map(column);
        let classes: Vec<Option<usize>> = self.classes.iter().map(|name| column(&class_column(name))).collect();
        for line in reader.records() {
            let line = line?;
            let number = |at: Option<usize>| line.get(at?)?.parse::<f64>().ok().filter(|v| v.is_finite());
            let same = |row: &&mut EpochRow| number(Some(0)) == Some(row.record.epoch as f64);
            let Some(row) = self.rows.iter_mut().find(same) else { continue };
            let [seconds, images_per_second, class, boxes] = besides.map(number);
            row.seconds = seconds;
            row.images_per_second = images_per_second;
            row.held_out = class.zip(boxes).map(|(c, b)| [c, b]);
            row.class_ap = classes.iter().map(|at| number(*at)).collect();
        }
        Ok(())
    }

    pub fn rows(&self) -> &[EpochRow] {
        &self.rows
    }

    /// Seconds that the run has worked before this call.
    pub fn seconds(&self) -> f64 {
        self.rows.iter().rev().find_map(|row| row.seconds).unwrap_or(0.0)
    }

    pub fn add(&mut self, mut row: EpochRow) {
        if self.classes.is_empty() {
            row.class_ap.clear();
        }
        self.rows.push(row);
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self) -> Result<(), TrainError> {
        let text = self.text().map_err(TrainError::io(self.path.clone(), "write"))?;
        atomic_file::replace(&self.path, |temporary| std::fs::write(temporary, text), |_| Ok(()))
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = self.classes.iter().map(|name| class_column(name));
        let own = |names: &[&str]| names.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        writer.write_record(own(&HISTORY).into_iter().chain(own(&BESIDES)).chain(names).chain(own(&BOUNDS)))?;
        let figure = |v: Option<f64>, digits: usize| v.map_or(String::new(), |v| format!("{v:.digits$}"));
        for row in &self.rows {
            let r = &row.record;
            let mut cells = vec![
                r.epoch.to_string(),
                r.step.to_string(),
                format!("{:.5}", r.class_loss),
                format!("{:.5}", r.box_loss),
                format!("{:.4}", r.grad_norm),
                format!("{:.3e}", r.lr),
            ];
            cells.extend([r.ap, r.ap50, r.ap75].map(|v| figure(v, 5)));
            cells.extend([figure(row.seconds, 1), figure(row.images_per_second, 2)]);
            cells.extend([0, 1].map(|part| figure(row.held_out.map(|loss| loss[part]), 5)));
            cells.extend((0..self.classes.len()).map(|i| figure(row.class_ap.get(i).copied().flatten(), 5)));
            for bounds in [r.ap_interval, r.ap50_interval] {
                cells.extend([0, 1].map(|i| figure(bounds.map(|b| b[i]), 5)));
            }
            writer.write_record(cells)?;
        }
        writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }
}

/// The epochs of `history` with what the file in `folder` knows besides.
pub fn read_rows(folder: &Path, class_names: &[String], history: &[EpochRecord]) -> Vec<EpochRow> {
    ResultsFile::open(folder, class_names, history).rows
}

/// Class names may be those of other columns.
fn class_column(name: &str) -> String {
    format!("AP[{name}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u64) -> EpochRow {
        let record = EpochRecord { epoch, step: 10 * epoch, ap: Some(0.25), ..EpochRecord::default() };
        EpochRow {
            record,
            seconds: Some(12.5 * epoch as f64),
            images_per_second: Some(3.25),
            held_out: Some([1.5, 0.75]),
            class_ap: vec![Some(0.5), None, Some(0.125)],
        }
    }

    #[test]
    fn a_run_that_goes_on_finds_what_its_checkpoint_does_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a, \"b\"\n<c>".to_string(), "AP".into(), "lr".into()];
        let mut results = ResultsFile::open(folder.path(), &names, &[]);
        (1..=3).for_each(|epoch| results.add(row(epoch)));
        results.write().unwrap();
        // The checkpoint knows two epochs; the third was after it.
        let history = [row(1).record, row(2).record];
        let again = ResultsFile::open(folder.path(), &names, &history);
        assert_eq!(again.rows(), [row(1), row(2)]);
        assert_eq!(again.seconds(), 25.0);
        again.write().unwrap();
        let text = std::fs::read_to_string(folder.path().join("results.csv")).unwrap();
        assert_eq!(csv::Reader::from_reader(text.as_bytes()).records().count(), 2, "{text}");
    }

    #[test]
    fn a_file_of_before_or_of_nonsense_leaves_cells_empty() {
        let folder = tempfile::tempdir().unwrap();
        let plain = EpochRow { record: row(1).record, ..EpochRow::default() };
        for text in ["epoch,step,class_loss\n1,10,2.5\n", "\u{0}\n\"", "epoch,time_s\n1,NaN\n"] {
            std::fs::write(folder.path().join("results.csv"), text).unwrap();
            let results = ResultsFile::open(folder.path(), &[], &[row(1).record]);
            assert_eq!(results.rows(), std::slice::from_ref(&plain), "{text:?}");
        }
    }

    #[test]
    fn a_list_of_thousands_of_classes_makes_no_columns() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..10_000).map(|i| format!("class {i}")).collect();
        let mut results = ResultsFile::open(folder.path(), &names, &[]);
        results.add(EpochRow { class_ap: vec![Some(0.5); names.len()], ..row(1) });
        assert!(results.rows()[0].class_ap.is_empty() && results.text().unwrap().len() < 400);
    }
}

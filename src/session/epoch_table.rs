//! A finished epoch in words, for a log, and as a row of a table, for a terminal.

use crate::train::{EpochRecord, EpochRow};

/// Rows after which the heading stands once more.
const HEADING_EVERY: u64 = 20;

/// The heading of the table's columns.
const HEADING: &str = "  epoch class loss box loss     AP  95 % interval   AP50   AP75    time";

/// The epochs of one run.
#[derive(Debug)]
pub struct EpochTable {
    epochs: u64,
    rows: u64,
}

impl EpochTable {
    /// For a run of so many epochs.
    pub fn new(epochs: u64) -> Self {
        Self { epochs, rows: 0 }
    }

    /// The epoch as a line of its own.
    pub fn sentence(&self, record: &EpochRecord, best: bool) -> String {
        let error = record.ap_interval.map_or(String::new(), |[low, high]| format!(" ({low:.2} to {high:.2})"));
        format!(
            "epoch {}/{}  loss {:.3} (class {:.3}, box {:.3})  AP {}{error}  AP50 {}  AP75 {}{}",
            record.epoch,
            self.epochs,
            record.class_loss + record.box_loss,
            record.class_loss,
            record.box_loss,
            figure(record.ap),
            figure(record.ap50),
            figure(record.ap75),
            if best { "  best so far" } else { "" }
        )
    }

    /// The epoch as the table's next row, with the heading where it is due.
    pub fn row(&mut self, row: &EpochRow, best: bool) -> String {
        let record = &row.record;
        let row = format!(
            "{:>7} {:>10.3} {:>8.3} {:>6} {:>14} {:>6} {:>6} {:>7}{}",
            format!("{}/{}", record.epoch, self.epochs),
            record.class_loss,
            record.box_loss,
            figure(record.ap),
            record.ap_interval.map_or(String::new(), |[low, high]| format!("{low:.2} to {high:.2}")),
            figure(record.ap50),
            figure(record.ap75),
            row.seconds.map_or(String::new(), clock),
            if best { "  best" } else { "" }
        );
        let heading = if self.rows.is_multiple_of(HEADING_EVERY) { format!("{HEADING}\n") } else { String::new() };
        self.rows += 1;
        heading + &row
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.3}"))
}

/// Seconds as `m:ss` or `h:mm:ss`.
fn clock(seconds: f64) -> String {
    let s = seconds as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_below_their_heading_and_fit_80_columns() {
        let record = EpochRecord {
            epoch: 120,
            class_loss: 1.25,
            box_loss: 0.5,
            ap: Some(0.6125),
            ap_interval: Some([0.58, 0.65]),
            ap50: Some(0.9),
            ..EpochRecord::default()
        };
        let row = EpochRow { record, seconds: Some(36_061.0), ..EpochRow::default() };
        let mut table = EpochTable::new(300);
        let first = table.row(&row, true);
        let (heading, line) = first.split_once('\n').expect("a heading");
        assert_eq!(line, "120/300      1.250    0.500  0.613   0.58 to 0.65  0.900      - 10:01:01  best");
        assert!(line.len() <= 80 && heading.len() <= line.len());
        assert_eq!(table.row(&row, false), line.trim_end_matches("  best"));
        assert!(!(2..=20).all(|_| table.row(&row, false).contains('\n')) && clock(61.9) == "1:01");
    }
}

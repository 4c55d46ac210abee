//! The rounds of a simulation as a table and as a picture.

use crate::report::{Panel, draw_panels, write_png};
use anyhow::{Context, Result};
use std::fmt;
use std::path::Path;

/// A round. Bytes, seconds and training loss are means over its nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundRow {
    pub round: u64,
    /// Nodes that took part.
    pub nodes: usize,
    /// Their photos, together.
    pub photos: usize,
    pub train_loss: f64,
    /// Figures of the global network; `None` for a round that was not judged.
    pub ap: Option<f64>,
    pub ap50: Option<f64>,
    pub loss: Option<f64>,
    pub bytes_down: f64,
    pub bytes_up: f64,
    /// On this machine.
    pub seconds: f64,
}

impl RoundRow {
    /// Sums over nodes become means.
    pub(super) fn per_node(mut self) -> Self {
        let nodes = self.nodes.max(1) as f64;
        for sum in [&mut self.train_loss, &mut self.bytes_down, &mut self.bytes_up, &mut self.seconds] {
            *sum /= nodes;
        }
        self
    }
}

impl fmt::Display for RoundRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {}: {} nodes, training loss {:.3}", self.round, self.nodes, self.train_loss)?;
        if let (Some(ap), Some(ap50)) = (self.ap, self.ap50) {
            write!(f, ", AP {ap:.3}, AP50 {ap50:.3}")?;
        }
        let mb = |bytes: f64| bytes / 1e6;
        write!(f, "; each {:.2} MB down, {:.2} MB up, {:.1} s", mb(self.bytes_down), mb(self.bytes_up), self.seconds)
    }
}

/// Writes the rows as CSV with a header; what was not judged is empty.
///
/// # Errors
/// If the disk refuses.
pub fn write_rounds(path: &Path, rows: &[RoundRow]) -> Result<()> {
    let refused = || format!("{}: cannot write", path.display());
    let mut csv = csv::Writer::from_path(path).with_context(refused)?;
    csv.write_record([
        "round",
        "nodes",
        "photos",
        "train_loss",
        "ap",
        "ap50",
        "loss",
        "bytes_down",
        "bytes_up",
        "seconds",
    ])
    .with_context(refused)?;
    let figure = |figure: Option<f64>| figure.map_or(String::new(), |f| format!("{f:.5}"));
    for row in rows {
        csv.write_record([
            row.round.to_string(),
            row.nodes.to_string(),
            row.photos.to_string(),
            format!("{:.5}", row.train_loss),
            figure(row.ap),
            figure(row.ap50),
            figure(row.loss),
            format!("{:.0}", row.bytes_down),
            format!("{:.0}", row.bytes_up),
            format!("{:.3}", row.seconds),
        ])
        .with_context(refused)?;
    }
    csv.flush().with_context(refused)
}

/// Draws AP, loss and bytes over the rounds.
///
/// # Errors
/// If the disk refuses.
pub fn write_curves(path: &Path, rows: &[RoundRow]) -> Result<()> {
    let line = |name: &str, value: &dyn Fn(&RoundRow) -> Option<f64>| {
        let points = rows.iter().filter_map(|row| value(row).map(|v| (row.round as f64, v)));
        (name.to_string(), points.collect::<Vec<_>>())
    };
    let trained = |row: &RoundRow| row.nodes > 0;
    let mut travelled = 0.0;
    let bytes: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|row| {
            travelled += (row.bytes_down + row.bytes_up) / 1e6;
            row.ap.map(|ap| (travelled, ap))
        })
        .collect();
    let panel = |title: &str, x_name, lines| Panel { title: title.into(), x_name, lines, ..Panel::default() };
    let panels = [
        panel("AP on held-back photos", "round", vec![line("AP", &|r| r.ap), line("AP50", &|r| r.ap50)]),
        panel(
            "Loss",
            "round",
            vec![line("training", &|r| trained(r).then_some(r.train_loss)), line("held back", &|r| r.loss)],
        ),
        panel("AP for what a node sends and receives", "MB of a node in all", vec![("AP".to_string(), bytes)]),
    ];
    let picture = draw_panels(&panels, 3);
    write_png(&picture, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_a_picture_of_the_rounds_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let of = |round, ap| RoundRow {
            round,
            nodes: 2,
            ap,
            ap50: ap,
            bytes_up: 2e6,
            train_loss: 4.0,
            ..RoundRow::default()
        };
        let rows = [RoundRow::default(), of(1, None).per_node(), of(2, Some(0.25))];
        let (csv, png) = (folder.path().join("rounds.csv"), folder.path().join("curves.png"));
        write_rounds(&csv, &rows).unwrap();
        let text = std::fs::read_to_string(csv).unwrap();
        assert!(text.contains("\n1,2,0,2.00000,,,,0,1000000,0.000\n"), "{text}");
        assert!(text.contains("\n2,2,0,4.00000,0.25000,0.25000,"), "{text}");
        write_curves(&png, &rows).unwrap();
        assert!(image::open(png).unwrap().width() > 1000);
        assert!(of(2, Some(0.25)).to_string().contains("AP 0.250"));
    }
}

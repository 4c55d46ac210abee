//! The report's content as pictures in the run folder, for whoever has no browser at hand.

use super::confusion_rows::confusion_rows;
use super::judged::{IOU, USUAL_SCORE};
use crate::boxes::CornerBox;
use crate::data::RgbImage;
use crate::eval::{CocoBox, ImageDetections, ImageTruth, ScorePoint, compare, confusion, score_curves};
use crate::report::page::{ReportEpoch, RunCurves, StepFigures};
use crate::report::{
    Marker, MosaicTile, Panel, PrCurve, draw_confusion_matrix, draw_panels, draw_pr_curves, mosaic, write_png,
};
use crate::session::screen::Bar;
use crate::train::{Evaluation, Job, Records};
use anyhow::Result;
use std::collections::HashSet;
use std::path::Path;

/// Photos in the picture of predictions, each twice, and their side in pixels.
const PHOTOS: usize = 12;
const COLUMNS: usize = 4;
const SIDE: usize = 320;

/// Classes with a line in the picture of F1.
const CLASSES: usize = 12;

/// Hit, miss, false alarm: the colours of the report.
const HIT: [u8; 3] = [83, 180, 255];
const MISS: [u8; 3] = [255, 176, 0];
const ALARM: [u8; 3] = [255, 95, 168];

/// Writes `pr_curve.png`, `f1_curve.png`, `confusion_matrix.png` and `val_pred.png`.
///
/// # Errors
/// If a picture cannot be written, or a record not be read.
pub fn write(job: &Job, best: &Evaluation, validation: &Records) -> Result<()> {
    let bar = Bar::begin("drawing", 4);
    let classes = best.metrics.classes.iter().enumerate();
    let curves: Vec<PrCurve> =
        classes.map(|(i, c)| PrCurve { name: c.name.clone(), points: best.metrics.pr_curve(i), ap: c.ap50 }).collect();
    write_png(&draw_pr_curves("Precision and recall at IoU 0.5", &curves), &job.folder.join("pr_curve.png"))?;
    bar.add(1);
    let overall = best.thresholds().overall.map(|t| t.score);
    write_png(&f1_curves(job, best, overall), &job.folder.join("f1_curve.png"))?;
    bar.add(1);
    let score = overall.unwrap_or(USUAL_SCORE);
    write_png(&confusion_matrix(job, best, score), &job.folder.join("confusion_matrix.png"))?;
    bar.add(1);
    write_png(&predictions(job, best, validation, score)?, &job.folder.join("val_pred.png"))?;
    Ok(())
}

/// Writes `results.png`.
///
/// # Errors
/// If it cannot be written.
pub fn write_results(curves: &RunCurves, folder: &Path) -> Result<()> {
    let steps = |value: &dyn Fn(&StepFigures) -> f64| -> Vec<(f64, f64)> {
        curves.steps.iter().map(|s| (s.step as f64, value(s))).collect()
    };
    let epochs = |value: &dyn Fn(&ReportEpoch) -> Option<f64>, by_step: bool| -> Vec<(f64, f64)> {
        let x = |e: &ReportEpoch| if by_step { e.step } else { e.epoch } as f64;
        curves.epochs.iter().filter_map(|e| Some((x(e), value(e)?))).collect()
    };
    let marks: Vec<f64> = curves.marks.iter().map(|m| m.step as f64).collect();
    let over_steps = |title: &str, lines: Vec<(String, Vec<(f64, f64)>)>| Panel {
        title: title.into(),
        x_name: "step",
        lines,
        marks: marks.clone(),
        ..Panel::default()
    };
    let over_epochs = |title: &str, lines: Vec<(String, Vec<(f64, f64)>)>, y_range: Option<[f64; 2]>| Panel {
        title: title.into(),
        x_name: "epoch",
        lines,
        y_range,
        ..Panel::default()
    };
    let held_out = |part: usize| epochs(&|e| Some(e.held_out?[part]), true);
    let panels = [
        over_epochs(
            "AP on the validation images",
            vec![
                ("AP".into(), epochs(&|e| e.ap, false)),
                ("AP50".into(), epochs(&|e| e.ap50, false)),
                ("AP75".into(), epochs(&|e| e.ap75, false)),
            ],
            Some([0.0, 1.0]),
        ),
        over_steps(
            "class loss",
            vec![("training".into(), steps(&|s| s.class_loss)), ("validation".into(), held_out(0))],
        ),
        over_steps("box loss", vec![("training".into(), steps(&|s| s.box_loss)), ("validation".into(), held_out(1))]),
        over_steps("learning rate", vec![("base rate".into(), steps(&|s| s.lr))]),
        over_epochs("images per second", vec![("training".into(), epochs(&|e| e.images_per_second, false))], None),
    ];
    write_png(&draw_panels(&panels, 3), &folder.join("results.png"))?;
    Ok(())
}

/// F1 over the score, of all classes together and of the first ones.
fn f1_curves(job: &Job, best: &Evaluation, threshold: Option<f64>) -> RgbImage {
    let classes: Vec<usize> = (0..job.class_names.len().min(CLASSES)).collect();
    let curves = score_curves(&best.truth, &best.detections, &classes);
    let line = |points: &[ScorePoint], value: &dyn Fn(&ScorePoint) -> Option<f64>| -> Vec<(f64, f64)> {
        points.iter().filter_map(|p| Some((p.score, value(p)?))).collect()
    };
    let names = std::iter::once("all classes".to_string()).chain(classes.iter().map(|c| job.class_names[*c].clone()));
    let panel = |title: String, lines: Vec<(String, Vec<(f64, f64)>)>| Panel {
        title,
        x_name: "score",
        lines,
        marks: threshold.into_iter().collect(),
        x_range: Some([0.0, 1.0]),
        y_range: Some([0.0, 1.0]),
    };
    let best_at = threshold.map_or(String::new(), |t| format!(", best at {t:.2}"));
    let all = vec![
        ("precision".to_string(), line(&curves[0], &|p| p.precision)),
        ("recall".into(), line(&curves[0], &|p| p.recall)),
        ("F1".into(), line(&curves[0], &ScorePoint::f1)),
    ];
    let by_class = names.zip(&curves).map(|(name, points)| (name, line(points, &ScorePoint::f1))).collect();
    draw_panels(&[panel(format!("F1 over the score{best_at}"), by_class), panel("all classes".into(), all)], 2)
}

fn confusion_matrix(job: &Job, best: &Evaluation, score: f64) -> RgbImage {
    let rows = confusion_rows(&best.truth, &best.detections, &job.class_names);
    let table = confusion(&rows.truth, &rows.detections, rows.names.len(), IOU, score);
    let of = if rows.names.len() < job.class_names.len() {
        format!(", of {} classes", job.class_names.len())
    } else {
        String::new()
    };
    draw_confusion_matrix(&format!("Confusion at IoU {IOU}, score {score:.2}{of}"), &rows.names, &table.counts)
}

/// Photos spread over the validation split: labels on the left, detections on the right.
fn predictions(job: &Job, best: &Evaluation, validation: &Records, score: f64) -> Result<RgbImage> {
    let count = PHOTOS.min(validation.len());
    let mut shown = Vec::new();
    for i in 0..count {
        let at = i * validation.len() / count;
        let record = validation.get(at)?;
        let (Some(truth), Some(found)) = (best.truth.get(at), best.detections.get(at)) else { continue };
        shown.push((record.image, markers(truth, found, score, &job.class_names, record.source_size), record.source));
    }
    let tiles: Vec<MosaicTile> = shown
        .iter()
        .flat_map(|(image, [labels, detections], source)| {
            let tile = |markers: &Vec<Marker>, caption: String| MosaicTile { image, markers: markers.clone(), caption };
            [tile(labels, format!("labels: {source}")), tile(detections, format!("detections above {score:.2}"))]
        })
        .collect();
    Ok(mosaic(&tiles, COLUMNS, SIDE))
}

/// Labels by hit and miss, detections by hit and false alarm.
fn markers(
    truth: &ImageTruth,
    found: &ImageDetections,
    score: f64,
    names: &[String],
    [width, height]: [u32; 2],
) -> [Vec<Marker>; 2] {
    let compared = compare(truth, found, score);
    let hits: HashSet<usize> = compared.iter().filter_map(|c| c.object).collect();
    let name = |class: usize| names.get(class).map_or("", String::as_str);
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let fractions = |b: &CocoBox| CornerBox::new(b.x / w, b.y / h, (b.x + b.w) / w, (b.y + b.h) / h);
    let objects = truth.objects.iter().enumerate().filter(|(_, o)| !o.crowd);
    let labels = objects.map(|(i, o)| Marker {
        color: if hits.contains(&i) { HIT } else { MISS },
        ..Marker::object(fractions(&o.bbox), o.class, name(o.class))
    });
    let detections = compared.iter().map(|c| Marker {
        color: if c.object.is_some() { HIT } else { ALARM },
        ..Marker::detection(fractions(&found.detections[c.detection].bbox), c.class, name(c.class), c.score)
    });
    [labels.collect(), detections.collect()]
}

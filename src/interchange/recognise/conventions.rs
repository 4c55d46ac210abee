//! The meaning of the heads' numbers: how logits become scores, what the anchors are, in which order and units boxes
//! are coded.
//!
//! A file written by Fieldtune says so. In others the operators and constants behind the predictors say it; what they
//! leave open is assumed from the padding, which tells TensorFlow from PyTorch, and every assumption is told.

use super::anchor_table::{AnchorMaps, factor, known};
use super::layers::{DetectionLayer, LayerId, Layers, Order};
use super::reach::Reach;
use crate::boxes::{AnchorRule, BoxCoder, CenterBox, ScoreFunction};
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::node::Op;
use crate::interchange::metadata::Metadata;
use crate::model::{Convention, Ssd};

/// The meaning of a file's heads.
#[derive(Debug)]
pub struct Reading {
    pub convention: Convention,
    pub coding: Coding,
    /// True if column 0 of the class predictors is the background. TFLite's operator can do without one.
    pub has_background: bool,
    /// The assumptions about what the file does not say, each a few words.
    pub assumed: Vec<String>,
}

/// How a file codes boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coding {
    pub order: Order,
    /// The box coder's weights, in the file's order of columns.
    pub weights: [f64; 4],
}

/// The origin of a network, by the padding of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descent {
    TensorFlow,
    PyTorch,
}

/// # Errors
/// If the file's anchors follow no rule.
pub fn read(
    layers: &Layers,
    found: &Ssd<LayerId>,
    metadata: &Metadata,
    maps: &AnchorMaps,
    descent: Descent,
) -> Result<Reading, String> {
    let mut assumed = Vec::new();
    let classes: Vec<Reach> = found.heads.iter().map(|head| Reach::of(layers, head.class_predictor)).collect();
    let boxes: Vec<Reach> = found.heads.iter().map(|head| Reach::of(layers, head.box_predictor)).collect();
    let detections = boxes.iter().find_map(Reach::detections);
    let scores = scores(&classes, metadata).unwrap_or_else(|| {
        let scores = match descent {
            Descent::TensorFlow => ScoreFunction::Sigmoid,
            Descent::PyTorch => ScoreFunction::Softmax,
        };
        assumed.push(format!("{scores} scores"));
        scores
    });
    let table = match (&metadata.anchors, detections) {
        (Some(rule), _) => Some((rule.clone(), None)),
        (None, Some(detections)) => stated(detections, maps)?,
        (None, None) => None,
    };
    let (anchors, order) = match table.or_else(|| evidence(&boxes, maps)) {
        Some((rule, order)) => (rule, order),
        None => {
            let six = maps.per_cell.first() == Some(&6);
            let rule = match descent {
                Descent::PyTorch if six => AnchorRule::PytorchSsd,
                _ => AnchorRule::Tf { reduced_lowest: !six },
            };
            assumed.push(format!("anchors by the rule {rule}"));
            (rule, None)
        }
    };
    let weights = detections.map(|d| d.weights.map(f64::from));
    let own = metadata.variances.map(|v| v.map(f64::recip)).filter(|w| w.iter().all(|w| w.is_finite() && *w > 0.0));
    let order = detections.map(|d| d.order).or(order).unwrap_or_else(|| {
        // Fieldtune's own files have one order, whatever the anchors.
        if metadata.producer.is_some() {
            return Order::Yx;
        }
        let (order, coded) = match anchors {
            AnchorRule::PytorchSsd => (Order::Xy, "boxes coded tx, ty, tw, th"),
            _ => (Order::Yx, "boxes coded ty, tx, th, tw"),
        };
        assumed.push(coded.into());
        order
    });
    let coding = Coding { order, weights: weights.or(own).unwrap_or(BoxCoder::default().weights) };
    let has_background = detections.and_then(|d| d.classes) != Some(found.classes);
    if !has_background && scores == ScoreFunction::Softmax {
        return Err("its scores are a softmax without a background".into());
    }
    Ok(Reading { convention: Convention { scores, anchors }, coding, has_background, assumed })
}

fn scores(classes: &[Reach], metadata: &Metadata) -> Option<ScoreFunction> {
    let has = |op: Op| classes.iter().any(|reach| reach.has(&op));
    match (has(Op::Sigmoid), has(Op::Softmax)) {
        _ if metadata.scores.is_some() => metadata.scores,
        (true, false) => Some(ScoreFunction::Sigmoid),
        (false, true) => Some(ScoreFunction::Softmax),
        _ => None,
    }
}

type FoundConvention = (AnchorRule, Option<Order>);

/// The rule behind the table of an operator for detections.
fn stated(detections: &DetectionLayer, maps: &AnchorMaps) -> Result<Option<FoundConvention>, String> {
    let Some(table) = &detections.anchors else {
        let named = detections.rule.as_deref().and_then(|rule| rule.parse().ok());
        return Ok(named.map(|rule| (rule, Some(detections.order))));
    };
    let rows = table.data.as_chunks::<4>().0.iter().map(|row| row.map(f64::from));
    let anchors: Vec<CenterBox> = rows
        .map(|[a, b, c, d]| match detections.order {
            Order::Yx => CenterBox { cy: a, cx: b, h: c, w: d },
            Order::Xy => CenterBox { cx: a, cy: b, w: c, h: d },
        })
        .collect();
    let rule = maps.rule_of(&anchors).ok_or_else(|| {
        format!("its {} anchors are not the same shapes on every cell of its {} maps", anchors.len(), maps.cells.len())
    })?;
    Ok(Some((rule, Some(detections.order))))
}

/// The rule whose centres and sides are among the constants that boxes are decoded with.
fn evidence(boxes: &[Reach], maps: &AnchorMaps) -> Option<FoundConvention> {
    let count = maps.count();
    let mut tables: Vec<&ConstantArray> = Vec::new();
    for array in boxes.first()?.constants() {
        let columns = array.data.len() / count.max(1);
        if array.data.len() == count * columns && matches!(columns, 1 | 2 | 4) && !tables.iter().any(|t| *t == &**array)
        {
            tables.push(array);
        }
    }
    known().into_iter().find_map(|rule| {
        let anchors = maps.anchors(&rule)?;
        let centers = anchors.centers();
        let mut order = None;
        let (mut wide, mut high) = (false, false);
        let (mut cx, mut cy) = (false, false);
        for table in &tables {
            let all = columns(table, count);
            let is = |column: &Vec<f32>, of: fn(&CenterBox) -> f64| factor(column, centers.iter().map(of));
            let place =
                |of: fn(&CenterBox) -> f64| all.iter().position(|c| is(c, of).is_some_and(|f| (f - 1.0).abs() < 1e-3));
            let (x, y) = (place(|a| a.cx), place(|a| a.cy));
            (cx, cy) = (cx || x.is_some(), cy || y.is_some());
            wide |= all.iter().any(|c| is(c, |a| a.w).is_some());
            high |= all.iter().any(|c| is(c, |a| a.h).is_some());
            if let (Some(x), Some(y)) = (x, y) {
                order = Some(if x < y { Order::Xy } else { Order::Yx });
            }
        }
        (cx && cy && wide && high).then_some((rule, order))
    })
}

/// The columns of a constant of one, two or four numbers for each anchor, whichever way it is laid out.
fn columns(array: &ConstantArray, count: usize) -> Vec<Vec<f32>> {
    let n = array.data.len() / count.max(1);
    let by_row = array.dims.last() == Some(&n);
    let at = |column: usize, row: usize| if by_row { row * n + column } else { column * count + row };
    (0..n).map(|column| (0..count).map(|row| array.data[at(column, row)]).collect()).collect()
}

impl Coding {
    /// For each of ty, tx, th, tw in our units (weights 10, 10, 5, 5): the file's column that it is, and by what that
    /// is multiplied.
    pub fn columns(&self) -> [(usize, f64); 4] {
        let from = match self.order {
            Order::Yx => [0, 1, 2, 3],
            Order::Xy => [1, 0, 3, 2],
        };
        let ours = BoxCoder::default().weights;
        std::array::from_fn(|i| (from[i], ours[i] / self.weights[from[i]]))
    }
}

//! Finding the two predictors on a feature map and telling them apart.
//!
//! A predictor is a linear 1x1 that feeds no convolution. Box and class predictors are told apart by
//! arithmetic (4·a and K·a channels with the same a), by which Concat joins them across maps, and where that leaves
//! two answers (4 classes, say) by what becomes of them: an operator for detections, the last dimension of their
//! Reshape, Softmax, Exp, names.

use super::layers::{Conv, LayerId, Layers};
use super::reach::Reach;
use crate::interchange::graph::node::Op;
use crate::model::Head;

/// A predictor with the depthwise convolution before it, if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Branch {
    pub depthwise: Option<LayerId>,
    pub predictor: LayerId,
}

/// The predictors that read `map`.
pub fn branches(layers: &Layers, map: LayerId) -> Vec<Branch> {
    let predictors =
        |from: LayerId| layers.convs(from, |c| c.is_pointwise() && c.is_linear()).filter(|&p| !layers.feeds_network(p));
    let mut all: Vec<Branch> = predictors(map).map(|predictor| Branch { depthwise: None, predictor }).collect();
    for depthwise in layers.convs(map, |c| c.is_depthwise() && c.is_relu6() && c.strides == [1, 1]) {
        all.extend(predictors(depthwise).map(|predictor| Branch { depthwise: Some(depthwise), predictor }));
    }
    all
}

/// Boxes first in each pair, one orientation per pair: `true` where the pair is the other way round.
type Turns = Vec<bool>;

/// The heads of all maps and the columns of their class predictors.
///
/// # Errors
/// Why no number of classes fits, or more than one does.
pub fn tell_apart(layers: &Layers, pairs: &[[Branch; 2]]) -> Result<(Vec<Head<LayerId>>, usize), String> {
    let reached: Vec<[Reach; 2]> = pairs.iter().map(|p| p.map(|b| Reach::of(layers, b.predictor))).collect();
    let mut solutions: Vec<(Turns, usize)> = Vec::new();
    for first in [false, true] {
        solutions.extend(solve(layers, pairs, &reached, first));
    }
    let (turns, classes) = match solutions.len() {
        0 => {
            let channels: Vec<_> = pairs.iter().map(|p| p.map(|b| channels(layers, b.predictor))).collect();
            return Err(format!("no number of classes fits its predictors' channels {channels:?}"));
        }
        1 => solutions.remove(0),
        _ => {
            let evidence = |turns: &Turns| -> i32 {
                let signs: i32 = turns
                    .iter()
                    .zip(&reached)
                    .map(|(&t, [a, b])| if t { evidence(b, a) } else { evidence(a, b) })
                    .sum();
                let anchors = pairs.iter().zip(turns).map(|(p, &t)| channels(layers, p[usize::from(t)].predictor) / 4);
                // TensorFlow's detectors have at most six anchors per cell: the weakest sign, for want of any other.
                8 * signs - i32::from(anchors.max() > Some(6))
            };
            solutions.sort_by_key(|(turns, _)| -evidence(turns));
            if evidence(&solutions[0].0) == evidence(&solutions[1].0) {
                return Err("its box and class predictors cannot be told apart".into());
            }
            solutions.remove(0)
        }
    };
    let heads = pairs.iter().zip(turns).map(|(&[a, b], turned)| {
        let (boxes, class) = if turned { (b, a) } else { (a, b) };
        Head {
            box_depthwise: boxes.depthwise,
            box_predictor: boxes.predictor,
            class_depthwise: class.depthwise,
            class_predictor: class.predictor,
            anchors_per_cell: channels(layers, boxes.predictor) / 4,
        }
    });
    Ok((heads.collect(), classes))
}

fn channels(layers: &Layers, predictor: LayerId) -> usize {
    layers.conv(predictor).map_or(0, Conv::out_channels)
}

/// The orientation of every pair that goes with the first pair's, and the number of classes, if there is one.
fn solve(layers: &Layers, pairs: &[[Branch; 2]], reached: &[[Reach; 2]], first: bool) -> Option<(Turns, usize)> {
    let classes_if = |i: usize, turned: bool| {
        let [a, b] = pairs[i].map(|b| channels(layers, b.predictor));
        let (boxes, class) = if turned { (b, a) } else { (a, b) };
        let anchors = (boxes % 4 == 0 && boxes > 0).then_some(boxes / 4)?;
        (class % anchors == 0 && class / anchors >= 2).then_some(class / anchors)
    };
    let classes = classes_if(0, first)?;
    let boxes_of_first = &reached[0][usize::from(first)];
    let class_of_first = &reached[0][usize::from(!first)];
    let mut turns = vec![first];
    for (i, [a, b]) in reached.iter().enumerate().skip(1) {
        let fits = [false, true].map(|turned| classes_if(i, turned) == Some(classes));
        turns.push(match fits {
            [false, false] => return None,
            [true, false] => false,
            [false, true] => true,
            [true, true] => {
                let joined = boxes_of_first.joins(a, b, class_of_first) - boxes_of_first.joins(b, a, class_of_first);
                joined < 0
            }
        });
    }
    Some((turns, classes))
}

/// Signs that `boxes` is the box branch and `class` the class branch, minus signs of the contrary.
fn evidence(boxes: &Reach, class: &Reach) -> i32 {
    let scored = |reach: &Reach| reach.has(&Op::Softmax) || reach.has(&Op::Sigmoid);
    let signs = |boxes: &Reach, class: &Reach| {
        let stated =
            boxes.detections().is_some_and(|d| boxes.seen.contains(&d.boxes) && class.seen.contains(&d.scores));
        let columns = boxes.columns() == Some(4) && class.columns() != Some(4);
        let tails = (scored(class) && !scored(boxes)) || (boxes.has(&Op::Exp) && !class.has(&Op::Exp));
        let (box_words, class_words) = (["box", "loc", "encod", "delta"], ["class", "score", "logit", "conf"]);
        let names = boxes.is_named(&box_words) && !class.is_named(&box_words)
            || class.is_named(&class_words) && !boxes.is_named(&class_words);
        8 * i32::from(stated) + 4 * i32::from(columns) + 2 * i32::from(tails) + i32::from(names)
    };
    signs(boxes, class) - signs(class, boxes)
}

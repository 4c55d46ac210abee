//! Finding the extras and the heads: feature maps beyond the backbone and the two predictors on each map.
//!
//! A predictor is a linear 1x1 that feeds no convolution. Box and class predictors are told apart by
//! arithmetic (4·a and K·a channels with the same a), by which Concat joins them across maps, and where that leaves
//! two answers (4 classes, say) by what becomes of them: the last dimension of their Reshape, Softmax, Exp, names.

use std::collections::BTreeSet;

use super::backbone::Backbone;
use super::layers::{Conv, Kind, LayerId, Layers};
use super::node::Op;
use crate::model::{Extra, Head};

/// Everything beyond the backbone.
pub(super) struct Detector {
    /// Index of the block whose expansion is feature map 0.
    pub tap: usize,
    pub extras: Vec<Extra<LayerId>>,
    pub heads: Vec<Head<LayerId>>,
    pub classes: usize,
}

/// A predictor with the depthwise convolution before it, if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Branch {
    depthwise: Option<LayerId>,
    predictor: LayerId,
}

/// The extras and heads after `backbone`, or why there are none that Fieldtune can use.
pub(super) fn find(layers: &Layers, backbone: &Backbone) -> Result<Detector, String> {
    let taps = (0..backbone.blocks.len()).filter_map(|i| Some((i, backbone.blocks[i].expand?)));
    let mut tapped: Vec<_> = taps.filter(|&(_, expand)| !branches(layers, expand).is_empty()).collect();
    let extras = extras(layers, backbone.last);
    let tap = match (tapped.pop(), tapped.pop()) {
        (Some(tap), None) => tap,
        (Some(_), Some(_)) => return Err("more than one block's expansion has predictors".into()),
        (None, _) => return Err(why_none(layers, backbone)),
    };
    let maps: Vec<LayerId> = [tap.1, backbone.last].into_iter().chain(extras.iter().map(|e| e.expand)).collect();
    let mut pairs = Vec::with_capacity(maps.len());
    for (i, &map) in maps.iter().enumerate() {
        let found = branches(layers, map);
        let &[a, b] = found.as_slice() else {
            return Err(format!(
                "feature map {i} (node `{}`) has {} predictors instead of a box and a class predictor",
                layers.all[map].node,
                found.len()
            ));
        };
        pairs.push([a, b]);
    }
    if let Some(&end) = maps.last() {
        nothing_follows(layers, end, &branches(layers, end))?;
    }
    let (heads, classes) = tell_apart(layers, &pairs)?;
    Ok(Detector { tap: tap.0, extras, heads, classes })
}

/// The last map is read by its heads alone; anything else is an extra of another kind, and half a detector is none.
fn nothing_follows(layers: &Layers, map: LayerId, heads: &[Branch]) -> Result<(), String> {
    let known = |id: LayerId| heads.iter().any(|b| b.predictor == id || b.depthwise == Some(id));
    match layers.convs(map, |_| true).find(|&id| !known(id)) {
        None => Ok(()),
        Some(id) => Err(format!(
            "what follows feature map `{}` (node `{}`, {}) is no SSDLite extra: 1x1, depthwise, 1x1, each with ReLU6",
            layers.all[map].node, layers.all[id].node, layers.all[id]
        )),
    }
}

/// Why a graph has no usable heads, in words for the user.
fn why_none(layers: &Layers, backbone: &Backbone) -> String {
    let dense = |c: &Conv| c.group == 1 && c.kernel() != [1, 1];
    let expansions = backbone.blocks.iter().filter_map(|b| b.expand);
    if expansions.chain([backbone.last]).any(|map| layers.convs(map, dense).next().is_some()) {
        return "its extras or predictors are plain 3x3 convolutions (SSD, not SSDLite)".into();
    }
    if layers.readers(backbone.last).iter().all(|&id| layers.conv(id).is_none()) {
        return "the file is a classifier: nothing detects after its backbone".into();
    }
    "no block's expansion has a linear 1x1 predictor behind it".into()
}

fn extras(layers: &Layers, last: LayerId) -> Vec<Extra<LayerId>> {
    let mut extras = Vec::new();
    let mut map = last;
    let next = |map: LayerId| {
        layers.convs(map, |c| c.is_pointwise() && c.is_relu6()).find_map(|reduce| {
            let depthwise = layers.convs(reduce, |c| c.is_depthwise() && c.is_relu6()).next()?;
            let expand = layers.convs(depthwise, |c| c.is_pointwise() && c.is_relu6()).next()?;
            Some(Extra { reduce, depthwise, expand })
        })
    };
    while let Some(extra) = next(map) {
        map = extra.expand;
        extras.push(extra);
    }
    extras
}

fn branches(layers: &Layers, map: LayerId) -> Vec<Branch> {
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

fn tell_apart(layers: &Layers, pairs: &[[Branch; 2]]) -> Result<(Vec<Head<LayerId>>, usize), String> {
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

/// What lies downstream of a predictor.
struct Reach {
    layers: BTreeSet<LayerId>,
    columns: Option<i64>,
    softmax: bool,
    exp: bool,
    names: Vec<String>,
}

impl Reach {
    fn of(layers: &Layers, predictor: LayerId) -> Self {
        let mut seen = BTreeSet::new();
        let mut open = vec![predictor];
        while let Some(id) = open.pop() {
            open.extend(layers.readers(id).iter().filter(|&&next| seen.insert(next)));
        }
        let ops = |wanted: &[Op]| {
            seen.iter().any(|&id| matches!(&layers.all[id].kind, Kind::Opaque { op, .. } if wanted.contains(op)))
        };
        let columns = seen.iter().find_map(|&id| match layers.all[id].kind {
            Kind::Opaque { columns, .. } => columns.filter(|&c| c > 0),
            _ => None,
        });
        let at = |id: &LayerId| *id == predictor || seen.contains(id);
        Self {
            columns,
            softmax: ops(&[Op::Softmax, Op::Sigmoid]),
            exp: ops(&[Op::Exp]),
            names: layers.outputs.iter().filter(|(_, id)| at(id)).map(|(name, _)| name.to_lowercase()).collect(),
            layers: seen,
        }
    }

    /// How much more `same` shares with this than `other` does, against what `other` shares with `opposite`.
    fn joins(&self, same: &Self, other: &Self, opposite: &Self) -> i64 {
        let shared = |a: &Self, b: &Self| a.layers.intersection(&b.layers).count() as i64;
        shared(self, same) + shared(opposite, other)
    }

    fn named(&self, words: &[&str]) -> bool {
        self.names.iter().any(|name| words.iter().any(|w| name.contains(w)))
    }
}

/// Signs that `boxes` is the box branch and `class` the class branch, minus signs of the contrary.
fn evidence(boxes: &Reach, class: &Reach) -> i32 {
    let signs = |boxes: &Reach, class: &Reach| {
        let columns = boxes.columns == Some(4) && class.columns != Some(4);
        let tails = (class.softmax && !boxes.softmax) || (boxes.exp && !class.exp);
        let names = boxes.named(&["box", "loc", "encod", "delta"]) && !class.named(&["box", "loc", "encod", "delta"])
            || class.named(&["class", "score", "logit", "conf"]) && !boxes.named(&["class", "score", "logit", "conf"]);
        4 * i32::from(columns) + 2 * i32::from(tails) + i32::from(names)
    };
    signs(boxes, class) - signs(class, boxes)
}

//! Finding everything beyond the backbone: the tapped block, the extras, and the predictors on each feature map.

use super::backbone::Backbone;
use super::extras;
use super::layers::{Conv, LayerId, Layers};
use super::predictors::{Branch, branches, tell_apart};
use crate::model::{Extra, Head};

/// Everything beyond the backbone.
pub struct DetectorHeads {
    /// Index of the block whose expansion is feature map 0.
    pub tap: usize,
    pub extras: Vec<Extra<LayerId>>,
    pub heads: Vec<Head<LayerId>>,
    pub classes: usize,
}

/// The extras and heads after `backbone`, or why there are none that Fieldtune can use.
pub fn find(layers: &Layers, backbone: &Backbone) -> Result<DetectorHeads, String> {
    let taps = (0..backbone.blocks.len()).filter_map(|i| Some((i, backbone.blocks[i].expand?)));
    let mut tapped: Vec<_> = taps.filter(|&(_, expand)| !branches(layers, expand).is_empty()).collect();
    let extras = extras::find(layers, backbone.last);
    let tap = match (tapped.pop(), tapped.pop()) {
        (Some(tap), None) => tap,
        (Some(_), Some(_)) => return Err("more than one block's expansion has predictors".into()),
        (None, _) => return Err(why_none(layers, backbone)),
    };
    let maps: Vec<LayerId> = [tap.1, backbone.last].into_iter().chain(extras.iter().map(|e| *e.output())).collect();
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
    Ok(DetectorHeads { tap: tap.0, extras, heads, classes })
}

/// The last map is read by its heads alone; anything else is an extra of another kind, and half a detector is none.
fn nothing_follows(layers: &Layers, map: LayerId, heads: &[Branch]) -> Result<(), String> {
    let known = |id: LayerId| heads.iter().any(|b| b.predictor == id || b.depthwise == Some(id));
    let Some(first) = layers.convs(map, |_| true).find(|&id| !known(id)) else { return Ok(()) };
    // A 1x1 reduction is as it should be; the layer behind it is not.
    let reduces = layers.conv(first).is_some_and(|c| c.is_pointwise() && c.is_relu6());
    let at = layers.readers(first).first().copied().filter(|_| reduces).unwrap_or(first);
    Err(format!(
        "what follows feature map `{}` (node `{}`, {}) is no extra of an SSD: 1x1 with ReLU6, then 3x3, or depthwise and 1x1",
        layers.all[map].node, layers.all[at].node, layers.all[at]
    ))
}

/// The reason that a graph has no usable heads, in words for the user.
fn why_none(layers: &Layers, backbone: &Backbone) -> String {
    let expansions = backbone.blocks.iter().filter_map(|b| b.expand);
    if expansions.chain([backbone.last]).any(|map| layers.convs(map, Conv::is_dense).next().is_some()) {
        return "its predictors or extras are 3x3 convolutions on the maps themselves, not 1x1".into();
    }
    if layers.readers(backbone.last).iter().all(|&id| layers.conv(id).is_none()) {
        return "nothing detects after its backbone (a classifier or features)".into();
    }
    "no block's expansion has a linear 1x1 predictor behind it".into()
}

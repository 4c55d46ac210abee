//! Finding MobileNetV2 in a graph by its structure: the stem, seventeen inverted residuals, the last 1x1.
//!
//! From a block's output the walk goes to a depthwise convolution, directly or over a 1x1 expansion, and on to a
//! linear 1x1 that feeds the network again. The last of these conditions tells a block from a detection head.

use super::layers::{Conv, LayerId, LayerKind, Layers};
use crate::model::Block;

/// Inverted residuals of MobileNetV2, at every width.
pub const BLOCKS: usize = 17;

/// Convolutions of MobileNetV2's backbone: the stem, two in the first block, three in each other, the last 1x1.
pub const BACKBONE_LAYERS: usize = 2 + 3 * BLOCKS - 1;

/// The backbone's layers.
pub struct Backbone {
    pub stem: LayerId,
    pub blocks: Vec<Block<LayerId>>,
    pub last: LayerId,
}

/// The place at which the walk ended before the backbone did.
#[derive(Debug)]
pub struct DeadEnd {
    pub matched: usize,
    pub node: String,
    pub found: String,
    pub expected: String,
}

/// The first backbone in the graph, or the dead end that came furthest.
pub fn find(layers: &Layers) -> Result<Backbone, DeadEnd> {
    let is_stem =
        |&id: &LayerId| layers.conv(id).is_some_and(|c| c.in_channels() == 3 && c.group == 1 && c.strides == [2, 2]);
    let mut furthest = DeadEnd {
        matched: 0,
        node: layers.all.first().map(|layer| layer.node.clone()).unwrap_or_default(),
        found: format!("{} nodes and no convolution that reads an image", layers.all.len()),
        expected: "a 3x3 Conv at stride 2 on 3 channels".into(),
    };
    for stem in (0..layers.all.len()).filter(is_stem) {
        match from_stem(layers, stem) {
            Ok(backbone) => return Ok(backbone),
            Err(end) if end.matched > furthest.matched => furthest = end,
            Err(_) => {}
        }
    }
    let broken = |layer: &&super::layers::FileLayer| matches!(layer.kind, LayerKind::Broken(_));
    if let (0, Some(layer)) = (furthest.matched, layers.all.iter().find(broken)) {
        furthest.node = layer.node.clone();
        furthest.found = layer.to_string();
    }
    Err(furthest)
}

fn from_stem(layers: &Layers, stem: LayerId) -> Result<Backbone, DeadEnd> {
    if !layers.conv(stem).is_some_and(|c| c.kernel() == [3, 3] && c.is_relu6()) {
        let layer = &layers.all[stem];
        let expected = "a 3x3 Conv at stride 2 with ReLU6".into();
        return Err(DeadEnd { matched: 1, node: layer.node.clone(), found: layer.to_string(), expected });
    }
    let (mut blocks, mut output, mut matched) = (Vec::new(), stem, 1);
    while let Some((block, after)) = next_block(layers, output) {
        matched += 2 + usize::from(block.expand.is_some());
        blocks.push(block);
        output = after;
        if blocks.len() > BLOCKS {
            break;
        }
    }
    let dead_end = |(node, found): (String, String), expected: &str| {
        Err(DeadEnd { matched: matched.min(BACKBONE_LAYERS - 1), node, found, expected: expected.into() })
    };
    let last = layers.convs(output, |c| c.is_pointwise() && c.is_relu6()).next();
    match (blocks.len(), last) {
        (BLOCKS, Some(last)) => Ok(Backbone { stem, blocks, last }),
        (BLOCKS, None) => dead_end(after(layers, output), "the last 1x1 Conv with ReLU6"),
        // An expansion is read by its depthwise alone; the last layer by a classifier's pooling or by the extras.
        (n, Some(last)) if !layers.feeds_network(last) || layers.convs(last, Conv::is_pointwise).next().is_some() => {
            let node = layers.all[last].node.clone();
            dead_end((node, format!("{n} inverted residuals before the last 1x1 Conv")), "17 inverted residuals")
        }
        (n, _) if n > BLOCKS => dead_end(after(layers, output), "the last 1x1 Conv after 17 inverted residuals"),
        _ => {
            let (place, expected) = inside_block(layers, output);
            dead_end(place, expected)
        }
    }
}

/// The inverted residual that reads `input`, with its output: the sum where it has one.
fn next_block(layers: &Layers, input: LayerId) -> Option<(Block<LayerId>, LayerId)> {
    let expansions = layers.convs(input, |c| c.is_pointwise() && c.is_relu6()).map(Some);
    for expand in std::iter::once(None).chain(expansions) {
        for depthwise in layers.convs(expand.unwrap_or(input), |c| c.is_depthwise() && c.is_relu6()) {
            let projects = |c: &Conv| c.is_pointwise() && c.is_linear();
            let Some(project) = layers.convs(depthwise, projects).find(|&p| layers.feeds_network(p)) else { continue };
            let joins = |&&id: &&LayerId| {
                let layer = &layers.all[id];
                matches!(layer.kind, LayerKind::Sum) && layer.inputs.contains(&input) && layer.inputs.contains(&project)
            };
            let sum = layers.readers(project).iter().find(joins).copied();
            let block = Block { expand, depthwise, project, residual: sum.is_some() };
            return Some((block, sum.unwrap_or(project)));
        }
    }
    None
}

/// The node behind `layer` and its kind, for an error text.
fn after(layers: &Layers, layer: LayerId) -> (String, String) {
    let readers = layers.readers(layer);
    // A convolution says more than the pooling or reshaping beside it.
    let telling = readers.iter().find(|&&id| matches!(layers.all[id].kind, LayerKind::Conv(_) | LayerKind::Broken(_)));
    match telling.or(readers.first()) {
        Some(&id) => (layers.all[id].node.clone(), layers.all[id].to_string()),
        None => (layers.all[layer].node.clone(), format!("nothing after {}", layers.all[layer])),
    }
}

/// The first place inside the block after `input` that is not as it should be, with what should be there.
fn inside_block(layers: &Layers, input: LayerId) -> ((String, String), &'static str) {
    let mut at = input;
    if let Some(expand) = layers.convs(at, |c| c.is_pointwise() && c.is_relu6()).next() {
        at = expand;
    } else if layers.convs(at, |c| c.is_depthwise() && c.is_relu6()).next().is_none() {
        return (after(layers, at), "a 1x1 expansion or a depthwise Conv, with ReLU6");
    }
    match layers.convs(at, |c| c.is_depthwise() && c.is_relu6()).next() {
        None => (after(layers, at), "a depthwise Conv with ReLU6"),
        Some(depthwise) => match layers.convs(depthwise, |c| c.is_pointwise() && c.is_linear()).next() {
            None => (after(layers, depthwise), "a linear 1x1 projection"),
            Some(project) => (after(layers, project), "the next block"),
        },
    }
}

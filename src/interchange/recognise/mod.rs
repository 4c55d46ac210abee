//! From a graph to the network in it: normal form, backbone, extras and heads, and what their numbers mean. Nothing here
//! reads a file, and nothing here knows what kind of file a graph comes from.

mod anchor_table;
mod backbone;
mod conventions;
mod convert;
mod extras;
mod heads;
mod image;
pub mod layers;
mod normal;
mod padding;
mod predictors;
mod reach;

use std::path::Path;

use self::anchor_table::AnchorMaps;
use self::backbone::{BACKBONE_LAYERS, Backbone};
use self::conventions::{Coding, Descent, Reading};
use self::convert::Convert;
use self::heads::DetectorHeads;
use self::layers::{LayerId, Layers};
use crate::boxes::InputSize;
use crate::interchange::InterchangeError;
use crate::interchange::graph::{Graph, StoredTensor};
use crate::interchange::imported::{Imported, Scope};
use crate::interchange::metadata::Metadata;
use crate::interchange::table::{ConvMatch, roles};
use crate::model::{ConvWeights, Convention, Padding, Ssd};

/// Block `expanded_conv_13`, the last at stride 2.
const DEFAULT_TAP: usize = 13;

/// The input on which a network is checked whose file leaves the size open.
const OPEN_SIZE: [usize; 2] = [300, 300];

/// The longest side that an input may have.
const LONGEST_SIDE: usize = 2048;

/// Finds the network in `graph`; `path` is for messages.
///
/// # Errors
/// If the backbone is not a MobileNetV2 from the stem to the last 1x1 (what is missing from a backbone is never filled
/// in), or a layer of the network does not fit to its neighbours.
pub fn recognise(path: &Path, graph: &Graph) -> Result<Imported, InterchangeError> {
    let layers = normal::layers(graph);
    let backbone = backbone::find(&layers).map_err(|end| InterchangeError::Backbone {
        path: path.into(),
        matched: end.matched,
        total: BACKBONE_LAYERS,
        node: end.node,
        found: end.found,
        expected: end.expected,
    })?;
    let metadata = Metadata::read(&graph.about.entries);
    let input_size = input_size(path, &layers, graph, backbone.stem, &metadata)?;
    let sizes = layers.sizes(backbone.stem, input_size.unwrap_or(OPEN_SIZE));
    let mut repairs = Vec::new();
    let detector = heads::find(&layers, &backbone);
    let (mut found, mut scope) = match detector {
        Ok(detector) => (tree(&backbone, Some(detector)), Scope::Detector),
        Err(why) => (tree(&backbone, None), Scope::Backbone { why }),
    };
    let convert = |found: &Ssd<LayerId>| -> Result<(Ssd<ConvWeights>, Vec<String>), InterchangeError> {
        let (sizes, sized) = (sizes.clone(), input_size.is_some());
        let mut convert = Convert { path, layers: &layers, sizes, sized, trimmed: Vec::new() };
        Ok((convert.network(found)?, convert.trimmed))
    };
    let (mut network, mut trimmed) = convert(&found)?;
    let descent = match network.stem.spec.padding {
        Padding::TfSame => Descent::TensorFlow,
        Padding::Explicit { .. } => Descent::PyTorch,
    };
    let mut assumed = Vec::new();
    if scope == Scope::Detector {
        match conventions(&layers, &found, &metadata, &sizes, input_size.unwrap_or(OPEN_SIZE), descent) {
            Ok(reading) => {
                found.convention = reading.convention.clone();
                apply(&mut network, &reading, &mut repairs);
                assumed = reading.assumed;
            }
            Err(why) => {
                scope = Scope::Backbone { why };
                found = tree(&backbone, None);
                (network, trimmed) = convert(&found)?;
            }
        }
    }
    if !trimmed.is_empty() {
        repairs
            .push(format!("kernels were trimmed on small maps; their zero taps are put back: {}", trimmed.join(", ")));
    }
    let (normalisation, image) =
        image::normalisation(&layers, found.stem, &metadata, descent, &scope, &network.convention.anchors);
    if normalisation.fold(&mut network.stem) {
        let by = if normalisation.stated { "the file's" } else { "the assumed" };
        repairs.push(format!(
            "{by} normalisation of the image is folded into the first convolution: the same but for the border's pixels"
        ));
    }
    // A file of Fieldtune's own says all this.
    if metadata.producer.is_none() {
        assumed.extend(image.map(String::from));
    }
    let matched = roles(&found).into_iter().map(|(stage, role, &id)| ConvMatch::of(stage, role, &layers, id)).collect();
    let unused = unused(&layers, &found);
    let class_names = class_names(&metadata, graph.about.labels.as_deref(), network.classes);
    let dialect = graph.about.dialect.clone();
    let warnings = warnings(&scope, &assumed, descent);
    Ok(Imported {
        dialect,
        network,
        scope,
        matched,
        input_size,
        normalisation,
        metadata,
        class_names,
        unused,
        repairs,
        warnings,
    })
}

/// One sentence for the user on what is left out, and one on what the file leaves open.
fn warnings(scope: &Scope, assumed: &[String], descent: Descent) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Scope::Backbone { why } = scope {
        warnings.push(format!("only the backbone is used: {why}; extras and heads start fresh"));
    }
    if !assumed.is_empty() {
        let padded = match descent {
            Descent::TensorFlow => "TensorFlow",
            Descent::PyTorch => "PyTorch",
        };
        warnings.push(format!("padded as {padded} does, and no more is said, so assumed: {}", assumed.join(", ")));
    }
    warnings
}

/// The layers in the network's own tree. Without heads, feature map 0 is the expansion of the last block at stride 2,
/// which is where SSD taps MobileNetV2.
fn tree(backbone: &Backbone, detector: Option<DetectorHeads>) -> Ssd<LayerId> {
    let detector = detector.unwrap_or(DetectorHeads { tap: DEFAULT_TAP, extras: vec![], heads: vec![], classes: 0 });
    Ssd {
        stem: backbone.stem,
        blocks: backbone.blocks.clone(),
        tap: detector.tap,
        last: backbone.last,
        extras: detector.extras,
        heads: detector.heads,
        classes: detector.classes,
        convention: Convention::default(),
    }
}

/// Height and width of the file's input, where it says.
fn input_size(
    path: &Path,
    layers: &Layers,
    graph: &Graph,
    stem: LayerId,
    metadata: &Metadata,
) -> Result<Option<[usize; 2]>, InterchangeError> {
    let before = layers.all[stem].inputs.first().and_then(|&id| layers.all[id].size);
    let declared = graph.inputs.iter().find_map(|input| match input.dims[..] {
        [_, Some(3), h, w] | [_, h, w, Some(3)] => Some([h?, w?]),
        _ => None,
    });
    let size = before.or(declared).or(metadata.input_size.map(InputSize::dims));
    match size {
        Some([h, w]) if h.max(w) > LONGEST_SIDE || h.min(w) == 0 => {
            let (found, expected) = (format!("an input of {h}x{w} pixels"), format!("at most {LONGEST_SIDE} a side"));
            let help = "check how the file was made";
            Err(InterchangeError::node(path, &layers.all[stem].node, found, expected, help))
        }
        size => Ok(size),
    }
}

fn conventions(
    layers: &Layers,
    found: &Ssd<LayerId>,
    metadata: &Metadata,
    sizes: &[Option<[usize; 2]>],
    size: [usize; 2],
    descent: Descent,
) -> Result<Reading, String> {
    let tapped = found.blocks[found.tap].expand.into_iter();
    let maps = tapped.chain([found.last]).chain(found.extras.iter().map(|e| *e.output()));
    let cells: Option<Vec<[usize; 2]>> = maps.map(|id| sizes[id]).collect();
    let cells = cells.ok_or("its feature maps have no size")?;
    let per_cell: Vec<usize> = found.heads.iter().map(|head| head.anchors_per_cell).collect();
    let reading =
        conventions::read(layers, found, metadata, &AnchorMaps { cells: &cells, per_cell: &per_cell, size }, descent)?;
    let checked = Ssd { convention: reading.convention.clone(), ..found.clone() };
    checked.check_anchors().map_err(|e| e.to_string())?;
    Ok(reading)
}

/// Brings boxes into our order and units, and puts in a background where the file has none.
fn apply(network: &mut Ssd<ConvWeights>, reading: &Reading, repairs: &mut Vec<String>) {
    network.convention = reading.convention.clone();
    let ours = Coding { order: layers::Order::Yx, weights: crate::boxes::BoxCoder::default().weights };
    let columns = reading.coding.columns();
    if reading.coding != ours {
        for head in &mut network.heads {
            recode(&mut head.box_predictor, columns);
        }
        repairs.push("box predictors are brought into the order ty, tx, th, tw and the weights 10, 10, 5, 5".into());
    }
    if !reading.has_background {
        let classes = network.classes;
        network.heads.iter_mut().for_each(|head| with_background(&mut head.class_predictor, classes));
        network.classes += 1;
        repairs.push("class predictors get a column for the background, which the file does without".into());
    }
}

/// Channel 4·a + i becomes `columns[i].1` times channel 4·a + `columns[i].0`.
fn recode(predictor: &mut ConvWeights, columns: [(usize, f64); 4]) {
    let out = predictor.spec.out_channels;
    for row in predictor.weight.chunks_exact_mut(out).chain([predictor.bias.as_mut_slice()]) {
        for cell in row.as_chunks_mut::<4>().0 {
            *cell = columns.map(|(from, by)| (f64::from(cell[from]) * by) as f32);
        }
    }
}

/// A column of zeros before those of each anchor: half a score for something that is never asked.
fn with_background(predictor: &mut ConvWeights, classes: usize) {
    let wider = |row: &[f32]| -> Vec<f32> {
        row.chunks_exact(classes).flat_map(|anchor| std::iter::once(0.0).chain(anchor.iter().copied())).collect()
    };
    let out = predictor.spec.out_channels;
    predictor.weight = predictor.weight.chunks_exact(out).flat_map(wider).collect();
    predictor.bias = wider(&predictor.bias);
    predictor.spec.out_channels = predictor.bias.len();
    predictor.scale = vec![1.0; predictor.bias.len()];
}

/// The weights of convolutions that are not part of the network.
fn unused(layers: &Layers, found: &Ssd<LayerId>) -> Vec<StoredTensor> {
    let used: Vec<LayerId> = found.convs().into_iter().map(|(_, &id)| id).collect();
    let left = (0..layers.all.len()).filter(|id| !used.contains(id));
    left.filter_map(|id| layers.conv(id)).flat_map(|c| c.tensors.iter().cloned()).collect()
}

/// Names for all columns but the background's, from the file's own metadata or from labels that came with it, with or
/// without a first line for the background.
fn class_names(metadata: &Metadata, labels: Option<&[String]>, classes: usize) -> Option<Vec<String>> {
    let own = metadata.class_names.clone();
    let labels = labels.map(|labels| match labels.len() {
        n if n == classes => labels[1..].to_vec(),
        _ => labels.to_vec(),
    });
    own.or(labels).filter(|names| names.len() + 1 == classes)
}

//! From the network to an ONNX file, opset 13, in two forms.
//!
//! *Raw heads*: `input` [N, 3, S, S] to `box_encodings` [N, A, 4] (ty, tx, th, tw) and `class_logits` [N, A, K], the
//! form of TensorFlow's detection API with its tensor names. *Jetson*: `input_0` to `scores` [N, A, K], softmax over
//! the classes, and `boxes` [N, A, 4], decoded to x1 y1 x2 y2 in fractions of the image, which is what
//! jetson-inference loads. The input is RGB, `x / 127.5 - 1`, in both; column 0 is the background in both.
//!
//! Padding is written as numbers, so a file is for one input size.

use std::path::{Path, PathBuf};

use tract_onnx::pb::{ModelProto, OperatorSetIdProto, ValueInfoProto};

use super::builder::{Builder, Dim, int, ints, value};
use super::metadata::Metadata;
use super::table::{Role, roles};
use super::{OnnxError, file, jetson, names, tensor};
use crate::boxes::{BoxCoder, CenterBox};
use crate::model::{ConvWeights, Head, Ssd, Stage};

/// How many images the exported file takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// A symbolic dimension, `N`.
    Any,
    Fixed(usize),
}

/// What the file puts out.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    RawHeads,
    /// Scores and decoded boxes; the anchors in the order of the network's outputs.
    Jetson {
        anchors: &'a [CenterBox],
    },
}

#[derive(Clone, Copy, Debug)]
pub struct ExportOptions<'a> {
    /// Side of the square input in pixels.
    pub size: usize,
    pub images: Images,
    /// Without the background: name `i` is class column `i + 1`.
    pub class_names: &'a [String],
    /// What the box predictors' deltas mean; decoded by the Jetson form, recorded by both.
    pub coder: BoxCoder,
    /// How the anchors were made, for the metadata, e.g. `tf-ssd`.
    pub anchors: &'a str,
    /// How class logits become scores, for the metadata: `softmax` or `sigmoid`.
    pub scores: &'a str,
    pub form: Form<'a>,
}

/// Writes `path` and `labels.txt` beside it (line `i` names class column `i`, `BACKGROUND` first), each replaced in
/// one step. Scales are folded into the weights on the way.
///
/// # Errors
/// If the network has no heads, names, anchors or classes disagree, a weight is not finite, or the disk refuses.
pub fn export(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<(), OnnxError> {
    Document::new(network, path, options)?.write()
}

/// A file that is made and only has to be written: the network it was made from can be let go before.
pub struct Document {
    model: ModelProto,
    path: PathBuf,
    labels: String,
}

impl Document {
    /// # Errors
    /// As [`export`], but for the disk.
    pub fn new(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<Self, OnnxError> {
        let model = model(network, path, options)?;
        Ok(Self { model, path: path.into(), labels: labels(options.class_names) })
    }

    /// # Errors
    /// If the disk refuses.
    pub fn write(self) -> Result<(), OnnxError> {
        file::replace(&self.path, |to| file::encode(self.model, to))?;
        file::replace(&self.path.with_file_name("labels.txt"), |to| to.write_all(self.labels.as_bytes()))
    }
}

fn labels(class_names: &[String]) -> String {
    let mut text = String::from("BACKGROUND\n");
    for name in class_names {
        text.push_str(name);
        text.push('\n');
    }
    text
}

fn model(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<ModelProto, OnnxError> {
    check(network, path, options)?;
    let input_name = match options.form {
        Form::RawHeads => "input",
        Form::Jetson { .. } => "input_0",
    };
    let mut writer = Writer { path, graph: Builder::default(), size: options.size, cells: Vec::new() };
    writer.graph.relu6_bounds();
    let maps = writer.feature_maps(network, input_name)?;
    let [box_columns, class_columns] = writer.reshape_targets(network.classes);
    let (mut boxes, mut classes) = (Vec::new(), Vec::new());
    for (i, (head, (map, size))) in network.heads.iter().zip(maps).enumerate() {
        writer.cells.push(size[0] * size[1] * head.anchors_per_cell);
        let branch = [head.box_depthwise.as_ref(), Some(&head.box_predictor)];
        boxes.push(writer.branch(Stage::BoxHead(i), branch, &map, size, box_columns)?);
        let branch = [head.class_depthwise.as_ref(), Some(&head.class_predictor)];
        classes.push(writer.branch(Stage::ClassHead(i), branch, &map, size, class_columns)?);
    }
    let anchors: usize = writer.cells.iter().sum();
    let mut graph = writer.graph;
    for (parts, joined) in [(&boxes, BOX_ENCODINGS), (&classes, CLASS_LOGITS)] {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        graph.node("Concat", "", &parts, joined.into(), vec![int("axis", 1)]);
    }
    if let Form::Jetson { anchors: given } = options.form {
        if given.len() != anchors {
            let expected = format!("{anchors}, one per row of the network's outputs");
            return Err(refused(path, "anchors", given.len().to_string(), expected));
        }
        jetson::tail(&mut graph, given, &options.coder);
    }
    let images = match options.images {
        Images::Any => Dim::Named("N"),
        Images::Fixed(n) => Dim::Fixed(n),
    };
    let side = Dim::Fixed(options.size);
    let input = value(input_name, &[images, Dim::Fixed(3), side, side]);
    let output = |name: &str, columns: usize| value(name, &[images, Dim::Fixed(anchors), Dim::Fixed(columns)]);
    let outputs: Vec<ValueInfoProto> = match options.form {
        Form::RawHeads => vec![output(BOX_ENCODINGS, 4), output(CLASS_LOGITS, network.classes)],
        Form::Jetson { .. } => vec![output(jetson::SCORES, network.classes), output(jetson::BOXES, 4)],
    };
    Ok(ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        producer_name: "fieldtune".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph.finish("ssdlite_mobilenet_v2", input, outputs)),
        metadata_props: metadata(options).entries(),
        ..Default::default()
    })
}

pub(super) const BOX_ENCODINGS: &str = "box_encodings";
pub(super) const CLASS_LOGITS: &str = "class_logits";

fn metadata(options: &ExportOptions) -> Metadata {
    Metadata {
        producer: Some(concat!("fieldtune ", env!("CARGO_PKG_VERSION")).into()),
        class_names: Some(options.class_names.to_vec()),
        input_size: Some(options.size),
        normalisation: Some("rgb / 127.5 - 1".into()),
        anchors: Some(options.anchors.into()),
        scores: Some(options.scores.into()),
        variances: Some(options.coder.weights.map(f64::recip)),
    }
}

fn refused(path: &Path, place: &str, found: impl Into<String>, expected: impl Into<String>) -> OnnxError {
    OnnxError::Export { path: path.into(), place: place.into(), found: found.into(), expected: expected.into() }
}

fn check(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<(), OnnxError> {
    let maps = 2 + network.extras.len();
    if network.heads.len() != maps {
        return Err(refused(path, "heads", network.heads.len().to_string(), format!("one per feature map, {maps}")));
    }
    if network.blocks.get(network.tap).is_none_or(|block| block.expand.is_none()) {
        return Err(refused(path, "tap", format!("block {}", network.tap), "a block with an expansion"));
    }
    if options.class_names.len() + 1 != network.classes {
        let expected = format!("{}, one per class column but the background's", network.classes.saturating_sub(1));
        return Err(refused(path, "class names", options.class_names.len().to_string(), expected));
    }
    if let Some(name) = options.class_names.iter().find(|name| name.contains(['\n', '\r'])) {
        return Err(refused(path, "class names", format!("{name:?}"), "names of one line"));
    }
    if options.size == 0 {
        return Err(refused(path, "input size", "0", "1 or more pixels"));
    }
    for (i, head) in network.heads.iter().enumerate() {
        check_head(i, head, network.classes, path)?;
    }
    for (stage, role, conv) in roles(network) {
        let channels = conv.spec.out_channels;
        let place = || format!("{stage:?} {role}");
        let lengths = [conv.weight.len(), conv.scale.len(), conv.bias.len()];
        if lengths != [conv.spec.weight_len(), channels, channels] {
            return Err(refused(path, &place(), format!("{lengths:?} numbers"), "those of its shape"));
        }
        if conv.weight.iter().chain(&conv.scale).chain(&conv.bias).any(|v| !v.is_finite()) {
            return Err(refused(path, &place(), "a weight that is not a finite number", "finite weights"));
        }
    }
    Ok(())
}

fn check_head(i: usize, head: &Head<ConvWeights>, classes: usize, path: &Path) -> Result<(), OnnxError> {
    let widths = [head.box_predictor.spec.out_channels, head.class_predictor.spec.out_channels];
    let expected = [head.anchors_per_cell * 4, head.anchors_per_cell * classes];
    if widths == expected {
        return Ok(());
    }
    Err(refused(path, &format!("head {i}"), format!("{widths:?} channels"), format!("{expected:?}")))
}

/// The graph being written, and the size of the feature map at hand.
struct Writer<'a> {
    path: &'a Path,
    graph: Builder,
    size: usize,
    cells: Vec<usize>,
}

/// A value's name and its height and width.
type Map = (String, [usize; 2]);

impl Writer<'_> {
    fn conv(
        &mut self,
        stage: Stage,
        role: Role,
        conv: &ConvWeights,
        extra_width: usize,
        (input, size): &Map,
    ) -> Result<Map, OnnxError> {
        let scope = names::conv(stage, role, conv, extra_width);
        let spec = &conv.spec;
        let (top, bottom) = spec.padding.vertical(size[0], spec.kernel[0], spec.stride);
        let (left, right) = spec.padding.horizontal(size[1], spec.kernel[1], spec.stride);
        if size[0] + top + bottom < spec.kernel[0] || size[1] + left + right < spec.kernel[1] {
            let found = format!("a {}x{} map at input size {}", size[0], size[1], self.size);
            return Err(refused(self.path, &scope, found, "one that its kernel fits into"));
        }
        let output = self.graph.conv(&scope, input, conv, [top, left, bottom, right]);
        Ok((output, spec.output_size(*size)))
    }

    /// Backbone and extras; the feature maps in the order of the heads.
    fn feature_maps(&mut self, network: &Ssd<ConvWeights>, input: &str) -> Result<Vec<Map>, OnnxError> {
        let mut maps = Vec::new();
        let mut at = (input.to_owned(), [self.size; 2]);
        at = self.conv(Stage::Stem, Role::Stem, &network.stem, 0, &at)?;
        for (i, block) in network.blocks.iter().enumerate() {
            let stage = Stage::Block(i);
            let mut inner = at.clone();
            if let Some(expand) = &block.expand {
                inner = self.conv(stage, Role::Expand, expand, 0, &inner)?;
                if i == network.tap {
                    maps.push(inner.clone());
                }
            }
            inner = self.conv(stage, Role::Depthwise, &block.depthwise, 0, &inner)?;
            inner = self.conv(stage, Role::Project, &block.project, 0, &inner)?;
            if block.residual {
                let sum = format!("{}/add", names::block(i));
                inner.0 = self.graph.node("Add", &sum, &[&at.0, &inner.0], sum.clone(), vec![]);
            }
            at = inner;
        }
        at = self.conv(Stage::Last, Role::Last, &network.last, 0, &at)?;
        maps.push(at.clone());
        for (i, extra) in network.extras.iter().enumerate() {
            let (stage, width) = (Stage::Extra(i), extra.expand.spec.out_channels);
            at = self.conv(stage, Role::Reduce, &extra.reduce, width, &at)?;
            at = self.conv(stage, Role::Depthwise, &extra.depthwise, width, &at)?;
            at = self.conv(stage, Role::Expand, &extra.expand, width, &at)?;
            maps.push(at.clone());
        }
        Ok(maps)
    }

    /// The targets that flatten predictors to `[N, anchors, columns]`, for boxes and for classes.
    fn reshape_targets(&mut self, classes: usize) -> [&'static str; 2] {
        for (name, columns) in [("shape_box", 4), ("shape_cls", classes as i64)] {
            self.graph.initializer(tensor::integers(name, &[0, -1, columns]));
        }
        ["shape_box", "shape_cls"]
    }

    /// One predictor with its depthwise, flattened anchor-major; returns the flat value's name.
    fn branch(
        &mut self,
        stage: Stage,
        [depthwise, predictor]: [Option<&ConvWeights>; 2],
        map: &str,
        size: [usize; 2],
        target: &str,
    ) -> Result<String, OnnxError> {
        let mut at = (map.to_owned(), size);
        let mut scope = String::new();
        for (role, conv) in [(Role::Depthwise, depthwise), (Role::Predictor, predictor)] {
            let Some(conv) = conv else { continue };
            at = self.conv(stage, role, conv, 0, &at)?;
            scope = names::conv(stage, role, conv, 0);
        }
        let perm = vec![ints("perm", &[0, 2, 3, 1])];
        let nhwc = self.graph.node("Transpose", "", &[&at.0], format!("{scope}/nhwc"), perm);
        Ok(self.graph.node("Reshape", "", &[&nhwc, target], format!("{scope}/flat"), vec![]))
    }
}

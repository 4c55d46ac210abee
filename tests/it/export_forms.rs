//! The duties of each written form to its readers: the numbers, the names and shapes, and the way back.

use std::path::Path;

use fieldtune::boxes::{BoxCoder, InputSize, ScoreFunction};
use fieldtune::eval::{Detection, PostProcessor};
use fieldtune::interchange::{
    ByteInput, Calibration, Clipping, ExportOptions, FileAnswer, Form, Images, Scope, TfliteNumbers, TfliteOptions,
    TfliteOutputs, WrittenFile, export, export_tflite, import,
};
use fieldtune::model::{ConvWeights, Ssd, SsdModel};
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{ModelProto, ValueInfoProto};

use crate::onnx::{CLASSES, SIZE, assert_same, class_names, load, narrow_network};

pub const FORMS: [Form; 5] = [Form::RawHeads, Form::Jetson, Form::Detections, Form::Ssd, Form::Flat];

pub fn write(network: &Ssd<ConvWeights>, path: &Path, size: InputSize, form: Form) {
    let names = class_names(network.classes);
    let options = ExportOptions { images: Images::Fixed(1), form, ..ExportOptions::raw(size, &names) };
    export(network, path, &options).unwrap_or_else(|e| panic!("{e}"));
}

fn pixels(size: InputSize) -> Vec<u8> {
    (0..size.numbers()).map(|i| ((i * 7919) % 251) as u8).collect()
}

fn close(found: &[Detection], expected: &[Detection], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!(f.class == e.class && (f.score - e.score).abs() < 1e-4, "{what}: {f:?} is not {e:?}");
        let pairs = [(f.bbox.x0, e.bbox.x0), (f.bbox.y0, e.bbox.y0), (f.bbox.x1, e.bbox.x1), (f.bbox.y1, e.bbox.y1)];
        assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-4), "{what}: {f:?} is not {e:?}");
    }
}

/// Every form says the same about an image as our own forward, decoding and suppression, with either score function and
/// on inputs that are not square.
#[test]
fn every_form_run_by_tract_finds_what_the_network_finds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    for (scores, size) in
        [(ScoreFunction::Softmax, InputSize::square(SIZE)), (ScoreFunction::Sigmoid, InputSize::new(96, 160))]
    {
        let mut network = narrow_network();
        network.convention.scores = scores;
        let pixels = pixels(size);
        let image = pixels.iter().map(|&p| f32::from(p) / 127.5 - 1.0).collect();
        let model = SsdModel::into_inference(network.clone());
        let heads = model.forward(fieldtune::ops::tensor(image, [1, size.height, size.width, 3]));
        let [logits, deltas] = [&heads.logits, &heads.deltas].map(|t| fieldtune::ops::read(t, <[f32]>::to_vec));
        let detector = PostProcessor::new(network.specs().anchors(size.dims()).unwrap(), scores);
        let expected = detector.detect(&logits, &deltas);
        assert!(expected.len() >= 20, "the test network must find something, it found {}", expected.len());
        for form in FORMS {
            write(&network, &path, size, form);
            let file = WrittenFile::load(&path, form, size).unwrap_or_else(|e| panic!("{form:?}: {e}"));
            let found = match file.run(&pixels).unwrap_or_else(|e| panic!("{form:?}: {e}")) {
                FileAnswer::Raw(heads) => detector.detect(&heads.logits, &heads.deltas),
                FileAnswer::Decoded { scores, corners } => detector.detect_decoded(&scores, &corners),
                FileAnswer::Rows(rows) => rows
                    .into_iter()
                    .map(|r| Detection { class: r.class, score: r.score.into(), bbox: r.bbox, anchor: 0 })
                    .collect(),
            };
            close(&found, &expected, &format!("{form:?} with {scores:?} at {size}"));
            let other = if form == Form::Flat { Form::Ssd } else { Form::Flat };
            assert!(WrittenFile::load(&path, other, size).is_err(), "{form:?} is not {other:?}");
        }
    }
}

/// Name and dimensions, `None` for one that is not a number.
fn shape(value: &ValueInfoProto) -> (String, Vec<Option<i64>>) {
    let Some(Kind::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        panic!("{} is a tensor", value.name)
    };
    assert_eq!(tensor.elem_type, 1, "{} holds 32-bit floats", value.name);
    let number = |v: &Value| if let Value::DimValue(n) = v { Some(*n) } else { None };
    let dims = tensor.shape.iter().flat_map(|s| &s.dim).map(|d| d.value.as_ref().and_then(number)).collect();
    (value.name.clone(), dims)
}

/// The demands of `c/detectNet.cpp` of jetson-inference (at 45da40a) on an SSD in ONNX.
#[test]
fn the_jetson_form_keeps_the_rules_of_detectnet() {
    let (network, dir) = (narrow_network(), tempfile::tempdir().unwrap());
    let path = dir.path().join("m.onnx");
    let size = InputSize::new(96, 160);
    write(&network, &path, size, Form::Jetson);
    let ModelProto { graph, opset_import, .. } = load(&path);
    let graph = graph.unwrap();
    let anchors = network.specs().anchors(size.dims()).unwrap().len() as i64;
    let [input] = &graph.input[..] else { panic!("one input, {} are there", graph.input.len()) };
    let fixed = |dims: &[i64]| dims.iter().copied().map(Some).collect::<Vec<_>>();
    assert_eq!(shape(input), ("input_0".into(), fixed(&[1, 3, 96, 160])), "batch, channels, height, width");
    // Scores come first, boxes second; TensorRT knows them by name, the program by place.
    let outputs: Vec<_> = graph.output.iter().map(shape).collect();
    let scores = ("scores".to_string(), fixed(&[1, anchors, CLASSES as i64]));
    assert_eq!(outputs, [scores, ("boxes".into(), fixed(&[1, anchors, 4]))]);
    // The oldest JetPack that is in use has TensorRT 5: opset 10 and earlier.
    assert!(opset_import.iter().all(|o| o.version <= 10));
    let labels = std::fs::read_to_string(dir.path().join("labels.txt")).unwrap();
    let lines: Vec<&str> = labels.lines().collect();
    assert_eq!((lines.len(), lines[0]), (CLASSES, "BACKGROUND"), "one line for each column of the scores");
    // Scores are probabilities over the columns already: the program only compares them.
    let last = graph.node.iter().find(|n| n.output == ["scores"]).unwrap();
    assert_eq!(last.op_type, "Softmax");
    assert!(graph.node.iter().all(|n| n.op_type != "NonMaxSuppression"), "TensorRT 5 does not know it");
}

#[test]
fn every_form_comes_back_as_the_same_network() {
    let (network, dir) = (narrow_network(), tempfile::tempdir().unwrap());
    let path = dir.path().join("m.onnx");
    for form in FORMS {
        write(&network, &path, SIZE.into(), form);
        let back = import(&path).unwrap_or_else(|e| panic!("{form:?}: {e}"));
        assert!(matches!(back.scope, Scope::Detector), "{form:?}");
        assert_same(&back.network, &network, 0.0);
        assert_eq!(back.network.convention, network.convention, "{form:?}");
        assert_eq!(back.input_size, Some([SIZE, SIZE]), "{form:?}");
        assert_eq!(back.metadata.class_names, Some(class_names(CLASSES)), "{form:?}");
    }
}

fn lite<'a>(names: &'a [String], numbers: TfliteNumbers<'a>, detections: TfliteOutputs) -> TfliteOptions<'a> {
    let (size, coder) = (SIZE.into(), BoxCoder::default());
    TfliteOptions { size, class_names: names, coder, numbers, detections, threshold: Some(0.37), trained_on: None }
}

/// A TFLite file comes back with what its kind of numbers keeps: all, eleven bits, or a 127th of each channel's largest
/// weight.
#[test]
fn tflite_files_come_back_as_the_same_network() {
    let (network, names) = (narrow_network(), class_names(CLASSES));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.tflite");
    let plain = lite(&names, TfliteNumbers::Float32, TfliteOutputs::PostProcess);
    let shown = std::iter::once(pixels(SIZE.into()));
    let calibration = Calibration::of(&network, &path, &plain, Clipping::LeastError, shown).unwrap();
    let int8 = TfliteNumbers::Int8 { calibration: &calibration, input: ByteInput::Unsigned };
    for detections in [TfliteOutputs::PostProcess, TfliteOutputs::Raw] {
        for (numbers, tolerance) in [(TfliteNumbers::Float32, 0.0), (TfliteNumbers::Float16, 1e-3), (int8, 0.0)] {
            export_tflite(&network, &path, &lite(&names, numbers, detections)).unwrap();
            let back = import(&path).unwrap_or_else(|e| panic!("{numbers:?}: {e}"));
            assert!(matches!(back.scope, Scope::Detector), "{numbers:?} {detections:?}");
            assert_eq!(back.classes(), Some(CLASSES));
            assert_eq!(back.network.convention, network.convention, "{numbers:?} {detections:?}: scores and anchors");
            assert_eq!(back.metadata.threshold, Some(0.37), "{numbers:?} {detections:?}");
            if matches!(numbers, TfliteNumbers::Int8 { .. }) {
                assert_rounded(&back.network, &network);
            } else {
                assert_same(&back.network, &network, tolerance);
            }
        }
    }
}

fn assert_rounded(found: &Ssd<ConvWeights>, expected: &Ssd<ConvWeights>) {
    for ((stage, a), (_, b)) in found.convs().into_iter().zip(expected.convs()) {
        assert_eq!(a.spec, b.spec, "{stage:?}");
        let out = b.spec.out_channels;
        let mut most = vec![0f32; out];
        b.weight.iter().enumerate().for_each(|(i, w)| most[i % out] = most[i % out].max(w.abs()));
        for (i, (x, y)) in a.weight.iter().zip(&b.weight).enumerate() {
            let step = most[i % out] / 127.0;
            assert!((x - y).abs() <= 0.51 * step + 1e-6, "{stage:?}: {x} is not {y}, with steps of {step}");
        }
    }
}

/// A form that is not a network any more says so, and which file to give instead.
#[test]
fn a_file_without_heads_says_what_it_is() {
    let (network, dir) = (narrow_network(), tempfile::tempdir().unwrap());
    let path = dir.path().join("m.onnx");
    write(&network, &path, SIZE.into(), Form::Flat);
    let mut model = load(&path);
    let graph = model.graph.as_mut().unwrap();
    // Only the nodes behind the network stay, as a program that cuts graphs leaves them.
    graph.node.retain(|n| n.name.starts_with("nms/") || n.op_type == "Concat");
    std::fs::write(&path, prost::Message::encode_to_vec(&model)).unwrap();
    let error = import(&path).err().expect("a refusal").to_string();
    assert!(error.contains("m.onnx") && error.contains("expected"), "{error}");
}

//! Files that are not what they should be: a clear error each, and never a panic.

use std::path::Path;

use fieldtune::interchange::{ExportOptions, Form, Images, InterchangeError, Verifier, export, import};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto};

use crate::onnx::{SIZE, class_names, load, narrow_network, save};
use crate::onnx_variants::{attribute, floats, graph, node, scramble_names, values};

/// Exports the narrow network, damages the file, and gives the error of importing it.
fn error_after(damage: impl FnOnce(&mut ModelProto)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    save(&narrow_network(), &path, SIZE, Form::RawHeads);
    let mut model = load(&path);
    damage(&mut model);
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let error = import(&path).err().expect("the import must fail").to_string();
    assert!(error.contains("model.onnx") && error.contains("help:"), "{error}");
    error
}

fn tensor<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    graph(model).initializer.iter_mut().find(|t| t.name.ends_with(name)).unwrap()
}

#[test]
fn damaged_models_are_refused_with_the_place() {
    type Damage = fn(&mut ModelProto);
    let cases: [(&str, Damage, &[&str]); 16] = [
        (
            "a weight is missing",
            |m| graph(m).initializer.retain(|t| !t.name.ends_with("_5/depthwise/weights")),
            &["of 52 backbone layers matched", "expanded_conv_5/depthwise", "that the file does not hold"],
        ),
        (
            "a bias is missing",
            |m| graph(m).initializer.retain(|t| !t.name.ends_with("_5/expand/biases")),
            &["bias `FeatureExtractor/MobilenetV2/expanded_conv_5/expand/biases`"],
        ),
        ("a tensor is cut", |m| tensor(m, "Conv_1/weights").raw_data.truncate(7), &["Conv_1/weights", "bytes"]),
        ("dimensions lie", |m| tensor(m, "Conv_1/weights").dims[0] = i64::MAX, &["Conv_1/weights", "dimensions"]),
        ("dimensions are negative", |m| tensor(m, "Conv_1/weights").dims[0] = -1, &["dimension -1"]),
        (
            "channels disagree",
            |m| {
                let t = tensor(m, "expanded_conv_4/project/weights");
                let (o, i) = (t.dims[0] as usize, t.dims[1] as usize);
                *t = floats(&t.name, &[o, i + 8, 1, 1], &vec![0.1; o * (i + 8)]);
            },
            &["expanded_conv_4/project", "expected one that reads the"],
        ),
        (
            "a bias is too long",
            |m| {
                let t = tensor(m, "expanded_conv_4/project/biases");
                *t = floats(&t.name, &[3], &[0.0; 3]);
            },
            &["expanded_conv_4/project/biases", "3 values"],
        ),
        (
            "a weight is not a number",
            |m| {
                let t = tensor(m, "expanded_conv_4/project/weights");
                let mut data = values(t);
                data[5] = f32::NAN;
                *t = floats(&t.name, &t.dims.iter().map(|&d| d as usize).collect::<Vec<_>>(), &data);
            },
            &["expanded_conv_4/project", "not finite"],
        ),
        (
            "a depthwise kernel is huge",
            |m| {
                let t = tensor(m, "expanded_conv_4/depthwise/weights");
                let channels = t.dims[0] as usize;
                *t = floats(&t.name, &[channels, 1, 9, 9], &vec![0.01; channels * 81]);
                let conv = graph(m).node.iter_mut().find(|n| n.name.contains("expanded_conv_4/depthwise"));
                conv.expect("a depthwise node").attribute.retain(|a| a.name != "kernel_shape");
            },
            &["expanded_conv_4/depthwise", "9x9", "at most 7x7"],
        ),
        (
            "external data is gone",
            |m| {
                let t = tensor(m, "Conv_1/weights");
                t.raw_data.clear();
                t.data_location = Some(DataLocation::External as i32);
                t.external_data = vec![StringStringEntryProto { key: "location".into(), value: "weights.bin".into() }];
            },
            &["Conv_1/weights", "weights.bin", "beside the model"],
        ),
        (
            "plain ReLU",
            |m| graph(m).node.iter_mut().filter(|n| n.op_type == "Clip").for_each(|n| n.attribute.truncate(1)),
            &[
                "1 of 52 backbone layers matched (1 %)",
                "clamped to 0..inf",
                "expected a 3x3 Conv at stride 2 with ReLU6",
            ],
        ),
        (
            "a block is missing",
            |m| {
                let out = |i: usize| format!("FeatureExtractor/MobilenetV2/expanded_conv_{i}/add");
                let (from, to) = (out(9), out(8));
                graph(m).node.retain(|n| !n.name.contains("expanded_conv_9/"));
                graph(m)
                    .node
                    .iter_mut()
                    .flat_map(|n| &mut n.input)
                    .filter(|i| **i == from)
                    .for_each(|i| *i = to.clone());
            },
            &["found 16 inverted residuals", "expected 17"],
        ),
        (
            "a stride in the middle is uneven",
            |m| {
                let conv = graph(m).node.iter_mut().find(|n| n.name.ends_with("_5/depthwise")).unwrap();
                *attribute(conv, "strides") = vec![1, 2];
            },
            &["expanded_conv_5/depthwise", "uneven stride"],
        ),
        (
            "pads are absurd",
            |m| {
                let conv = graph(m).node.iter_mut().find(|n| n.name.ends_with("_5/depthwise")).unwrap();
                *attribute(conv, "pads") = vec![i64::MAX, 0, 0, -7];
            },
            &["expanded_conv_5/depthwise", "pads"],
        ),
        ("no graph", |m| m.graph = None, &["without a graph"]),
        (
            "another network",
            |m| {
                let graph = graph(m);
                graph.node = vec![node("Gemm", &["input", "w"], "h"), node("Relu", &["h"], "y")];
                graph.initializer = vec![floats("w", &[4, 4], &[0.0; 16])];
            },
            &["0 of 52", "no convolution that reads an image", "help: give an SSD-MobileNet-V2"],
        ),
    ];
    for (case, damage, said) in cases {
        let error = error_after(damage);
        for words in said {
            assert!(error.contains(words), "{case}: `{words}` is not in\n{error}");
        }
    }
}

#[test]
fn heads_that_are_not_ours_leave_the_backbone_and_a_warning() {
    type Change = fn(&mut ModelProto);
    let cases: [(Change, &str); 4] = [
        (
            |m| {
                let t = tensor(m, "BoxPredictor_3/ClassPredictor/weights");
                let inner = t.dims[1] as usize;
                *t = floats(&t.name, &[7, inner, 1, 1], &vec![0.1; 7 * inner]);
                let t = tensor(m, "BoxPredictor_3/ClassPredictor/biases");
                *t = floats(&t.name, &[7], &[0.0; 7]);
            },
            "no number of classes fits",
        ),
        (
            // No activation between depthwise and 1x1.
            |m| {
                graph(m)
                    .node
                    .iter_mut()
                    .filter(|n| n.op_type == "Clip" && n.name.contains("Conv2d_5_3x3_s2_48_depthwise/"))
                    .for_each(|n| {
                        n.op_type = "Identity".into();
                        n.input.truncate(1);
                    })
            },
            "is no extra of an SSD",
        ),
        (
            |m| graph(m).node.retain(|n| !n.output[0].starts_with("BoxPredictor_2/ClassPredictor")),
            "feature map 2 (node `FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_2_3x3_s2_176`) has 1 predictors",
        ),
        (
            |m| graph(m).node.retain(|n| !n.output[0].starts_with("BoxPredictor_0")),
            "no block's expansion has a linear 1x1 predictor",
        ),
    ];
    for (change, said) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.onnx");
        save(&narrow_network(), &path, SIZE, Form::RawHeads);
        let mut model = load(&path);
        change(&mut model);
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let file = import(&path).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((file.classes(), file.matched.len()), (None, 52), "{said}");
        assert!(file.warnings[0].contains(said), "{:?}", file.warnings);
        assert!(!file.unused.is_empty());
    }
}

#[test]
fn no_cut_and_no_flipped_bit_makes_the_importer_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    save(&narrow_network(), &path, SIZE, Form::RawHeads);
    let mut model = load(&path);
    scramble_names(&mut model);
    let whole = model.encode_to_vec();
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut refused = 0;
    for i in 0..1500 {
        let mut bytes = whole.clone();
        if i % 3 == 0 {
            bytes.truncate(rng.random_range(0..whole.len()));
        } else {
            // The graph's structure stands at the front of the message, the weights behind it.
            let reach = if i % 3 == 1 { 20_000 } else { whole.len() };
            for _ in 0..rng.random_range(1..20) {
                let at = rng.random_range(0..reach);
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        std::fs::write(&path, bytes).unwrap();
        refused += usize::from(import(&path).is_err());
    }
    assert!(refused > 500, "cut files must be refused, {refused} were");
}

#[test]
fn exports_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let names = class_names(narrow_network().classes);
    let good = ExportOptions { images: Images::Fixed(1), ..ExportOptions::raw(SIZE, &names) };
    let refused = |options: &ExportOptions, said: &str| {
        let error = export(&narrow_network(), &path, options).unwrap_err();
        assert!(matches!(error, InterchangeError::Export { .. }) && error.to_string().contains(said), "{error}");
        assert!(!path.exists());
    };
    refused(&ExportOptions { class_names: &names[1..], ..good }, "class names: found 4, expected 5");
    refused(&ExportOptions { size: 0.into(), ..good }, "input size");
    refused(&ExportOptions { form: Form::Ssd, images: Images::Any, ..good }, "images: found Any");
    let mut broken = narrow_network();
    broken.last.bias[3] = f32::INFINITY;
    let error = export(&broken, &path, &good).unwrap_err().to_string();
    assert!(error.contains("Last conv: found a weight that is not a finite number"), "{error}");
    export(&narrow_network(), &path, &good).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the model, its labels and nothing else");
}

#[test]
fn the_verifier_refuses_what_it_cannot_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let fails = |path: &Path| Verifier::load(path, SIZE, 1).err().expect("loading must fail").to_string();
    assert!(fails(&path).contains("model.onnx"));
    save(&narrow_network(), &path, SIZE, Form::RawHeads);
    let mut model = load(&path);
    graph(&mut model).output[0].name = "boxes".into();
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    assert!(fails(&path).contains("expected class_logits and box_encodings"));
    graph(&mut model).output[0].name = "box_encodings".into();
    graph(&mut model).node.retain(|n| n.op_type != "Concat");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    assert!(fails(&path).contains("both computed"));
}

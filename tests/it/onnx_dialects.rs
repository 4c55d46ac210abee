//! Files that were once misread or refused although their network is ours: each kind written from a network of ours,
//! and a run from each that brings a backbone alone.

use fieldtune::boxes::{AnchorRule, ScoreFunction};
use fieldtune::interchange::{Form, Imported, Scope, import};
use fieldtune::model::{Activation, ConvWeights, Padding, Ssd, Stage, ssdlite_mobilenet_v2};
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto};

use crate::onnx::{CLASSES, SIZE, narrow_network, save};
use crate::onnx_variants::{floats, graph, image_bytes, ints, node, raw, scramble_names};
use crate::runs::{basis, succeed, text, training};
use crate::state_dicts::{pth, safetensors, timm, torchvision};

fn through(network: &Ssd<ConvWeights>, rewrite: impl FnOnce(&mut ModelProto)) -> Imported {
    tried(network, rewrite).unwrap_or_else(|e| panic!("{e}"))
}

fn tried(network: &Ssd<ConvWeights>, rewrite: impl FnOnce(&mut ModelProto)) -> Result<Imported, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    save(network, &path, SIZE, Form::RawHeads);
    let mut model = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
    rewrite(&mut model);
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    import(&path).map_err(|e| e.to_string())
}

/// True if all numbers and shapes but those of `skipped` stages are equal.
fn is_same(found: &Ssd<ConvWeights>, expected: &Ssd<ConvWeights>, skipped: impl Fn(Stage) -> bool) -> bool {
    let pairs = found.convs().into_iter().zip(expected.convs()).filter(|((stage, _), _)| !skipped(*stage));
    found.convs().len() == expected.convs().len() && pairs.map(|((_, a), (_, b))| (a, b)).all(|(a, b)| a == b)
}

/// Rewrites every node of a kind.
fn each(model: &mut ModelProto, op: &str, mut rewrite: impl FnMut(&mut ModelProto, NodeProto) -> Vec<NodeProto>) {
    for node in std::mem::take(&mut graph(model).node) {
        let nodes = if node.op_type == op { rewrite(model, node) } else { vec![node] };
        graph(model).node.extend(nodes);
    }
}

#[test]
fn relu6_in_the_words_of_other_programs() {
    let network = narrow_network();
    // Quantised to signed bytes, the range of what was seen: narrower than 6, beginning at the least byte.
    let quantised = through(&network, |model| {
        graph(model).initializer.push(floats("step", &[], &[5.876 / 255.0]));
        graph(model).initializer.push(raw("least", &[], DataType::Int8, vec![128]));
        each(model, "Clip", |_, clip| {
            let bytes = format!("{}/bytes", clip.output[0]);
            vec![
                node("QuantizeLinear", &[&clip.input[0], "step", "least"], &bytes),
                node("DequantizeLinear", &[&bytes, "step", "least"], &clip.output[0]),
            ]
        });
    });
    assert!(is_same(&quantised.network, &network, |_| false));
    // A symmetric quantiser clamps nothing at zero.
    let symmetric = tried(&network, |model| {
        graph(model).initializer.push(floats("step", &[], &[5.876 / 255.0]));
        graph(model).initializer.push(raw("least", &[], DataType::Int8, vec![0]));
        each(model, "Clip", |_, clip| {
            let bytes = format!("{}/bytes", clip.output[0]);
            vec![
                node("QuantizeLinear", &[&clip.input[0], "step", "least"], &bytes),
                node("DequantizeLinear", &[&bytes, "step", "least"], &clip.output[0]),
            ]
        });
    });
    assert!(symmetric.err().expect("a range around zero is no ReLU6").contains("with ReLU6"));
    // The bound as a constant with a number for each channel.
    let wide = through(&network, |model| {
        each(model, "Clip", |model, clip| {
            let scope = clip.input[0].trim_end_matches("/conv").to_owned();
            let channels =
                graph(model).initializer.iter().find(|t| t.name == format!("{scope}/biases")).unwrap().dims[0];
            let (half, bound) = (format!("{scope}/half"), format!("{scope}/sixes"));
            let sixes = floats(&bound, &[1, channels as usize, 1, 1], &vec![6.0; channels as usize]);
            graph(model).initializer.push(sixes);
            vec![node("Relu", &[&clip.input[0]], &half), node("Min", &[&half, &bound], &clip.output[0])]
        });
    });
    assert!(is_same(&wide.network, &network, |_| false));
    // onnxruntime's convolution with the activation inside.
    let fused = through(&network, |model| {
        let ends: std::collections::HashMap<String, String> = graph(model)
            .node
            .iter()
            .filter(|n| n.op_type == "Clip")
            .map(|n| (n.input[0].clone(), n.output[0].clone()))
            .collect();
        each(model, "Conv", |_, mut conv| {
            if let Some(end) = ends.get(&conv.output[0]) {
                conv.output[0] = end.clone();
                (conv.op_type, conv.domain) = ("FusedConv".into(), "com.microsoft".into());
                let s = b"Clip".to_vec();
                conv.attribute.push(AttributeProto { name: "activation".into(), r#type: 3, s, ..Default::default() });
                let floats = vec![0.0, 6.0];
                let name = "activation_params".into();
                conv.attribute.push(AttributeProto { name, r#type: 6, floats, ..Default::default() });
            }
            vec![conv]
        });
        each(model, "Clip", |_, _| vec![]);
    });
    assert!(is_same(&fused.network, &network, |_| false));
}

#[test]
fn files_of_one_runtime_are_told_which_file_to_give() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    for (op, domain, said) in [
        ("QLinearConv", "", "QDQ form"),
        ("ConvInteger", "", "the float model it was made from"),
        ("Conv", "com.microsoft.nchwc", "optimised for one processor"),
        ("Conv", "com.ms.internal.nhwc", "optimised for one processor"),
    ] {
        save(&narrow_network(), &path, SIZE, Form::RawHeads);
        let mut model = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
        each(&mut model, "Conv", |_, mut conv| {
            (conv.op_type, conv.domain) = (op.into(), domain.into());
            vec![conv]
        });
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let error = import(&path).err().expect("refused").to_string();
        assert!(error.contains(said) && error.contains("help: give the file"), "{error}");
    }
}

#[test]
fn a_reshape_to_the_shape_that_is_there_is_passed_over() {
    let network = narrow_network();
    // As tf2onnx leaves it on maps of one cell, where a pair of transposes became a Reshape.
    let file = through(&network, |model| {
        let at = "FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_5_3x3_s2_48_depthwise/relu6";
        let channels = graph(model)
            .initializer
            .iter()
            .find(|t| t.name.ends_with("Conv2d_5_3x3_s2_48_depthwise/biases"))
            .map(|t| t.dims[0])
            .unwrap();
        let data: Vec<u8> = [1, channels, 1, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
        graph(model).initializer.push(raw("same", &[4], DataType::Int64, data));
        each(model, "Conv", |_, mut conv| {
            if conv.input[0] != at {
                return vec![conv];
            }
            conv.input[0] = "seen".into();
            vec![node("Reshape", &[at, "same"], "seen"), conv]
        });
    });
    assert_eq!(file.scope, Scope::Detector, "{:?}", file.warnings);
    assert!(is_same(&file.network, &network, |_| false));
}

#[test]
fn scores_and_anchors_are_those_of_the_file() {
    let mut network = narrow_network();
    for (op, expected) in [("Sigmoid", ScoreFunction::Sigmoid), ("Softmax", ScoreFunction::Softmax)] {
        let file = through(&network, |model| {
            graph(model).node.push(node(op, &["class_logits"], "scores"));
            graph(model).output[1].name = "scores".into();
            scramble_names(model);
        });
        assert_eq!(file.network.convention.scores, expected);
        assert!(!file.warnings[0].contains("scores"), "{:?}", file.warnings);
    }
    // Our own metadata wins, and the Jetson form of a sigmoid network says sigmoid in its graph as well.
    network.convention.scores = ScoreFunction::Sigmoid;
    assert_eq!(through(&network, |_| {}).network.convention.scores, ScoreFunction::Sigmoid);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jetson.onnx");
    save(&network, &path, SIZE, Form::Jetson);
    let mut model = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
    scramble_names(&mut model);
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let file = import(&path).unwrap();
    assert_eq!(file.network.convention.scores, ScoreFunction::Sigmoid);
    assert!(!file.warnings[0].contains("anchors"), "the constants of its decoding say: {:?}", file.warnings);
    assert!(is_same(&file.network, &network, |_| false));
}

/// The narrow network as pytorch-ssd shapes it: padded by 1, six anchors on map 0, linear extras, depthwise heads.
fn pytorch_like() -> Ssd<ConvWeights> {
    let mut network = narrow_network();
    for (_, conv) in network.convs_mut() {
        if conv.spec.stride == 2 {
            conv.spec.padding = Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 };
        }
    }
    let head = &mut network.heads[0];
    head.anchors_per_cell = 6;
    for (predictor, columns) in [(&mut head.box_predictor, 4), (&mut head.class_predictor, CLASSES)] {
        let twice: Vec<f32> = predictor.weight.chunks_exact(3 * columns).flat_map(|row| [row, row].concat()).collect();
        predictor.weight = twice;
        predictor.bias = [predictor.bias.clone(), predictor.bias.clone()].concat();
        predictor.spec.out_channels *= 2;
        predictor.scale = vec![1.0; predictor.spec.out_channels];
    }
    for extra in &mut network.extras {
        extra.expand.as_mut().unwrap().spec.activation = Activation::Linear;
    }
    network.convention.anchors = AnchorRule::PytorchSsd;
    network
}

#[test]
fn pytorch_ssds_detectors_come_in_with_its_anchors_and_order() {
    let network = pytorch_like();
    let file = through(&network, scramble_names);
    assert_eq!(file.scope, Scope::Detector, "{:?}", file.warnings);
    assert_eq!(file.network.convention.anchors, AnchorRule::PytorchSsd);
    assert_eq!(file.network.convention.scores, ScoreFunction::Softmax);
    assert!(file.warnings[0].contains("boxes coded tx, ty, tw, th"), "{:?}", file.warnings);
    // Its image is (p - 127) / 128, which is folded into the stem.
    assert!(file.warnings[0].contains("(p - 127) / 128"), "{:?}", file.warnings);
    assert!(is_same(&file.network, &network, |stage| matches!(stage, Stage::Stem | Stage::BoxHead(_))));
    // ty of ours is the second of theirs.
    for (head, theirs) in file.network.heads.iter().zip(&network.heads) {
        let (ours, theirs) = (&head.box_predictor, &theirs.box_predictor);
        for (a, b) in ours.bias.chunks_exact(4).zip(theirs.bias.chunks_exact(4)) {
            assert_eq!(a, [b[1], b[0], b[3], b[2]]);
        }
    }
}

#[test]
fn our_own_file_keeps_its_order_with_pytorch_ssds_anchors() {
    let network = pytorch_like();
    let file = through(&network, |_| {});
    assert_eq!(file.network.convention, network.convention);
    assert!(is_same(&file.network, &network, |_| false), "{:?}", file.warnings);
}

#[test]
fn what_a_graph_does_to_its_image_goes_into_the_stem() {
    let network = narrow_network();
    let file = through(&network, |model| {
        image_bytes(model);
        // ImageNet's numbers instead of [-1, 1].
        for (name, dims, values) in [
            ("factor", vec![3], vec![1.0 / (255.0 * 0.229), 1.0 / (255.0 * 0.224), 1.0 / (255.0 * 0.225)]),
            ("one", vec![3], vec![0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225]),
        ] {
            *graph(model).initializer.iter_mut().find(|t| t.name == name).unwrap() = floats(name, &dims, &values);
        }
    });
    assert!(file.normalisation.stated && file.repairs.iter().any(|r| r.contains("normalisation")), "{}", file.render());
    assert!(is_same(&file.network, &network, |stage| stage == Stage::Stem));
    let out = network.stem.spec.out_channels;
    for (i, (a, b)) in file.network.stem.weight.iter().zip(&network.stem.weight).enumerate() {
        let expected = b * [0.5 / 0.229, 0.5 / 0.224, 0.5 / 0.225][i / out % 3] as f32;
        assert!((a - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{a} is not {expected}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let change = |name: &str, attribute: &str, values: &[i64]| {
        save(&narrow_network(), &path, SIZE, Form::RawHeads);
        let mut model = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
        let conv = graph(&mut model).node.iter_mut().find(|n| n.name == name).unwrap();
        conv.attribute.retain(|a| a.name != attribute);
        conv.attribute.push(ints(attribute, values));
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        import(&path).map(|_| ()).map_err(|e| e.to_string())
    };
    let residual = "FeatureExtractor/MobilenetV2/expanded_conv_2/depthwise";
    for pads in [[0, 0, 0, 0], [3, 1, 1, 1]] {
        let error = change(residual, "pads", &pads).unwrap_err();
        assert!(error.contains("expanded_conv_2/project") && error.contains("a residual from"), "{error}");
    }
    let head = "BoxPredictor_2/ClassPredictor_depthwise";
    let error = change(head, "pads", &[2, 2, 2, 2]).unwrap_err();
    assert!(error.contains("BoxPredictor_2/ClassPredictor") && error.contains("a predictor of"), "{error}");
    let error = change(head, "pads", &[0, 0, 0, 0]).unwrap_err();
    assert!(error.contains(head), "{error}");
}

#[test]
fn files_that_broke_a_later_step_are_refused_or_run() {
    let Some(folder) = crate::shared::shared("hostile/06-onnx-panics") else { return };
    for case in ["11677", "1682", "335", "90340"] {
        let path = folder.join(case).join("a.onnx");
        match import(&path) {
            Err(error) => assert!(error.to_string().contains("help:"), "{case}: {error}"),
            Ok(file) => {
                let specs = file.network.specs();
                let [h, w] = file.input_size.unwrap_or([SIZE, SIZE]);
                let anchors = if file.classes().is_some() { specs.anchors([h, w]).unwrap().len() } else { 0 };
                let model = fieldtune::model::SsdModel::for_inference(&file.network);
                if anchors > 0 {
                    let image = fieldtune::ops::tensor(vec![0.0; h * w * 3], [1, h, w, 3]);
                    assert_eq!(model.forward(image).logits.dims()[1], anchors, "{case}");
                }
            }
        }
    }
}

/// Two epochs from each kind of file that has a backbone alone: nothing panics, and the exported detector is verified.
#[test]
fn a_backbone_alone_trains() {
    let network = narrow_network();
    let dir = tempfile::tempdir().unwrap();
    let [photos, _] = basis();
    let classifier = {
        let path = dir.path().join("classifier.onnx");
        save(&network, &path, SIZE, Form::RawHeads);
        let mut model = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
        crate::onnx_variants::classifier(&mut model, "FeatureExtractor/MobilenetV2/Conv_1/relu6");
        scramble_names(&mut model);
        model.encode_to_vec()
    };
    let files = [
        ("ours.onnx", classifier),
        ("torchvision.pth", pth(&torchvision(&network))),
        ("timm.safetensors", safetensors(&timm(&network))),
    ];
    assert_eq!(ssdlite_mobilenet_v2(0.35, CLASSES, true).blocks.len(), network.blocks.len());
    for (name, bytes) in files {
        let weights = dir.path().join(name);
        std::fs::write(&weights, bytes).unwrap();
        let out = dir.path().join(format!("{name}-runs"));
        let basis = [photos.clone(), text(&weights).to_string()];
        succeed(&training(&basis, &out, &["--epochs", "2", "--threads", "1", "--seed", "1"]));
        let best = out.join("run/weights/best.onnx");
        let file = import(&best).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((file.scope, file.warnings.len()), (Scope::Detector, 0), "{name}");
        let about: serde_json::Value = serde_json::from_str(&succeed(&["inspect", text(&weights), "--json"])).unwrap();
        assert!(about["what"].as_str().unwrap().starts_with("the backbone of a MobileNetV2"), "{about}");
    }
}

//! Networks go out to ONNX and come back, from our own files and from the forms that other exporters write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use fieldtune::boxes::{AnchorRule, InputSize, ScoreFunction};
use fieldtune::interchange::{ExportOptions, Form, Imported, Role, Scope, Verifier, export, import, verify};
use fieldtune::model::{ConvWeights, Padding, Ssd, SsdModel, Stage, initialise, ssdlite_mobilenet_v2};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tract_onnx::pb::{GraphProto, ModelProto};

use crate::onnx_variants as variants;
use crate::shared::shared;

/// The difference that float32 makes in another order.
const ROUNDING: f32 = 1e-4;

pub const CLASSES: usize = 6;
pub const SIZE: usize = 96;

pub fn narrow_network() -> Ssd<ConvWeights> {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let shape = ssdlite_mobilenet_v2(0.35, CLASSES, true);
    let mut network = shape.map(|stage, spec| {
        let mut conv = initialise(spec, &mut rng);
        conv.bias.iter_mut().for_each(|b| *b = rng.random_range(-0.3..0.3));
        if matches!(stage, Stage::BoxHead(_) | Stage::ClassHead(_)) {
            conv.weight.iter_mut().for_each(|w| *w *= 10.0);
        }
        conv
    });
    cut_unread_taps(&mut network);
    network
}

/// At [`SIZE`], maps 3 to 5 have one cell: files leave out the taps of a depthwise that only see padding there.
fn cut_unread_taps(network: &mut Ssd<ConvWeights>) {
    let extras = network.extras[2..].iter_mut().map(|extra| &mut extra.spatial);
    let heads = network.heads[3..].iter_mut().flat_map(|h| h.box_depthwise.iter_mut().chain(&mut h.class_depthwise));
    for conv in extras.chain(heads) {
        let channels = conv.spec.out_channels;
        for (tap, weights) in conv.weight.chunks_exact_mut(channels).enumerate() {
            if tap != 4 {
                weights.fill(0.0);
            }
        }
    }
}

pub fn class_names(classes: usize) -> Vec<String> {
    (1..classes).map(|i| format!("thing {i}")).collect()
}

pub fn save(network: &Ssd<ConvWeights>, path: &Path, size: impl Into<InputSize>, form: Form) {
    let names = class_names(network.classes);
    let options = ExportOptions { form, ..ExportOptions::raw(size, &names) };
    export(network, path, &options).unwrap_or_else(|e| panic!("{e}"));
}

pub fn load(path: &Path) -> ModelProto {
    ModelProto::decode(std::fs::read(path).unwrap().as_slice()).unwrap()
}

pub fn imported(path: &Path) -> Imported {
    import(path).unwrap_or_else(|e| panic!("{e}"))
}

/// Exports the narrow network, rewrites the file, and imports what comes out.
fn through(rewrite: impl FnOnce(&mut ModelProto)) -> Imported {
    through_from(&narrow_network(), rewrite)
}

fn through_from(network: &Ssd<ConvWeights>, rewrite: impl FnOnce(&mut ModelProto)) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    save(network, &path, SIZE, Form::RawHeads);
    let mut model = load(&path);
    rewrite(&mut model);
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    imported(&path)
}

pub fn assert_same(found: &Ssd<ConvWeights>, expected: &Ssd<ConvWeights>, tolerance: f32) {
    let shape = |n: &Ssd<ConvWeights>| (n.tap, n.classes, n.extras.len(), n.heads.len(), n.convs().len());
    assert_eq!(shape(found), shape(expected));
    assert!(found.blocks.iter().map(|b| b.residual).eq(expected.blocks.iter().map(|b| b.residual)));
    for ((stage, a), (_, b)) in found.convs().into_iter().zip(expected.convs()) {
        assert_eq!(a.spec, b.spec, "{stage:?}");
        for (x, y) in a.weight.iter().zip(&b.weight).chain(a.bias.iter().zip(&b.bias)) {
            assert!((x - y).abs() <= tolerance * y.abs().max(1.0), "{stage:?}: {x} is not {y}");
        }
        assert!(a.scale.iter().all(|&s| s == 1.0));
    }
}

/// The network with the weights that a lossy form of the file holds, by TensorFlow name.
fn with_weights(mut network: Ssd<ConvWeights>, file: &Imported, seen: &HashMap<String, Vec<f32>>) -> Ssd<ConvWeights> {
    for ((_, conv), m) in network.convs_mut().into_iter().zip(&file.matched) {
        let stored = &m.tensors[0].name;
        let name = stored.rsplit_once('/').map_or("", |(scope, _)| scope);
        let (oihw, out) = (&seen[name], conv.spec.out_channels);
        let taps = conv.spec.kernel[0] * conv.spec.kernel[1];
        if oihw.len() == out && taps == 9 {
            // A kernel on a map of one cell: the file holds its middle.
            conv.weight[4 * out..5 * out].copy_from_slice(oihw);
            continue;
        }
        let inner = oihw.len() / out / taps;
        for (i, &w) in oihw.iter().enumerate() {
            let (o, rest) = (i / (inner * taps), i % (inner * taps));
            conv.weight[(rest % taps * inner + rest / taps) * out + o] = w;
        }
    }
    network
}

fn weight_files() -> Vec<PathBuf> {
    let file = |start| shared(&format!("weights/ssdlite_mobilenet_v2_300_91c_{start}_backbone_RANDOM_heads.onnx"));
    ["imagenet", "coco"].into_iter().filter_map(file).collect()
}

pub fn random_images(n: usize, size: usize) -> Vec<f32> {
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    (0..n * size * size * 3).map(|_| rng.random_range(-1.0..1.0)).collect()
}

#[test]
fn the_published_files_match_whole() {
    for path in weight_files() {
        let file = imported(&path);
        assert_eq!((file.tensor_count(), file.parameter_count()), (176, 4_475_167));
        assert_eq!((file.classes(), file.input_size), (Some(91), Some([300, 300])));
        assert_eq!((file.scope.clone(), file.network.tap), (Scope::Detector, 13));
        assert!(file.unused.is_empty() && file.repairs.is_empty(), "{}", file.render());
        // The file has raw logits and names no rule: what is assumed is told, once.
        let [warning] = &file.warnings[..] else { panic!("{}", file.render()) };
        assert!(warning.contains("assumed: sigmoid scores, anchors by the rule tf-ssd"), "{warning}");
        let shape = ssdlite_mobilenet_v2(1.0, 91, false);
        assert!(file.network.convs().iter().zip(shape.convs()).all(|((_, a), (_, b))| a.spec == *b));
        let head = file.matched.iter().find(|m| m.stage == Stage::ClassHead(2) && m.role == Role::Predictor).unwrap();
        assert_eq!(head.tensors[0].name, "BoxPredictor_2/ClassPredictor/weights");
        assert_eq!(file.render().matches(" <- ").count(), 176);
    }
}

#[test]
fn a_published_file_comes_out_again_with_equal_bits_and_equal_outputs() {
    let dir = tempfile::tempdir().unwrap();
    for path in weight_files() {
        let ours = dir.path().join("again.onnx");
        save(&imported(&path).network, &ours, 300, Form::RawHeads);
        let (before, after) = (load(&path).graph.unwrap(), load(&ours).graph.unwrap());
        for tensor in before.initializer.iter().filter(|t| t.name.contains('/')) {
            let written = after.initializer.iter().find(|t| t.name == tensor.name).expect(&tensor.name);
            if written.dims == tensor.dims {
                assert!(written == tensor, "{} differs", tensor.name);
            } else {
                // The last map has one cell: of the kernels on it the middle is written.
                assert!(tensor.name.starts_with("BoxPredictor_5") && written.dims[2..] == [1, 1], "{}", tensor.name);
                let middle = tensor.raw_data.chunks_exact(36).flat_map(|kernel| &kernel[16..20]);
                assert!(middle.eq(&written.raw_data), "{} differs", tensor.name);
            }
        }
        let made = |graph: &GraphProto| {
            let mut made: Vec<_> = graph.node.iter().map(|n| (n.output.clone(), n.op_type.clone())).collect();
            made.sort();
            made
        };
        assert_eq!(made(&before), made(&after));
        assert!(before.input == after.input && before.output == after.output);
        let images = random_images(2, 300);
        let theirs = Verifier::load(&path, 300, 2).and_then(|v| v.run(&images, 2)).unwrap_or_else(|e| panic!("{e}"));
        let difference = verify(&ours, &images, 2, 300, &theirs.logits, &theirs.deltas).unwrap();
        assert!(difference.logits <= ROUNDING && difference.deltas <= ROUNDING, "{difference:?}");
    }
}

#[test]
fn the_trainers_own_forward_agrees_with_tract() {
    let network = narrow_network();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    save(&network, &path, SIZE, Form::RawHeads);
    let images = random_images(3, SIZE);
    let device = fieldtune::ops::device();
    let tensor = Tensor::<4>::from_data(TensorData::new(images.clone(), [3, SIZE, SIZE, 3]), &device);
    let ours = SsdModel::for_inference(&network).forward(tensor);
    let [logits, deltas] = [ours.logits, ours.deltas].map(|t| t.into_data().try_to_vec::<f32>().unwrap());
    assert!(logits.iter().any(|v| v.abs() > 0.1), "the test network must say something");
    let verifier = Verifier::load(&path, SIZE, 2).unwrap();
    let difference = verifier.compare(&images, 3, &logits, &deltas).unwrap();
    assert!(difference.logits <= ROUNDING && difference.deltas <= ROUNDING, "{difference:?}");
    let wrong = verifier.compare(&images, 3, &logits[1..], &deltas).unwrap_err().to_string();
    assert!(wrong.contains("logits: found"), "{wrong}");
}

#[test]
fn our_file_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    save(&narrow_network(), &path, SIZE, Form::RawHeads);
    let about = imported(&path).metadata;
    assert_eq!(about.class_names, Some(class_names(CLASSES)));
    assert_eq!(
        (about.input_size, about.anchors),
        (Some(InputSize::square(SIZE)), Some(AnchorRule::Tf { reduced_lowest: true }))
    );
    assert_eq!(about.scores, Some(ScoreFunction::Softmax));
    assert_eq!(about.variances, Some([0.1, 0.1, 0.2, 0.2]));
    assert!(about.producer.unwrap().starts_with("fieldtune "));
    let labels = std::fs::read_to_string(dir.path().join("labels.txt")).unwrap();
    assert_eq!(labels.lines().take(2).collect::<Vec<_>>(), ["BACKGROUND", "thing 1"]);
    assert_eq!(labels.lines().count(), CLASSES);
}

#[test]
fn scales_are_folded_on_the_way_out() {
    let folded = narrow_network();
    let mut unfolded = narrow_network();
    unfolded.convs_mut().into_iter().for_each(|(_, conv)| conv.unfold());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    save(&unfolded, &path, SIZE, Form::RawHeads);
    assert_same(&imported(&path).network, &folded, 1e-6);
}

#[test]
fn every_exporters_form_is_the_same_network() {
    let network = narrow_network();
    type Rewrite = fn(&mut ModelProto);
    let forms: [(&str, Rewrite, f32); 12] = [
        ("as written", |_| {}, 0.0),
        ("names scrambled", variants::scramble_names, 0.0),
        ("batch norm apart", variants::unfold_batch_norm, 1e-5),
        ("NHWC with transposes", variants::nhwc, 0.0),
        ("clip attributes", variants::clip_attributes, 0.0),
        ("other ways to say ReLU6", variants::other_relu6, 0.0),
        ("ReLU6 left to quantisation", variants::quantized_activations, 0.0),
        ("pads apart", variants::separate_pads, 0.0),
        ("automatic pads", variants::automatic_pads, 0.0),
        ("constant nodes", variants::constant_nodes, 0.0),
        ("bytes in, normalised inside", variants::image_bytes, 0.0),
        (
            "all of it",
            |model| {
                variants::unfold_batch_norm(model);
                variants::other_relu6(model);
                variants::separate_pads(model);
                variants::image_bytes(model);
                variants::constant_nodes(model);
                variants::scramble_names(model);
            },
            1e-5,
        ),
    ];
    for (form, rewrite, tolerance) in forms {
        eprintln!("{form}");
        let file = through(rewrite);
        assert_eq!(file.scope, Scope::Detector, "{form}: {:?}", file.warnings);
        assert_same(&file.network, &network, tolerance);
        // Without our metadata something is assumed, in one line.
        let assumed = file.warnings.iter().filter(|w| w.contains("assumed")).count();
        let all = usize::from(file.metadata.producer.is_none());
        assert_eq!((file.warnings.len(), assumed), (all, all), "{form}: {:?}", file.warnings);
        assert_eq!(file.input_size, Some([SIZE, SIZE]), "{form}");
    }
}

#[test]
fn batch_norm_tensors_are_listed_with_their_convolution() {
    let file = through(variants::unfold_batch_norm);
    assert!(file.matched.iter().all(|m| m.tensors.len() == 5));
    assert!(file.render().contains("stem conv                <- FeatureExtractor/MobilenetV2/Conv/conv/gamma [16]"));
}

#[test]
fn stored_weights_of_fewer_bits_are_read_as_what_they_stand_for() {
    let mut seen = HashMap::new();
    let file = through(|model| variants::quantize_weights(model, &mut seen));
    assert_same(&file.network, &with_weights(narrow_network(), &file, &seen), 0.0);
    let mut seen = HashMap::new();
    let file = through(|model| variants::half_weights(model, &mut seen));
    assert_same(&file.network, &with_weights(narrow_network(), &file, &seen), 0.0);
}

#[test]
fn heads_without_depthwise_are_heads() {
    let mut network = narrow_network();
    for head in &mut network.heads {
        (head.box_depthwise, head.class_depthwise) = (None, None);
    }
    let file = through_from(&network, variants::scramble_names);
    assert_eq!(file.scope, Scope::Detector);
    assert_same(&file.network, &network, 0.0);
}

#[test]
fn box_and_class_heads_are_told_apart_when_arithmetic_cannot() {
    let with = |classes| {
        let mut network = narrow_network();
        network.renew_class_predictors(classes, &mut Pcg64Mcg::seed_from_u64(5));
        network
    };
    for classes in [2, 8, 12] {
        let file = through_from(&with(classes), variants::scramble_names);
        assert_eq!(file.classes(), Some(classes), "{:?}", file.warnings);
        assert_same(&file.network, &with(classes), 0.0);
    }
    // With four columns both heads look the same and only the outputs' names are left to tell.
    assert_same(&through_from(&with(4), |_| {}).network, &with(4), 0.0);
    let file = through_from(&with(4), variants::scramble_names);
    assert!(file.classes().is_none() && file.warnings[0].contains("cannot be told apart"), "{:?}", file.warnings);
}

#[test]
fn symmetric_padding_stays_symmetric() {
    let mut network = narrow_network();
    for (_, conv) in network.convs_mut() {
        if conv.spec.stride == 2 {
            conv.spec.padding = Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 };
        }
    }
    for rewrite in [variants::scramble_names, variants::separate_pads, variants::open_size] {
        assert_same(&through_from(&network, rewrite).network, &network, 0.0);
    }
}

#[test]
fn an_open_input_size_does_not_hide_the_padding_rule() {
    for pads in [variants::open_size, |model: &mut ModelProto| {
        variants::automatic_pads(model);
        variants::open_size(model);
    }] {
        let file = through(pads);
        assert_eq!(file.input_size, None);
        assert_same(&file.network, &narrow_network(), 0.0);
    }
}

#[test]
fn trimmed_kernels_are_put_back() {
    let network = narrow_network();
    let maps = ssdlite_mobilenet_v2(0.35, CLASSES, true).map_sizes([SIZE, SIZE]);
    assert_eq!(maps[2..], [[2, 2], [1, 1], [1, 1], [1, 1]]);
    let side = |name: &str| {
        let extra = name.split("layer_19_2_Conv2d_").nth(1).and_then(|rest| rest.chars().next()?.to_digit(10));
        let head = name.split("BoxPredictor_").nth(1).and_then(|rest| rest.chars().next()?.to_digit(10));
        extra.map(|e| maps[e as usize - 1][0]).or(head.map(|h| maps[h as usize][0]))
    };
    let file = through(|model| variants::trim_kernels(model, side));
    let [repair] = &file.repairs[..] else { panic!("{:?}", file.repairs) };
    // Kernels of maps with one cell miss nothing that could have been read.
    assert!(
        repair.contains("trimmed") && repair.matches(" 1x1").count() + repair.matches(" 2x2").count() == 1,
        "{repair}"
    );
    let dir = tempfile::tempdir().unwrap();
    let [whole, back] = ["whole.onnx", "back.onnx"].map(|name| dir.path().join(name));
    save(&network, &whole, SIZE, Form::RawHeads);
    save(&file.network, &back, SIZE, Form::RawHeads);
    let images = random_images(1, SIZE);
    let expected = Verifier::load(&whole, SIZE, 1).unwrap().run(&images, 1).unwrap();
    let difference = verify(&back, &images, 1, SIZE, &expected.logits, &expected.deltas).unwrap();
    assert_eq!((difference.logits, difference.deltas), (0.0, 0.0));
    for (_, conv) in file.network.convs() {
        assert!(conv.spec.kernel == [3, 3] || conv.spec.kernel == [1, 1] && conv.weight.len() >= 8);
    }
}

#[test]
fn a_classifier_gives_its_backbone_and_says_so() {
    let file = through(|model| {
        variants::classifier(model, "FeatureExtractor/MobilenetV2/Conv_1/relu6");
        variants::scramble_names(model);
    });
    let Scope::Backbone { why } = &file.scope else { panic!("no heads were there") };
    assert!(why.contains("classifier"), "{why}");
    assert_eq!((file.classes(), file.network.tap), (None, 13));
    assert_eq!(file.matched.len(), 52);
    let mut expected = narrow_network();
    (expected.extras, expected.heads, expected.classes) = (vec![], vec![], 0);
    assert_same(&file.network, &expected, 0.0);
    assert!(file.render().contains("only the backbone is used"));
}

//! Files written for other programs, run by engines that share nothing with the writer.

use std::path::Path;

use fieldtune::boxes::{Anchors, BoxCoder, CornerBox};
use fieldtune::eval::PostProcessor;
use fieldtune::interchange::{
    ByteInput, Calibration, Clipping, ExportOptions, Form, Images, Interpreter, Opset, Outputs, TfliteNumbers,
    TfliteOptions, TfliteOutputs, Verifier, export, export_tflite, import, verify,
};
use fieldtune::model::{ConvWeights, Padding, Ssd, ssdlite_mobilenet_v2};
use tract_onnx::prelude::*;

use crate::onnx::{CLASSES, SIZE, assert_same, class_names, imported, load, narrow_network, random_images, save};

/// The difference that float32 makes in another order.
const ROUNDING: f32 = 1e-4;

fn write(network: &Ssd<ConvWeights>, path: &Path, form: Form, opset: Opset) {
    let names = class_names(network.classes);
    let options = ExportOptions {
        images: Images::Fixed(1),
        form,
        opset,
        thresholds: Some((0.37, &[Some(0.5), None, Some(0.25), None, None])),
        ..ExportOptions::raw(SIZE, &names)
    };
    export(network, path, &options).unwrap_or_else(|e| panic!("{e}"));
}

fn pixels() -> Vec<u8> {
    random_images(1, SIZE).iter().map(|v| ((v + 1.0) * 127.5) as u8).collect()
}

fn normalised(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|&p| f32::from(p) / 127.5 - 1.0).collect()
}

fn raw(network: &Ssd<ConvWeights>, images: &[f32]) -> Outputs {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raw.onnx");
    save(network, &path, SIZE, Form::RawHeads);
    Verifier::load(&path, SIZE, 1).unwrap().run(images, images.len() / (3 * SIZE * SIZE)).unwrap()
}

#[test]
fn every_opset_computes_the_same_and_says_the_same() {
    let (network, dir) = (narrow_network(), tempfile::tempdir().unwrap());
    let images = random_images(1, SIZE);
    let expected = raw(&network, &images);
    for version in [10, 11, 13, 18] {
        let path = dir.path().join(format!("{version}.onnx"));
        write(&network, &path, Form::RawHeads, Opset::new(version).unwrap());
        let difference = verify(&path, &images, 1, SIZE, &expected.logits, &expected.deltas).unwrap();
        assert_eq!((difference.logits, difference.deltas), (0.0, 0.0), "opset {version}");
        let model = load(&path);
        assert_eq!(model.opset_import[0].version, i64::from(version));
        assert!(model.doc_string.contains("class_logits") && model.doc_string.lines().count() >= 8);
        let graph = model.graph.unwrap();
        assert!(graph.node.iter().all(|n| !n.name.is_empty()), "opset {version}");
        let about = import(&path).unwrap().metadata;
        assert_eq!(about.threshold, Some(0.37));
        assert_eq!(about.class_thresholds.unwrap()[..3], [Some(0.5), None, Some(0.25)]);
    }
    assert!(Opset::new(9).is_none() && Opset::new(19).is_none());
}

/// The form's one output for an image of pixel values.
fn rows(path: &Path, pixels: &[u8]) -> Vec<[f32; 7]> {
    let mut planar = vec![0.0; pixels.len()];
    for (i, &v) in pixels.iter().enumerate() {
        planar[i % 3 * SIZE * SIZE + i / 3] = f32::from(v);
    }
    let plan = tract_onnx::onnx().model_for_path(path).unwrap().into_optimized().unwrap().into_runnable().unwrap();
    let image = Tensor::from_shape(&[1, 3, SIZE, SIZE], &planar).unwrap();
    let outputs = plan.run(tvec!(image.into())).unwrap();
    let values: Vec<f32> = outputs[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect();
    values.as_chunks().0.to_vec()
}

#[test]
fn the_forms_with_suppression_find_what_our_detector_finds() {
    let (network, dir) = (narrow_network(), tempfile::tempdir().unwrap());
    let pixels = pixels();
    let outputs = raw(&network, &normalised(&pixels));
    let detector = PostProcessor::new(network.specs().anchors([SIZE, SIZE]).unwrap(), network.convention.scores);
    let expected = detector.detect(&outputs.logits, &outputs.deltas);
    assert!(expected.len() >= 20, "the test network must find something, it found {}", expected.len());
    for opset in [10, 18] {
        let [ssd, flat] = ["ssd.onnx", "flat.onnx"].map(|name| dir.path().join(name));
        write(&network, &ssd, Form::Ssd, Opset::new(opset).unwrap());
        write(&network, &flat, Form::Flat, Opset::new(opset).unwrap());
        for (form, path) in [(Form::Ssd, &ssd), (Form::Flat, &flat)] {
            let side = SIZE as f32;
            let found: Vec<_> = rows(path, &pixels)
                .into_iter()
                .filter_map(|[a, b, c, d, e, f, g]| match form {
                    Form::Ssd => (a >= 0.0).then_some((b - 1.0, c, [d, e, f, g])),
                    _ => (g >= 0.0).then_some((g, f, [b / side, c / side, d / side, e / side])),
                })
                .collect();
            assert_eq!(found.len(), expected.len(), "{form:?}");
            for ((class, score, [x0, y0, x1, y1]), e) in found.into_iter().zip(&expected) {
                assert!(class == e.class as f32 && (f64::from(score) - e.score).abs() < 1e-5, "{form:?}");
                let pairs = [(x0, e.bbox.x0), (y0, e.bbox.y0), (x1, e.bbox.x1), (y1, e.bbox.y1)];
                assert!(pairs.iter().all(|(f, e)| (f64::from(*f) - e).abs() < 1e-5), "{form:?}: {pairs:?}");
            }
        }
    }
    // A form that can be trained again comes back as the same network.
    let back = import(&dir.path().join("ssd.onnx")).unwrap_or_else(|e| panic!("{e}"));
    for ((_, a), (_, b)) in back.network.convs().into_iter().zip(network.convs()) {
        assert_eq!(a.spec, b.spec);
        assert!(a.weight == b.weight && a.bias == b.bias);
    }
}

fn tflite<'a>(names: &'a [String], numbers: TfliteNumbers<'a>, detections: TfliteOutputs) -> TfliteOptions<'a> {
    let (size, coder) = (SIZE.into(), BoxCoder::default());
    TfliteOptions { size, class_names: names, coder, numbers, detections, threshold: Some(0.4), trained_on: None }
}

fn interpreted(network: &Ssd<ConvWeights>, options: &TfliteOptions, pixels: &[u8]) -> Outputs {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.tflite");
    let labels = export_tflite(network, &path, options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(std::fs::read_to_string(labels).unwrap().lines().next(), Some("thing 1"));
    Interpreter::open(&path).unwrap_or_else(|e| panic!("{e}")).run(pixels)
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (x, y)| most.max((x - y).abs()))
}

#[test]
fn tflite_files_compute_the_network_in_every_kind_of_numbers() {
    let mut network = narrow_network();
    let (names, pixels) = (class_names(CLASSES), pixels());
    for padding in [Padding::TfSame, Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 }] {
        for (_, conv) in network.convs_mut().into_iter().filter(|(_, c)| c.spec.stride == 2) {
            conv.spec.padding = padding;
        }
        let expected = raw(&network, &normalised(&pixels));
        for detections in [TfliteOutputs::Raw, TfliteOutputs::PostProcess] {
            let found = interpreted(&network, &tflite(&names, TfliteNumbers::Float32, detections), &pixels);
            assert!(largest(&found.logits, &expected.logits) <= ROUNDING);
            assert!(largest(&found.deltas, &expected.deltas) <= ROUNDING);
            let found = interpreted(&network, &tflite(&names, TfliteNumbers::Float16, detections), &pixels);
            assert!(largest(&found.logits, &expected.logits) <= 0.05, "{}", largest(&found.logits, &expected.logits));
        }
        let plain = tflite(&names, TfliteNumbers::Float32, TfliteOutputs::Raw);
        let shown = std::iter::once(pixels.clone());
        let calibration =
            Calibration::of(&network, Path::new("m.tflite"), &plain, Clipping::Percentile(1.0), shown).unwrap();
        let [unsigned, signed] = [ByteInput::Unsigned, ByteInput::Signed].map(|input| {
            let numbers = TfliteNumbers::Int8 { calibration: &calibration, input };
            interpreted(&network, &tflite(&names, numbers, TfliteOutputs::PostProcess), &pixels)
        });
        assert_eq!(unsigned, signed);
        let range = expected.logits.iter().fold(0f32, |most, v| most.max(v.abs()));
        let error = largest(&unsigned.logits, &expected.logits);
        assert!(error > 0.0 && error < 0.2 * range, "{error} of {range}");
    }
}

#[test]
fn tract_runs_the_float_file() {
    let (network, names, pixels) = (narrow_network(), class_names(CLASSES), pixels());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.tflite");
    export_tflite(&network, &path, &tflite(&names, TfliteNumbers::Float32, TfliteOutputs::Raw)).unwrap();
    let expected = raw(&network, &normalised(&pixels));
    let plan = tract_tflite::tflite().model_for_path(&path).unwrap().into_runnable().unwrap();
    let image = Tensor::from_shape(&[1, SIZE, SIZE, 3], &normalised(&pixels)).unwrap();
    let outputs = plan.run(tvec!(image.into())).unwrap();
    for (output, expected) in outputs.iter().zip([&expected.deltas, &expected.logits]) {
        let found: Vec<f32> = output.to_plain_array_view::<f32>().unwrap().iter().copied().collect();
        assert!(largest(&found, expected) <= ROUNDING);
    }
}

#[test]
fn no_cut_and_no_flipped_bit_makes_the_interpreter_panic() {
    use rand::{Rng, SeedableRng};
    let (network, names) = (narrow_network(), class_names(CLASSES));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.tflite");
    let plain = tflite(&names, TfliteNumbers::Float32, TfliteOutputs::Raw);
    let calibration =
        Calibration::of(&network, &path, &plain, Clipping::LeastError, std::iter::once(pixels())).unwrap();
    let numbers = TfliteNumbers::Int8 { calibration: &calibration, input: ByteInput::Unsigned };
    export_tflite(&network, &path, &tflite(&names, numbers, TfliteOutputs::PostProcess)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
    let mut refused = 0;
    for i in 0..120 {
        let mut bytes = whole.clone();
        if i % 3 == 0 {
            bytes.truncate(rng.random_range(0..whole.len()));
        } else {
            // Operators and shapes stand at the front of the file.
            let reach = if i % 3 == 1 { 60_000 } else { whole.len() };
            for _ in 0..rng.random_range(1..20) {
                let at = rng.random_range(0..reach);
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        match Interpreter::load(&path, &bytes) {
            Ok(interpreter) if interpreter.size.dims() == [SIZE; 2] && i % 10 == 1 => {
                interpreter.run(&pixels());
            }
            other => refused += usize::from(other.is_err()),
        }
    }
    assert!(refused > 40, "damaged files must be refused, {refused} were");
}

#[test]
fn odd_names_and_many_classes_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let odd = ["a \"quoted\" one", "<b>&amp;", "tab\there", "bell \u{7}", "Überraschung 猫", "", " blank ends "];
    for classes in [1, odd.len(), 300] {
        let mut network = narrow_network();
        let mut rng = <rand_pcg::Pcg64Mcg as rand::SeedableRng>::seed_from_u64(5);
        network.renew_class_predictors(classes + 1, &mut rng);
        let names: Vec<String> = (0..classes).map(|i| odd.get(i).map_or(format!("{i}"), |n| n.to_string())).collect();
        let onnx = dir.path().join(format!("{classes}.onnx"));
        let options =
            ExportOptions { images: Images::Fixed(1), form: Form::Detections, ..ExportOptions::raw(SIZE, &names) };
        let labels = export(&network, &onnx, &options).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(import(&onnx).unwrap().metadata.class_names.as_ref(), Some(&names));
        assert_eq!(std::fs::read_to_string(labels).unwrap().split('\n').count(), classes + 2);
        let lite = dir.path().join(format!("{classes}.tflite"));
        export_tflite(&network, &lite, &tflite(&names, TfliteNumbers::Float16, TfliteOutputs::PostProcess)).unwrap();
        let interpreter = Interpreter::open(&lite).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((interpreter.about.class_names.as_ref(), interpreter.outputs()[1]), (Some(&names), classes + 1));
    }
}

#[test]
fn the_jetson_form_decodes_inside_and_imports_like_the_other() {
    let network = narrow_network();
    let dir = tempfile::tempdir().unwrap();
    let [raw, jetson] = ["raw.onnx", "jetson.onnx"].map(|name| dir.path().join(name));
    let anchors = Anchors::tf_ssd(&ssdlite_mobilenet_v2(0.35, CLASSES, true).map_sizes([SIZE, SIZE]));
    save(&network, &raw, SIZE, Form::RawHeads);
    save(&network, &jetson, SIZE, Form::Jetson);
    assert_same(&imported(&jetson).network, &network, 0.0);
    let images = random_images(1, SIZE);
    let raw = Verifier::load(&raw, SIZE, 1).unwrap().run(&images, 1).unwrap();
    let [scores, boxes] = run_jetson(&jetson, &images);
    for (anchor, center) in anchors.centers().iter().enumerate() {
        let logits = &raw.logits[anchor * CLASSES..][..CLASSES];
        let sum: f32 = logits.iter().map(|l| l.exp()).sum();
        for (l, s) in logits.iter().zip(&scores[anchor * CLASSES..]) {
            assert!((l.exp() / sum - s).abs() < 1e-5);
        }
        let deltas: Vec<f64> = raw.deltas[anchor * 4..][..4].iter().map(|&d| f64::from(d)).collect();
        let CornerBox { x0, y0, x1, y1 } = BoxCoder::default().decode(center, deltas.try_into().unwrap());
        for (expected, &found) in [x0, y0, x1, y1].iter().zip(&boxes[anchor * 4..]) {
            assert!((expected - f64::from(found)).abs() < 1e-5, "anchor {anchor}: {expected} is not {found}");
        }
    }
}

fn run_jetson(path: &Path, nhwc: &[f32]) -> [Vec<f32>; 2] {
    use tract_onnx::prelude::*;
    let model = tract_onnx::onnx().model_for_path(path).unwrap();
    let fact = InferenceFact::dt_shape(f32::datum_type(), tvec!(1, 3, SIZE, SIZE));
    let plan = model.with_input_fact(0, fact).unwrap().into_optimized().unwrap().into_runnable().unwrap();
    let mut planar = vec![0.0; nhwc.len()];
    for (i, &v) in nhwc.iter().enumerate() {
        planar[i % 3 * SIZE * SIZE + i / 3] = v;
    }
    let outputs = plan.run(tvec!(Tensor::from_shape(&[1, 3, SIZE, SIZE], &planar).unwrap().into())).unwrap();
    [0, 1].map(|i| outputs[i].to_plain_array_view::<f32>().unwrap().iter().copied().collect())
}

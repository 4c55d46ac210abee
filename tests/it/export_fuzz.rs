//! Networks of the whole family, with names as people give them, written in every form: no file breaks its own reader.
//!
//! `FIELDTUNE_KEEP_FORMS=FOLDER` keeps the files, for the checkers of the programs that read them.

use std::path::{Path, PathBuf};

use fieldtune::boxes::{BoxCoder, InputSize, ScoreFunction};
use fieldtune::interchange::{
    ByteInput, Calibration, Clipping, ExportOptions, Form, Images, Interpreter, Opset, TfliteNumbers, TfliteOptions,
    TfliteOutputs, export, export_tflite, import,
};
use fieldtune::model::{ConvWeights, Ssd, initialise_network, ssd_mobilenet_v2, ssdlite_mobilenet_v2};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::export_forms::FORMS;
use crate::onnx::load;

/// A network of the family, and what it is written with.
struct Sample {
    name: String,
    network: Ssd<ConvWeights>,
    size: InputSize,
    names: Vec<String>,
}

/// Parts of names: quotes, markup, control characters, separators, letters of other scripts, nothing.
const PARTS: [&str; 16] =
    ["\"", "'", "<", "&amp;", "\t", "\u{7}", "\u{1b}[1m", "\\", "/", ",", "{}", "猫", "Ü", "e\u{301}", "0 ", "%s"];

fn name(rng: &mut Pcg64Mcg, i: usize) -> String {
    let parts = (0..rng.random_range(0..5)).map(|_| PARTS[rng.random_range(0..PARTS.len())]);
    format!("{}{i}", parts.collect::<String>())
}

fn sample(seed: u64, width: f64, plain: bool, classes: usize, [height, side]: [usize; 2]) -> Sample {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let specs =
        if plain { ssd_mobilenet_v2(width, classes + 1) } else { ssdlite_mobilenet_v2(width, classes + 1, true) };
    let mut network = initialise_network(&specs, &mut rng);
    network.set_background_prior(0.75);
    let sigmoid = rng.random_bool(0.5);
    network.convention.scores = if sigmoid { ScoreFunction::Sigmoid } else { ScoreFunction::Softmax };
    let size = InputSize::new(height, side);
    let names = (0..classes).map(|i| name(&mut rng, i)).collect();
    let kind = if plain { "plain" } else { "lite" };
    let scores = network.convention.scores;
    Sample { name: format!("{kind}-{width}-{classes}-{height}x{side}-{scores}"), network, size, names }
}

/// Every width, kind of extras, number of classes and size at least once.
fn samples() -> Vec<Sample> {
    vec![
        sample(1, 0.35, false, 1, [96, 96]),
        sample(2, 0.35, true, 300, [96, 160]),
        sample(3, 0.35, false, 300, [320, 320]),
        sample(4, 0.5, true, 3, [224, 128]),
        sample(5, 1.0, false, 7, [300, 300]),
        sample(6, 0.35, false, 20, [640, 640]),
        sample(7, 1.4, false, 2, [96, 320]),
        sample(8, 1.4, true, 1, [320, 96]),
    ]
}

fn onnx_files(sample: &Sample, folder: &Path) {
    let Sample { name, network, size, names } = sample;
    for form in FORMS {
        let opset = if form == Form::Detections { Opset::NEWEST } else { Opset::OLDEST };
        let path = folder.join(format!("{name}-{form:?}-{opset}.onnx"));
        let opset = Opset::new(opset).unwrap();
        let options = ExportOptions { images: Images::Fixed(1), form, opset, ..ExportOptions::raw(*size, names) };
        let labels = export(network, &path, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
        let lines = std::fs::read_to_string(&labels).unwrap();
        let counted = names.len() + usize::from(lines.starts_with("BACKGROUND\n"));
        assert_eq!(lines.trim_end_matches('\n').split('\n').count(), counted, "{name} {form:?}");
        let graph = load(&path).graph.unwrap();
        let outputs: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(outputs, form.outputs(), "{name}");
        let back = import(&path).unwrap_or_else(|e| panic!("{name} {form:?}: {e}"));
        assert_eq!(back.metadata.class_names.as_ref(), Some(names), "{name} {form:?}");
        assert_eq!(back.network.specs(), network.specs(), "{name} {form:?}");
    }
}

fn tflite_files(sample: &Sample, folder: &Path) {
    let Sample { name, network, size, names } = sample;
    let plain = TfliteOptions {
        size: *size,
        class_names: names,
        coder: BoxCoder::default(),
        numbers: TfliteNumbers::Float32,
        detections: TfliteOutputs::PostProcess,
        threshold: Some(0.3),
        trained_on: None,
    };
    let photo: Vec<u8> = (0..size.numbers()).map(|i| ((i * 7919) % 251) as u8).collect();
    let calibration =
        Calibration::of(network, folder, &plain, Clipping::LeastError, std::iter::once(photo.clone())).unwrap();
    let [unsigned, signed] =
        [ByteInput::Unsigned, ByteInput::Signed].map(|input| TfliteNumbers::Int8 { calibration: &calibration, input });
    let all = [
        ("float32", TfliteNumbers::Float32),
        ("float16", TfliteNumbers::Float16),
        ("uint8", unsigned),
        ("int8", signed),
    ];
    for (kind, numbers) in all {
        for (detections, ends) in [(TfliteOutputs::PostProcess, "detections"), (TfliteOutputs::Raw, "raw")] {
            let path = folder.join(format!("{name}-{kind}-{ends}.tflite"));
            export_tflite(network, &path, &TfliteOptions { numbers, detections, ..plain })
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let file = Interpreter::open(&path).unwrap_or_else(|e| panic!("{name} {kind}: {e}"));
            assert_eq!((file.about.class_names.as_ref(), file.size), (Some(names), *size), "{name} {kind}");
            assert_eq!(file.outputs()[1], names.len() + 1, "{name} {kind}");
            let anchors = network.specs().anchors(size.dims()).unwrap();
            assert_eq!(file.anchors(&network.convention.anchors).unwrap().centers(), anchors.centers(), "{name}");
        }
    }
}

#[test]
fn no_network_or_name_breaks_a_file() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("FIELDTUNE_KEEP_FORMS").map(PathBuf::from);
    let root = kept.unwrap_or_else(|| temporary.path().to_path_buf());
    for sample in samples() {
        let folder = root.join(&sample.name);
        std::fs::create_dir_all(&folder).unwrap();
        onnx_files(&sample, &folder);
        tflite_files(&sample, &folder);
        if root.starts_with(temporary.path()) {
            // Some hundred megabytes each.
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
}

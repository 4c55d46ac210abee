//! A node's rounds: what comes is checked, what goes is the difference, a round that was cut off goes on with the same bits;
//! and a small simulated fleet learns.

use fieldtune::data::{SceneOptions, write_voc};
use fieldtune::fleet::array::{ArrayData, ArrayRecord, FleetArray};
use fieldtune::fleet::node::{FleetNode, NodeOptions};
use fieldtune::fleet::participant::{Participant, RoundId, SettingValue, Settings, Update};
use fieldtune::fleet::simulate::{ShareOut, SimulateOptions, simulate};
use fieldtune::fleet::update::{Encoding, decode};
use fieldtune::session::PRETRAINED;
use fieldtune::train::Recipe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Work on a thread pool of its own: the process has one only, and other tests run beside.
fn on_one_thread(work: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(work);
}

/// Scenes and the program's own small network in a folder.
fn inputs(folder: &Path, images: usize) -> [PathBuf; 2] {
    let (photos, weights) = (folder.join("photos"), folder.join("small.onnx"));
    let options = SceneOptions { images, size: 96, classes: 3, min_object_px: 20, ..SceneOptions::default() };
    write_voc(&photos, &options).unwrap();
    std::fs::write(&weights, PRETRAINED).unwrap();
    [photos, weights]
}

fn options(folder: &Path, name: &str) -> NodeOptions {
    let [photos, weights] = [folder.join("photos"), folder.join("small.onnx")];
    NodeOptions {
        data: vec![photos],
        weights: Some(weights),
        folder: folder.join(name),
        imgsz: Some(96.into()),
        threads: Some(1),
        recipe: Recipe { micro_batch: 1, ..Recipe::default() },
        ..NodeOptions::default()
    }
}

fn config(pairs: &[(&str, SettingValue)]) -> Settings {
    pairs.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
}

/// The arrays of the node's `start.onnx`, by the answer to a round in which all of them are asked back.
pub fn start_arrays(folder: &Path) -> ArrayRecord {
    let network = fieldtune::interchange::import(&folder.join("start.onnx")).unwrap().network;
    let arrays = fieldtune::interchange::NamedArray::all(&network, 96.into()).unwrap();
    let convs = network.convs();
    arrays.iter().map(|a| (a.name.clone(), FleetArray::floats(&a.dims, a.read(convs[a.position].1)))).collect()
}

fn floats(array: &FleetArray) -> &[f32] {
    match &array.data {
        ArrayData::F32(values) => values,
        other => panic!("{} bytes of another kind", other.byte_len()),
    }
}

fn bytes_up(update: &Update) -> i64 {
    match update.metrics["bytes-up"] {
        SettingValue::I64(bytes) => bytes,
        ref other => panic!("{other:?}"),
    }
}

fn round(message: &str) -> RoundId {
    RoundId { run: 7, message: message.into() }
}

fn train(node: &mut FleetNode, message: &str, arrays: &ArrayRecord, update: &str) -> Update {
    let config = config(&[
        ("server-round", SettingValue::I64(1)),
        ("rounds", SettingValue::I64(2)),
        ("update", SettingValue::Text(update.into())),
        ("freeze", SettingValue::I64(4)),
        ("recipe", SettingValue::Text("hold = 0.0\nwarmup = 0".into())),
    ]);
    node.train(&round(message), arrays.clone(), &config).unwrap()
}

#[test]
fn a_round_moves_what_is_trained_and_compressed_answers_say_the_same() {
    on_one_thread(|| {
        let folder = tempfile::tempdir().unwrap();
        inputs(folder.path(), 10);
        let mut node = FleetNode::open(&options(folder.path(), "node"), Arc::default()).unwrap();
        let start = start_arrays(&folder.path().join("node"));
        let whole = train(&mut node, "a", &start, "float32");
        let names = |record: &ArrayRecord| record.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&whole.arrays), names(&start));
        for ((name, now), (_, before)) in whole.arrays.iter().zip(&start) {
            let frozen =
                name.contains("/Conv/") || ["", "_1", "_2"].iter().any(|b| name.contains(&format!("conv{b}/")));
            let moved = floats(now) != floats(before);
            assert_eq!(moved, !frozen, "{name}");
        }
        assert_eq!(whole.metrics["num-examples"], SettingValue::I64(8));
        let SettingValue::I64s(counts) = &whole.metrics["class-examples"] else { panic!("counts") };
        assert_eq!(counts.len(), node.class_names().len());
        for (update, off) in [("float16", 1e-3), ("int8", 0.02), ("int2", 0.6)] {
            // A fresh folder: nothing is left over from another answer.
            let mut node = FleetNode::open(&options(folder.path(), update), Arc::default()).unwrap();
            let coarse = train(&mut node, "a", &start, update);
            let (mut wrong, mut all) = (0.0, 0.0);
            for ((name, now), (_, before)) in whole.arrays.iter().zip(&start) {
                let Some(change) = decode(&coarse.arrays, name, &now.shape).unwrap() else {
                    assert_eq!(floats(now), floats(before), "{name}");
                    continue;
                };
                for ((now, before), change) in floats(now).iter().zip(floats(before)).zip(change) {
                    wrong += f64::from(now - before - change).powi(2);
                    all += f64::from(now - before).powi(2);
                }
            }
            assert!(all > 0.0 && (wrong / all).sqrt() < off, "{update}: {}", (wrong / all).sqrt());
            assert!(bytes_up(&coarse) < bytes_up(&whole), "{update}");
        }
    });
}

#[test]
fn a_round_that_is_cut_off_goes_on_with_the_same_bits() {
    on_one_thread(|| {
        let folder = tempfile::tempdir().unwrap();
        inputs(folder.path(), 10);
        let mut whole = FleetNode::open(&options(folder.path(), "whole"), Arc::default()).unwrap();
        let start = start_arrays(&folder.path().join("whole"));
        let expected = train(&mut whole, "a", &start, "int8");
        let again = train(&mut whole, "a", &start, "int8");
        assert_eq!(expected.arrays, again.arrays, "asked twice, trained once, nothing is added twice");
        let stop = Arc::new(AtomicBool::new(true));
        let mut cut = FleetNode::open(&options(folder.path(), "cut"), Arc::clone(&stop)).unwrap();
        // It stops after its first step.
        let config = config(&[
            ("server-round", SettingValue::I64(1)),
            ("rounds", SettingValue::I64(2)),
            ("update", SettingValue::Text("int8".into())),
            ("freeze", SettingValue::I64(4)),
            ("recipe", SettingValue::Text("hold = 0.0\nwarmup = 0".into())),
        ]);
        let error = cut.train(&round("a"), start.clone(), &config).unwrap_err().to_string();
        assert!(error.contains("goes on when asked again"), "{error}");
        drop(cut);
        stop.store(false, Ordering::Relaxed);
        let mut cut = FleetNode::open(&options(folder.path(), "cut"), stop).unwrap();
        assert_eq!(train(&mut cut, "a", &start, "int8").arrays, expected.arrays);
    });
}

#[test]
fn bad_messages_and_spent_budgets_train_nothing() {
    on_one_thread(|| {
        let folder = tempfile::tempdir().unwrap();
        inputs(folder.path(), 10);
        let with_budget = NodeOptions { mb_per_day: Some(0.001), ..options(folder.path(), "node") };
        let mut node = FleetNode::open(&with_budget, Arc::default()).unwrap();
        let start = start_arrays(&folder.path().join("node"));
        let refused = |node: &mut FleetNode, arrays: &ArrayRecord, pairs: &[(&str, SettingValue)]| {
            node.train(&round("a"), arrays.clone(), &config(pairs)).unwrap_err().to_string()
        };
        assert!(refused(&mut node, &start, &[]).contains("mb_per_day"));
        assert!(refused(&mut node, &start[..4].to_vec(), &[]).contains("did not come"));
        assert!(refused(&mut node, &start, &[("lr", SettingValue::F64(-1.0))]).contains("lr"));
        let classes = SettingValue::Texts(vec!["nothing of ours".into()]);
        assert!(refused(&mut node, &start, &[("class-names", classes)]).contains("not among the federation's"));
        let fresh = SettingValue::Texts(vec!["nothing of ours".into()]);
        assert!(refused(&mut node, &start, &[("fresh-layers", fresh)]).contains("no weight array"));
        assert!(!folder.path().join("node/round.toml").exists());
    });
}

#[test]
fn a_small_fleet_learns_and_tells_its_bytes() {
    on_one_thread(|| {
        let folder = tempfile::tempdir().unwrap();
        inputs(folder.path(), 24);
        let simulated = |encoding, personal_heads| {
            let name = format!("{}-{personal_heads}", Encoding::name(encoding));
            let options = SimulateOptions {
                node: options(folder.path(), &name),
                nodes: 3,
                rounds: 2,
                local_epochs: 2,
                per_round: None,
                share_out: ShareOut::Dirichlet(1.0),
                encoding,
                pull: 0.01,
                personal_heads,
                judge_every: 2,
            };
            let simulated = simulate(&options).unwrap();
            let csv = std::fs::read_to_string(folder.path().join(&name).join("rounds.csv")).unwrap();
            assert_eq!(csv.lines().count(), 4, "{csv}");
            assert!(folder.path().join(&name).join("curves.png").is_file());
            simulated
        };
        let whole = simulated(Encoding::Float32, false);
        assert_eq!(whole.photos.iter().sum::<usize>(), 19);
        let loss = |round: usize| whole.rounds[round].loss.unwrap();
        assert!(loss(2) < loss(0), "{} after two rounds, {} before", loss(2), loss(0));
        assert_eq!(whole.rounds[1].ap, None);
        let coarse = simulated(Encoding::Int2, true);
        assert!(coarse.rounds[1].bytes_up < 0.1 * whole.rounds[1].bytes_up);
        assert!(coarse.rounds[2].loss.unwrap() < coarse.rounds[0].loss.unwrap());
    });
}

//! Photos to pack to training to ONNX, and the same run whatever interrupts it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fieldtune::data::scene;
use fieldtune::model::{ConvWeights, Ssd, initialise_network, ssdlite_mobilenet_v2};
use fieldtune::optim::OptimizerKind;
use fieldtune::train::{Checkpoint, Job, Recipe, Records, TrainState, train};
use fieldtune::watchdog::Mode;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;

use crate::runs::{SCENES, SIZE, basis, copy_run, program, result, run, scenes, stderr, succeed, text, training};

const EPOCHS: usize = 3;

/// Optimizer steps of a whole run at two images a step.
const STEPS: u64 = (EPOCHS * (SCENES - SCENES / 4)).div_ceil(2) as u64;

#[test]
fn photos_become_a_detector_that_keeps_its_figures() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let basis = basis();
    succeed(&training(&basis, dir.path(), &["--epochs", "12", "--hold", "0", "--threads", "1", "--seed", "3"]));
    let folder = dir.path().join("run");
    for name in [
        "config.toml",
        "import.txt",
        "results.csv",
        "train.log",
        "labels.png",
        "train_batch0.png",
        "pr_curve.png",
        "confusion_matrix.png",
        "val_pred.png",
        "f1_curve.png",
        "results.png",
        "report.html",
        "weights/best.onnx",
        "weights/labels.txt",
        "weights/last.ckpt",
        "weights/previous.ckpt",
        "journal.jsonl",
        "story.txt",
    ] {
        assert!(fs::metadata(folder.join(name)).is_ok_and(|m| m.len() > 0), "{name}");
    }
    let left = fs::read_dir(folder.join("weights")).expect("it is a folder").count();
    assert_eq!(left, 4, "no temporary file is left, nor the weights that a cure would have gone back to");
    assert!(dir.path().join("photos.pack").exists(), "the pack is cached beside the run");
    let log = fs::read_to_string(folder.join("train.log")).expect("a log");
    assert!(log.contains("images of split train to train on") && log.contains("epoch 12/12"), "{log}");
    let import = fs::read_to_string(folder.join("import.txt")).expect("a table");
    assert!(import.contains("stem conv"), "{import}");

    let results = fs::read_to_string(folder.join("results.csv")).expect("figures");
    let rows: Vec<Vec<&str>> = results.lines().skip(1).map(|l| l.split(',').collect()).collect();
    assert_eq!(rows.len(), 12, "one line for each epoch:\n{results}");
    let ap = |row: &Vec<&str>| row[6].parse::<f64>().expect("an AP");
    let best = rows.iter().fold(&rows[0], |best, row| if ap(row) > ap(best) { row } else { best });
    assert!(ap(best) > 0.0, "something was learned:\n{results}");

    let model = folder.join("weights/best.onnx");
    let figures: Value = serde_json::from_str(&succeed(&["val", text(&model), &basis[0], "--json"])).expect("JSON");
    for (key, column) in [("AP", 6), ("AP50", 7), ("AP75", 8)] {
        let figure = figures[key].as_f64().expect("a figure");
        assert_eq!(format!("{figure:.5}"), best[column], "{key} of {figures}");
    }

    let out = dir.path().join("seen");
    let photos = format!("{}/JPEGImages", basis[0]);
    succeed(&["predict", text(&model), &photos, "--conf", "0.05", "-o", text(&out)]);
    let found: Value = serde_json::from_slice(&fs::read(out.join("detections.json")).expect("JSON")).expect("JSON");
    assert_eq!(found.as_array().map(Vec::len), Some(SCENES));
    let all = found.as_array().expect("a list").iter().flat_map(|p| p["detections"].as_array().expect("a list"));
    let classes: Vec<&str> = all.map(|d| d["class"].as_str().expect("a name")).collect();
    assert!(!classes.is_empty() && classes.iter().all(|c| scenes().class_names().contains(c)), "{classes:?}");
    assert!(out.join("scene_00000.jpg").exists());

    let jetson = dir.path().join("jetson/ssd.onnx");
    fs::create_dir(dir.path().join("jetson")).expect("a folder");
    succeed(&["export", text(&model), "-o", text(&jetson), "--form", "jetson"]);
    runs_in_tract(&jetson).expect("tract runs it");
}

/// Scores are probabilities, boxes are there for each of them.
fn runs_in_tract(path: &Path) -> tract_onnx::prelude::TractResult<()> {
    use tract_onnx::prelude::*;
    let model = tract_onnx::onnx().model_for_path(path)?.into_optimized()?.into_runnable()?;
    let outputs = model.run(tvec!(Tensor::zero::<f32>(&[1, 3, SIZE, SIZE])?.into()))?;
    let (scores, boxes) = (outputs[0].to_plain_array_view::<f32>()?, outputs[1].to_plain_array_view::<f32>()?);
    assert_eq!((scores.shape()[2], boxes.shape()[2]), (3, 4));
    assert_eq!(scores.shape()[1], boxes.shape()[1]);
    let row: f32 = scores.iter().take(3).sum();
    assert!((row - 1.0).abs() < 1e-5, "{row}");
    Ok(())
}

/// The uninterrupted run that the others are held against.
struct Whole {
    dir: tempfile::TempDir,
    basis: [String; 2],
}

impl Whole {
    fn train() -> Self {
        let (dir, basis) = (tempfile::tempdir().expect("a temporary folder"), basis());
        succeed(&Self::arguments(&basis, dir.path()));
        Self { dir, basis }
    }

    fn arguments<'a>(basis: &'a [String; 2], out: &'a Path) -> Vec<&'a str> {
        // A third of the run with the backbone held, so that letting it go is interrupted too.
        let more = ["--epochs", "3", "--hold", "0.34", "--threads", "1", "--checkpoint-every", "0"];
        training(basis, out, &more)
    }

    /// Starts the same run in another folder.
    fn start(&self, out: &Path) -> Child {
        program(&Self::arguments(&self.basis, out)).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Every file that holds a result, byte by byte but for what depends on the clock.
    fn assert_same(&self, folder: &Path, how: &str) {
        let whole = self.dir.path().join("run");
        for name in ["weights/last.ckpt", "weights/best.onnx", "results.csv"] {
            let [ours, theirs] = [&whole, folder].map(|f| result(f, name));
            if ours != theirs && name == "weights/last.ckpt" {
                panic!("{how}: {}", first_difference(&ours, &theirs));
            }
            assert!(ours == theirs, "{how}: {name} differs");
        }
    }
}

/// The first difference between two checkpoints.
fn first_difference(a: &[u8], b: &[u8]) -> String {
    let [(_, header_a), (_, header_b)] =
        [a, b].map(|bytes| safetensors::SafeTensors::read_metadata(bytes).expect("a checkpoint"));
    let [a, b] = [a, b].map(|bytes| safetensors::SafeTensors::deserialize(bytes).expect("a checkpoint"));
    for name in a.names() {
        if a.tensor(name).expect("listed").data() != b.tensor(name).map(|t| t.data()).unwrap_or_default() {
            return format!("tensor {name} differs");
        }
    }
    format!("headers differ: {:?}\n{:?}", header_a.metadata(), header_b.metadata())
}

/// Reads what a run says until it has saved at `step` or later; `false` if it ended before.
pub fn wait_for_step(child: &mut Child, step: u64) -> bool {
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let saved = |line: &str| line.rsplit_once("checkpoint at step ").and_then(|(_, n)| n.trim().parse::<u64>().ok());
    let mut lines = lines.map_while(Result::ok);
    let found = lines.by_ref().any(|line| saved(&line).is_some_and(|at| at >= step));
    // The pipe stays open and is emptied, or the program would stop at a full one.
    std::thread::spawn(move || lines.for_each(drop));
    found
}

#[test]
fn killed_five_times_and_resumed_the_run_ends_in_the_same_bits() {
    let whole = Whole::train();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    let mut rng = Pcg64Mcg::seed_from_u64(2024);
    let mut step = 0;
    for kill in 0..5 {
        let mut child = match kill {
            0 => whole.start(dir.path()),
            _ => {
                let arguments = ["train", "--resume", text(&folder)];
                program(&arguments).stderr(Stdio::piped()).spawn().expect("the program starts")
            }
        };
        // A seeded moment in the next fifth of the run, somewhere between two saves.
        step += rng.random_range(1..STEPS / 5);
        assert!(wait_for_step(&mut child, step), "the run ended before step {step}");
        std::thread::sleep(Duration::from_micros(rng.random_range(0..40_000)));
        child.kill().expect("SIGKILL is sent");
        let status = child.wait().expect("it is gone");
        assert_eq!(status.code(), None, "killed, not ended: {status}");
    }
    succeed(&["train", "--resume", text(&folder)]);
    whole.assert_same(&folder, "killed five times");
    // A finished run that is resumed again is finished.
    succeed(&["train", "--resume", text(&folder)]);
    whole.assert_same(&folder, "resumed after its end");
}

#[cfg(unix)]
#[test]
fn asked_to_stop_a_run_says_75_and_goes_on_from_any_sound_checkpoint() {
    let whole = Whole::train();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    let mut child = whole.start(dir.path());
    assert!(wait_for_step(&mut child, 7));
    let locked = run(&["train", "--resume", text(&folder)]);
    let owner = format!("process {} is training in this folder", child.id());
    assert!(locked.status.code() == Some(1) && stderr(&locked).contains(&owner), "{}", stderr(&locked));
    let pid = i32::try_from(child.id()).expect("a process number");
    // SAFETY: the process is our own child and has not been waited for.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    assert_eq!(child.wait().expect("it is gone").code(), Some(75));

    let copy = |name: &str| {
        let copy = dir.path().join(name);
        copy_run(&folder, &copy);
        copy
    };
    let (torn, flipped, absent) = (copy("torn"), copy("flipped"), copy("absent"));
    succeed(&["train", "--resume", text(&folder)]);
    whole.assert_same(&folder, "stopped by SIGTERM");

    let last = fs::read(torn.join("weights/last.ckpt")).expect("a checkpoint");
    fs::write(torn.join("weights/last.ckpt"), &last[..last.len() / 2]).expect("torn");
    let mut damaged = last.clone();
    damaged[last.len() - 1000] ^= 0x10;
    fs::write(flipped.join("weights/last.ckpt"), damaged).expect("flipped");
    for (folder, said) in [(&torn, "not a whole safetensors file"), (&flipped, "checksum")] {
        let refused = run(&["train", "--resume", text(folder)]);
        let message = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(
            message.contains(said) && message.contains("previous.ckpt") && message.contains("last.ckpt"),
            "{message}"
        );
        succeed(&["train", "--resume", text(&folder.join("weights/previous.ckpt"))]);
        whole.assert_same(folder, said);
        assert!(folder.join("weights/abandoned.ckpt").exists());
    }
    fs::remove_file(absent.join("weights/last.ckpt")).expect("removed");
    let output = run(&["train", "--resume", text(&absent)]);
    assert!(output.status.success() && stderr(&output).contains("going on from previous.ckpt"), "{}", stderr(&output));
    whole.assert_same(&absent, "without last.ckpt");
}

/// Seven scenes, a small network for them, and a run over both.
struct SmallRun {
    records: Records,
    class_names: Vec<String>,
    network: Ssd<ConvWeights>,
    recipe: Recipe,
}

impl SmallRun {
    fn new(recipe: Recipe) -> Self {
        let options = scenes();
        let records = Records::in_memory((0..7).map(|i| scene(options.seed_of(i), &options)).collect());
        let class_names: Vec<String> = options.class_names().iter().map(|n| n.to_string()).collect();
        let specs = ssdlite_mobilenet_v2(0.35, class_names.len() + 1, true);
        let network = initialise_network(&specs, &mut Pcg64Mcg::seed_from_u64(1));
        Self { records, class_names, network, recipe }
    }

    /// Trains in `folder`; what comes out, and where it was saved.
    fn train(&self, folder: &Path, loader_threads: usize) -> (TrainState, PathBuf) {
        fs::create_dir(folder.join("weights")).expect("a folder");
        let job = Job {
            recipe: self.recipe.clone(),
            size: SIZE.into(),
            class_names: self.class_names.clone(),
            folder: folder.into(),
            checkpoint_every: Duration::from_secs(300),
            loader_threads,
            watchdog: Mode::Cure,
            schedule: None,
            requests: Arc::default(),
            trained_on: None,
            mishap: None,
        };
        let mut state = TrainState::new(&self.network, &self.recipe);
        let stop = AtomicBool::new(false);
        train(&job, &mut state, &self.records, &self.records, &stop, &mut |_| {}).expect("it trains");
        (state, job.checkpoint_path())
    }
}

fn small_recipe() -> Recipe {
    Recipe { epochs: 2, freeze: 0, hold: 0.0, batch: 4, micro_batch: 2, ..Recipe::default() }
}

#[test]
fn the_number_of_loader_threads_does_not_show_in_the_weights() {
    let run = SmallRun::new(small_recipe());
    let checkpoints = [0, 1, 2].map(|loader_threads| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (state, path) = run.train(dir.path(), loader_threads);
        let loaded = Checkpoint::load(&path).expect("it is sound");
        // Two windows an epoch: four images, and the three that are left.
        assert_eq!(loaded.header.progress.step, 4);
        assert_eq!(loaded.header.progress, state.progress, "what is saved is the state");
        fs::read(path).expect("a checkpoint")
    });
    assert!(checkpoints[0] == checkpoints[1], "{}", first_difference(&checkpoints[0], &checkpoints[1]));
    assert!(checkpoints[0] == checkpoints[2], "{}", first_difference(&checkpoints[0], &checkpoints[2]));
}

#[test]
fn state_of_either_kind_comes_back_from_a_checkpoint_as_it_was() {
    let sgd = OptimizerKind::Sgd { momentum: 0.9 };
    for optimizer in [OptimizerKind::adamw(), sgd] {
        let sizes = [false, true].map(|half_state| {
            let run = SmallRun::new(Recipe { optimizer, half_state, ..small_recipe() });
            let dir = tempfile::tempdir().expect("a temporary folder");
            let (state, path) = run.train(dir.path(), 1);
            let saved = || Checkpoint::load(&path).expect("it is sound");
            let mut back = saved().restore(&path).expect("it is whole");
            let same = |back: &TrainState| back.optimizer == state.optimizer && back.ema == state.ema;
            assert!(same(&back), "{optimizer:?}, half: {half_state}");
            // Going back in place, from another state of the same run.
            back.optimizer = TrainState::new(&run.network, &run.recipe).optimizer;
            assert!(!same(&back));
            saved().revert(&mut back, &path).expect("it is whole");
            assert!(same(&back), "{optimizer:?}, half: {half_state}");
            fs::metadata(path).expect("a checkpoint").len() as f64
        });
        // Weights have 32 bits; a moment or two and an average have 16.
        let expected = if optimizer == sgd { 2.0 / 3.0 } else { 5.0 / 8.0 };
        assert!((sizes[1] / sizes[0] - expected).abs() < 0.05, "{sizes:?}, expected {expected}");
    }
}

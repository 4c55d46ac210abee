//! The program as a process on small generated data: what the pipeline's and the command line's stories share.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use fieldtune::data::{SceneOptions, write_voc};
use fieldtune::interchange::{ExportOptions, export};
use fieldtune::model::{initialise_network, ssdlite_mobilenet_v2};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// Input size of the small network, and the side of the scenes, in pixels.
pub const SIZE: usize = 96;

/// Scenes of the set, three quarters of them for training.
pub const SCENES: usize = 16;

/// The program, started as cargo starts these tests: where they are built for another processor, by the emulator that
/// is set as cargo's runner, if it is set in the environment. Otherwise the system has to know how.
pub fn executable() -> Command {
    let program = env!("CARGO_BIN_EXE_fieldtune");
    let target = format!("CARGO_TARGET_{}", std::env::consts::ARCH.to_uppercase());
    let is_runner = |name: &str| name.starts_with(&target) && name.ends_with("_RUNNER");
    let runner = std::env::vars_os().find(|(name, _)| name.to_str().is_some_and(is_runner));
    let runner = runner.map(|(_, value)| value.into_string().expect("a runner that is text")).unwrap_or_default();
    let mut words = runner.split_whitespace().chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}

/// The program, said to be talkative, in a folder of its own choice.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = executable();
    command.args(arguments).env("RUST_LOG", "debug").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    // Nobody's kept weights: stories that keep some name a folder.
    command.env("FIELDTUNE_WEIGHTS", "kept-nowhere");
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    let output = program(arguments).output().expect("the program starts");
    let said = stderr(&output);
    assert!(!said.contains("panicked"), "{arguments:?}\n{said}");
    output
}

/// Runs the program, which must succeed. Returns what it printed.
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", stderr(&output));
    String::from_utf8(output.stdout).expect("it prints text")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("test folders have plain names")
}

pub fn scenes() -> SceneOptions {
    SceneOptions {
        images: SCENES,
        size: SIZE,
        classes: 2,
        max_objects: 2,
        min_object_px: 24,
        val_share: 0.25,
        ..SceneOptions::default()
    }
}

/// The start of every story: generated scenes as a Pascal VOC set, and a network that has seen nothing. Made
/// once; nothing is ever written into it.
pub struct Basis {
    dir: tempfile::TempDir,
}

impl Basis {
    pub fn get() -> &'static Basis {
        static BASIS: OnceLock<Basis> = OnceLock::new();
        BASIS.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a temporary folder");
            write_voc(&dir.path().join("photos"), &scenes()).expect("the scenes are written");
            write_weights(&dir.path().join("fresh.onnx"), scenes().class_names());
            Basis { dir }
        })
    }

    pub fn photos(&self) -> PathBuf {
        self.dir.path().join("photos")
    }

    pub fn weights(&self) -> PathBuf {
        self.dir.path().join("fresh.onnx")
    }
}

/// A fresh narrow network as an ONNX file.
pub fn write_weights(path: &Path, class_names: &[&str]) {
    let specs = ssdlite_mobilenet_v2(0.35, class_names.len() + 1, true);
    let network = initialise_network(&specs, &mut Pcg64Mcg::seed_from_u64(5));
    let class_names: Vec<String> = class_names.iter().map(|n| n.to_string()).collect();
    let options = ExportOptions::raw(SIZE, &class_names);
    export(&network, path, &options).expect("the network is exported");
}

/// Arguments of a training run on the basis into `out/run`: everything learns from the first step, as fresh
/// weights need it.
pub fn training<'a>(basis: &'a [String; 2], out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let [photos, weights] = basis;
    let mut all = vec!["train", photos, "--weights", weights, "--out", text(out), "--name", "run"];
    all.extend(["--freeze", "0", "--backbone-rate", "1", "--warmup", "2", "--ema", "0.9"]);
    all.extend(more);
    all
}

/// Photos and weights of the basis as arguments.
pub fn basis() -> [String; 2] {
    let basis = Basis::get();
    [text(&basis.photos()).to_string(), text(&basis.weights()).to_string()]
}

/// Copies a folder with all that is in it.
pub fn copy_run(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is made");
    for entry in fs::read_dir(from).expect("the folder is read").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_run(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file is copied");
        }
    }
}

/// Reads what a run says until it has saved at `step` or later.
pub fn wait_for_step_kept(child: &mut Child, step: u64) -> bool {
    wait_for(child, &mut |line| {
        let saved = line.rsplit_once("checkpoint at step ").and_then(|(_, n)| n.trim().parse::<u64>().ok());
        saved.is_some_and(|at| at >= step)
    })
    .is_some()
}

/// Reads what a run says, a byte at a time so that nothing is lost, until a line is found.
pub fn wait_for(child: &mut Child, found: &mut dyn FnMut(&str) -> bool) -> Option<String> {
    let pipe = child.stderr.as_mut().expect("it is piped");
    let mut lines = BufReader::with_capacity(1, pipe).lines().map_while(Result::ok);
    lines.find(|line| found(line))
}

/// Sends a signal to a run.
#[cfg(unix)]
pub fn send(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a process number");
    // SAFETY: the process is our own child and has not been waited for.
    unsafe { libc::kill(pid, signal) };
}

/// Sends SIGTERM to a run and waits for its end.
#[cfg(unix)]
pub fn terminate(child: &mut Child) -> Option<i32> {
    send(child, libc::SIGTERM);
    let mut pipe = child.stderr.take().expect("it is piped");
    std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    child.wait().expect("it ends").code()
}

/// A file of a run's folder; of results.csv all columns but time and speed, which depend on the clock.
pub fn result(folder: &Path, name: &str) -> Vec<u8> {
    let bytes = std::fs::read(folder.join(name)).expect("a result");
    if name != "results.csv" {
        return bytes;
    }
    let text = String::from_utf8(bytes).expect("text");
    let header: Vec<&str> = text.lines().next().expect("a header").split(',').collect();
    let timed: Vec<usize> = (0..header.len()).filter(|i| ["time_s", "images_per_s"].contains(&header[*i])).collect();
    assert_eq!(timed.len(), 2, "{header:?}");
    let cells = |line: &str| {
        let kept = line.split(',').enumerate().filter(|(i, _)| !timed.contains(i)).map(|(_, cell)| cell);
        kept.collect::<Vec<_>>().join(",")
    };
    text.lines().map(cells).collect::<Vec<_>>().join("\n").into_bytes()
}

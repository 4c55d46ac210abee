//! Runs a detector on every photo that appears in a folder: `cargo run --release --example watch_folder best.onnx inbox`

use std::collections::HashSet;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Time between two looks at the folder.
const EVERY: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: watch_folder MODEL FOLDER".into());
    };
    let detector = fieldtune::Detector::open(model)?;
    let mut seen: HashSet<PathBuf> = HashSet::new();
    loop {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if !seen.insert(path.clone()) {
                continue;
            }
            // A file that is still being written, or no photo at all, is no reason to end.
            match image::open(&path) {
                Ok(photo) => {
                    let names: Vec<String> = detector.detect(&photo)?.into_iter().map(|found| found.name).collect();
                    println!("{}: {}", path.display(), names.join(", "));
                }
                Err(error) => eprintln!("{}: {error}", path.display()),
            }
        }
        std::thread::sleep(EVERY);
    }
}

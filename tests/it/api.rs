//! The library as another program uses it: train on a folder of photos, watch, stop, and detect with the result.

use fieldtune::data::{SceneOptions, scene, write_voc};
use fieldtune::{Detector, Progress, Training};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

fn set() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SceneOptions { images: 16, size: 96, min_object_px: 16, ..SceneOptions::default() };
    write_voc(&folder.path().join("photos"), &options).expect("a data set");
    let weights = folder.path().join("weights.onnx");
    std::fs::write(&weights, fieldtune::session::PRETRAINED).expect("writes");
    let photos = folder.path().join("photos");
    (folder, photos, weights)
}

fn training(photos: &Path, weights: &Path, out: &Path) -> Training {
    Training::new(photos, weights)
        .epochs(2)
        .batch(4)
        .input_size(96)
        .threads(1)
        .out(out)
        .set("watchdog = 'off'")
        .expect("a key")
}

#[test]
fn a_run_reports_its_progress_and_its_detector_finds_objects() {
    let (folder, photos, weights) = set();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let run = training(&photos, &weights, &folder.path().join("runs"));
    let trained =
        run.on_progress(move |progress| listener.lock().expect("a list").push(progress)).run().expect("it trains");
    assert_eq!((trained.epochs, trained.stopped), (2, false));
    let heard = heard.lock().expect("a list");
    let epochs = heard.iter().filter(|p| matches!(p, Progress::Epoch { .. })).count();
    let steps = heard.iter().filter(|p| matches!(p, Progress::Step { total, .. } if *total == 8)).count();
    // 13 images make four windows an epoch, the last of one image.
    assert_eq!((epochs, steps), (2, 8), "{heard:?}");

    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    let detector = shared(Detector::open(&trained.best).expect("a detector")).with_threshold(0.01);
    let options = SceneOptions { size: 160, ..SceneOptions::default() };
    assert_eq!((detector.input_size(), detector.class_names().len()), ([96, 96], options.class_names().len()));
    let picture = scene(options.seed_of(0), &options).image;
    let found = detector.detect_rgb(160, 160, &picture.pixels).expect("pixels");
    assert!(!found.is_empty() && found.is_sorted_by(|a, b| a.score >= b.score), "{found:?}");
    let inside = |v: f64| (0.0..=160.0).contains(&v);
    assert!(found.iter().all(|f| [f.bbox.x0, f.bbox.y0, f.bbox.x1, f.bbox.y1].into_iter().all(inside)));
    assert!(found.iter().all(|f| f.name == detector.class_names()[f.class]));
    let image = image::RgbImage::from_raw(160, 160, picture.pixels).expect("as many bytes");
    assert_eq!(detector.detect(&image.into()).expect("a photo"), found);
}

#[test]
fn a_run_stops_when_its_flag_says_so() {
    let (folder, photos, weights) = set();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let run = training(&photos, &weights, &folder.path().join("runs")).stop(stop);
    let trained = run.on_progress(move |_| flag.store(true, Ordering::Relaxed)).run().expect("it saves");
    assert!(trained.stopped && trained.folder.join("weights/last.ckpt").is_file(), "{trained:?}");
}

#[test]
fn what_cannot_work_is_told() {
    let (folder, photos, weights) = set();
    let error = Training::new("nowhere", &weights).run().expect_err("no data").to_string();
    assert!(error.contains("nowhere: no such data set") && error.contains("help:"), "{error}");
    let error = Training::new(&photos, &weights).set("[recipe]\nepoch = 3").err().expect("no such key").to_string();
    assert!(error.contains("epoch"), "{error}");
    let words = folder.path().join("words.onnx");
    std::fs::write(&words, "words").expect("writes");
    assert!(Detector::open(&words).err().expect("no model").to_string().contains("words.onnx"));
    let detector = Detector::open(&weights).expect("a detector");
    assert!(detector.detect_rgb(2, 2, &[0; 5]).expect_err("too few").to_string().contains("found 5 bytes"));
}

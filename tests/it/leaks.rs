//! Photos on both sides, labels of another camera: what `train` refuses, what it takes when told to, and what `val` says of
//! a model that has seen the photos.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::photos::Photos;
use crate::runs::{basis, copy_run, run, stderr, succeed, text, training};

/// Three photos of one camera; the labels are of another one's as well, which has a photo of that name.
fn two_cameras() -> Photos {
    let set = Photos::new();
    let image = |id: u32, name: &str| format!(r#"{{"id": {id}, "file_name": "{name}", "width": 200, "height": 100}}"#);
    let object = |id: u32| {
        format!(
            r#"{{"id": {id}, "image_id": {id}, "category_id": 1, "bbox": [20, 10, 90, 70], "area": 6300, "iscrowd": 0}}"#
        )
    };
    let names = ["cam1/0.jpg", "cam1/1.jpg", "cam1/2.jpg", "cam2/0.jpg"];
    for (name, seed) in names[..3].iter().zip(0..) {
        set.jpeg(&format!("images/{name}"), seed);
    }
    let images: Vec<String> = names.iter().zip(1..).map(|(name, id)| image(id, name)).collect();
    let objects: Vec<String> = (1..=4).map(object).collect();
    set.file(
        "labels.json",
        format!(
            r#"{{"images": [{}], "annotations": [{}], "categories": [{{"id": 1, "name": "disc"}}]}}"#,
            images.join(","),
            objects.join(",")
        ),
    );
    set
}

/// Corners where YOLO has centre and size.
fn corners() -> Photos {
    let set = Photos::new();
    for i in 0..12 {
        let at = 0.1 + 0.03 * f64::from(i);
        set.jpeg(&format!("{i}.jpg"), i).file(&format!("{i}.txt"), format!("0 {at} 0.3 {} 0.9\n", at + 0.4));
    }
    set.file("classes.txt", "disc\nsquare\n");
    set
}

/// Two lists of class names in different orders.
fn two_lists() -> Photos {
    let set = Photos::new();
    for i in 0..6 {
        set.jpeg(&format!("{i}.jpg"), i).file(&format!("{i}.txt"), "0 0.5 0.5 0.5 0.5\n1 0.3 0.3 0.2 0.4\n");
    }
    set.file("classes.txt", "disc\nsquare\n").file("labels/classes.txt", "square\ndisc\n");
    set
}

/// Scenes of which `val.txt` lists those that `train.txt` lists.
fn same_photos() -> Photos {
    let set = Photos::new();
    copy_run(Path::new(&basis()[0]), set.path());
    let lists = set.path().join("ImageSets/Main");
    fs::copy(lists.join("train.txt"), lists.join("val.txt")).expect("copies");
    set
}

#[test]
fn training_that_cannot_mean_well_is_refused_until_it_is_accepted_by_name() {
    let [_, weights] = basis();
    for (set, kind) in [
        (two_cameras(), "label-without-image"),
        (corners(), "xyxy-as-xywh"),
        (two_lists(), "class-lists-disagree"),
        (same_photos(), "validation-is-training"),
    ] {
        let out = tempfile::tempdir().expect("a folder");
        let data = [text(set.path()).to_string(), weights.clone()];
        let other = if kind == "xyxy-as-xywh" { "label-without-image" } else { "xyxy-as-xywh" };
        for more in [&[][..], &["--accept", other]] {
            let refused = run(&training(&data, out.path(), more));
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(1), "{kind}: {said}");
            for part in ["nothing is trained on guesses: ", "\nhelp: ", &format!("--accept {kind}")] {
                assert!(said.contains(part), "{kind}: no {part:?} in {said}");
            }
            assert!(!out.path().join("run").exists(), "{kind}: refused before there is a run");
        }
        let misspelt = run(&training(&data, out.path(), &["--accept", "labels"]));
        assert!(stderr(&misspelt).contains("--accept labels: no such kind"), "{}", stderr(&misspelt));
        assert!(stderr(&misspelt).contains(kind), "the names are listed: {}", stderr(&misspelt));
    }
}

#[test]
fn a_set_that_is_accepted_is_trained_on_and_what_is_wrong_with_it_is_said_before_and_after() {
    let set = same_photos();
    let out = tempfile::tempdir().expect("a folder");
    let data = [text(set.path()).to_string(), basis()[1].clone()];
    let trained = run(&training(&data, out.path(), &["--epochs", "1", "--accept", "validation-is-training"]));
    let said = stderr(&trained);
    assert_eq!(trained.status.code(), Some(0), "{said}");
    let place = |part: &str| said.find(part).unwrap_or_else(|| panic!("no {part:?} in {said}"));
    let (before, after) = (place("also trained on"), place("AP was measured on photos that were trained on"));
    let saved = place("checkpoint at step");
    assert!(before < saved && saved < after, "{said}");
    let job = fs::read_to_string(out.path().join("run/config.toml")).expect("a job file");
    assert!(job.contains("accept = [\"validation-is-training\"]"), "{job}");
}

/// The figure `AP` of a `val` call, and what was said.
fn judged(model: &str, photos: &str, more: &[&str]) -> (f64, String) {
    let output = run(&[&["val", model, photos, "--json"][..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (figures["AP"].as_f64().expect("an AP"), stderr(&output))
}

/// The sources that `val` could have judged on, by seed: of the draw itself, not of the program's words.
fn held_back(photos: &Path, seed: u64) -> BTreeSet<String> {
    let set = fieldtune::data::DataSet::open(photos).expect("opens");
    let lists = set.splits(&fieldtune::data::SplitOptions { val_share: 0.4, seed });
    let val = lists.iter().find(|l| l.name == "val").expect("a split");
    val.members.iter().map(|i| set.annotations[*i].source.clone()).collect()
}

#[test]
fn val_holds_back_the_photos_of_training_and_tells_which_were_trained_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let photos = dir.path().join("photos");
    copy_run(Path::new(&basis()[0]), &photos);
    // Without lists, the seed and the share decide.
    fs::remove_dir_all(photos.join("ImageSets")).expect("removes");
    let data = [text(&photos).to_string(), basis()[1].clone()];
    let options = ["--epochs", "12", "--hold", "0", "--threads", "1", "--seed", "5", "--val-share", "0.4"];
    succeed(&training(&data, dir.path(), &options));
    let table = fs::read_to_string(dir.path().join("run/results.csv")).expect("a table");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let column = rows[0].iter().position(|name| *name == "AP").expect("a column");
    let in_training = rows[1..].iter().map(|row| row[column].parse::<f64>().expect("a figure")).fold(0.0, f64::max);
    assert!(in_training > 0.0, "something was learned:\n{table}");

    let best = dir.path().join("run/weights/best.onnx");
    let model = text(&best);
    let (ap, said) = judged(model, text(&photos), &[]);
    assert!((ap - in_training).abs() < 1e-5, "the photos of training: {ap}, in training {in_training}");
    let (held, anew) = (held_back(&photos, 5), held_back(&photos, 0));
    assert!(said.contains(&format!("{} images of split val", held.len())), "{said}");
    assert!(!said.contains("were trained on"), "{said}");

    let (_, said) = judged(model, text(&photos), &["--seed", "0"]);
    let seen = anew.difference(&held).count();
    assert!(seen > 0, "the two draws differ");
    let told = format!("{seen} of the {} photos of split val were trained on: AP promises too much", anew.len());
    assert!(said.contains(&told), "{told}: {said}");

    let (_, said) = judged(model, text(&photos), &["--split", "train"]);
    let all = 16 - held.len();
    assert!(said.contains(&format!("{all} of the {all} photos of split train were trained on")), "{said}");

    // A photo under another name, in another set, was trained on as well; one of other pixels was not.
    let elsewhere = dir.path().join("elsewhere");
    copy_run(&photos, &elsewhere);
    let names = |folder: &str| fs::read_dir(elsewhere.join(folder)).expect("lists").flatten().map(|e| e.path());
    for path in names("JPEGImages").chain(names("Annotations")).collect::<Vec<_>>() {
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name").replace("scene", "copy");
        fs::rename(&path, path.with_file_name(name)).expect("renames");
    }
    let (_, said) = judged(model, text(&elsewhere), &["--split", "all"]);
    assert!(said.contains(&format!("{all} of the 16 photos of split all were trained on")), "{said}");
    let others = Photos::new();
    for i in 0..3 {
        others.voc(&format!("{i}"), i, &[("disc", [20, 20, 120, 90])]);
    }
    let (_, said) = judged(model, text(others.path()), &["--split", "all"]);
    assert!(said.contains("the model was trained on none of these photos"), "{said}");
}

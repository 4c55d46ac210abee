//! A run's report, pictures and event files, made by the program on photos with names that try to be markup.

use crate::runs::{basis, copy_run, run, stderr, succeed, text, training};
use fieldtune::data::masked_crc32c;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A class that is markup in HTML, XML and a shell; control characters are refused in names of classes.
const CLASS: &str = "<script>alert(\"1\")</script>'&` 浣熊";

/// The basis with a class and a photo of hostile names.
fn hostile_photos(folder: &Path) {
    copy_run(Path::new(&basis()[0]), folder);
    let escaped = CLASS.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let files = walk(folder);
    let xml: Vec<&PathBuf> = files.iter().filter(|f| f.extension().is_some_and(|e| e == "xml")).collect();
    assert!(!xml.is_empty(), "{files:?}");
    // The commonest class: it has objects on both sides of every split.
    let mut counts: HashMap<String, usize> = HashMap::new();
    for file in &xml {
        let labels = fs::read_to_string(file).expect("labels");
        for object in labels.split("<object>").skip(1) {
            let name = object.split("<name>").nth(1).and_then(|rest| rest.split("</name>").next()).expect("a name");
            *counts.entry(name.to_string()).or_default() += 1;
        }
    }
    let (name, _) = counts.into_iter().max_by_key(|(name, count)| (*count, name.clone())).expect("an object");
    for file in &xml {
        let labels = fs::read_to_string(file).expect("labels");
        let renamed = labels.replace(&format!("<name>{name}</name>"), &format!("<name>{escaped}</name>"));
        fs::write(file, renamed).expect("labels");
    }
    // The list of classes beside them knows the class by the same name.
    let list = folder.join("labels.txt");
    let names = fs::read_to_string(&list).expect("a list of classes");
    fs::write(&list, names.replace(&name, CLASS)).expect("a list of classes");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path());
    entries.flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}

/// A finished run of three epochs; made once, and not written into.
fn finished() -> &'static Path {
    static RUN: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = RUN.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let photos = dir.path().join("photos & <b>co</b>");
        hostile_photos(&photos);
        let basis = [text(&photos).to_string(), basis()[1].clone()];
        succeed(&training(&basis, dir.path(), &["--epochs", "3", "--hold", "0", "--threads", "1"]));
        dir
    });
    dir.path()
}

#[test]
fn a_report_needs_nothing_and_names_stay_text() {
    let page = fs::read_to_string(finished().join("run/report.html")).expect("a report");
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    assert!(
        page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;&#96; 浣熊"),
        "the class is named"
    );
    assert!(!page.contains("<script") && !page.contains("<b>co"), "nothing is markup that came from outside");
    assert!(!page.contains("http:") && !page.contains("https:"), "nothing is loaded");
    for word in ["3 epochs", "Recommended threshold", "Commonest errors", "images to train on", "fieldtune predict"] {
        // A network that has seen nothing may find nothing in three epochs.
        let found = page.contains(word) || word != "3 epochs" && page.contains("no threshold to recommend");
        assert!(found, "{word}");
    }
    // Pictures stand in the page as base64, which may spell anything.
    assert!(page.contains("All figures by epoch") && !page.contains(">NaN"));
}

#[test]
fn figures_beside_the_history_come_through_a_stop() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    copy_run(&finished().join("run"), &folder);
    let before = fs::read_to_string(folder.join("results.csv")).expect("figures");
    let header: Vec<String> =
        csv::Reader::from_reader(before.as_bytes()).headers().expect("a header").iter().map(String::from).collect();
    assert_eq!(header[9..13], ["time_s", "images_per_s", "val_class_loss", "val_box_loss"]);
    assert!(header[13..].contains(&format!("AP[{CLASS}]")), "{header:?}");
    let longer = run(&["train", "--resume", text(&folder), "--epochs", "4"]);
    assert_eq!(longer.status.code(), Some(0), "{}", stderr(&longer));
    let after = fs::read_to_string(folder.join("results.csv")).expect("figures");
    assert!(after.starts_with(&before), "epochs that are over keep their line:\n{before}\n{after}");
    let times: Vec<f64> = csv::Reader::from_reader(after.as_bytes())
        .records()
        .map(|row| row.expect("a row")[9].parse().expect("a time"))
        .collect();
    assert!(times.len() == 4 && times.windows(2).all(|t| t[0] <= t[1]), "{times:?}");
    let page = fs::read_to_string(folder.join("report.html")).expect("a report");
    let table = page.split("All figures by epoch").nth(1).and_then(|rest| rest.split("</table>").next());
    assert_eq!(table.expect("a table").matches("<tr><td>").count(), 4, "the table of epochs goes on");
}

#[test]
fn event_files_are_whole_records() {
    let is_events = |p: &&PathBuf| p.to_string_lossy().contains("events.out.tfevents.");
    let files = walk(&finished().join("run"));
    let files: Vec<&PathBuf> = files.iter().filter(is_events).collect();
    assert_eq!(files.len(), 1);
    let bytes = fs::read(files[0]).expect("events");
    let (mut at, mut events) = (0, Vec::new());
    while at < bytes.len() {
        let length: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
        let data = &bytes[at + 12..at + 12 + u64::from_le_bytes(length) as usize];
        let sum = u32::from_le_bytes(bytes[at + 12 + data.len()..at + 16 + data.len()].try_into().expect("four bytes"));
        assert_eq!(sum, masked_crc32c(data));
        events.push(data);
        at += 16 + data.len();
    }
    let with = |tag: &str| events.iter().filter(|e| e.windows(tag.len()).any(|w| w == tag.as_bytes())).count();
    let results = fs::read_to_string(finished().join("run/results.csv")).expect("figures");
    let last = csv::Reader::from_reader(results.as_bytes()).records().last().expect("a row").expect("a row");
    let steps: usize = last[1].parse().expect("a number");
    assert_eq!(with("gradient_norm"), steps, "each step");
    assert_eq!([with("AP/AP50"), with(&format!("AP_by_class/{CLASS}"))], [3, 3]);
    assert!(with("val_pred") == 1 && with("train_batch0") == 1 && with("update_ratio") > 0);
}

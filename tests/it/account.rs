//! The account of files adds up: against a walk of the folder, on real sets and on random layouts.

use std::fs;
use std::path::Path;

use fieldtune::data::{CheckOptions, DataSet, FileFate, Report, check};

use crate::photos::{Photos, voc_xml};
use crate::shared::shared;

/// Names of all files that are not hidden.
fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let full = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        match entry.path().is_dir() {
            true => walk(&entry.path(), &full, names),
            false => names.push(full),
        }
    }
}

/// Every file has one bin, the bins add up, and labels and boxes do.
pub fn assert_adds_up(path: &Path, dataset: &DataSet, report: &Report) {
    let mut names = Vec::new();
    walk(path, "", &mut names);
    names.sort();
    let binned: Vec<&str> = report.fates.files().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(binned, names, "{}", path.display());
    let account = &report.account;
    assert_eq!(account.files_seen(), names.len(), "{}", path.display());
    let endings = [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic"];
    let photos = names.iter().filter(|n| endings.iter().any(|e| n.to_lowercase().ends_with(e))).count();
    let inside = dataset.annotations.iter().filter(|a| !names.contains(&a.source)).count();
    assert_eq!(account.photos_found(), photos + inside, "{}\n{}", path.display(), report.render());
    let of = |fates: &[FileFate]| fates.iter().map(|f| account.photos.get(f).copied().unwrap_or(0)).sum::<usize>();
    let opened = of(&[FileFate::Used, FileFate::Background, FileFate::Unreadable]);
    let labelled = dataset.annotations.len();
    let aside = of(&[FileFate::InNoSplit]);
    assert!((opened..=opened + aside).contains(&labelled), "{}\n{}", path.display(), report.render());
    let boxes = dataset.lost_boxes + dataset.annotations.iter().map(|a| a.objects.len()).sum::<usize>();
    let b = account.boxes;
    assert_eq!(b.used + b.repaired + b.dropped, boxes, "{}", path.display());
    assert_eq!(report.classes.iter().map(|c| c.usable).sum::<usize>(), b.used + b.repaired, "{}", path.display());
    let lines = account.lines();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].starts_with(&format!("photos: {} found, {} used", account.photos_found(), account.photos_used())));
}

fn add_up(path: &Path) -> Report {
    let dataset = DataSet::open(path).unwrap_or_else(|e| panic!("{e}"));
    let report = check(&dataset, &CheckOptions::default());
    assert_adds_up(path, &dataset, &report);
    report
}

#[test]
fn the_accounts_of_real_sets_add_up() {
    for (set, photos, boxes) in [("bccd", 364, 4888), ("raccoon", 200, 217), ("microcontrollers", 149, 177)] {
        let Some(path) = shared(&format!("data/{set}")) else { return };
        let account = add_up(&path).account;
        assert_eq!((account.photos_used(), account.labels.used), (photos, photos), "{set}");
        assert_eq!(account.boxes.used + account.boxes.repaired + account.boxes.dropped, boxes, "{set}");
    }
}

/// Small random numbers that are the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One photo of a random set: where it lies, and what is wrong with it or its labels.
fn photo(set: &Photos, dice: &mut Dice, i: u64, yolo: bool) {
    let folders = ["", "train/", "valid/", "images/train/", "photos/cam1/"];
    let folder = folders[dice.roll(folders.len() as u64) as usize];
    let name = format!("{folder}p{i}");
    let extension = ["jpg", "JPG", "jpeg", "jfif", "heic", "png"][dice.roll(6) as usize];
    let content = crate::photos::jpeg(200, 100, i as u8);
    let cut = dice.roll(9) == 0;
    set.file(&format!("{name}.{extension}"), if cut { &content[..600] } else { &content[..] });
    let class = ["cat", "dog"][dice.roll(2) as usize];
    let (label, text) = match yolo {
        true => ("txt", format!("{} 0.5 0.5 0.{} 0.4\n", u64::from(class == "dog"), 2 + dice.roll(7))),
        false => ("xml", voc_xml(200, 100, &[(class, [10, 10, 60 + dice.roll(200) as i32, 80])])),
    };
    match dice.roll(8) {
        0 => {}
        1 => drop(set.file(&format!("{name}.{label}"), "neither one nor the other")),
        2 => drop(set.file(&format!("{folder}lost{i}.{label}"), &text)),
        3 => drop(set.file(&format!("{name}.{}", label.to_uppercase()), &text)),
        _ => drop(set.file(&format!("{name}.{label}"), &text)),
    }
}

#[test]
fn the_accounts_of_twenty_random_layouts_add_up() {
    for seed in 0..20 {
        let (set, mut dice) = (Photos::new(), Dice(seed));
        let yolo = seed % 2 == 0;
        for i in 0..15 + dice.roll(30) {
            photo(&set, &mut dice, i, yolo);
        }
        // One photo that is certainly sound, whatever the dice say.
        match yolo {
            true => drop(
                set.jpeg("sound.jpg", 99).file("sound.txt", "0 0.5 0.5 0.5 0.5\n").file("classes.txt", "cat\ndog\n"),
            ),
            false => drop(set.voc("sound", 99, &[("cat", [10, 10, 90, 90])])),
        }
        set.file("README.md", "a set").file(".hidden", "x").file("thumbs/sound.png", "x");
        add_up(set.path());
    }
}

//! Data sets as other tools write them: what each of the handed situations comes to.

use std::path::Path;

use fieldtune::data::{CheckOptions, DataSet, FindingKind, Report, check};

use crate::account::assert_adds_up;
use crate::shared::shared;

/// Folder, photos used, boxes used (as they are or repaired), classes, sizes of train and val, and the kinds of
/// warnings and errors that are found.
type Row = (&'static str, usize, usize, usize, [usize; 2], &'static [FindingKind]);

/// The numbers follow from how the inputs were made: twelve photos with fifteen boxes of two classes.
const ROWS: [Row; 41] = {
    use FindingKind::*;
    [
        ("02-two-classes-txt", 12, 15, 2, [10, 2], &[ClassListsDisagree]),
        ("03-classes-bom", 12, 15, 2, [10, 2], &[]),
        ("05-cvat-yolo11-subsets", 12, 15, 2, [8, 4], &[]),
        ("07-cvat-images-xml", 12, 15, 2, [10, 2], &[]),
        ("103-stems-differ-by-case", 12, 15, 2, [10, 2], &[]),
        ("11-labelstudio-coco-localfiles", 12, 15, 2, [10, 2], &[]),
        ("12-labelstudio-yolo-hash", 12, 15, 2, [10, 2], &[]),
        ("16-roboflow-yolo-keras", 12, 15, 2, [8, 4], &[]),
        ("17-labelme", 12, 15, 2, [10, 2], &[]),
        ("19-openimages-jetson", 12, 15, 2, [8, 2], &[]),
        ("21-csv-semicolon", 12, 15, 2, [10, 2], &[]),
        ("24-visdrone", 12, 15, 2, [10, 2], &[]),
        ("26-oxford-pets", 12, 15, 2, [6, 2], &[]),
        ("27c-yolo-masks", 12, 15, 2, [10, 2], &[]),
        ("30-voc-gb2312", 12, 15, 2, [10, 2], &[]),
        ("32-voc-utf16", 12, 15, 2, [10, 2], &[]),
        ("33i-two-yaml", 12, 15, 2, [9, 3], &[]),
        ("33l-yaml-same-split", 9, 11, 2, [9, 9], &[ImageInTwoSplits, ValidationIsTraining]),
        ("35-pose-8x2", 12, 15, 2, [9, 3], &[]),
        ("36-pose-17x3", 12, 15, 2, [9, 3], &[]),
        ("39-yolo-corners", 12, 15, 2, [9, 3], &[XyxyAsXywh]),
        ("40-coco-xyxy", 12, 15, 2, [10, 2], &[XyxyAsXywh]),
        ("41-coco-normalised", 12, 15, 2, [10, 2], &[FractionsAsPixels]),
        ("42-coco-imageid-string", 12, 15, 2, [10, 2], &[]),
        ("43-coco-float-ids", 12, 15, 2, [10, 2], &[]),
        ("47-coco-all-train-val", 12, 15, 2, [9, 3], &[]),
        ("50-coco-background-category", 12, 15, 2, [10, 2], &[]),
        ("50c-coco-stray-xml", 12, 15, 2, [10, 2], &[]),
        ("51-yolo-mixed-extensions", 11, 14, 2, [9, 2], &[LabelWithoutImage, ImageFormatNotRead]),
        ("51d-voc-half-jfif", 12, 15, 2, [10, 2], &[]),
        ("57b-yolo-nfd-half", 12, 15, 2, [10, 2], &[]),
        ("58-yolo-upper-txt", 12, 15, 2, [10, 2], &[]),
        ("58c-yolo-half-case", 12, 15, 2, [10, 2], &[]),
        ("60b-voc-Training-Evaluation", 12, 15, 2, [9, 3], &[]),
        ("60f-csv-train-eval", 12, 15, 2, [9, 3], &[]),
        ("77b-imagesets-utf16", 12, 15, 2, [8, 4], &[]),
        ("77c-imagesets-root", 12, 15, 2, [8, 4], &[]),
        ("80-twins-across-splits", 16, 21, 2, [12, 4], &[DuplicateImageAcrossSplits, ValidationIsTraining]),
        ("94-yaml-in-configs", 12, 15, 2, [9, 3], &[]),
        ("96-labelimg-default-classes", 12, 15, 2, [10, 2], &[]),
        ("97-yolo-half-unlabelled", 6, 8, 2, [5, 1], &[ClassWithoutExamples, ImageWithoutLabels, RareClass]),
    ]
};

fn serious(report: &Report) -> Vec<FindingKind> {
    let counts = report.findings.counts().keys();
    let mut kinds: Vec<FindingKind> =
        counts.filter(|(_, s, _)| *s > fieldtune::data::Severity::Info).map(|(k, _, _)| *k).collect();
    kinds.dedup();
    kinds
}

fn split(report: &Report, name: &str) -> usize {
    report.splits.iter().find(|(n, _)| n == name).map_or(0, |(_, size)| *size)
}

#[test]
fn each_handed_situation_comes_to_what_it_should() {
    let Some(cases) = shared("cases") else { return };
    let mut wrong = Vec::new();
    for (folder, photos, boxes, classes, sizes, kinds) in ROWS {
        let path = cases.join(folder);
        let dataset = DataSet::open(&path).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let report = check(&dataset, &CheckOptions::default());
        assert_adds_up(&path, &dataset, &report);
        let used = report.account.boxes.used + report.account.boxes.repaired;
        let found = (report.account.photos_used(), used, dataset.classes.len());
        let splits = ["train", "val"].map(|name| split(&report, name));
        let mut expected = kinds.to_vec();
        expected.sort_unstable();
        if found != (photos, boxes, classes) || splits != sizes || serious(&report) != expected {
            wrong.push(format!("{folder}: {found:?} {splits:?}\n{}", report.render()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The photos of one camera do not get the labels of another.
#[test]
fn labels_of_another_camera_find_no_photo() {
    let Some(cases) = shared("cases") else { return };
    for folder in ["46e-coco-other-camera", "46g-coco-other-camera-same-size"] {
        let error = DataSet::open(&cases.join(folder)).expect_err("not one photo of that camera").to_string();
        assert!(error.contains("\"images/cam1/0000.jpg\" has the name, but lies in another folder"), "{error}");
    }
}

/// Boxes of all readable forms of one set are those of its plainest form, within half a pixel.
#[test]
fn the_boxes_are_the_same_whatever_tool_wrote_them() {
    let Some(cases) = shared("cases") else { return };
    let boxes = |folder: &str| -> Vec<[f64; 4]> {
        let dataset = DataSet::open(&cases.join(folder)).expect("opens");
        let file = cases.with_file_name("pack-of-cases");
        let pack = tempfile::tempdir().expect("temporary folder").keep().join(file.file_name().expect("a name"));
        let options = fieldtune::data::PackOptions::default();
        fieldtune::data::write_pack(&dataset, &pack, &options, &mut |_, _| {}).expect("packs");
        let opened = fieldtune::data::Pack::open(&pack).expect("opens");
        let all = opened.split("all").expect("is there");
        let mut boxes = Vec::new();
        for i in 0..all.len() {
            let record = all.record(i).expect("is sound");
            let [w, h] = record.source_size.map(f64::from);
            boxes.extend(record.objects.iter().map(|o| [o.bbox.x0 * w, o.bbox.y0 * h, o.bbox.x1 * w, o.bbox.y1 * h]));
        }
        std::fs::remove_dir_all(pack.parent().expect("a folder")).expect("removes");
        boxes.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        boxes
    };
    let plain = boxes("21-csv-semicolon");
    assert_eq!(plain.len(), 15);
    for folder in [
        "07-cvat-images-xml",
        "12-labelstudio-yolo-hash",
        "16-roboflow-yolo-keras",
        "17-labelme",
        "19-openimages-jetson",
        "24-visdrone",
        "35-pose-8x2",
        "39-yolo-corners",
        "40-coco-xyxy",
        "41-coco-normalised",
    ] {
        let found = boxes(folder);
        let near = |a: &[f64; 4], b: &[f64; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.5);
        assert_eq!(found.len(), plain.len(), "{folder}");
        for wanted in &plain {
            assert!(found.iter().any(|b| near(b, wanted)), "{folder}: no {wanted:?} in {found:?}");
        }
    }
}

/// Nothing of the hostile inputs takes the memory, the time, or the terminal.
#[test]
fn hostile_sets_are_refused_or_survived() {
    let Some(hostile) = shared("hostile") else { return };
    let checked = |folder: &str| -> Result<Report, String> {
        let dataset = DataSet::open(&hostile.join(folder)).map_err(|e| e.to_string())?;
        Ok(check(&dataset, &CheckOptions::default()))
    };
    let error = checked("02-yaml-laughs").expect_err("aliases");
    assert!(error.contains("aliases"), "{error}");
    let report = checked("03-near-duplicate-boxes").expect("is usable");
    assert!(
        report.count(FindingKind::NearDuplicateBox) > 3000 && report.findings.len() < 200,
        "{}",
        report.findings.len()
    );
    let report = checked("04-class-id-9999").expect("is usable");
    assert!(report.classes.len() < 100 && report.count(FindingKind::UnknownClass) > 0, "{}", report.render());
    let report = checked("07-newline-class-name").expect("is usable");
    assert!(report.errors().iter().any(|(kind, _, forbids)| *kind == FindingKind::ClassNameUnusable && *forbids));
    for folder in ["11-escape-class-names/esc", "07-newline-class-name"] {
        let report = checked(folder).expect("is usable");
        for text in [report.render(), report.render_table()] {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
    }
}

/// A path without photos, for messages.
#[test]
fn a_pipe_and_a_system_folder_are_no_data_sets() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let yaml = "path: /etc\ntrain: passwd\nnames: [a]\n";
    std::fs::write(dir.path().join("data.yaml"), yaml).expect("writes");
    for path in [dir.path().to_path_buf(), dir.path().join("data.yaml")] {
        let error = DataSet::open(&path).expect_err("no photos").to_string();
        assert!(!error.contains("root:") && error.contains("leads nowhere"), "{error}");
    }
    #[cfg(unix)]
    {
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|s| s.success()) {
            let error = DataSet::open(&pipe).expect_err("a pipe").to_string();
            assert!(error.contains("neither a folder nor a regular file"), "{error}");
        }
    }
    assert!(DataSet::open(Path::new("/dev/null")).is_err());
}

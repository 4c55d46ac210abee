//! Labels in every format, sound and broken: what is read, what is found, what is said.

use std::path::Path;

use fieldtune::boxes::Anchors;
use fieldtune::data::{
    CheckOptions, DataSet, Finding, FindingAction, FindingKind, Format, Report, Severity, SplitOptions, check,
};

use crate::photos::{Photos, jpeg, voc_xml};
use crate::shared::shared;

fn open(path: &Path) -> DataSet {
    DataSet::open(path).unwrap_or_else(|e| panic!("{e}"))
}

fn counts(dataset: &DataSet) -> (usize, usize, usize) {
    (dataset.annotations.len(), dataset.annotations.iter().map(|a| a.objects.len()).sum(), dataset.classes.len())
}

fn split_sizes(dataset: &DataSet) -> Vec<(&str, usize)> {
    dataset.splits.iter().map(|s| (s.name.as_str(), s.members.len())).collect()
}

fn of_kind(report: &Report, kind: FindingKind) -> Vec<&Finding> {
    report.findings.iter().filter(|f| f.kind == kind).collect()
}

#[test]
fn bccd_is_read_whole_and_its_known_defects_are_found() {
    let Some(path) = shared("data/bccd") else { return };
    let dataset = open(&path);
    assert_eq!((dataset.format, counts(&dataset)), (Format::Voc, (364, 4888, 3)));
    assert_eq!(split_sizes(&dataset), [("test", 72), ("train", 205), ("trainval", 292), ("val", 87)]);
    assert_eq!(dataset.split("valid").expect("is val").members.len(), 87);
    assert_eq!(counts(&open(&path.join("BCCD"))), (364, 4888, 3));

    let report = check(&dataset, &CheckOptions::default());
    let zero_area = of_kind(&report, FindingKind::ZeroAreaBox);
    let files: Vec<&str> = zero_area.iter().map(|f| f.place.file.as_str()).collect();
    assert_eq!(files, ["BCCD/Annotations/BloodImage_00338.xml", "BCCD/Annotations/BloodImage_00343.xml"]);
    assert!(zero_area.iter().all(|f| f.action == FindingAction::Dropped));
    assert_eq!(of_kind(&report, FindingKind::NearDuplicateBox).len(), 7);
    assert_eq!(report.findings.len(), 9, "{}", report.render_table());
    assert_eq!(report.exit_code(), 0);
    let boxes: Vec<_> = report.classes.iter().map(|c| (c.name.as_str(), c.boxes)).collect();
    assert_eq!(boxes, [("Platelets", 361), ("RBC", 4155), ("WBC", 372)]);
    assert_eq!(report.to_json()["findings"][0]["kind"], "zero-area-box");
}

#[test]
fn raccoon_takes_its_split_from_csv_and_shows_its_identical_images() {
    let Some(path) = shared("data/raccoon") else { return };
    let dataset = open(&path);
    assert_eq!((dataset.format, counts(&dataset)), (Format::Voc, (200, 217, 1)));
    assert_eq!(split_sizes(&dataset), [("test", 40), ("train", 160)]);
    let report = check(&dataset, &CheckOptions::default());
    let twins = of_kind(&report, FindingKind::DuplicateImage);
    assert_eq!(twins.len(), 4, "{}", report.render_table());
    assert!(twins.iter().any(|f| f.place.file.ends_with("raccoon-11.jpg") && f.detail.contains("raccoon-116.jpg")));
    assert_eq!((report.findings.len(), report.exit_code()), (4, 0));

    let table = open(&path.join("data/raccoon_labels.csv"));
    assert_eq!((table.format, counts(&table)), (Format::Csv, (200, 217, 1)));
}

#[test]
fn microcontrollers_is_clean() {
    let Some(path) = shared("data/microcontrollers") else { return };
    let dataset = open(&path);
    assert_eq!((dataset.format, counts(&dataset)), (Format::Voc, (149, 177, 4)));
    assert_eq!(split_sizes(&dataset), [("test", 7), ("train", 142)]);
    let anchors = Anchors::tf_ssd(&[19, 10, 5, 3, 2, 1].map(|side| [side, side]));
    let report = check(&dataset, &CheckOptions { anchors: anchors.corners(), ..CheckOptions::default() });
    assert!(report.worst() <= Some(Severity::Info), "{}", report.render_table());
}

#[test]
fn one_set_with_every_defect_of_boxes_and_images() {
    let photos = Photos::new();
    let good = ("cat", [20, 20, 120, 90]);
    for i in 0..12 {
        photos.voc(&format!("train/good {i}#=1"), i, &[good, ("dog", [100, 10, 190, 95])]);
    }
    photos
        .voc("val/twin", 3, &[good, ("dog", [100, 10, 190, 95])])
        .voc("val/zero", 50, &[good, ("dog", [30, 30, 30, 30])])
        .voc("val/reversed", 51, &[("dog", [190, 95, 100, 10]), good, ("cat", [120, 40, 190, 95])])
        .voc("val/outside", 52, &[("dog", [100, 10, 290, 95]), ("cat", [300, 300, 400, 400])])
        .voc("val/xywh", 53, &[("dog", [110, 50, 60, 40]), ("cat", [20, 20, 30, 70]), ("cat", [90, 5, 100, 90])])
        .voc("val/twice", 54, &[good, good, ("cat", [21, 20, 121, 90])])
        .voc("val/small", 55, &[("dog", [10, 10, 14, 60])])
        .voc("val/stray", 56, &[("Dog", [10, 10, 60, 60])])
        .file("train/cut.jpg", &jpeg(200, 100, 57)[..1500])
        .file("train/cut.xml", voc_xml(200, 100, &[good]))
        .file("train/text.jpg", "no picture")
        .file("train/text.xml", voc_xml(200, 100, &[good]))
        .file("train/orphan.xml", voc_xml(200, 100, &[good]))
        .file("train/broken.xml", "<annotation><object>")
        .jpeg("train/broken.jpg", 58)
        .jpeg("train/unlabelled.jpg", 59)
        .file("train/wrong size.xml", voc_xml(400, 200, &[("cat", [40, 40, 240, 180])]))
        .jpeg("train/wrong size.jpg", 60)
        .voc("val/background", 61, &[]);
    let report = check(&open(photos.path()), &CheckOptions::default());
    let found: Vec<(FindingKind, &str, Severity, FindingAction)> =
        report.findings.iter().map(|f| (f.kind, f.place.file.as_str(), f.severity, f.action)).collect();
    use {FindingAction::*, Severity::*};
    for expected in [
        (FindingKind::DuplicateImageAcrossSplits, "train/good 3#=1.jpg", Error, Kept),
        (FindingKind::ZeroAreaBox, "val/zero.xml", Warning, Dropped),
        (FindingKind::ReversedBox, "val/reversed.xml", Warning, Repaired),
        (FindingKind::BoxOutsideImage, "val/outside.xml", Warning, Repaired),
        (FindingKind::BoxOutsideImage, "val/outside.xml", Warning, Dropped),
        (FindingKind::XywhAsXyxy, "val/xywh.xml", Error, Repaired),
        (FindingKind::DuplicateBox, "val/twice.xml", Warning, Dropped),
        (FindingKind::NearDuplicateBox, "val/twice.xml", Warning, Kept),
        (FindingKind::BoxTooSmall, "val/small.xml", Warning, Kept),
        (FindingKind::RareClass, "", Warning, Kept),
        (FindingKind::SimilarClassNames, "", Warning, Kept),
        (FindingKind::ClassWithoutExamples, "", Error, Kept),
        (FindingKind::TruncatedImage, "train/cut.jpg", Error, Dropped),
        (FindingKind::UnreadableImage, "train/text.jpg", Error, Dropped),
        (FindingKind::LabelWithoutImage, "train/orphan.xml", Warning, Dropped),
        (FindingKind::MalformedLabel, "train/broken.xml", Error, Dropped),
        (FindingKind::ImageWithoutLabels, "train/unlabelled.jpg", Warning, Dropped),
        (FindingKind::SizeMismatch, "train/wrong size.xml", Warning, Repaired),
        (FindingKind::BackgroundImage, "val/background.jpg", Info, Kept),
    ] {
        assert!(found.contains(&expected), "{expected:?} not among\n{}", report.render_table());
    }
    assert_eq!((found.len(), report.exit_code()), (19, 1), "{}", report.render_table());
}

#[test]
fn a_listed_class_file_makes_other_classes_unknown() {
    let photos = Photos::new();
    photos.voc("images/a", 1, &[("cat", [10, 10, 90, 90]), ("cow", [100, 10, 190, 90])]);
    photos.file("labels.txt", "BACKGROUND\ndog\ncat\n");
    let dataset = open(photos.path());
    assert_eq!(dataset.classes, ["dog", "cat"]);
    let report = check(&dataset, &CheckOptions::default());
    assert_eq!(of_kind(&report, FindingKind::UnknownClass)[0].detail, "class \"cow\" is none of the 2 classes");
}

#[test]
fn layouts_of_common_tools_are_understood() {
    // CVAT: one list `default`.
    let cvat = Photos::new();
    for i in 0..10 {
        cvat.jpeg(&format!("JPEGImages/{i}.JPG"), i);
        cvat.file(&format!("Annotations/{i}.xml"), voc_xml(200, 100, &[("cat", [10, 10, 90, 90])]));
    }
    cvat.file("ImageSets/Main/default.txt", "0\n1\n2\n3\n4\n5\n6\n7\nnone\n");
    cvat.file("ImageSets/Main/cat_train.txt", "0 1\n1 -1\n");
    cvat.file("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n");
    let dataset = open(cvat.path());
    assert_eq!((split_sizes(&dataset), dataset.classes.as_slice()), (vec![("default", 8)], &["cat".to_string()][..]));
    assert_eq!(dataset.findings[0].place.to_string(), "ImageSets/Main/default.txt:9");
    let splits = dataset.splits(&SplitOptions { val_share: 0.25, seed: 1 });
    let sizes: Vec<_> = splits.iter().map(|s| (s.name.as_str(), s.members.len())).collect();
    assert_eq!(sizes, [("default", 8), ("train", 6), ("val", 2)]);

    // Roboflow's COCO: a JSON in each split's folder, same file names in both, supercategory 0.
    let coco = Photos::new();
    for (split, x) in [("train", 10), ("valid", 20)] {
        coco.jpeg(&format!("{split}/1.jpg"), x);
        coco.file(
            &format!("{split}/_annotations.coco.json"),
            format!(
                r#"{{"images":[{{"id":0,"file_name":"1.jpg","width":200,"height":100}}],
                "categories":[{{"id":0,"name":"pets","supercategory":"none"}},{{"id":1,"name":"cat","supercategory":"pets"}}],
                "annotations":[{{"id":0,"image_id":0,"category_id":1,"bbox":[{x},10,50,60],"area":3000,"iscrowd":0}}]}}"#
            ),
        );
    }
    let dataset = open(coco.path());
    assert_eq!((dataset.format, split_sizes(&dataset)), (Format::Coco, vec![("train", 1), ("val", 1)]));
    let lefts: Vec<f64> = dataset.annotations.iter().map(|a| a.objects[0].corners[0]).collect();
    assert_eq!((lefts, dataset.classes.as_slice()), (vec![10.0, 20.0], &["cat".to_string()][..]));

    // Roboflow's YOLO: paths that lead one folder too high.
    let yolo = Photos::new();
    yolo.file("data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n");
    for split in ["train", "valid"] {
        yolo.jpeg(&format!("{split}/images/1.jpg"), 1);
        yolo.file(&format!("{split}/labels/1.txt"), "0 0.5 0.5 0.25 0.5\n");
    }
    for path in [yolo.path().to_path_buf(), yolo.path().join("data.yaml")] {
        let dataset = open(&path);
        assert_eq!((dataset.format, split_sizes(&dataset)), (Format::Yolo, vec![("train", 1), ("val", 1)]));
        assert_eq!(dataset.annotations[0].objects[0].corners, [0.375, 0.25, 0.625, 0.75]);
    }
}

/// Its name, files with content, and two texts that the case is about.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

/// Every way to hand in something unusable as a whole, and what is said about it.
#[test]
fn unusable_input_is_refused_with_file_reason_and_help() {
    let cases: &[Case] = &[
        ("missing folder", &[], "nowhere", "cannot open the data set"),
        ("empty folder", &[], "", "neither images nor labels, expected photos labelled as Pascal VOC"),
        ("photos only", &[("a.jpg", "x"), ("b.png", "y")], "", "2 images without labels"),
        ("a photo", &[("a.jpg", "x")], "a.jpg", "a file, expected a folder of labelled photos"),
        ("JSON is words", &[("a.json", "hello")], "a.json", "expected COCO JSON with images, annotations"),
        ("JSON is a list", &[("a.json", "[1, 2]")], "a.json", "expected COCO JSON"),
        ("JSON is cut", &[("a.json", r#"{"images": [{"id": 1,"#)], "", "a.json: EOF while parsing"),
        (
            "JSON without categories",
            &[("a.json", r#"{"images":[],"annotations":[]}"#)],
            "",
            "missing field `categories`",
        ),
        (
            "JSON without images there",
            &[("a.json", r#"{"images":[{"id":1,"file_name":"x.jpg"}],"annotations":[],"categories":[]}"#)],
            "",
            "COCO labels, but no image with usable ones; first of them: a.json: image 1: no image file \"x.jpg\"",
        ),
        ("CSV without columns", &[("a.csv", "file,label\na.jpg,cat\n")], "", "a.csv:1: no column \"xmin\""),
        ("CSV is empty", &[("a.csv", "")], "a.csv", "a.csv:1: no column \"filename\" in the heading \"\""),
        (
            "CSV without images there",
            &[("a.csv", "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,2,3,4\n")],
            "",
            "first of them: a.csv:2: no image file \"a.jpg\"",
        ),
        (
            "XML malformed",
            &[("a.xml", "<annotation><size></annotation>"), ("a.jpg", "x")],
            "",
            "a.xml:1: malformed XML",
        ),
        (
            "XML cut",
            &[("a.xml", "<annotation>\n<object>\n<name>cat"), ("a.jpg", "x")],
            "",
            "a.xml:3: the file ends inside",
        ),
        ("XML without image", &[("a.xml", "<annotation></annotation>")], "", "a.xml: no image file \"a\""),
        ("YAML without names", &[("data.yaml", "train: images\n")], "data.yaml", "neither names nor nc"),
        ("YAML malformed", &[("data.yaml", "names: [a, b\ntrain: }")], "", "expected YAML with names, train and val"),
        ("YAML leads nowhere", &[("data.yaml", "names: [a]\ntrain: images")], "", "train: \"images\" leads nowhere"),
        ("another file", &[("notes.md", "hello")], "notes.md", "help: name the folder that holds images and labels"),
    ];
    let mut wrong = Vec::new();
    for (case, files, path, expected) in cases {
        let photos = Photos::new();
        for (name, content) in *files {
            photos.file(name, content);
        }
        let error = match DataSet::open(&photos.path().join(path)) {
            Ok(_) => "no error".to_string(),
            Err(error) => error.to_string(),
        };
        if !error.contains(expected) || !error.contains("\nhelp: ") {
            wrong.push(format!("{case}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Defects that cost a label or an image but not the set: each is one error finding with its place.
#[test]
fn broken_labels_in_a_usable_set_are_findings() {
    const NO_SIZE: &str = "<annotation><object><name>cat</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>90</xmax>\
                           <ymax>90</ymax></bndbox></object></annotation>";
    const COCO: &str = r#"{"images":[{"id":1,"file_name":"b.jpg"}],"categories":[{"id":5,"name":"cat"}],
        "annotations":[{"id":3,"image_id":1,"category_id":6,"bbox":[1,1,20,20]}]}"#;
    const YAML: &str = "names: [cat]\ntrain: images\nval: images";
    let cases: &[Case] = &[
        (
            "XML without size",
            &[("b.xml", NO_SIZE)],
            "size-missing",
            "no usable image size; the image has 200x100 pixels",
        ),
        (
            "COCO unknown category",
            &[("b.json", COCO)],
            "unknown-class",
            "annotation 3: class \"category id 6\" is none",
        ),
        (
            "YOLO with 6 numbers",
            &[("data.yaml", YAML), ("labels/b.txt", "0 .5 .5 .2 .2 9")],
            "malformed-label",
            "line 1: 6 numbers, expected 5 (class x y w h)",
        ),
        (
            "YOLO with a confidence",
            &[("data.yaml", YAML), ("labels/b.txt", "0 .5 .5 .2 .2 .9")],
            "predicted-labels",
            "1 of the objects carry a confidence",
        ),
        (
            "YOLO with a word",
            &[("data.yaml", YAML), ("labels/b.txt", "0 .5 .5 .2 .2\ncat .5 .5 .2 .2")],
            "malformed-label",
            "line 2: \"cat\" is not a number",
        ),
        (
            "YOLO class out of range",
            &[("data.yaml", YAML), ("labels/b.txt", "7 .5 .5 .2 .2")],
            "unknown-class",
            "line 1: class \"class id 7, outside 0..=0\" is none",
        ),
        (
            "YOLO in pixels",
            &[("data.yaml", YAML), ("labels/b.txt", "0 90 80 20 20")],
            "box-outside-image",
            "out of the image of 200x100",
        ),
    ];
    let mut wrong = Vec::new();
    for (case, files, kind, expected) in cases {
        let photos = Photos::new();
        photos.jpeg(if files[0].0 == "data.yaml" { "images/b.jpg" } else { "b.jpg" }, 1);
        for (name, content) in *files {
            photos.file(name, content);
        }
        let report = check(&open(photos.path()), &CheckOptions::default());
        let json = report.to_json();
        let findings = json["findings"].as_array().expect("a list");
        let hit =
            |f: &&serde_json::Value| f["kind"] == *kind && f["detail"].as_str().is_some_and(|d| d.contains(expected));
        if findings.iter().find(hit).is_none() {
            wrong.push(format!("{case}: {json}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

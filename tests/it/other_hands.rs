//! Data sets as more tools and hands write them: other lists of classes, other lines, other columns, several formats at
//! once. Each is read as meant, or told as what it is; nothing is passed over in silence.

use std::fmt::Write as _;

use fieldtune::data::{DataSet, FindingKind, Format, Report, Severity};

use crate::odd_sets::checked;
use crate::photos::{Photos, voc_xml};

/// Pixels of the box in photo `i`, which is 200x100; photos of even number show a cat, the others a dog.
fn corners(i: u8) -> [i32; 4] {
    let i = i32::from(i);
    [10 + 9 * i, 5 + 3 * i, 70 + 14 * i, 40 + 6 * i]
}

fn class(i: u8) -> &'static str {
    ["cat", "dog"][usize::from(i % 2)]
}

/// Centre and size in fractions.
fn fractions(i: u8) -> [f64; 4] {
    let [x0, y0, x1, y1] = corners(i).map(f64::from);
    [(x0 + x1) / 400.0, (y0 + y1) / 200.0, (x1 - x0) / 200.0, (y1 - y0) / 100.0]
}

fn line(i: u8) -> String {
    let [x, y, w, h] = fractions(i);
    format!("{} {x} {y} {w} {h}\n", i % 2)
}

/// Eight photos in `images`.
fn photos() -> Photos {
    let set = Photos::new();
    for i in 0..8 {
        set.jpeg(&format!("images/p{i}.jpg"), i);
    }
    set
}

/// The photos with YOLO labels of this content.
fn yolo(label: impl Fn(u8) -> String) -> Photos {
    let set = photos();
    for i in 0..8 {
        set.file(&format!("labels/p{i}.txt"), label(i));
    }
    set
}

/// Opens a set and holds it to the eight boxes, in pixels or fractions.
fn assert_is_truth(set: &Photos, case: &str) -> Report {
    let (dataset, report) = checked(set);
    assert_eq!(dataset.classes, ["cat", "dog"], "{case}");
    assert_eq!(report.account.boxes.used + report.account.boxes.repaired, 8, "{case}\n{}", report.render());
    for (annotation, i) in dataset.annotations.iter().zip(0..) {
        let [object] = annotation.objects.as_slice() else { panic!("{case}: {:?}", annotation.objects) };
        assert_eq!(object.class, class(i), "{case}");
        let large = object.corners.iter().any(|c| *c > 1.5);
        let scale = if large { [1.0; 4] } else { [200.0, 100.0, 200.0, 100.0] };
        for ((found, scale), wanted) in object.corners.iter().zip(scale).zip(corners(i)) {
            assert!((found * scale - f64::from(wanted)).abs() < 0.5, "{case}: {object:?}");
        }
    }
    report
}

#[test]
fn lists_of_class_names_are_found_under_many_names_and_in_many_forms() {
    for (name, text) in [
        ("class_list.txt", "cat\ndog\n"),
        ("labels/predefined_classes.txt", "cat\ndog\n"),
        ("classes.json", "[\"cat\", \"dog\"]"),
        ("classes.txt", "0 cat\n1 dog\n"),
        ("classes.txt", "1: cat\n2: dog\n"),
        ("classes.txt", "cat, dog\n"),
        ("Classes.TXT", "'cat'\r\n'dog'\r\n"),
        ("data.yaml", "train: images\nnames: cat, dog\n"),
        ("data.yaml", "train: images\nnames:\n  - 0: cat\n  - 1: dog\n"),
        ("data.yaml", "train: images\nnames:\n\t0: cat\n\t1: dog\n"),
    ] {
        let set = yolo(line);
        set.file(name, text);
        let report = assert_is_truth(&set, &format!("{name} {text:?}"));
        assert!(report.worst() < Some(Severity::Error), "{name}: {}", report.render());
    }
    let set = yolo(line);
    set.file("data.yaml", "train: images\nnc: 2\nnames: obj.names\n").file("obj.names", "cat\ndog\n");
    assert_is_truth(&set, "names in a file");
}

#[test]
fn a_list_that_disagrees_with_the_yaml_beside_it_is_an_error() {
    let set = yolo(line);
    set.file("data.yaml", "train: images\nnames: [cat, dog]\n").file("labels/classes.txt", "dog\ncat\n");
    let report = assert_is_truth(&set, "yaml and list");
    let errors = report.errors();
    let (_, sentence, forbids) =
        errors.iter().find(|(kind, ..)| *kind == FindingKind::ClassListsDisagree).expect("two lists, two orders");
    assert!(*forbids && sentence.contains("number 0 is \"cat\" in data.yaml and \"dog\" here"), "{sentence}");
    // The same order, and the list of a model elsewhere.
    let set = yolo(line);
    set.file("data.yaml", "train: images\nnames: [cat, dog]\n").file("labels/classes.txt", "cat\ndog\n");
    set.file("model/labels.txt", "person\nbicycle\n");
    assert_eq!(assert_is_truth(&set, "one order").count(FindingKind::ClassListsDisagree), 0);
}

#[test]
fn lines_of_other_hands_are_the_same_boxes() {
    type Label = Box<dyn Fn(u8) -> String>;
    let join = |i: u8, by: &str| line(i).trim().replace(' ', by);
    let turned = |i: u8| {
        let [x0, y0, x1, y1] = corners(i).map(f64::from);
        let [x0, y0, x1, y1] = [x0 / 200.0, y0 / 100.0, x1 / 200.0, y1 / 100.0];
        format!("{} {x0} {y0} {x1} {y0} {x1} {y1} {x0} {y1}", i % 2)
    };
    let scored = |i: u8| {
        let [x, y, w, h] = fractions(i);
        format!("{} 0.9{i} {x} {y} {w} {h}\n", i % 2)
    };
    let cases: [(&str, bool, Label); 10] = [
        ("comments", false, Box::new(|i| format!("# drawn by hand\n{} # {}\n", line(i).trim(), class(i)))),
        ("commas", false, Box::new(move |i| join(i, ","))),
        ("commas and spaces", false, Box::new(move |i| join(i, ", "))),
        ("semicolons", false, Box::new(move |i| join(i, ";").replace('.', ","))),
        ("DOS", false, Box::new(|i| line(i).replace('\n', "\r\n") + "\x1a")),
        ("zeros", false, Box::new(|i| line(i) + &"\0".repeat(64))),
        ("turned", false, Box::new(turned)),
        ("turned and scored", true, Box::new(move |i| turned(i) + " 0.75\n")),
        ("score first", true, Box::new(scored)),
        ("score and track", true, Box::new(|i| format!("{} 0.75 1{i}\n", line(i).trim()))),
    ];
    for (case, predicted, label) in &cases {
        let set = yolo(label);
        set.file("classes.txt", "cat\ndog\n");
        let report = assert_is_truth(&set, case);
        assert!(report.worst() < Some(Severity::Error), "{case}: {}", report.render());
        assert_eq!(report.count(FindingKind::PredictedLabels), usize::from(*predicted), "{case}");
    }
    let two_lines = |i: u8| (line(i) + &line(i + 1)).replace('\n', "\r");
    let set = yolo(two_lines);
    set.file("classes.txt", "cat\ndog\n");
    let (_, report) = checked(&set);
    assert_eq!(report.account.boxes.used, 16, "lines of the old Mac: {}", report.render());
}

/// A table with this heading and these cells of photo `i`.
fn table(heading: &str, cells: impl Fn(u8) -> String) -> String {
    (0..8).fold(format!("{heading}\n"), |text, i| text + &cells(i) + "\n")
}

#[test]
fn tables_of_other_tools_are_read_by_their_headings() {
    let by = |d: &'static str| {
        move |i: u8| {
            let [x0, y0, x1, y1] = corners(i);
            format!("p{i}.jpg{d}{}{d}{x0}{d}{y0}{d}{x1}{d}{y1}", class(i))
        }
    };
    let sized = |i: u8| {
        let [x0, y0, x1, y1] = corners(i);
        format!("p{i}.jpg,{},\"[{x0}.0, {y0}.0, {}.0, {}.0]\"", class(i), x1 - x0, y1 - y0)
    };
    let centred = |i: u8| {
        let [x, y, w, h] = fractions(i);
        format!("p{i}.jpg,{},{},{},{},{}", class(i), 200.0 * x, 100.0 * y, 200.0 * w, 100.0 * h)
    };
    for (name, text) in [
        ("labels.tsv", table("filename\tclass\txmin\tymin\txmax\tymax", by("\t"))),
        ("labels.csv", table("frame,object class,left,top,right,bottom", by(","))),
        ("labels.csv", table("File Name,Class Label,X_Min,Y_Min,X_Max,Y_Max", by(","))),
        ("labels.csv", table("sep=;\nfilename;class;xmin;ymin;xmax;ymax", by(";"))),
        ("labels.csv", table("image_id,label,bbox", sized)),
        ("labels.csv", table("filename,class,x_center,y_center,width,height", centred)),
        (
            "allAnnotations.csv",
            table(
                "Filename;Annotation tag;Upper left corner X;Upper left corner Y;Lower right corner X;Lower right corner Y",
                by(";"),
            ),
        ),
    ] {
        let set = photos();
        set.file(name, &text);
        assert_is_truth(&set, text.lines().next().unwrap_or_default());
    }
    let set = photos();
    let numbers = |i: u8| format!("{};{}", corners(i).map(|n| n.to_string()).join(";"), i % 2);
    set.file("gt.txt", (0..8).fold(String::new(), |text, i| text + &format!("p{i}.jpg;{}\n", numbers(i))));
    let (dataset, report) = checked(&set);
    let found = (dataset.format, dataset.classes.as_slice(), report.account.boxes.used);
    assert_eq!(found, (Format::Csv, &["0".to_string(), "1".into()][..], 8));
}

#[test]
fn a_split_in_a_column_or_in_the_name_of_a_label_file_is_used() {
    let set = photos();
    let cells = |i: u8| {
        let [x0, y0, x1, y1] = corners(i);
        format!("p{i}.jpg,{},{x0},{y0},{x1},{y1},{}", class(i), if i < 6 { "TRAIN" } else { "validation" })
    };
    set.file("labels.csv", table("filename,class,xmin,ymin,xmax,ymax,split", cells));
    let report = assert_is_truth(&set, "column");
    assert_eq!(report.splits, [("train".to_string(), 6), ("val".into(), 2)]);

    let set = photos();
    for (name, range) in [("train.xml", 0..6), ("val.xml", 6..8)] {
        let mut text = "<annotations><version>1.1</version>".to_string();
        for i in range {
            let [x0, y0, x1, y1] = corners(i);
            let _ = write!(
                text,
                "<image id=\"{i}\" name=\"p{i}.jpg\" width=\"200\" height=\"100\"><box label=\"{}\" xtl=\"{x0}\" ytl=\"{y0}\" \
                 xbr=\"{x1}\" ybr=\"{y1}\"/></image>",
                class(i)
            );
        }
        set.file(name, text + "</annotations>");
    }
    let report = assert_is_truth(&set, "CVAT by subsets");
    assert_eq!(report.splits, [("train".to_string(), 6), ("val".into(), 2)]);

    let set = photos();
    for i in 0..8 {
        set.file(&format!("Annotations/p{i}.xml"), voc_xml(200, 100, &[(class(i), corners(i))]));
    }
    set.file("ImageSets/train_list.txt", "p0\np1\np2\np3\np4\np5\n").file("ImageSets/val_list.txt", "p6\np7\n");
    let report = assert_is_truth(&set, "lists of other names");
    assert_eq!(report.splits, [("train".to_string(), 6), ("val".into(), 2)]);
}

/// The one finding about labels that are passed over.
fn passed_over(report: &Report) -> (Severity, String) {
    let mut all = report.findings.iter().filter(|f| f.kind == FindingKind::LabelsPassedOver);
    let found = all.next().unwrap_or_else(|| panic!("{}", report.render()));
    assert!(all.next().is_none());
    (found.severity, found.detail.clone())
}

#[test]
fn labels_of_two_formats_are_told_with_the_photos_that_lose_theirs() {
    let set = photos();
    for i in 0..8 {
        match i < 5 {
            true => set.file(&format!("images/p{i}.xml"), voc_xml(200, 100, &[(class(i), corners(i))])),
            false => set.file(&format!("images/p{i}.txt"), line(i)),
        };
    }
    let (_, report) = checked(&set);
    let (severity, detail) = passed_over(&report);
    let said =
        "3 files with labels of YOLO beside those of Pascal VOC that are read; 3 of their photos have no other labels";
    assert_eq!((severity, detail.as_str()), (Severity::Warning, said));
    let set = yolo(line);
    set.file("data.yaml", "train: images\nnames: [cat, dog]\n");
    for i in 0..8 {
        set.file(&format!("Annotations/p{i}.xml"), voc_xml(200, 100, &[(class(i), corners(i))]));
    }
    let report = assert_is_truth(&set, "YOLO and VOC");
    let (severity, detail) = passed_over(&report);
    assert_eq!(
        (severity, detail.as_str()),
        (Severity::Info, "8 files with labels of Pascal VOC beside those of YOLO that are read")
    );
}

#[test]
fn a_broken_file_beside_sound_ones_is_told_as_broken() {
    let set = photos();
    for i in 0..8 {
        let [x0, y0, x1, y1] = corners(i);
        let shape = format!(
            r#"{{"label": "{}", "points": [[{x0}, {y0}], [{x1}, {y1}]], "shape_type": "rectangle", "score": NaN}}"#,
            class(i)
        );
        let text = format!(r#"{{"shapes": [{shape}], "imagePath": "p{i}.jpg"}}"#);
        set.file(&format!("images/p{i}.json"), if i == 3 { &text[..60] } else { &text });
    }
    let (_, report) = checked(&set);
    assert_eq!(
        (report.account.boxes.used, report.count(FindingKind::ImageWithoutLabels)),
        (7, 0),
        "{}",
        report.render()
    );
    let broken = report.findings.iter().find(|f| f.kind == FindingKind::MalformedLabel).expect("is told");
    assert_eq!(broken.place.file, "images/p3.json");
    assert_eq!(report.account.labels.malformed, 1);
}

#[test]
fn names_that_look_alike_are_told_whatever_makes_them_differ() {
    for names in ["cafe\u{301}\ncaf\u{e9}\n", "cat\u{200b}\ncat\n", "stop sign\nstop\u{a0}sign\n"] {
        let set = yolo(line);
        set.file("classes.txt", names);
        assert_eq!(checked(&set).1.count(FindingKind::SimilarClassNames), 1, "{names:?}");
    }
}

fn refused(set: &Photos) -> String {
    let error = DataSet::open(set.path()).expect_err("not read").to_string();
    assert!(error.contains("\nhelp: "), "{error}");
    error
}

#[test]
fn what_cannot_be_read_is_told_by_its_name_and_with_what_to_do() {
    for (name, text, part) in [
        ("det.json", r#"[{"name": "p0.jpg", "labels": [{"category": "cat", "box2d": {}}]}]"#, "BDD100K"),
        ("p0.json", r#"{"version": "2.0", "item": {"name": "p0.jpg"}, "annotations": []}"#, "V7 Darwin"),
        ("export.ndjson", r#"{"data_row": {}}"#, "lines of JSON (Labelbox"),
        ("dets.json", r#"[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}]"#, "COCO's results"),
        ("seqinfo.ini", "[Sequence]\n", "tracks in a video (MOT)"),
        ("train/_classes.csv", "filename, cat, dog\np0.jpg, 1, 0\n", "a table for classification"),
        ("labels.xlsx", "PK", "a table of Excel"),
        ("labels.zip", "PK", "8 images without labels, and \"labels.zip\", which may hold them"),
        (
            "labels/0000.txt",
            "0 0.5 0.5 0.2 0.2\n",
            "1 text files that read like YOLO labels, and none has the name of another",
        ),
    ] {
        let set = photos();
        set.file(name, text);
        let error = refused(&set);
        assert!(error.contains(part), "{name}: {error}");
    }
    let set = photos();
    for i in 0..8 {
        set.file(&format!("images/p{i}.xml"), "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n");
    }
    assert!(refused(&set).contains("git lfs pull"), "{}", refused(&set));
}

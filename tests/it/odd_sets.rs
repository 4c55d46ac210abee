//! Data sets of kinds that people meet and no folder of the handed cases shows: read as meant, or told as what they are.

use fieldtune::data::{CheckOptions, DataSet, FindingKind, Report, Severity, check};

use crate::account::assert_adds_up;
use crate::photos::{Photos, voc_xml};

/// Eight photos of 200x100, each with a label file of this content beside it.
fn set(names: Option<&str>, label: impl Fn(u8) -> String) -> Photos {
    let set = Photos::new();
    for i in 0..8 {
        set.jpeg(&format!("p{i}.jpg"), i).file(&format!("p{i}.txt"), label(i));
    }
    if let Some(names) = names {
        set.file("classes.txt", names);
    }
    set
}

/// Opens a set and checks it; its account must add up.
pub fn checked(set: &Photos) -> (DataSet, Report) {
    let dataset = DataSet::open(set.path()).unwrap_or_else(|e| panic!("{e}"));
    let report = check(&dataset, &CheckOptions::default());
    assert_adds_up(set.path(), &dataset, &report);
    (dataset, report)
}

fn refused(set: &Photos) -> String {
    DataSet::open(set.path()).expect_err("not read").to_string()
}

/// Boxes that are used, by the account.
fn used(report: &Report) -> usize {
    report.account.boxes.used + report.account.boxes.repaired
}

const NAMES: Option<&str> = Some("cat\ndog\n");

#[test]
fn yolo_lines_of_other_hands_have_the_same_boxes() {
    type Line = Box<dyn Fn(u8) -> String>;
    let lines: [(&str, Line); 4] = [
        ("plain", Box::new(|i| format!("{} 0.5 0.4 0.3 0.6\n", i % 2))),
        ("commas", Box::new(|i| format!("{} 0,5 0,4 0,3 0,6\n", i % 2))),
        ("predicted", Box::new(|i| format!("{} 0.5 0.4 0.3 0.6 0.87\n", i % 2))),
        ("named", Box::new(|i| format!("{} 0.5 0.4 0.3 0.6\n", ["cat", "dog"][usize::from(i % 2)]))),
    ];
    for (case, line) in &lines {
        let photos = set(NAMES, line);
        let (dataset, report) = checked(&photos);
        assert_eq!((used(&report), dataset.classes.as_slice()), (8, &["cat".to_string(), "dog".into()][..]), "{case}");
        for (i, annotation) in dataset.annotations.iter().enumerate() {
            let object = &annotation.objects[0];
            assert_eq!(object.class, dataset.classes[i % 2], "{case}");
            let wanted = [0.35, 0.1, 0.65, 0.7];
            assert!(object.corners.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9), "{case}: {object:?}");
        }
        assert_eq!(report.count(FindingKind::PredictedLabels), usize::from(*case == "predicted"), "{case}");
        assert_eq!(report.worst(), Some(Severity::Warning), "{case}: {}", report.render());
    }
}

#[test]
fn numbers_that_count_from_one_take_no_class_for_another() {
    let (_, report) = checked(&set(NAMES, |i| format!("{} 0.5 0.5 0.3 0.4\n", 1 + i % 2)));
    let errors = report.errors();
    let said = errors.iter().find(|(kind, _, forbids)| *kind == FindingKind::ClassListsDisagree && *forbids);
    let (_, sentence, _) = said.unwrap_or_else(|| panic!("{}", report.render()));
    assert!(sentence.contains("either the numbers count from 1, or the list lacks its first name"), "{sentence}");
    let (_, report) = checked(&set(NAMES, |i| format!("{} 0.5 0.5 0.3 0.4\n", i % 2)));
    assert_eq!(report.count(FindingKind::ClassListsDisagree), 0);
}

/// An editor turned the photos and took the EXIF orientation away; nothing says to which side.
#[test]
fn photos_that_were_turned_since_are_not_trained_on_with_stretched_boxes() {
    let photos = Photos::new();
    for i in 0..6 {
        let name = format!("p{i}");
        photos.jpeg(&format!("{name}.jpg"), i);
        photos.file(&format!("{name}.xml"), voc_xml(100, 200, &[("cat", [30, 120, 70, 180])]));
    }
    let (_, report) = checked(&photos);
    assert_eq!((used(&report), report.account.boxes.dropped), (0, 6));
    let turned = report.findings.iter().find(|f| f.kind == FindingKind::SizeMismatch).expect("is told");
    assert!(turned.severity == Severity::Error && turned.detail.contains("it was turned since"), "{turned:?}");
    // Width and height exchanged in the file alone: the boxes fit the photo as it is.
    let photos = Photos::new();
    photos.jpeg("p.jpg", 1).file("p.xml", voc_xml(100, 200, &[("cat", [120, 30, 180, 70])]));
    assert_eq!(used(&checked(&photos).1), 1);
}

#[test]
fn labels_of_a_second_format_are_said_to_be_passed_over() {
    let photos = set(NAMES, |i| format!("{} 0.5 0.5 0.3 0.4\n", i % 2));
    let coco = r#"{"images": [{"id": 1, "file_name": "p0.jpg"}], "annotations": [], "categories": []}"#;
    let yaml = "path: .\nnames: [cat, dog]\ntrain: .\n";
    photos.file("labels.json", coco).file("data.yaml", yaml).file("package.json", r#"{"name": "not labels"}"#);
    let (_, report) = checked(&photos);
    let said: Vec<_> = report.findings.iter().filter(|f| f.kind == FindingKind::LabelsPassedOver).collect();
    let [only] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(
        (only.place.to_string().as_str(), only.detail.as_str()),
        ("labels.json", "labels of COCO beside those of YOLO that are read")
    );
}

#[test]
fn what_is_not_read_is_told_by_its_name() {
    let photos = || {
        let set = Photos::new();
        set.jpeg("p0.jpg", 0).jpeg("p1.jpg", 1);
        set
    };
    let with = |name: &str, text: &str| {
        let set = photos();
        set.file(name, text);
        refused(&set)
    };
    for (name, text, part) in [
        ("output.manifest", r#"{"source-ref": "s3://b/p0.jpg", "boxes": {}}"#, "labels of SageMaker Ground Truth"),
        (
            "metadata.jsonl",
            r#"{"file_name": "p0.jpg", "objects": {"bbox": [[1, 2, 3, 4]]}}"#,
            "labels as lines of JSON",
        ),
        ("all.csv", "TRAIN,gs://b/p0.jpg,cat,0.1,0.1,,,0.3,0.3,,\n", "a table of AutoML (Vertex AI)"),
        ("wider_face_train_bbx_gt.txt", "p0.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n", "labels of WIDER FACE"),
    ] {
        let error = with(name, text);
        assert!(error.contains(part) && error.contains("\nhelp: "), "{name}: {error}");
    }
    let classes = Photos::new();
    classes.jpeg("cat/1.jpg", 1).jpeg("dog/2.jpg", 2);
    let error = refused(&classes);
    assert!(error.contains("2 images in folders by class (cat, dog), without boxes"), "{error}");
    let nested = Photos::new();
    nested.file("inner.zip", "PK");
    assert!(refused(&nested).contains("nothing but \"inner.zip\""), "{}", refused(&nested));
}

#[test]
fn names_of_two_words_survive_in_kitti_and_label_studios_table() {
    let kitti = |i: u8| {
        format!(
            "{} 0.0 0 -1 20 10 120 {} -1 -1 -1 -1 -1 -1 -1 1.0\n",
            ["traffic light", "cat"][usize::from(i % 2)],
            60 + i
        )
    };
    let (dataset, report) = checked(&set(None, kitti));
    assert_eq!((used(&report), dataset.classes.as_slice()), (8, &["cat".to_string(), "traffic light".into()][..]));
    let photos = Photos::new();
    let mut table = "annotation_id,annotator,created_at,id,image,label,lead_time\n".to_string();
    for i in 0..3 {
        photos.jpeg(&format!("images/ab12cd-p{i}.jpg"), i);
        let region =
            r#"{""x"": 10, ""y"": 20, ""width"": 30, ""height"": 40, ""rectanglelabels"": [""traffic light""]}"#;
        table += &format!("{i},1,2026-01-01T00:00:00Z,{i},/data/upload/1/ab12cd-p{i}.jpg,\"[{region}]\",1.5\n");
    }
    photos.file("result.csv", table);
    let (dataset, report) = checked(&photos);
    assert_eq!((used(&report), dataset.classes.as_slice()), (3, &["traffic light".to_string()][..]));
}

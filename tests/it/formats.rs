//! Label formats on small generated sets: the same two photos with the same boxes, as each tool writes them.

use std::io::Write;
use std::path::Path;

use fieldtune::data::{
    CheckOptions, DataSet, ExportFormat, FindingKind, Format, Pack, PackOptions, SplitOptions, check, export, open_all,
    write_pack,
};

use crate::account::assert_adds_up;
use crate::photos::{Photos, jpeg, voc_xml};
use crate::shared::shared;

/// Class and corners in pixels of each photo, by the stem of its file, sorted.
type Boxes = Vec<(String, Vec<(String, [f64; 4])>)>;

/// Photos `a` and `b` of 200x100 pixels.
fn truth() -> Boxes {
    let cat = ("cat".to_string(), [20.0, 10.0, 120.0, 90.0]);
    let dog = ("dog".to_string(), [100.0, 20.0, 180.0, 60.0]);
    vec![("a".into(), vec![cat.clone(), dog.clone()]), ("b".into(), vec![dog])]
}

fn boxes(dataset: &DataSet) -> Boxes {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("set.pack");
    write_pack(dataset, &path, &PackOptions::default(), &mut |_, _| {}).unwrap_or_else(|e| panic!("{e}"));
    let pack = Pack::open(&path).expect("opens");
    let all = pack.split("all").expect("is there");
    let mut found = Boxes::new();
    for i in 0..all.len() {
        let record = all.record(i).expect("is sound");
        let [w, h] = record.source_size.map(f64::from);
        let pixels = |b: fieldtune::boxes::CornerBox| [b.x0 * w, b.y0 * h, b.x1 * w, b.y1 * h];
        let objects = record.objects.iter().map(|o| (pack.classes()[o.class].clone(), pixels(o.bbox)));
        let stem = Path::new(&record.source).file_stem().expect("a name").to_string_lossy().into_owned();
        let mut objects: Vec<_> = objects.collect();
        objects.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        found.push((stem, objects));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn assert_near(found: &Boxes, wanted: &Boxes, case: &str) {
    let names = |b: &Boxes| -> Vec<(String, Vec<String>)> {
        b.iter().map(|(n, o)| (n.clone(), o.iter().map(|(c, _)| c.clone()).collect())).collect()
    };
    assert_eq!(names(found), names(wanted), "{case}");
    let numbers = |b: &Boxes| -> Vec<f64> { b.iter().flat_map(|(_, o)| o).flat_map(|(_, c)| *c).collect() };
    for (a, b) in numbers(found).iter().zip(numbers(wanted)) {
        assert!((a - b).abs() < 0.5, "{case}: {found:?}");
    }
}

fn two_photos() -> Photos {
    let photos = Photos::new();
    photos.jpeg("images/a.jpg", 1).jpeg("images/b.jpg", 2);
    photos
}

const KITTI_A: &str = "cat 0.00 0 -1.58 20 10 120 90 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n\
                       dog 0.00 0 -1.58 100 20 180 60 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n\
                       DontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n";
const KITTI_B: &str = "dog 0.00 0 -1.58 100 20 180 60 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n";

#[test]
fn each_format_gives_the_same_boxes() {
    let cases: &[(Format, &[(&str, &str)])] = &[
        (
            Format::Cvat,
            &[(
                "annotations.xml",
                r#"<annotations><image id="0" name="a.jpg" width="200" height="100">
                <box label="cat" xtl="20" ytl="10" xbr="120" ybr="90"/>
                <polygon label="dog" points="100,20;180,25;170,60"/></image>
                <image id="1" name="b.jpg" width="200" height="100">
                <box label="dog" xtl="100" ytl="20" xbr="180" ybr="60"/><points label="dog" points="1,1"/></image></annotations>"#,
            )],
        ),
        (
            Format::LabelMe,
            &[
                (
                    "images/a.json",
                    r#"{"imagePath": "a.jpg", "imageData": null, "imageWidth": 200, "imageHeight": 100, "shapes": [
                    {"label": "cat", "points": [[120, 90], [20, 10]], "shape_type": "rectangle"},
                    {"label": "dog", "points": [[100, 20], [180, 25], [170, 60]], "shape_type": "polygon"}]}"#,
                ),
                (
                    "images/b.json",
                    r#"{"imagePath": "..\\old\\b.jpg", "shapes": [{"label": "dog", "points": [[100, 20], [180, 60]],
                    "shape_type": "rectangle"}]}"#,
                ),
            ],
        ),
        (
            Format::LabelStudio,
            &[(
                "export.json",
                r#"[{"id": 1, "data": {"image": "/data/upload/1/3f2a1b00-a.jpg"}, "annotations": [{"result": [
                {"type": "rectanglelabels", "original_width": 200, "original_height": 100, "value":
                 {"x": 10, "y": 10, "width": 50, "height": 80, "rotation": 0, "rectanglelabels": ["cat"]}},
                {"type": "rectanglelabels", "value": {"x": 50, "y": 20, "width": 40, "height": 40, "rectanglelabels": ["dog"]}}]}]},
                {"id": 2, "data": {"image": "s3://bucket/b.jpg"}, "annotations": [{"result": [{"type": "rectanglelabels",
                 "value": {"x": 50, "y": 20, "width": 40, "height": 40, "rectanglelabels": ["dog"]}}]}]}]"#,
            )],
        ),
        (
            Format::CreateMl,
            &[(
                "images/_annotations.createml.json",
                r#"[{"image": "a.jpg", "annotations": [
                {"label": "cat", "coordinates": {"x": 70, "y": 50, "width": 100, "height": 80}},
                {"label": "dog", "coordinates": {"x": 140, "y": 40, "width": 80, "height": 40}}]},
                {"image": "b.jpg", "annotations": [
                {"label": "dog", "coordinates": {"x": 140, "y": 40, "width": 80, "height": 40}}]}]"#,
            )],
        ),
        (
            Format::Via,
            &[(
                "via_project.json",
                r#"{"_via_img_metadata": {"a.jpg1": {"filename": "a.jpg", "regions": [
                {"shape_attributes": {"name": "rect", "x": 20, "y": 10, "width": 100, "height": 80}, "region_attributes": {"class": "cat"}},
                {"shape_attributes": {"name": "polygon", "all_points_x": [100, 180, 170], "all_points_y": [20, 25, 60]},
                 "region_attributes": {"class": "dog"}}]},
                "b.jpg1": {"filename": "b.jpg", "regions": [{"shape_attributes":
                {"name": "rect", "x": 100, "y": 20, "width": 80, "height": 40}, "region_attributes": {"class": "dog"}}]}}}"#,
            )],
        ),
        (
            Format::Csv,
            &[(
                "via.csv",
                "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n\
                a.jpg,1,{},2,0,\"{\"\"name\"\":\"\"rect\"\",\"\"x\"\":20,\"\"y\"\":10,\"\"width\"\":100,\"\"height\"\":80}\",\"{\"\"type\"\":\"\"cat\"\"}\"\n\
                a.jpg,1,{},2,1,\"{\"\"name\"\":\"\"rect\"\",\"\"x\"\":100,\"\"y\"\":20,\"\"width\"\":80,\"\"height\"\":40}\",\"{\"\"type\"\":\"\"dog\"\"}\"\n\
                b.jpg,1,{},1,0,\"{\"\"name\"\":\"\"rect\"\",\"\"x\"\":100,\"\"y\"\":20,\"\"width\"\":80,\"\"height\"\":40}\",\"{\"\"type\"\":\"\"dog\"\"}\"\n",
            )],
        ),
        (
            Format::Csv,
            &[(
                "vott.csv",
                "\"image\",\"xmin\",\"ymin\",\"xmax\",\"ymax\",\"label\"\n\"a.jpg\",20,10,120,90,\"cat\"\n\"a.jpg\",100,20,180,60,\"dog\"\n\"b.jpg\",100,20,180,60,\"dog\"\n",
            )],
        ),
        (
            Format::Csv,
            &[(
                "annotations.csv",
                "/content/set/a.jpg,20,10,120,90,cat\n/content/set/a.jpg,100,20,180,60,dog\n/content/set/b.jpg,100,20,180,60,dog\n",
            )],
        ),
        (
            Format::KerasYolo,
            &[
                ("_annotations.txt", "images/a.jpg 20,10,120,90,0 100,20,180,60,1\nimages/b.jpg 100,20,180,60,1\n"),
                ("_classes.txt", "cat\ndog\n"),
            ],
        ),
        (Format::Kitti, &[("label_2/a.txt", KITTI_A), ("label_2/b.txt", KITTI_B)]),
        (
            Format::Oid,
            &[("Label/a.txt", "cat 20 10 120 90\ndog 100 20 180 60\n"), ("Label/b.txt", "dog 100 20 180 60\n")],
        ),
        (
            Format::Dota,
            &[
                ("labelTxt/a.txt", "20 10 120 10 120 90 20 90 cat 0\n100 20 180 20 180 60 100 60 dog 1\n"),
                ("labelTxt/b.txt", "imagesource:x\n100 20 180 20 180 60 100 60 dog 0\n"),
            ],
        ),
    ];
    for (format, files) in cases {
        let photos = two_photos();
        for (name, text) in *files {
            photos.file(name, text);
        }
        let case = format!("{} {}", format.name(), files[0].0);
        let dataset = DataSet::open(photos.path()).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(dataset.format, *format, "{case}");
        assert_near(&boxes(&dataset), &truth(), &case);
        let report = check(&dataset, &CheckOptions::default());
        assert_adds_up(photos.path(), &dataset, &report);
    }
}

#[test]
fn known_tools_are_named_with_the_export_to_choose() {
    for (name, text, tool, help) in [
        (
            "ds/ann/a.jpg.json",
            r#"{"size": {"height": 1, "width": 1}, "objects": [], "tags": []}"#,
            "Supervisely",
            "Export to COCO",
        ),
        ("bounding_boxes.labels.json", r#"{"version": 1, "boundingBoxes": {}}"#, "Edge Impulse", "exporter"),
        ("a-asset.json", r#"{"asset": {"name": "a.jpg"}, "regions": []}"#, "VoTT", "CSV"),
        ("annotations.xml", "<annotations><track id='0'/></annotations>", "CVAT for video", "CVAT for images"),
    ] {
        let photos = two_photos();
        photos.file(name, text);
        let error = DataSet::open(photos.path()).expect_err(tool).to_string();
        assert!(error.contains(tool) && error.contains(help), "{tool}: {error}");
    }
}

#[test]
fn an_archive_is_read_without_unpacking_and_a_broken_one_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("roboflow.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).expect("creates"));
    let deflated = zip::write::SimpleFileOptions::default();
    let stored = deflated.compression_method(zip::CompressionMethod::Stored);
    for (name, bytes, options) in [
        ("train/a.jpg", jpeg(200, 100, 1), stored),
        (
            "train/a.xml",
            voc_xml(200, 100, &[("cat", [20, 10, 120, 90]), ("dog", [100, 20, 180, 60])]).into_bytes(),
            deflated,
        ),
        ("valid/b.jpg", jpeg(200, 100, 2), deflated),
        ("valid/b.xml", voc_xml(200, 100, &[("dog", [100, 20, 180, 60])]).into_bytes(), deflated),
        ("__MACOSX/train/._a.jpg", b"x".to_vec(), deflated),
    ] {
        zip.start_file(name, options).expect("starts");
        zip.write_all(&bytes).expect("writes");
    }
    zip.finish().expect("finishes");
    let dataset = DataSet::open(&path).unwrap_or_else(|e| panic!("{e}"));
    assert_near(&boxes(&dataset), &truth(), "zip");
    assert_eq!(dataset.splits.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["train", "val"]);
    // A byte inside the stored photo: the archive's checksum tells.
    let mut bytes = std::fs::read(&path).expect("reads");
    let at = bytes.windows(4).position(|w| w == [0xff, 0xd8, 0xff, 0xe0]).expect("a JPEG") + 200;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("writes");
    let report = check(&DataSet::open(&path).expect("opens"), &CheckOptions::default());
    assert_eq!(report.count(FindingKind::UnreadableImage), 1, "{}", report.render());
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writes");
    let error = DataSet::open(&path).expect_err("is cut").to_string();
    assert!(error.contains("expected a zip archive as downloaded"), "{error}");
}

#[test]
fn sets_are_joined_by_the_names_of_their_classes() {
    let (one, two) = (Photos::new(), Photos::new());
    one.jpeg("set/images/a.jpg", 1).file("set/labels/a.txt", "0 0.5 0.5 0.5 0.5\n1 0.25 0.5 0.2 0.5\n");
    one.file("set/classes.txt", "cat\ndog\n");
    two.voc("set/train/a", 2, &[("dog", [20, 10, 120, 90])]).voc("set/valid/c", 3, &[("cow", [20, 10, 120, 90])]);
    let dataset = open_all(&[one.path().join("set"), two.path().join("set")]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(dataset.classes, ["cat", "dog", "cow"]);
    let sources: Vec<&str> = dataset.annotations.iter().map(|a| a.source.as_str()).collect();
    assert_eq!(sources, ["set-2/train/a.jpg", "set-2/valid/c.jpg", "set/images/a.jpg"]);
    let splits: Vec<(&str, usize)> = dataset.splits.iter().map(|s| (s.name.as_str(), s.members.len())).collect();
    assert_eq!(splits, [("train", 2), ("val", 1)]);
    let report = check(&dataset, &CheckOptions::default());
    let dog = report.classes.iter().find(|c| c.name == "dog").expect("is there");
    assert_eq!((dog.usable, report.account.boxes.used, report.account.photos_used()), (2, 4, 3));
}

#[test]
fn the_record_file_of_raccoon_has_the_boxes_of_its_xmls() {
    let Some(path) = shared("data/raccoon") else { return };
    let xml = DataSet::open(&path).expect("opens");
    let records = DataSet::open(&path.join("data/test.record")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((records.format, records.annotations.len()), (Format::TfRecord, 40));
    assert_eq!(records.split("test").expect("by the file's name").members.len(), 40);
    let by_xml = boxes(&xml);
    let found = boxes(&records);
    assert_eq!(found.len(), 40);
    for (name, objects) in found {
        let stem = name.split_once('-').expect("number and name").1;
        let wanted = by_xml.iter().find(|(n, _)| n == stem).unwrap_or_else(|| panic!("{stem}"));
        assert_near(&vec![(stem.to_string(), objects)], &vec![wanted.clone()], stem);
    }
}

#[test]
fn a_mended_set_survives_the_round_trip_through_three_formats() {
    let photos = Photos::new();
    for i in 0..6 {
        let folder = ["train", "valid"][usize::from(i > 3)];
        photos.voc(
            &format!("set/{folder}/p{i} #1"),
            i,
            &[("cat &amp; co", [20, 10, 120, 90]), ("dog", [190, 60, 100, 20])],
        );
    }
    photos.voc("set/train/same", 9, &[("dog", [1, 1, 50, 50])]).voc("set/valid/same", 10, &[("dog", [2, 2, 60, 60])]);
    let original = DataSet::open(&photos.path().join("set")).expect("opens");
    let wanted = boxes(&original);
    let sizes = |d: &DataSet| d.splits.iter().map(|s| (s.name.clone(), s.members.len())).collect::<Vec<_>>();
    let mut from = photos.path().join("set");
    for (name, format) in [("coco", ExportFormat::Coco), ("yolo", ExportFormat::Yolo), ("voc", ExportFormat::Voc)] {
        let out = photos.path().join(name);
        let dataset = DataSet::open(&from).unwrap_or_else(|e| panic!("{e}"));
        let counts = export(&dataset, &out, format, &SplitOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(counts, [8, 14], "{name}");
        let written = DataSet::open(&out).unwrap_or_else(|e| panic!("{e}"));
        let found = boxes(&written);
        let corners = |b: &Boxes| -> Vec<_> { b.iter().map(|(_, o)| o.clone()).collect() };
        for (a, b) in corners(&found).iter().flatten().zip(corners(&wanted).iter().flatten()) {
            assert!(a.0 == b.0 && a.1.iter().zip(b.1).all(|(a, b)| (a - b).abs() < 0.5), "{name}: {a:?} {b:?}");
        }
        assert_eq!(sizes(&written), sizes(&original), "{name}");
        let report = check(&written, &CheckOptions::default());
        assert!(report.account.boxes.repaired == 0 && report.exit_code() == 0, "{name}: {}", report.render());
        let again = export(&dataset, &out, format, &SplitOptions::default()).expect_err("is not empty").to_string();
        assert!(again.contains("a folder that is not empty"), "{again}");
        from = out;
    }
    let inside = photos.path().join("set/cleaned");
    let error =
        export(&original, &inside, ExportFormat::Voc, &SplitOptions::default()).expect_err("inside").to_string();
    assert!(error.contains("inside the data set") && !inside.exists(), "{error}");
}

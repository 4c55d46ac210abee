//! Photos of a hundred megapixels: decoded small, and labelled in their own pixels.

use std::fs;
use std::path::Path;

use fieldtune::data::{CheckOptions, DataSet, Pack, PackOptions, Severity, check, write_pack};
use image::{ExtendedColorType, ImageEncoder, codecs};

use crate::photos::Photos;
use crate::runs::{basis, run, stderr, succeed, text};

/// Grey that grows to the right in bands of 64 pixels, so that both sides of a box can be found again.
fn bands(width: u32, height: u32) -> Vec<u8> {
    let row: Vec<u8> = (0..width).map(|x| (x * 256 / width) as u8).collect();
    row.repeat(height as usize)
}

fn labels(name: &str, [w, h]: [u32; 2]) -> String {
    format!(
        "<annotation><filename>{name}</filename><size><width>{w}</width><height>{h}</height></size><object><name>cat</name>\
         <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>",
        w / 4,
        h / 4,
        w / 2,
        h / 2
    )
}

fn add(set: &Photos, name: &str, size: [u32; 2], encode: impl FnOnce(&mut Vec<u8>, &[u8])) {
    let mut bytes = Vec::new();
    encode(&mut bytes, &bands(size[0], size[1]));
    set.file(name, bytes);
    set.file(&Path::new(name).with_extension("xml").display().to_string(), labels(name, size));
}

#[test]
fn photos_above_the_limit_are_decoded_small_and_their_boxes_stay_right() {
    let set = Photos::new();
    let (large, wide) = ([11_600, 8_700], [9_000, 7_600]);
    add(&set, "camera.jpg", large, |bytes, pixels| {
        let mut encoder = codecs::jpeg::JpegEncoder::new_with_quality(bytes, 80);
        encoder.encode(pixels, large[0], large[1], ExtendedColorType::L8).expect("encodes");
    });
    add(&set, "scan.png", wide, |bytes, pixels| {
        let encoder = codecs::png::PngEncoder::new(bytes);
        encoder.write_image(pixels, wide[0], wide[1], ExtendedColorType::L8).expect("encodes");
    });
    add(&set, "bitmap.bmp", wide, |bytes, pixels| {
        let encoder = codecs::bmp::BmpEncoder::new(bytes);
        encoder.write_image(pixels, wide[0], wide[1], ExtendedColorType::L8).expect("encodes");
    });
    let dataset = DataSet::open(set.path()).expect("opens");
    let report = check(&dataset, &CheckOptions::default());
    let errors: Vec<_> = report.findings.iter().filter(|f| f.severity == Severity::Error).collect();
    let [only] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(only.place.to_string(), "bitmap.bmp");
    let limit = "a BMP image of 9000x7600 pixels, larger than the limit of 64 megapixels (256 for baseline JPEG";
    assert!(only.detail.starts_with(limit), "{}", only.detail);

    let path = set.path().join("set.pack");
    write_pack(&dataset, &path, &PackOptions::default(), &mut |_, _| {}).expect("packs");
    let all = Pack::open(&path).expect("opens").split("all").expect("is there");
    for (i, size) in [large, wide].into_iter().enumerate() {
        let record = all.record(i).expect("is sound");
        assert_eq!((record.source_size, record.image.width), (size, 512), "{}", record.source);
        assert!(
            (record.image.height as i64 - i64::from(512 * size[1] / size[0])).abs() <= 1,
            "{}",
            record.image.height
        );
        let b = record.objects[0].bbox;
        for (found, wanted) in [(b.x0, 0.25), (b.y0, 0.25), (b.x1, 0.5), (b.y1, 0.5)] {
            assert!((found - wanted).abs() < 1e-9, "{b:?}");
        }
        for (x, pixel) in record.image.pixels[..3 * 512].chunks_exact(3).enumerate() {
            assert!(pixel.iter().all(|&p| (i64::from(p) - x as i64 / 2).abs() <= 2), "{x}: {pixel:?}");
        }
    }
    fs::remove_file(path).expect("removes");
}

#[test]
fn detections_on_photos_above_the_limit_are_in_their_own_pixels() {
    let set = Photos::new();
    let [w, h] = [9_000, 7_600];
    add(&set, "wide.jpg", [w, h], |bytes, pixels| {
        let mut encoder = codecs::jpeg::JpegEncoder::new_with_quality(bytes, 80);
        encoder.encode(pixels, w, h, ExtendedColorType::L8).expect("encodes");
    });
    let [_, model] = basis();
    let (photo, out) = (set.path().join("wide.jpg"), set.path().join("out"));
    // A network that has seen nothing finds something everywhere at so low a score.
    let found = run(&["predict", &model, text(&photo), "--conf", "0.01", "--jsonl"]);
    let line: serde_json::Value = serde_json::from_slice(&found.stdout).expect("a line of JSON");
    assert_eq!((line["width"].as_u64(), line["height"].as_u64()), (Some(9_000), Some(7_600)), "{}", stderr(&found));
    let detections = line["detections"].as_array().expect("a list");
    let right = detections.iter().filter_map(|d| d["box"][2].as_f64()).fold(0.0, f64::max);
    // The picture is decoded at a quarter: in its pixels, no box would reach beyond 2250.
    assert!(right > 4_500.0 && right <= 9_000.0, "{right} of {} detections", detections.len());
    succeed(&["predict", &model, text(&photo), "--conf", "0.01", "--save", "voc,coco", "-o", text(&out)]);
    for format in ["voc", "coco"] {
        let report = check(&DataSet::open(&out.join(format)).expect("opens"), &CheckOptions::default());
        assert!(report.worst() < Some(Severity::Error), "{}", report.render());
        assert_eq!(report.count(fieldtune::data::FindingKind::SizeMismatch), 0, "{}", report.render());
        assert_eq!(
            report.account.boxes.used + report.account.boxes.repaired + report.account.boxes.dropped,
            detections.len()
        );
    }
}

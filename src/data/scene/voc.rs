//! Writing a set of scenes as a Pascal VOC data set, for looking at and for other programs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{SceneOptions, scene};
use crate::data::{DataError, Record};

const JPEG_QUALITY: u8 = 93;

/// Writes the set below `dir`: `JPEGImages/scene_00000.jpg`, `Annotations/scene_00000.xml`,
/// `ImageSets/Main/{train,val,trainval}.txt` and `labels.txt`. Older files of these names are replaced.
///
/// Box corners have a fraction: they are exact to a quarter of a pixel.
///
/// # Errors
/// If a folder or file cannot be written.
pub fn write_voc(dir: &Path, options: &SceneOptions) -> Result<(), DataError> {
    let [images, annotations, sets] = ["JPEGImages", "Annotations", "ImageSets/Main"].map(|name| dir.join(name));
    for folder in [&images, &annotations, &sets] {
        fs::create_dir_all(folder).map_err(DataError::io(folder, "make the folder"))?;
    }
    let names: Vec<String> = (0..options.images).map(|i| format!("scene_{i:05}")).collect();
    for (i, name) in names.iter().enumerate() {
        let record = scene(options.seed_of(i), options);
        let photo = images.join(name).with_extension("jpg");
        write(&photo, jpeg(&record, &photo)?)?;
        write(&annotations.join(name).with_extension("xml"), xml(&record, name, options.class_names()))?;
    }
    let (train, val) = names.split_at(options.training_images());
    for (name, members) in [("train", train), ("val", val), ("trainval", &names[..])] {
        write(&sets.join(name).with_extension("txt"), lines(members))?;
    }
    write(&dir.join("labels.txt"), lines(options.class_names()))
}

fn write(file: &Path, content: impl AsRef<[u8]>) -> Result<(), DataError> {
    fs::write(file, content).map_err(DataError::io(file, "write"))
}

fn lines<S: AsRef<str>>(items: &[S]) -> String {
    items.iter().map(|item| format!("{}\n", item.as_ref())).collect()
}

fn jpeg(record: &Record, file: &Path) -> Result<Vec<u8>, DataError> {
    let (mut bytes, image) = (Vec::new(), &record.image);
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .write_image(&image.pixels, image.width as u32, image.height as u32, ExtendedColorType::Rgb8)
        .map_err(|error| DataError::Image {
            file: file.into(),
            found: format!("cannot encode {} x {} pixels: {error}", image.width, image.height),
            help: "choose a smaller scene size".into(),
        })?;
    Ok(bytes)
}

fn xml(record: &Record, name: &str, classes: &[&str]) -> String {
    let (width, height) = (record.image.width, record.image.height);
    let mut text = format!(
        "<annotation>\n  <filename>{name}.jpg</filename>\n  <size><width>{width}</width><height>{height}</height>\
         <depth>3</depth></size>\n"
    );
    for object in &record.objects {
        let b = object.bbox;
        let px = |fraction: f64, side: usize| fraction * side as f64;
        // writing to a string cannot fail
        let _ = writeln!(
            text,
            "  <object><name>{}</name><difficult>0</difficult><bndbox><xmin>{:.2}</xmin><ymin>{:.2}</ymin>\
             <xmax>{:.2}</xmax><ymax>{:.2}</ymax></bndbox></object>",
            classes[object.class],
            px(b.x0, width),
            px(b.y0, height),
            px(b.x1, width),
            px(b.y1, height),
        );
    }
    text + "</annotation>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_set_has_every_part_and_readable_photos() {
        let dir = tempfile::tempdir().unwrap();
        let options = SceneOptions { images: 5, size: 64, ..SceneOptions::default() };
        write_voc(dir.path(), &options).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("ImageSets/Main/train.txt"), "scene_00000\nscene_00001\nscene_00002\nscene_00003\n");
        assert_eq!(read("ImageSets/Main/val.txt"), "scene_00004\n");
        assert_eq!(read("labels.txt"), "disc\nsquare\ntriangle\nring\nstar\n");
        for i in 0..5 {
            let photo = image::open(dir.path().join(format!("JPEGImages/scene_{i:05}.jpg"))).unwrap();
            assert_eq!((photo.width(), photo.height()), (64, 64));
            let record = scene(options.seed_of(i), &options);
            let text = read(&format!("Annotations/scene_{i:05}.xml"));
            assert_eq!(text.matches("<object>").count(), record.objects.len());
            let first = record.objects[0].bbox.x0 * 64.0;
            assert!(text.contains(&format!("<xmin>{first:.2}</xmin>")), "{text}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error =
            write_voc(file.path(), &SceneOptions { images: 1, size: 16, ..SceneOptions::default() }).unwrap_err();
        assert!(error.to_string().contains("JPEGImages: cannot make the folder"), "{error}");
    }
}

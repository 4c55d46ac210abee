//! Generated photos and label files.

use std::fs;
use std::path::Path;

use image::ExtendedColorType;

/// A data set that is written file by file.
pub struct Photos {
    pub dir: tempfile::TempDir,
}

impl Photos {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("temporary folder") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
        fs::write(path, content).expect("writes");
        self
    }

    /// A JPEG of 200x100 that differs by `seed`.
    pub fn jpeg(&self, name: &str, seed: u8) -> &Self {
        self.file(name, jpeg(200, 100, seed))
    }

    /// A photo with its VOC labels beside it; boxes are `class x0 y0 x1 y1`.
    pub fn voc(&self, name: &str, seed: u8, boxes: &[(&str, [i32; 4])]) -> &Self {
        self.jpeg(&format!("{name}.jpg"), seed).file(&format!("{name}.xml"), voc_xml(200, 100, boxes))
    }
}

/// A smooth picture without a flat row.
pub fn jpeg(width: u32, height: u32, seed: u8) -> Vec<u8> {
    let pixel = |i: u32| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, seed];
    let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.encode(&pixels, width, height, ExtendedColorType::Rgb8).expect("encodes");
    bytes
}

pub fn voc_xml(width: u32, height: u32, boxes: &[(&str, [i32; 4])]) -> String {
    let object = |(class, [x0, y0, x1, y1]): &(&str, [i32; 4])| {
        format!(
            "<object><name>{class}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>\
             </bndbox></object>\n"
        )
    };
    let objects: String = boxes.iter().map(object).collect();
    format!("<annotation>\n<size><width>{width}</width><height>{height}</height></size>\n{objects}</annotation>\n")
}

//! The labels of photos as text: Pascal VOC, YOLO and COCO.

use std::fmt::Write;

use serde_json::{Value, json};

use super::sample::Object;

/// Left, top, right, bottom in pixels of a picture of `size`, width before height.
fn pixels(object: &Object, [w, h]: [u32; 2]) -> [f64; 4] {
    let (b, w, h) = (&object.bbox, f64::from(w), f64::from(h));
    [b.x0 * w, b.y0 * h, b.x1 * w, b.y1 * h]
}

fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

/// One photo's Pascal VOC annotation; `size` is width and height of the upright picture.
pub fn voc_text(file: &str, size: [u32; 2], objects: &[Object], classes: &[String]) -> String {
    let mut xml = format!(
        "<annotation>\n<filename>{}</filename>\n<size><width>{}</width><height>{}</height><depth>3</depth></size>\n",
        escaped(file),
        size[0],
        size[1]
    );
    for object in objects {
        let [x0, y0, x1, y1] = pixels(object, size);
        let (name, difficult) = (escaped(&classes[object.class]), u8::from(object.difficult));
        let _ = writeln!(
            xml,
            "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0:.2}</xmin>\
             <ymin>{y0:.2}</ymin><xmax>{x1:.2}</xmax><ymax>{y1:.2}</ymax></bndbox></object>"
        );
    }
    xml + "</annotation>\n"
}

/// Steps per picture that corners of YOLO boxes are rounded to.
const GRID: f64 = 1e6;

/// One photo's YOLO label file: class, centre and size of each box as shares of the picture.
///
/// Corners are rounded, not centre and size, and all their digits are written: centre plus half a size does not leave the
/// picture, which rounding each of them would do.
pub fn yolo_text(objects: &[Object]) -> String {
    let line = |o: &Object| {
        let [x0, y0, x1, y1] = [o.bbox.x0, o.bbox.y0, o.bbox.x1, o.bbox.y1].map(|v| (v * GRID).round() / GRID);
        let (class, x, y) = (o.class, (x0 + x1) / 2.0, (y0 + y1) / 2.0);
        format!("{class} {x:.7} {y:.7} {:.6} {:.6}\n", x1 - x0, y1 - y0)
    };
    objects.iter().map(line).collect()
}

/// The table of class names in a `data.yaml`.
pub fn yolo_names(classes: &[String]) -> String {
    let mut yaml = String::from("names:\n");
    for (i, name) in classes.iter().enumerate() {
        let _ = writeln!(yaml, "  {i}: {}", json!(name));
    }
    yaml
}

/// A COCO file that grows photo by photo. Category ids count from 1.
#[derive(Debug)]
pub struct CocoText {
    images: Vec<Value>,
    annotations: Vec<Value>,
    categories: Vec<Value>,
}

impl CocoText {
    pub fn new(classes: &[String]) -> Self {
        let categories = classes.iter().enumerate().map(|(i, name)| json!({"id": i + 1, "name": name})).collect();
        Self { images: Vec::new(), annotations: Vec::new(), categories }
    }

    /// Adds a photo under an id of its own. `scores` are those of the objects, or empty where they are labels.
    pub fn add(&mut self, id: usize, file: &str, [w, h]: [u32; 2], objects: &[Object], scores: &[f64]) {
        self.images.push(json!({"id": id, "file_name": file, "width": w, "height": h}));
        for (i, object) in objects.iter().enumerate() {
            let [x0, y0, x1, y1] = pixels(object, [w, h]);
            let area = object.area.map_or((x1 - x0) * (y1 - y0), |a| a * f64::from(w) * f64::from(h));
            let mut annotation = json!({
                "id": self.annotations.len() + 1, "image_id": id, "category_id": object.class + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": area, "iscrowd": u8::from(object.crowd),
            });
            if let Some(score) = scores.get(i) {
                annotation["score"] = json!(score);
            }
            self.annotations.push(annotation);
        }
    }

    /// The file.
    pub fn finish(self) -> String {
        let (images, annotations, categories) = (self.images, self.annotations, self.categories);
        json!({"images": images, "annotations": annotations, "categories": categories}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::CornerBox;

    #[test]
    fn boxes_at_the_edge_stay_inside_as_yolo_and_where_they_were() {
        for i in 0..1000 {
            let at = f64::from(i) / 1237.0;
            let object = |b: CornerBox| Object { class: 3, bbox: b, difficult: false, crowd: false, area: None };
            let text = yolo_text(&[object(CornerBox::new(at, 0.0, 1.0, 1.0 - at))]);
            let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
            let [class, x, y, w, h] = numbers[..] else { panic!("{text}") };
            assert_eq!(class, 3.0);
            for (found, expected) in
                [(x - w / 2.0, at), (x + w / 2.0, 1.0), (y - h / 2.0, 0.0), (y + h / 2.0, 1.0 - at)]
            {
                assert!((found - expected).abs() < 6e-7 && (-1e-15..=1.0 + 1e-15).contains(&found), "{i}: {text}");
            }
        }
    }
}

//! A photo with boxes in the page: JPEG for the pixels, SVG for the boxes, so that both stay sharp and small.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageEncoder};

use super::markup::MarkupText;
use crate::boxes::CornerBox;
use crate::data::RgbImage;

const QUALITY: u8 = 78;

/// With more boxes than these, words on the photo would cover it; they stay as tooltips.
const MOST_LABELS: usize = 10;

/// The meaning of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxMark {
    /// A label, where nothing is compared.
    Label,
    /// A labelled object that was found, or the detection that found it.
    Hit,
    /// A labelled object that was not found.
    Miss,
    /// A detection of nothing, or of another class.
    FalseAlarm,
}

impl BoxMark {
    fn class(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::FalseAlarm => "alarm",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::FalseAlarm => "false alarm",
        }
    }
}

/// A box on a photo.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkedBox {
    /// Fractions of the photo.
    pub bbox: CornerBox,
    pub mark: BoxMark,
    pub label: String,
}

/// Pixels and boxes.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxedPhoto {
    jpeg: Vec<u8>,
    width: usize,
    height: usize,
    pub caption: String,
    pub boxes: Vec<MarkedBox>,
}

/// A validation photo: its labels, and the detections beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct ExamplePhoto {
    /// With the labels as boxes.
    pub photo: BoxedPhoto,
    pub detections: Vec<MarkedBox>,
}

impl BoxedPhoto {
    /// The image with its longer side of at most `side` pixels; `None` if it has no pixels.
    pub fn new(image: &RgbImage, side: usize, caption: String, boxes: Vec<MarkedBox>) -> Option<Self> {
        let long = image.width.max(image.height);
        if image.width == 0 || image.height == 0 || image.pixels.len() != image.width * image.height * 3 {
            return None;
        }
        let scaled = |n: usize| ((n * side.min(long)) as f64 / long as f64).round().max(1.0) as u32;
        let (width, height) = (scaled(image.width), scaled(image.height));
        let whole = image::ImageBuffer::<image::Rgb<u8>, &[u8]>::from_raw(
            image.width as u32,
            image.height as u32,
            &image.pixels[..],
        )?;
        let small = imageops::resize(&whole, width, height, FilterType::Triangle);
        let mut jpeg = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
        encoder.write_image(small.as_raw(), width, height, ExtendedColorType::Rgb8).ok()?;
        jpeg.shrink_to_fit();
        Some(Self { jpeg, width: width as usize, height: height as usize, caption, boxes })
    }

    /// Bytes of the photo.
    pub fn bytes(&self) -> usize {
        self.jpeg.len()
    }

    /// Writes it with its own boxes.
    ///
    /// # Errors
    /// If the writer refuses.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.open(out, &self.caption)?;
        self.pixels(out, None)?;
        self.frames(out, &self.boxes)?;
        write!(out, "</svg>")
    }

    fn open(&self, out: &mut dyn Write, what: &str) -> io::Result<()> {
        let (w, h) = (self.width, self.height);
        write!(out, "<svg class=\"photo\" viewBox=\"0 0 {w} {h}\" role=\"img\"><title>{}</title>", MarkupText(what))
    }

    fn pixels(&self, out: &mut dyn Write, id: Option<&str>) -> io::Result<()> {
        let id = id.map_or(String::new(), |id| format!(" id=\"{}\"", MarkupText(id)));
        let (w, h) = (self.width, self.height);
        write!(out, "<image{id} width=\"{w}\" height=\"{h}\" href=\"data:image/jpeg;base64,")?;
        // In parts that are whole triples, so that the text is not in memory twice.
        for part in self.jpeg.chunks(3 * 1024) {
            out.write_all(STANDARD.encode(part).as_bytes())?;
        }
        write!(out, "\"/>")
    }

    /// Later boxes lie above earlier ones.
    fn frames(&self, out: &mut dyn Write, boxes: &[MarkedBox]) -> io::Result<()> {
        let (w, h) = (self.width as f64, self.height as f64);
        for b in boxes {
            let c = b.bbox.clipped();
            let (x, y, width, height) = (c.x0 * w, c.y0 * h, c.width() * w, c.height() * h);
            if !(width > 0.0 && height > 0.0 && x.is_finite() && y.is_finite()) {
                continue;
            }
            let class = b.mark.class();
            let what = format!("{}: {}", b.mark.words(), b.label);
            write!(out, "<g class=\"{class}\"><title>{}</title>", MarkupText(&what))?;
            for line in ["rim", "line"] {
                write!(
                    out,
                    "<rect class=\"{line}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
                )?;
            }
            if boxes.len() <= MOST_LABELS && !b.label.is_empty() {
                let size = w.max(h) / 26.0;
                let (left, base) = (x + 2.0, if y > size * 1.3 { y - size * 0.3 } else { y + size * 1.1 });
                // A name that would not fit ends at the photo's edge; letters outside Latin-1 are twice as wide.
                let letters = b.label.chars().map(|c| if c <= '\u{ff}' { 0.62 } else { 1.05 }).sum::<f64>();
                let fits = left + letters * size <= w;
                let (left, anchor) = if fits { (left, "start") } else { (w - 2.0, "end") };
                write!(
                    out,
                    "<text x=\"{left:.1}\" y=\"{base:.1}\" font-size=\"{size:.1}\" text-anchor=\"{anchor}\">{}</text>",
                    MarkupText(&b.label)
                )?;
            }
            write!(out, "</g>")?;
        }
        Ok(())
    }
}

impl ExamplePhoto {
    /// Labels that were found, labels that were missed, and detections that are wrong.
    pub fn counts(&self) -> [usize; 3] {
        let labels = |mark: BoxMark| self.photo.boxes.iter().filter(|b| b.mark == mark).count();
        let wrong = self.detections.iter().filter(|b| b.mark == BoxMark::FalseAlarm).count();
        [labels(BoxMark::Hit), labels(BoxMark::Miss), wrong]
    }

    /// Writes the labels and the detections as two pictures of one photo, whose pixels stand in the page once. No other
    /// element of the page has this `id`.
    ///
    /// # Errors
    /// If the writer refuses.
    pub fn write(&self, out: &mut dyn Write, id: &str) -> io::Result<()> {
        let photo = &self.photo;
        write!(out, "<div class=\"pair\"><div>")?;
        photo.open(out, &format!("labels of {}", photo.caption))?;
        photo.pixels(out, Some(id))?;
        photo.frames(out, &photo.boxes)?;
        write!(out, "</svg><span class=\"side\">labels</span></div><div>")?;
        photo.open(out, &format!("detections in {}", photo.caption))?;
        write!(out, "<use href=\"#{}\"/>", MarkupText(id))?;
        photo.frames(out, &self.detections)?;
        write!(out, "</svg><span class=\"side\">detections</span></div></div>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize) -> RgbImage {
        RgbImage { width, height, pixels: vec![120; width * height * 3] }
    }

    #[test]
    fn a_photo_keeps_its_shape_and_its_boxes_their_place() {
        let bbox = CornerBox::new(0.25, 0.5, 0.75, 1.5);
        let boxes = vec![MarkedBox { bbox, mark: BoxMark::Miss, label: "<b>\"".into() }];
        let photo = BoxedPhoto::new(&grey(800, 200), 400, "a & b".into(), boxes).unwrap();
        let mut text = Vec::new();
        photo.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("viewBox=\"0 0 400 100\"") && text.contains("a &amp; b"), "{text}");
        assert!(text.contains("x=\"100.0\" y=\"50.0\" width=\"200.0\" height=\"50.0\""), "{text}");
        assert!(text.contains("&lt;b&gt;&quot;") && !text.contains("<b>"), "{text}");
        let start = text.find("base64,").unwrap() + 7;
        let end = start + text[start..].find('"').unwrap();
        let jpeg = STANDARD.decode(&text[start..end]).unwrap();
        assert_eq!(image::load_from_memory(&jpeg).unwrap().into_rgb8().dimensions(), (400, 100));
        assert!(BoxedPhoto::new(&grey(0, 5), 400, String::new(), vec![]).is_none());
    }

    #[test]
    fn an_example_holds_its_pixels_once() {
        let b = |mark| MarkedBox { bbox: CornerBox::new(0.0, 0.0, 0.5, 0.5), mark, label: "x".into() };
        let photo = BoxedPhoto::new(&grey(64, 64), 64, "p".into(), vec![b(BoxMark::Hit), b(BoxMark::Miss)]).unwrap();
        let example =
            ExamplePhoto { photo, detections: vec![b(BoxMark::Hit), b(BoxMark::FalseAlarm), b(BoxMark::FalseAlarm)] };
        assert_eq!(example.counts(), [1, 1, 2]);
        let mut text = Vec::new();
        example.write(&mut text, "p1").unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!((text.matches("base64").count(), text.matches("href=\"#p1\"").count()), (1, 1));
    }
}

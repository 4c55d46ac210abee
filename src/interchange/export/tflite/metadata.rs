//! TFLite metadata, which the Task library and Android Studio read: what goes in, what comes out, where the names are.
//!
//! A flatbuffer of its own, `ModelMetadata` (identifier M001) of tflite-support's metadata_schema.fbs, in a buffer of the
//! model; the label file stands behind the model as a ZIP archive. The schema has no crate, so its tables are
//! written field by field, by their numbers.

use std::io::{Cursor, Seek, SeekFrom, Write};

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::TfliteOutputs;

/// The name of the label file inside the archive.
pub const LABELS: &str = "labels.txt";

type TableOffset = WIPOffset<UnionWIPOffset>;

enum TableField {
    Table(TableOffset),
    Byte(u8),
    Int(i32),
    Float(f32),
}

struct MetadataWriter<'a>(FlatBufferBuilder<'a>);

impl MetadataWriter<'_> {
    /// A table with its fields by number.
    fn table(&mut self, fields: &[(u16, TableField)]) -> TableOffset {
        let start = self.0.start_table();
        for (number, field) in fields {
            // The first two entries of a table's directory are its own sizes.
            let slot = 4 + 2 * number;
            match *field {
                TableField::Table(offset) => self.0.push_slot_always(slot, offset),
                TableField::Byte(value) => self.0.push_slot_always(slot, value),
                TableField::Int(value) => self.0.push_slot_always(slot, value),
                TableField::Float(value) => self.0.push_slot_always(slot, value),
            }
        }
        WIPOffset::new(self.0.end_table(start).value())
    }

    fn text(&mut self, text: &str) -> TableField {
        TableField::Table(WIPOffset::new(self.0.create_string(text).value()))
    }

    fn tables(&mut self, all: &[TableOffset]) -> TableField {
        TableField::Table(WIPOffset::new(self.0.create_vector(all).value()))
    }

    fn floats(&mut self, all: &[f32]) -> TableField {
        TableField::Table(WIPOffset::new(self.0.create_vector(all).value()))
    }

    /// A ProcessUnit; `kind` is 1 for normalisation, 3 for a threshold.
    fn unit(&mut self, kind: u8, options: TableOffset) -> TableOffset {
        self.table(&[(0, TableField::Byte(kind)), (1, TableField::Table(options))])
    }

    /// A Content; `kind` is 1 for plain features, 2 for an image, 3 for boxes. Features of many detections stand along
    /// axis 2 (schema, `Content.range`).
    fn content(&mut self, kind: u8, properties: TableOffset, many: bool) -> TableField {
        let mut fields = vec![(0, TableField::Byte(kind)), (1, TableField::Table(properties))];
        if many {
            let range = self.table(&[(0, TableField::Int(2)), (1, TableField::Int(2))]);
            fields.push((2, TableField::Table(range)));
        }
        TableField::Table(self.table(&fields))
    }

    /// The image: RGB, 127.5 subtracted, divided by 127.5; whole-number inputs begin from the same numbers.
    fn image(&mut self) -> TableOffset {
        let properties = self.table(&[(0, TableField::Byte(1))]);
        let content = self.content(2, properties, false);
        let (mean, deviation) = (self.floats(&[127.5]), self.floats(&[127.5]));
        let normalisation = self.table(&[(0, mean), (1, deviation)]);
        let unit = self.unit(1, normalisation);
        let units = self.tables(&[unit]);
        let (most, least) = (self.floats(&[1.0]), self.floats(&[-1.0]));
        let statistics = self.table(&[(0, most), (1, least)]);
        let name = self.text("image");
        let description = self.text("The whole picture, stretched to the input's size, RGB.");
        self.table(&[(0, name), (1, description), (3, content), (4, units), (5, TableField::Table(statistics))])
    }

    fn output(&mut self, name: &str, description: &str, rest: Vec<(u16, TableField)>) -> TableOffset {
        let mut fields = vec![(0, self.text(name)), (1, self.text(description))];
        fields.extend(rest);
        self.table(&fields)
    }

    fn features(&mut self, many: bool) -> (u16, TableField) {
        let properties = self.table(&[]);
        (3, self.content(1, properties, many))
    }

    fn detections(&mut self, threshold: Option<f32>) -> [TableOffset; 4] {
        // Left, top, right, bottom stand at 1, 0, 3, 2.
        let order = WIPOffset::new(self.0.create_vector(&[1u32, 0, 3, 2]).value());
        let properties =
            self.table(&[(0, TableField::Table(order)), (1, TableField::Byte(1)), (2, TableField::Byte(0))]);
        let content = self.content(3, properties, true);
        let boxes =
            self.output("location", "The boxes of the detections, in fractions of the picture.", vec![(3, content)]);
        let content = self.features(true);
        let (file, about) = (self.text(LABELS), self.text("Names of the classes, one a line."));
        let file = self.table(&[(0, file), (1, about), (2, TableField::Byte(3))]);
        let files = self.tables(&[file]);
        let classes = self.output("category", "The classes of the detections.", vec![content, (6, files)]);
        let mut rest = vec![self.features(true)];
        if let Some(threshold) = threshold {
            let options = self.table(&[(0, TableField::Float(threshold))]);
            let unit = self.unit(3, options);
            rest.push((4, self.tables(&[unit])));
        }
        let scores = self.output("score", "The scores of the detections, highest first.", rest);
        let content = self.features(false);
        let count = self.output("number of detections", "How many there are.", vec![content]);
        [boxes, classes, scores, count]
    }

    fn raw(&mut self) -> [TableOffset; 2] {
        let content = self.features(false);
        let boxes = self.output("box_encodings", "ty, tx, th, tw against the anchors.", vec![content]);
        let content = self.features(false);
        [boxes, self.output("class_predictions", "Scores, the background first.", vec![content])]
    }
}

/// The bytes of a `TFLITE_METADATA` buffer.
pub fn bytes(detections: TfliteOutputs, description: &str, threshold: Option<f32>) -> Vec<u8> {
    let mut out = MetadataWriter(FlatBufferBuilder::new());
    let image = out.image();
    let outputs = match detections {
        TfliteOutputs::PostProcess => out.detections(threshold).to_vec(),
        TfliteOutputs::Raw => out.raw().to_vec(),
    };
    let (inputs, outputs) = (out.tables(&[image]), out.tables(&outputs));
    let subgraph = out.table(&[(2, inputs), (3, outputs)]);
    let subgraphs = out.tables(&[subgraph]);
    let (name, about) = (out.text("SSD-MobileNet-V2 detector"), out.text(description));
    let (version, parser) = (out.text("v1"), out.text("1.0.0"));
    let model = out.table(&[(0, name), (1, about), (2, version), (3, subgraphs), (7, parser)]);
    out.0.finish(model, Some("M001"));
    out.0.finished_data().to_vec()
}

/// The model with its label file behind it, uncompressed: readers map the file.
pub fn with_labels(model: Vec<u8>, labels: &str) -> std::io::Result<Vec<u8>> {
    let mut behind = Cursor::new(model);
    behind.seek(SeekFrom::End(0))?;
    let mut archive = ZipWriter::new(behind);
    archive.start_file(LABELS, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))?;
    archive.write_all(labels.as_bytes())?;
    Ok(archive.finish()?.into_inner())
}

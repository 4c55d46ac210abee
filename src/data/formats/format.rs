//! The names of the label formats that are read.

/// A label format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Voc,
    Cvat,
    Coco,
    LabelMe,
    LabelStudio,
    CreateMl,
    Via,
    Yolo,
    Csv,
    KerasYolo,
    Kitti,
    VisDrone,
    Oid,
    Dota,
    TfRecord,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Voc => "Pascal VOC",
            Format::Cvat => "CVAT for images",
            Format::Coco => "COCO",
            Format::LabelMe => "LabelMe",
            Format::LabelStudio => "Label Studio JSON",
            Format::CreateMl => "CreateML",
            Format::Via => "VIA JSON",
            Format::Yolo => "YOLO",
            Format::Csv => "CSV",
            Format::KerasYolo => "keras-yolo",
            Format::Kitti => "KITTI",
            Format::VisDrone => "VisDrone",
            Format::Oid => "OIDv4",
            Format::Dota => "DOTA",
            Format::TfRecord => "TFRecord",
        }
    }
}

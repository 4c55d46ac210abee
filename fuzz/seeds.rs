//! Small sound inputs of the label formats and of a fleet's messages, from which mutations start.

use std::io::{Cursor, Write as _};

/// A sound input of a reader that is a text, or `None`.
pub fn text(reader: &str) -> Option<&'static str> {
    Some(match reader {
        "cvat" => CVAT,
        "labelme" => LABELME,
        "label_studio" => LABEL_STUDIO,
        "createml" => CREATEML,
        "via" => VIA,
        "open_images" => OPEN_IMAGES,
        "kitti" => {
            "cat 0.00 0 0.0 1.0 1.0 6.0 5.0 1.5 1.6 3.8 1.0 1.7 8.4 -1.5\nDontCare -1 -1 -10 2 2 9 7 -1 -1 -1 -1 -1 -1 -1\n"
        }
        "visdrone" => "1,1,5,4,1,4,0,0\n2,2,6,5,1,1,0,1\n0,0,3,3,0,0,0,0\n",
        "http" => HTTP,
        _ => return None,
    })
}

const CVAT: &str = r#"<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><labels><label>
<name>cat</name></label><label><name>dog</name></label></labels></task></meta><image id="0" name="a.bmp" width="12"
height="8" subset="train"><box label="cat" occluded="0" xtl="1.0" ytl="1.0" xbr="6.0" ybr="5.0" z_order="0"></box>
<polygon label="dog" points="2.0,2.0;9.0,2.0;9.0,7.0"></polygon></image></annotations>
"#;

const LABELME: &str = r#"{"version": "5.5.0", "flags": {}, "shapes": [
{"label": "cat", "points": [[1.0, 1.0], [6.0, 5.0]], "shape_type": "rectangle", "flags": {}, "group_id": null},
{"label": "dog", "points": [[2, 2], [9, 2], [9, 7]], "shape_type": "polygon"},
{"label": "dog", "points": [[5, 4], [6, 5]], "shape_type": "circle"}],
"imagePath": "a.bmp", "imageData": null, "imageHeight": 8, "imageWidth": 12}
"#;

const LABEL_STUDIO: &str = r#"[{"id": 1, "data": {"image": "/data/upload/1/0123abcd-a.bmp"}, "annotations": [{"id": 1,
"was_cancelled": false, "result": [{"type": "rectanglelabels", "from_name": "label", "to_name": "image",
"original_width": 12, "original_height": 8, "image_rotation": 0, "value": {"x": 8.3, "y": 12.5, "width": 41.7,
"height": 50.0, "rotation": 0, "rectanglelabels": ["cat"]}}]}]}]
"#;

const CREATEML: &str = r#"[{"image": "a.bmp", "annotations": [{"label": "cat", "coordinates": {"x": 3.5, "y": 3,
"width": 5, "height": 4}}, {"label": "dog", "coordinates": {"x": 5.5, "y": 4.5, "width": 7, "height": 5}}]}]
"#;

const VIA: &str = r#"{"a.bmp342": {"filename": "a.bmp", "size": 342, "regions": [{"shape_attributes": {"name": "rect",
"x": 1, "y": 1, "width": 5, "height": 4}, "region_attributes": {"class": "cat"}}, {"shape_attributes": {"name":
"polygon", "all_points_x": [2, 9, 9], "all_points_y": [2, 2, 7]}, "region_attributes": {"class": {"dog": true}}}],
"file_attributes": {}}}
"#;

const OPEN_IMAGES: &str = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,\
IsDepiction,IsInside,id,ClassName\na,xclick,/m/01yrx,1,0.08,0.5,0.12,0.62,0,0,0,0,0,/m/01yrx,cat\n\
a,xclick,/m/0bt9lr,1,0.2,0.8,0.2,0.9,0,1,1,0,0,/m/0bt9lr,dog\n";

const HTTP: &str = "POST /predict?token=a%20b&n=1 HTTP/1.1\r\nHost: localhost:8070\r\nContent-Length: 5\r\n\
Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n{\"a\"}";

/// A record file of one example with two objects.
pub fn tfrecord() -> Vec<u8> {
    let floats = |all: &[f32]| message(2, &message(1, &all.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>()));
    let numbers = |all: &[u8]| message(3, &message(1, all));
    let texts = |all: &[&[u8]]| message(1, &all.iter().flat_map(|text| message(1, text)).collect::<Vec<_>>());
    let feature = |name: &str, value: Vec<u8>| message(1, &[message(1, name.as_bytes()), message(2, &value)].concat());
    let features = [
        feature("image/filename", texts(&[b"a.bmp"])),
        feature("image/encoded", texts(&[&super::readers::bmp()])),
        feature("image/width", numbers(&[12])),
        feature("image/height", numbers(&[8])),
        feature("image/object/bbox/xmin", floats(&[0.1, 0.2])),
        feature("image/object/bbox/xmax", floats(&[0.5, 0.8])),
        feature("image/object/bbox/ymin", floats(&[0.1, 0.2])),
        feature("image/object/bbox/ymax", floats(&[0.6, 0.9])),
        feature("image/object/class/text", texts(&[b"cat", b"dog"])),
        feature("image/object/class/label", numbers(&[1, 2])),
    ];
    super::mutator::framed(&message(1, &features.concat()))
}

/// A field of a protobuf message that holds bytes.
fn message(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![field << 3 | 2];
    let mut len = bytes.len();
    while len > 0x7F {
        all.push(0x80 | (len & 0x7F) as u8);
        len >>= 7;
    }
    all.push(len as u8);
    all.extend(bytes);
    all
}

/// A zip of a photo and its label file.
pub fn zip(labels: &[u8]) -> Vec<u8> {
    packed(&[("set/a.bmp".into(), super::readers::bmp()), ("set/a.xml".into(), labels.to_vec())])
}

/// A zip of files, without compression.
pub fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in files {
        // A name that occurs twice is refused by the writer: the file stays out.
        if zip.start_file(name.as_str(), options).is_ok() {
            zip.write_all(bytes).expect("its bytes");
        }
    }
    zip.finish().expect("a zip").into_inner()
}

/// The objects of a fleet's message, as `readers::fleet_message` puts them together: sections, each a line with its kind
/// and children, and its body. `@N` in a body is the id of section N.
pub fn fleet_message(root: &[u8]) -> Vec<u8> {
    let npy = [
        &b"\x93NUMPY\x01\0\x46\0"[..],
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }            \n",
        &1f32.to_le_bytes(),
        &2f32.to_le_bytes(),
    ]
    .concat();
    let array = br#"{"dtype": "float32", "shape": [2], "stype": "numpy.ndarray", "arraychunk_ids": [0]}"#;
    // One setting: epochs, a signed 2.
    let config = b"\x0a\x0c\x0a\x06epochs\x12\x02\x10\x04";
    let sections: [&[u8]; 6] = [
        &[b"ArrayChunk \n", &npy[..]].concat(),
        &[b"Array 0\n", &array[..]].concat(),
        b"ArrayRecord 1\n{\"conv.weight\": \"@1\"}",
        &[b"ConfigRecord \n", &config[..]].concat(),
        b"RecordDict 2,3\n{\"arrays\": \"@2\", \"config\": \"@3\"}",
        &[b"Message 4\n", root].concat(),
    ];
    sections.join(super::readers::BETWEEN_SECTIONS)
}

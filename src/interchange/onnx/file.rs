//! The model file as bytes: read whole and decoded, or encoded tensor by tensor and replaced in one step.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{ModelProto, NodeProto};

use super::census;
use crate::interchange::InterchangeError;

/// Protobuf's own limit for one message.
const MAX_BYTES: u64 = i32::MAX as u64;

const NOT_ONNX: &str = "export the network to ONNX (tf2onnx, torch.onnx.export) or download the file again";

/// Bytes of a graph beside its weights; exporters that note where each node comes from write some 400 kB.
const MOST_STRUCTURE: usize = 8 << 20;

/// First bytes of what people hand in instead of ONNX, with what it is.
const LOOKALIKES: [(usize, &[u8], &str); 7] = [
    (0, b"version https://git-lfs", "a Git LFS pointer (fetch the real file with `git lfs pull`)"),
    (0, b"PK\x03\x04", "a zip archive (a PyTorch or Keras checkpoint?)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x89HDF", "an HDF5 file (a Keras checkpoint?)"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"<", "a web page or XML"),
];

/// Reads and decodes a model; its graph is present.
///
/// # Errors
/// If the file cannot be read, is empty, is not ONNX, or ends early.
pub fn read(path: &Path) -> Result<ModelProto, InterchangeError> {
    let unreadable = |error| InterchangeError::Read { path: path.into(), error };
    let not_onnx = |found: String| InterchangeError::NotOnnx { path: path.into(), found, help: NOT_ONNX };
    let about = fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(not_onnx("something that is not a regular file".into()));
    }
    if about.len() == 0 {
        return Err(not_onnx("an empty file".into()));
    }
    if about.len() > MAX_BYTES {
        return Err(not_onnx(format!("a file of {} bytes, more than a protobuf message can have", about.len())));
    }
    decode(path, fs::read(path).map_err(unreadable)?)
}

/// Decodes a model; its graph is present.
///
/// # Errors
/// If the bytes are not ONNX or end early.
pub fn decode(path: &Path, bytes: Vec<u8>) -> Result<ModelProto, InterchangeError> {
    let not_onnx = |found: String| InterchangeError::NotOnnx { path: path.into(), found, help: NOT_ONNX };
    for (offset, magic, what) in LOOKALIKES {
        if bytes.get(offset..).is_some_and(|tail| tail.starts_with(magic)) {
            return Err(not_onnx(what.into()));
        }
    }
    let structure = census::structure(&bytes);
    if structure > MOST_STRUCTURE {
        return Err(not_onnx(format!(
            "{structure} bytes beside weights: another kind of file, or a graph too large for this network"
        )));
    }
    let proto = ModelProto::decode(bytes.as_slice())
        .map_err(|e| not_onnx(format!("{} bytes that end early or are something else ({e})", bytes.len())))?;
    match &proto.graph {
        Some(graph) if !graph.node.is_empty() => Ok(proto),
        _ => Err(not_onnx("a model without a graph".into())),
    }
}

/// Replaces the file at `path` by what `write` puts out, so that a reader, or a power cut, sees the old file or the new
/// one and nothing between: temporary file in the same folder, fsync, rename, fsync of the folder.
///
/// # Errors
/// If any step fails; the temporary file is removed then.
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), InterchangeError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let written = temporary(path).and_then(|temp| {
        let moved = write_synced(&temp, write).and_then(|()| fs::rename(&temp, path));
        if moved.is_err() {
            // The first error is the one worth telling.
            let _ = fs::remove_file(&temp);
        }
        moved
    });
    written.and_then(|()| sync_folder(folder)).map_err(|error| InterchangeError::Write { path: path.into(), error })
}

fn temporary(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write_synced(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write(&mut file)?;
    file.into_inner()?.sync_all()
}

/// Keys of nested messages in protobuf's encoding: field number times 8, plus 2 (`ModelProto.graph`,
/// `GraphProto.initializer`, `GraphProto.node`, `NodeProto.attribute`).
const GRAPH: u8 = 7 << 3 | 2;
const INITIALIZER: u8 = 5 << 3 | 2;
const NODE: u8 = 1 << 3 | 2;
const ATTRIBUTE: u8 = 5 << 3 | 2;
/// `AttributeProto.f` (4 bytes) and `AttributeProto.i` (a varint) of value 0.
const FLOAT_ZERO: [u8; 5] = [2 << 3 | 5, 0, 0, 0, 0];
const INT_ZERO: [u8; 2] = [3 << 3, 0];

/// Writes a model one tensor after the other, each let go when it is written: its numbers would otherwise be in memory
/// twice. The tensors stand at the end of the graph; protobuf leaves the order of fields to the writer.
///
/// # Errors
/// If `to` does not take it.
pub fn encode(mut model: ModelProto, to: &mut dyn Write) -> io::Result<()> {
    let graph = model.graph.take();
    to.write_all(&model.encode_to_vec())?;
    let Some(mut graph) = graph else { return Ok(()) };
    let tensors = std::mem::take(&mut graph.initializer);
    let nodes: Vec<Vec<u8>> = std::mem::take(&mut graph.node).into_iter().map(node).collect::<io::Result<_>>()?;
    let nested = |len: usize| 1 + prost::length_delimiter_len(len) + len;
    let tensor_len: usize = tensors.iter().map(|t| nested(t.encoded_len())).sum();
    let node_len: usize = nodes.iter().map(|n| nested(n.len())).sum();
    begin(GRAPH, graph.encoded_len() + node_len + tensor_len, to)?;
    for bytes in nodes {
        begin(NODE, bytes.len(), to)?;
        to.write_all(&bytes)?;
    }
    to.write_all(&graph.encode_to_vec())?;
    for tensor in tensors {
        let bytes = tensor.encode_to_vec();
        begin(INITIALIZER, bytes.len(), to)?;
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// A node with attributes that are 0 written down: the encoder leaves zeros out, and OpenCV takes an attribute without a
/// value for one it does not know.
fn node(mut node: NodeProto) -> io::Result<Vec<u8>> {
    let attributes = std::mem::take(&mut node.attribute);
    let mut bytes = node.encode_to_vec();
    for attribute in attributes {
        let mut inner = attribute.encode_to_vec();
        if attribute.r#type == AttributeType::Float as i32 && attribute.f == 0.0 {
            inner.extend(FLOAT_ZERO);
        }
        if attribute.r#type == AttributeType::Int as i32 && attribute.i == 0 {
            inner.extend(INT_ZERO);
        }
        begin(ATTRIBUTE, inner.len(), &mut bytes)?;
        bytes.extend(inner);
    }
    Ok(bytes)
}

/// Key and length of a nested message.
fn begin(key: u8, len: usize, to: &mut dyn Write) -> io::Result<()> {
    let mut head = vec![key];
    prost::encode_length_delimiter(len, &mut head).map_err(io::Error::other)?;
    to.write_all(&head)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{AttributeProto, GraphProto, StringStringEntryProto, TensorProto};

    #[test]
    fn replace_leaves_no_temporary_file_and_the_new_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.onnx");
        replace(&path, |to| to.write_all(b"old")).unwrap();
        replace(&path, |to| to.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let error = replace(&path, |to| to.write_all(b"half").and(Err(io::Error::other("full")))).unwrap_err();
        assert!(error.to_string().contains("a.onnx: cannot write: full"), "{error}");
        assert_eq!((fs::read(&path).unwrap(), fs::read_dir(dir.path()).unwrap().count()), (b"new".to_vec(), 1));
        let error = replace(&dir.path().join("absent/a.onnx"), |to| to.write_all(b"x")).unwrap_err();
        assert!(error.to_string().contains("absent/a.onnx: cannot write"), "{error}");
    }

    #[test]
    fn what_is_written_tensor_by_tensor_decodes_to_the_model() {
        // Lengths of one, two and three bytes.
        let tensor = |name: &str, len: usize| TensorProto {
            name: name.into(),
            dims: vec![len as i64],
            data_type: 1,
            raw_data: (0..4 * len).map(|i| i as u8).collect(),
            ..Default::default()
        };
        let graph = GraphProto {
            name: "g".into(),
            node: vec![NodeProto { op_type: "Relu".into(), input: vec!["x".into()], ..Default::default() }],
            initializer: vec![tensor("a", 0), tensor("b", 3), tensor("c", 100), tensor("d", 10_000)],
            doc_string: "behind the tensors in the usual order".into(),
            ..Default::default()
        };
        let property = StringStringEntryProto { key: "k".into(), value: "v".into() };
        let whole =
            ModelProto { ir_version: 8, graph: Some(graph), metadata_props: vec![property], ..Default::default() };
        let bare = ModelProto { ir_version: 8, ..Default::default() };
        for model in [whole, bare] {
            let mut bytes = Vec::new();
            encode(model.clone(), &mut bytes).unwrap();
            assert_eq!(ModelProto::decode(bytes.as_slice()).unwrap(), model);
            assert_eq!(bytes.len(), model.encoded_len());
        }
    }

    #[test]
    fn zeros_are_written_down() {
        let zero = |name: &str, kind: AttributeType| AttributeProto {
            name: name.into(),
            r#type: kind as i32,
            ..Default::default()
        };
        let attribute = vec![zero("min", AttributeType::Float), zero("axis", AttributeType::Int)];
        let clip = NodeProto { op_type: "Clip".into(), attribute, ..Default::default() };
        let graph = GraphProto { node: vec![clip], ..Default::default() };
        let model = ModelProto { graph: Some(graph), ..Default::default() };
        let mut bytes = Vec::new();
        encode(model.clone(), &mut bytes).unwrap();
        assert_eq!(ModelProto::decode(bytes.as_slice()).unwrap(), model);
        assert_eq!(bytes.len(), model.encoded_len() + FLOAT_ZERO.len() + INT_ZERO.len());
    }

    #[test]
    fn lookalikes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.onnx");
        for (bytes, said) in [
            (&b""[..], "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
            (b"PK\x03\x04 and so on", "a zip archive"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"hello, world", "something else"),
            (&[0x08, 0x08], "without a graph"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("help:"), "{error}");
        }
        assert!(read(dir.path()).unwrap_err().to_string().contains("regular file"));
    }
}

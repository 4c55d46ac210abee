//! Packages made for tests: archives with any entries, sound and not.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tract_tflite::tflite;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A tar archive of plain files under names that are taken as they are.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        bytes.extend(tar_entry(name, tar::EntryType::Regular, content));
    }
    bytes.extend([0; 1024]);
    bytes
}

/// One entry: header, content, padding.
pub fn tar_entry(name: &str, kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
    let mut bytes = tar_header(name, kind, content.len() as u64);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A header that may lie about its size.
pub fn tar_header(name: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

pub fn tgz(files: &[(&str, &[u8])]) -> Vec<u8> {
    gzip(&tar(files))
}

pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("an entry");
        writer.write_all(content).expect("writes");
    }
    writer.finish().expect("an archive").into_inner()
}

/// A sound TFLite file that is no detector: one tensor in one buffer of `len` bytes.
pub fn tflite_of(len: usize) -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let data = builder.create_vector(&vec![7u8; len]);
    let buffer = tflite::Buffer::create(&mut builder, &tflite::BufferArgs { data: Some(data) });
    let name = builder.create_string("lonely");
    let shape = builder.create_vector(&[len as i32]);
    let tensor = tflite::TensorArgs { name: Some(name), shape: Some(shape), ..Default::default() };
    let tensor = tflite::Tensor::create(&mut builder, &tensor);
    let tensors = builder.create_vector(&[tensor]);
    let graph = tflite::SubGraphArgs { tensors: Some(tensors), ..Default::default() };
    let graph = tflite::SubGraph::create(&mut builder, &graph);
    let (subgraphs, buffers) = (builder.create_vector(&[graph]), builder.create_vector(&[buffer]));
    let model =
        tflite::ModelArgs { version: 3, subgraphs: Some(subgraphs), buffers: Some(buffers), ..Default::default() };
    let model = tflite::Model::create(&mut builder, &model);
    builder.finish(model, Some("TFL3"));
    builder.finished_data().to_vec()
}

//! An answer, as the objects that it is sent as.

use super::super::array::{ArrayRecord, FleetArray};
use super::super::participant::Settings;
use super::npy;
use super::object::{ObjectId, object};
use super::proto::{Failure, FleetMessage, MessageMetadata, Nothing, ObjectTree};
use super::record;
use prost::Message as _;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// The largest piece of an array's file.
const CHUNK: usize = 5 << 20;

/// Name of the record that holds the numbers of an answer.
const METRICS: &str = "metrics";

/// Name of the record that holds the words of an answer, if it has any.
pub const NOTES: &str = "notes";

/// Flower's number for work that failed on a node.
const WORK_FAILED: i64 = 2;

/// Longest reason of a failure, in characters.
const LONGEST_REASON: usize = 2000;

/// The content of an answer.
pub enum AnswerContent<'a> {
    /// After training: arrays under this name, and metrics.
    Trained { arrays_key: &'a str, arrays: &'a ArrayRecord, metrics: &'a Settings },
    /// After evaluation.
    Evaluated { metrics: &'a Settings },
    /// It failed; the reason is told to the server.
    Failed { reason: &'a str },
}

/// An answer ready to be sent: `message` has an empty content, what it holds is in the objects of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub message: FleetMessage,
    pub tree: ObjectTree,
}

/// Takes the bytes of an object; children come before what names them, and the same object may come more than once.
pub type ObjectSink<'a> = dyn FnMut(&ObjectId, &[u8]) -> io::Result<()> + 'a;

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The metadata of an answer to a message.
pub fn reply_to(asked: &MessageMetadata, now: f64) -> MessageMetadata {
    MessageMetadata {
        run_id: asked.run_id,
        message_id: String::new(),
        src_node_id: asked.dst_node_id,
        dst_node_id: asked.src_node_id,
        reply_to_message_id: asked.message_id.clone(),
        group_id: asked.group_id.clone(),
        // An answer may not outlive the question.
        ttl: asked.created_at + asked.ttl - now,
        message_type: asked.message_type.clone(),
        created_at: now,
        src_task_id: asked.dst_task_id,
        dst_task_id: asked.src_task_id,
    }
}

/// Makes the objects of an answer and hands each to `sink` at once, so that few are in memory.
///
/// # Errors
/// Those of `sink`.
pub fn write(metadata: MessageMetadata, answer: &AnswerContent, sink: &mut ObjectSink) -> io::Result<Outgoing> {
    let mut records = Vec::new();
    match answer {
        AnswerContent::Trained { arrays_key, arrays, metrics } => {
            records.push(((*arrays_key).to_string(), write_arrays(arrays, sink)?));
            write_metrics(metrics, &mut records, sink)?;
        }
        AnswerContent::Evaluated { metrics } => write_metrics(metrics, &mut records, sink)?,
        AnswerContent::Failed { .. } => {}
    }
    let error = match answer {
        AnswerContent::Failed { reason } => {
            Some(Failure { code: WORK_FAILED, reason: reason.chars().take(LONGEST_REASON).collect() })
        }
        _ => None,
    };
    let children = if error.is_some() { Vec::new() } else { vec![write_named("RecordDict", &records, sink)?] };
    let body = FleetMessage { metadata: Some(metadata.clone()), content: None, error: error.clone() }.encode_to_vec();
    let tree = write_object("Message", children, &body, sink)?;
    let content = error.is_none().then_some(Nothing {});
    let metadata = MessageMetadata { message_id: tree.object_id.clone(), ..metadata };
    Ok(Outgoing { message: FleetMessage { metadata: Some(metadata), content, error }, tree })
}

fn write_arrays(arrays: &ArrayRecord, sink: &mut ObjectSink) -> io::Result<ObjectTree> {
    let mut named = Vec::with_capacity(arrays.len());
    for (name, array) in arrays {
        named.push((name.clone(), write_array(array, sink)?));
    }
    write_named("ArrayRecord", &named, sink)
}

fn write_array(array: &FleetArray, sink: &mut ObjectSink) -> io::Result<ObjectTree> {
    let (dtype, _) = npy::kind_of(&array.data);
    let (mut children, mut order): (Vec<ObjectTree>, Vec<String>) = (Vec::new(), Vec::new());
    for chunk in npy::write(array).chunks(CHUNK) {
        let chunk = write_object("ArrayChunk", Vec::new(), chunk, sink)?;
        // Pieces with the same bytes are one object.
        let known = children.iter().position(|child| *child == chunk);
        order.push(known.unwrap_or(children.len()).to_string());
        if known.is_none() {
            children.push(chunk);
        }
    }
    let sides: Vec<String> = array.shape.iter().map(usize::to_string).collect();
    let body = format!(
        r#"{{"dtype": "{dtype}", "shape": [{}], "stype": "numpy.ndarray", "arraychunk_ids": [{}]}}"#,
        sides.join(", "),
        order.join(", ")
    );
    write_object("Array", children, body.as_bytes(), sink)
}

fn write_metrics(metrics: &Settings, records: &mut Vec<(String, ObjectTree)>, sink: &mut ObjectSink) -> io::Result<()> {
    let split = record::split(metrics);
    records.push((METRICS.into(), write_object("MetricRecord", Vec::new(), &split.numbers, sink)?));
    if let Some(notes) = split.notes {
        records.push((NOTES.into(), write_object("ConfigRecord", Vec::new(), &notes, sink)?));
    }
    Ok(())
}

/// Writes an object that names others; the same child under two names is one child.
fn write_named(kind: &str, named: &[(String, ObjectTree)], sink: &mut ObjectSink) -> io::Result<ObjectTree> {
    let mut children: Vec<ObjectTree> = Vec::with_capacity(named.len());
    let mut entries = Vec::with_capacity(named.len());
    for (name, tree) in named {
        entries.push(format!("{}: \"{}\"", serde_json::Value::from(name.as_str()), tree.object_id));
        if !children.contains(tree) {
            children.push(tree.clone());
        }
    }
    write_object(kind, children, format!("{{{}}}", entries.join(", ")).as_bytes(), sink)
}

fn write_object(kind: &str, children: Vec<ObjectTree>, body: &[u8], sink: &mut ObjectSink) -> io::Result<ObjectTree> {
    let ids: Vec<ObjectId> = children.iter().filter_map(|child| ObjectId::parse(&child.object_id)).collect();
    let bytes = object(kind, &ids, body);
    let id = ObjectId::of(&bytes);
    sink(&id, &bytes)?;
    Ok(ObjectTree { object_id: id.as_str().into(), children })
}

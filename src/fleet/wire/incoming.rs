//! A message that came: its objects fetched one by one, checked against their ids, and put together.
//!
//! All of it is untrusted. Each object's bytes must have the hash that named it, up to the root, whose id is the
//! message's. Counts, names, shapes and the sum of all numbers are bounded before memory is taken for them.

use super::super::array::{ArrayRecord, FleetArray};
use super::super::participant::Settings;
use super::npy;
use super::object::{MOST_CHILDREN, ObjectId, WireObject};
use super::proto::{FleetMessage, MessageMetadata};
use super::record;
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// Bytes of all arrays of a message, as they travel.
pub const MOST_BYTES: usize = 128 << 20;

/// Longest name of an array, in bytes.
const LONGEST_NAME: usize = 256;

/// Sides of an array.
const MOST_SIDES: usize = 8;

/// Bytes that a chunk may be short of while no chunk is empty: more chunks than this make no sense.
const SMALLEST_CHUNK: usize = 4096;

/// Records of a message.
const MOST_RECORDS: usize = 16;

/// Bytes of a record's body: names and ids, or settings.
const LONGEST_RECORD: usize = 1 << 20;

/// Bytes of an array's description.
const LONGEST_DESCRIPTION: usize = 64 << 10;

/// The content of a message.
#[derive(Debug, PartialEq)]
pub struct Content {
    /// Name of the record that holds the arrays; the answer's gets the same.
    pub arrays_key: String,
    pub arrays: ArrayRecord,
    pub config: Settings,
}

/// The reason that a message could not be put together.
#[derive(Debug)]
pub enum MessageFault<E> {
    /// An object did not come.
    Fetch(E),
    /// The bytes that came are wrong; a phrase says how.
    Content(String),
}

impl<E> From<String> for MessageFault<E> {
    fn from(found: String) -> Self {
        Self::Content(found)
    }
}

impl<E> From<&str> for MessageFault<E> {
    fn from(found: &str) -> Self {
        Self::Content(found.into())
    }
}

/// Gives the bytes of an object.
pub type Fetch<'a, E> = dyn FnMut(&ObjectId) -> Result<Vec<u8>, E> + 'a;

#[derive(Deserialize)]
struct ArrayBody {
    dtype: String,
    shape: Vec<usize>,
    stype: String,
    arraychunk_ids: Vec<usize>,
}

/// Fetches a message's content. `metadata` is what the message was announced with.
///
/// # Errors
/// [`MessageFault`].
pub fn read<E>(metadata: &MessageMetadata, fetch: &mut Fetch<E>) -> Result<Content, MessageFault<E>> {
    let root = ObjectId::parse(&metadata.message_id).ok_or("a message whose id is none")?;
    let bytes = checked(&root, fetch)?;
    let object = of_kind(&bytes, "Message")?;
    let body = FleetMessage::decode(object.body).map_err(|error| format!("a message that cannot be read ({error})"))?;
    if !body.metadata.is_some_and(|own| is_announced(&own, metadata)) {
        return Err("a message that was announced as another".into());
    }
    let [child] = &object.children[..] else { return Err("a message without content".into()) };
    let bytes = checked(child, fetch)?;
    let records = named(&of_kind(&bytes, "RecordDict")?)?;
    if records.len() > MOST_RECORDS {
        return Err(format!("a message of {} records", records.len()).into());
    }
    let (mut arrays, mut config) = (None, None);
    for (name, id) in records {
        let bytes = checked(&id, fetch)?;
        let kind = WireObject::read(&bytes)?.kind;
        let object = of_kind(&bytes, kind)?;
        match object.kind {
            "ArrayRecord" if arrays.is_none() => {
                let names = named(&object)?;
                // The head is not needed while its arrays are fetched.
                drop(bytes);
                arrays = Some((name, read_arrays(names, fetch)?));
            }
            "ConfigRecord" if config.is_none() => config = Some(record::read(object.body)?),
            "MetricRecord" => {}
            kind => return Err(format!("a message with a record {name:.40?} of kind {kind:.40} too much").into()),
        }
    }
    let (arrays_key, arrays) = arrays.ok_or("a message without arrays")?;
    Ok(Content { arrays_key, arrays, config: config.unwrap_or_default() })
}

/// True if a message is the one that was announced. Times and tasks may differ: a server that keeps its state in a database
/// rounds and numbers them anew.
fn is_announced(own: &MessageMetadata, announced: &MessageMetadata) -> bool {
    let ends = |m: &MessageMetadata| (m.run_id, m.src_node_id, m.dst_node_id);
    ends(own) == ends(announced) && own.message_type == announced.message_type && own.group_id == announced.group_id
}

/// An object's bytes, if they are those that its id promises.
fn checked<E>(id: &ObjectId, fetch: &mut Fetch<E>) -> Result<Vec<u8>, MessageFault<E>> {
    let bytes = fetch(id).map_err(MessageFault::Fetch)?;
    if ObjectId::of(&bytes) != *id {
        return Err(format!("other bytes than the object {id} has").into());
    }
    Ok(bytes)
}

/// An object that must be of this kind, and no longer than one of its kind may be.
fn of_kind<'a, E>(bytes: &'a [u8], kind: &str) -> Result<WireObject<'a>, MessageFault<E>> {
    let object = WireObject::read(bytes)?;
    if object.kind != kind {
        return Err(format!("an object of kind {:.40} in place of {kind}", object.kind).into());
    }
    let most = match kind {
        "ArrayChunk" => usize::MAX,
        "Array" => LONGEST_DESCRIPTION,
        _ => LONGEST_RECORD,
    };
    if object.body.len() > most {
        return Err(format!("a {kind} of {} bytes, more than {most}", object.body.len()).into());
    }
    Ok(object)
}

/// The objects that a record names, in order.
fn named<E>(object: &WireObject) -> Result<Vec<(String, ObjectId)>, MessageFault<E>> {
    let names: Map<String, Json> =
        serde_json::from_slice(object.body).map_err(|error| format!("a record that is no JSON ({error})"))?;
    if names.len() > MOST_CHILDREN {
        return Err(format!("a record of {} entries, more than {MOST_CHILDREN}", names.len()).into());
    }
    let mut all = Vec::with_capacity(names.len());
    for (name, id) in names {
        let id = id.as_str().and_then(ObjectId::parse).filter(|id| object.children.contains(id));
        let id = id.ok_or_else(|| format!("an entry {name:.40?} that names no child of its record"))?;
        if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(format!("an entry with the name {name:.40?} ({} bytes)", name.len()).into());
        }
        all.push((name, id));
    }
    Ok(all)
}

fn read_arrays<E>(names: Vec<(String, ObjectId)>, fetch: &mut Fetch<E>) -> Result<ArrayRecord, MessageFault<E>> {
    let mut left = MOST_BYTES;
    let mut arrays = Vec::with_capacity(names.len());
    for (name, id) in names {
        let array = read_array(&id, &mut left, fetch).map_err(|fault| match fault {
            MessageFault::Content(found) => MessageFault::Content(format!("array {name:?}: {found}")),
            fetch => fetch,
        })?;
        arrays.push((name, array));
    }
    Ok(arrays)
}

/// Reads an array; `left` is how many bytes of arrays this message may still have.
fn read_array<E>(id: &ObjectId, left: &mut usize, fetch: &mut Fetch<E>) -> Result<FleetArray, MessageFault<E>> {
    let bytes = checked(id, fetch)?;
    let object = of_kind(&bytes, "Array")?;
    let body: ArrayBody =
        serde_json::from_slice(object.body).map_err(|error| format!("no description of an array ({error})"))?;
    if body.stype != "numpy.ndarray" {
        return Err(format!("a form of {:.40?}, expected \"numpy.ndarray\"", body.stype).into());
    }
    let kinds = || format!("numbers of kind {:.40?}, expected float32, float16, float64 or int8", body.dtype);
    let kind = npy::NpyKind::parse(&body.dtype).ok_or_else(kinds)?;
    if body.shape.len() > MOST_SIDES {
        return Err(format!("{} sides, more than {MOST_SIDES}", body.shape.len()).into());
    }
    let needed = body.shape.iter().try_fold(kind.size(), |all, side| all.checked_mul(*side));
    let needed = needed.filter(|bytes| bytes <= left);
    let needed = needed.ok_or_else(|| {
        format!("a shape of {:?}, for which the {MOST_BYTES} bytes of a message do not do", body.shape)
    })?;
    *left -= needed;
    // The numbers and a header, no byte more.
    let most = needed + 2048;
    if body.arraychunk_ids.len() > most / SMALLEST_CHUNK + 1 {
        return Err(format!("{} chunks for {needed} bytes", body.arraychunk_ids.len()).into());
    }
    let mut data = Vec::new();
    for at in body.arraychunk_ids {
        let chunk = object.children.get(at).ok_or("a chunk that is not there")?;
        let bytes = checked(chunk, fetch)?;
        let chunk = of_kind(&bytes, "ArrayChunk")?.body;
        if data.len() + chunk.len() > most {
            return Err(format!("more than the {needed} bytes that its shape has").into());
        }
        if data.is_empty() {
            data.reserve_exact(most.min(chunk.len().max(needed)));
        }
        data.extend_from_slice(chunk);
    }
    Ok(npy::read(&data, kind, &body.shape)?)
}

//! Flower's messages, byte by byte as Flower's own code writes them (`tests/golden/fleet.py`), and what is refused of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fieldtune::fleet::array::{ArrayData, ArrayRecord, FleetArray};
use fieldtune::fleet::participant::{SettingValue, Settings};
use fieldtune::fleet::wire::{
    AnswerContent, Content, FleetMessage, MessageFault, MessageMetadata, ObjectId, ObjectTree, Outgoing, read,
    reply_to, write,
};
use half::f16;
use prost::Message as _;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

/// A message of the golden file.
struct Golden {
    message: FleetMessage,
    tree: ObjectTree,
    objects: BTreeMap<String, Vec<u8>>,
}

fn bytes(text: &serde_json::Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().expect("a text")).expect("base64")
}

fn file() -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fleet.json");
    serde_json::from_slice(&std::fs::read(path).expect("a golden file")).expect("JSON")
}

fn golden(name: &str) -> Golden {
    let all = file();
    let one = &all[name];
    let objects = one["objects"].as_object().into_iter().flatten().map(|(id, text)| (id.clone(), bytes(text)));
    Golden {
        message: FleetMessage::decode(&bytes(&one["message"])[..]).expect("a message"),
        tree: ObjectTree::decode(&bytes(&one["tree"])[..]).expect("a tree"),
        objects: objects.collect(),
    }
}

fn arrays() -> ArrayRecord {
    let of = |shape: &[usize], data| FleetArray { shape: shape.to_vec(), data };
    vec![
        ("stem/weights".into(), FleetArray::floats(&[2, 3, 3, 3], (0..54).map(|i| i as f32 - 7.0).collect())),
        ("stem/bias".into(), of(&[2], ArrayData::F16(vec![f16::from_f32(0.5), f16::from_f32(-0.25)]))),
        ("codes".into(), of(&[2, 2], ArrayData::I8(vec![-128, 127, 0, 1]))),
        ("scalar".into(), FleetArray::floats(&[], vec![1.5])),
        ("same".into(), FleetArray::floats(&[], vec![1.5])),
        ("empty".into(), FleetArray::floats(&[0, 4], Vec::new())),
    ]
}

fn settings<const N: usize>(pairs: [(&str, SettingValue); N]) -> Settings {
    pairs.map(|(key, value)| (key.to_string(), value)).into()
}

fn metrics() -> Settings {
    settings([
        ("loss", SettingValue::F64(0.5)),
        ("num-examples", SettingValue::I64(12)),
        ("per-class", SettingValue::F64s(vec![0.25, 0.75])),
        ("seen", SettingValue::I64s(vec![3, 4])),
        ("update", SettingValue::Text("int8".into())),
    ])
}

/// The content of a golden message, with its objects changed before.
fn content(
    golden: &Golden,
    change: impl Fn(&ObjectId, Vec<u8>) -> Vec<u8>,
) -> Result<Content, MessageFault<Infallible>> {
    let metadata = golden.message.metadata.as_ref().expect("metadata");
    read(metadata, &mut |id| {
        Ok(golden.objects.get(id.as_str()).map(|bytes| change(id, bytes.clone())).unwrap_or_default())
    })
}

fn refusal(result: Result<Content, MessageFault<Infallible>>) -> String {
    match result {
        Err(MessageFault::Content(found)) => found,
        other => panic!("{other:?}"),
    }
}

/// The answer to the golden question at the time that the golden answers have.
fn answered(answer: &AnswerContent) -> (Outgoing, BTreeMap<String, Vec<u8>>) {
    let asked = golden("question").message.metadata.expect("metadata");
    let mut objects = BTreeMap::new();
    let metadata = MessageMetadata { ttl: 3600.0, ..reply_to(&asked, 1_800_000_000.25) };
    let outgoing = write(metadata, answer, &mut |id, bytes| {
        objects.insert(id.as_str().to_string(), bytes.to_vec());
        Ok(())
    });
    (outgoing.expect("memory does not refuse"), objects)
}

#[test]
fn what_flower_asks_is_read() {
    let question = golden("question");
    let metadata = question.message.metadata.clone().expect("metadata");
    assert_eq!((metadata.run_id, metadata.dst_node_id), (u64::MAX - 4, (1 << 63) + 7));
    assert_eq!((metadata.src_task_id, metadata.dst_task_id), (Some(11), None));
    let config = settings([
        ("server-round", SettingValue::I64(3)),
        ("lr", SettingValue::F64(0.125)),
        ("measure", SettingValue::Bool(true)),
        ("recipe", SettingValue::Text("hold = 0.0".into())),
        ("raw", SettingValue::Bytes(vec![0, 255])),
        ("class-names", SettingValue::Texts(vec!["cat".into(), "dog".into()])),
        ("steps", SettingValue::I64s(vec![1, -2])),
        ("rates", SettingValue::F64s(vec![0.5, 1.5])),
        ("flags", SettingValue::I64s(vec![1, 0])),
    ]);
    let expected = Content { arrays_key: "arrays".into(), arrays: arrays(), config };
    assert_eq!(content(&question, |_, bytes| bytes).expect("a sound message"), expected);

    let doubles = content(&golden("doubles"), |_, bytes| bytes).expect("a sound message");
    assert_eq!(doubles.arrays_key, "parameters");
    assert_eq!(doubles.arrays[0].1, FleetArray::floats(&[2], vec![0.1, f32::INFINITY]), "the nearest f32");
}

#[test]
fn what_flower_would_answer_is_written_byte_by_byte() {
    let answer = golden("answer");
    let (arrays, metrics) = (arrays(), metrics());
    let (outgoing, objects) =
        answered(&AnswerContent::Trained { arrays_key: "arrays", arrays: &arrays, metrics: &metrics });
    assert_eq!(objects, answer.objects);
    assert_eq!(outgoing, Outgoing { message: answer.message, tree: answer.tree });

    let failed = golden("failed");
    let (outgoing, objects) = answered(&AnswerContent::Failed { reason: "no room" });
    assert_eq!(objects, failed.objects);
    assert_eq!(outgoing, Outgoing { message: failed.message, tree: failed.tree });
}

#[test]
fn large_arrays_go_in_pieces_and_equal_pieces_once() {
    let large = golden("large");
    let arrays = vec![("large".to_string(), FleetArray::floats(&[3_000_000], vec![0.0; 3_000_000]))];
    let mut numbers = metrics();
    numbers.remove("update");
    let (outgoing, objects) =
        answered(&AnswerContent::Trained { arrays_key: "arrays", arrays: &arrays, metrics: &numbers });
    assert_eq!(outgoing, Outgoing { message: large.message, tree: large.tree });
    let names: Vec<String> = serde_json::from_value(file()["large"]["objects"].clone()).expect("names");
    assert_eq!(objects.keys().cloned().collect::<Vec<_>>(), names);
    assert!(objects.values().all(|bytes| bytes.len() < (5 << 20) + 64));

    // And come back, as another node would read them.
    let metadata = outgoing.message.metadata.expect("metadata");
    let back = read::<Infallible>(&metadata, &mut |id| Ok(objects[id.as_str()].clone())).expect("a sound message");
    assert_eq!(back.arrays, arrays);
}

#[test]
fn bytes_that_are_not_those_of_their_id_are_refused() {
    let question = golden("question");
    for at in 0..question.objects.len() {
        let (victim, whole) = question.objects.iter().nth(at).expect("an object");
        for place in [0, whole.len() / 2, whole.len() - 1] {
            let torn = content(&question, |id, mut bytes| {
                if id.as_str() == victim {
                    bytes[place] ^= 1;
                }
                bytes
            });
            assert!(refusal(torn).contains("other bytes than the object"), "object {at}, byte {place}");
        }
        let short = content(&question, |id, mut bytes| {
            bytes.truncate(if id.as_str() == victim { bytes.len() - 1 } else { bytes.len() });
            bytes
        });
        assert!(refusal(short).contains("other bytes than the object"));
    }
    // A message under another's head: its objects are sound, what it was announced as is not.
    let mut replayed = golden("question");
    replayed.message.metadata.as_mut().expect("metadata").run_id -= 1;
    assert_eq!(refusal(content(&replayed, |_, bytes| bytes)), "a message that was announced as another");
}

/// A question whose one array has this description and these chunks' bytes.
fn described(body: &str, chunks: &[&[u8]]) -> Golden {
    let mut objects = BTreeMap::new();
    let mut put = |kind: &str, children: &[&str], body: &[u8]| {
        let bytes = [format!("{kind} {} {}\0", children.join(","), body.len()).as_bytes(), body].concat();
        let id = ObjectId::of(&bytes).to_string();
        objects.insert(id.clone(), bytes);
        id
    };
    let chunks: Vec<String> = chunks.iter().map(|chunk| put("ArrayChunk", &[], chunk)).collect();
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    let array = put("Array", &chunks, body.as_bytes());
    let record = put("ArrayRecord", &[&array], format!("{{\"w\": \"{array}\"}}").as_bytes());
    let dict = put("RecordDict", &[&record], format!("{{\"arrays\": \"{record}\"}}").as_bytes());
    let metadata = MessageMetadata { run_id: 1, ttl: 60.0, ..MessageMetadata::default() };
    let message = FleetMessage { metadata: Some(metadata.clone()), content: None, error: None };
    let root = put("Message", &[&dict], &message.encode_to_vec());
    let metadata = MessageMetadata { message_id: root, ..metadata };
    Golden { message: FleetMessage { metadata: Some(metadata), ..message }, tree: ObjectTree::default(), objects }
}

#[test]
fn shapes_without_bound_are_refused_before_memory_is_taken() {
    let body = |dtype: &str, shape: &str, stype: &str, chunks: &str| {
        format!(r#"{{"dtype": "{dtype}", "shape": {shape}, "stype": "{stype}", "arraychunk_ids": {chunks}}}"#)
    };
    let numpy = "numpy.ndarray";
    let many = format!("[{}]", vec!["0"; 10_000].join(", "));
    for (body, words) in [
        (body("float32", "[2500000000]", numpy, "[0]"), "bytes of a message do not do"),
        (body("float32", "[4294967296, 4294967296, 4]", numpy, "[0]"), "bytes of a message do not do"),
        (body("float32", "[-1]", numpy, "[0]"), "no description"),
        (body("float32", "[1,1,1,1,1,1,1,1,1]", numpy, "[0]"), "9 sides"),
        (body("object", "[1]", numpy, "[0]"), "numbers of kind \"object\""),
        (body("float32", "[1]", "pickle", "[0]"), "a form of \"pickle\""),
        (body("float32", "[1]", numpy, "[7]"), "a chunk that is not there"),
        (body("float32", "[1]", numpy, &many), "10000 chunks"),
        (body("float32", "[1]", numpy, "[]"), "no .npy file"),
        (body("float32", "[2]", numpy, "[0]"), ".npy header"),
        ("[1, 2]".into(), "no description"),
    ] {
        let npy = npy_of_one();
        let found = refusal(content(&described(&body, &[&npy]), |_, bytes| bytes));
        assert!(found.contains(words) && found.len() < 400, "{found}");
    }
    let good = body("float32", "[1]", numpy, "[0]");
    assert!(content(&described(&good, &[&npy_of_one()]), |_, bytes| bytes).is_ok());
    let long = [npy_of_one(), vec![0; 5000]].concat();
    assert!(refusal(content(&described(&good, &[&long]), |_, bytes| bytes)).contains("more than the 4 bytes"));
}

/// The file of `[1.0]` in float32, as the golden message of another array has its own.
fn npy_of_one() -> Vec<u8> {
    let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".to_string();
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), &1f32.to_le_bytes()].concat()
}

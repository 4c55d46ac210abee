//! A node's answer, listed in a file instead of being sent.

use super::array::{ArrayData, ArrayRecord, FleetArray};
use super::participant::{Participant, RoundId, SettingValue, Settings};
use super::wire::{AnswerContent, MessageMetadata, now, reply_to, write};
use crate::boxes::InputSize;
use crate::interchange::{NamedArray, import};
use crate::train::replace_file;
use anyhow::{Context, Result};
use serde_json::{Map, Value as Json, json};
use std::fs;
use std::path::Path;

/// Trains one round of one epoch from the network in `start`, and lists what its answer holds. Returns the answer's bytes.
///
/// # Errors
/// If the round fails, or a file refuses.
pub fn dry_run(participant: &mut dyn Participant, start: &Path, size: InputSize, path: &Path) -> Result<u64> {
    let network = import(start)?.network;
    let convs = network.convs();
    let layout = NamedArray::all(&network, size)?;
    let arrays: ArrayRecord = layout
        .iter()
        .map(|array| (array.name.clone(), FleetArray::floats(&array.dims, array.read(convs[array.position].1))))
        .collect();
    // A round of its own: a message of a server has a hash for a name.
    let round = RoundId { run: 0, message: "dry-run".into() };
    let config = Settings::from([("local-epochs".to_string(), SettingValue::I64(1))]);
    let update = participant.train(&round, arrays, &config)?;
    let mut bytes = 0;
    let answer = AnswerContent::Trained { arrays_key: "arrays", arrays: &update.arrays, metrics: &update.metrics };
    let asked =
        MessageMetadata { ttl: 3600.0, created_at: now(), message_type: "train".into(), ..MessageMetadata::default() };
    write(reply_to(&asked, now()), &answer, &mut |_, object| {
        bytes += object.len() as u64;
        Ok(())
    })
    .context("cannot write the answer")?;
    let figures: Map<String, Json> = update.metrics.iter().map(|(key, value)| (key.clone(), shown(value))).collect();
    let listed: Vec<Json> = update.arrays.iter().map(|(name, array)| described(name, array)).collect();
    let text = serde_json::to_string_pretty(&json!({
        "what": "the answer to a round of one epoch, as `fieldtune fleet join` would send it",
        "besides": "each request also carries this node's public key, its number, the time and a signature",
        "bytes": bytes,
        "figures": figures,
        "arrays": listed,
    }))?;
    replace_file(path, |path| fs::write(path, &text), |_| Ok(()))?;
    Ok(bytes)
}

fn shown(value: &SettingValue) -> Json {
    match value {
        SettingValue::F64(v) => json!(v),
        SettingValue::I64(v) => json!(v),
        SettingValue::Bool(v) => json!(v),
        SettingValue::Text(v) => json!(v),
        SettingValue::Bytes(v) => json!(v),
        SettingValue::F64s(v) => json!(v),
        SettingValue::I64s(v) => json!(v),
        SettingValue::Texts(v) => json!(v),
    }
}

fn described(name: &str, array: &FleetArray) -> Json {
    let (kind, values): (&str, Vec<f32>) = match &array.data {
        ArrayData::F32(values) => ("float32", values.clone()),
        ArrayData::F16(values) => ("float16", values.iter().map(|v| v.to_f32()).collect()),
        ArrayData::I8(values) => ("int8", values.iter().map(|v| f32::from(*v)).collect()),
    };
    let (least, most) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    json!({
        "name": name,
        "shape": array.shape,
        "kind": kind,
        "bytes": array.data.byte_len(),
        "least": least,
        "most": most,
    })
}

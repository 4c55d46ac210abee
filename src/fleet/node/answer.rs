//! A node's answer to a round: what has changed, encoded, and the figures that go with it.

use super::round_start::Spill;
use super::{FleetNode, Round, count_objects};
use crate::fleet::array::{ArrayRecord, FleetArray};
use crate::fleet::participant::{RoundId, SettingValue, Settings};
use crate::fleet::update::{Encoding, Residual, byte_len};
use crate::interchange::{ArrayNumbers, NamedArray};
use crate::model::{ConvWeights, SsdModel};
use crate::train::{HeldOut, Records, TrainState};
use anyhow::Result;
use std::path::Path;

/// Figures of a network on so many held-back photos. Flower averages keys that all nodes have, so they all are there: a figure
/// that is undefined is 0.
pub fn judged(found: &HeldOut, photos: usize) -> Settings {
    let metrics = &found.evaluation.metrics;
    let [class, boxes] = found.losses;
    let figures = [
        ("num-examples", SettingValue::I64(photos as i64)),
        ("loss", SettingValue::F64(class + boxes)),
        ("ap", SettingValue::F64(metrics.ap.unwrap_or(0.0))),
        ("ap50", SettingValue::F64(metrics.ap50.unwrap_or(0.0))),
    ];
    figures.map(|(key, value)| (key.to_string(), value)).into()
}

/// Figures of a trained round: never a photo, a name or a place.
///
/// # Errors
/// If a record cannot be read.
pub fn figures(state: &TrainState, round: &Round, training: &Records) -> Result<Settings> {
    let counts = count_objects(training, round.places.names.len())?;
    let last = state.progress.history.last().cloned().unwrap_or_default();
    let mut figures = vec![
        ("num-examples", SettingValue::I64(training.len() as i64)),
        ("class-examples", SettingValue::I64s(counts.into_iter().map(|n| n as i64).collect())),
        ("train-loss", SettingValue::F64(last.class_loss + last.box_loss)),
    ];
    if round.settings.measure {
        figures.push(("ap", SettingValue::F64(last.ap.unwrap_or(0.0))));
        figures.push(("ap50", SettingValue::F64(last.ap50.unwrap_or(0.0))));
    }
    Ok(figures.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

impl FleetNode {
    /// The arrays of the answer, made from the trained network and the round's start on disk.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn answer(
        &mut self,
        id: &RoundId,
        round: &Round,
        model: &SsdModel,
        spill: &Path,
        metrics: &mut Settings,
    ) -> Result<ArrayRecord> {
        let encoding = round.settings.encoding;
        let sent: Vec<&NamedArray> = round.layout.iter().filter(|a| round.is_sent(a)).collect();
        let mut differences = self.differences(round, model, spill, &sent)?;
        if let Some(privacy) = self.privacy {
            let norm = privacy.apply(&mut differences, &mut self.chance);
            log::info!("the update's norm is {norm:.3}, clipped to {} with noise {}", privacy.clip, privacy.noise);
        }
        let mut arrays = ArrayRecord::new();
        if encoding == Encoding::Float32 {
            let mut start = Spill::open(spill)?;
            for (array, difference) in sent.iter().zip(differences) {
                let mut values = start.next(array)?;
                values.iter_mut().zip(difference).for_each(|(v, d)| *v += d);
                arrays.push((array.name.clone(), FleetArray::floats(&array.dims, values)));
            }
        } else {
            let before = Residual::before(&self.folder, &id.message)?;
            let mut left = Residual { message: id.message.clone(), ..Residual::default() };
            for (array, mut wanted) in sent.iter().zip(differences) {
                before.add_to(&array.name, &mut wanted);
                let read = encoding.encode(&array.name, &array.dims, &wanted, &mut arrays);
                left.keep(&array.name, &wanted, &read);
            }
            left.save(&self.folder)?;
        }
        let whole: usize = round.layout.iter().map(|a| Encoding::Float32.byte_len(&a.dims)).sum();
        let whole_numbers = [
            ("bytes-down", round.bytes_down as i64),
            ("bytes-up", byte_len(&arrays) as i64),
            ("bytes-of-all-as-float32", whole as i64),
        ];
        metrics.extend(whole_numbers.map(|(key, value)| (key.to_string(), SettingValue::I64(value))));
        metrics.insert("update".into(), SettingValue::Text(encoding.name().into()));
        Ok(arrays)
    }

    /// Trained minus start of each array that is sent; zeros for those that are not trained.
    fn differences(
        &self,
        round: &Round,
        model: &SsdModel,
        spill: &Path,
        sent: &[&NamedArray],
    ) -> Result<Vec<Vec<f32>>> {
        let mut start = Spill::open(spill)?;
        let mut conv: Option<(usize, ConvWeights)> = None;
        let mut all = Vec::with_capacity(sent.len());
        for array in sent {
            let before = start.next(array)?;
            if !round.is_trained(array) {
                all.push(vec![0.0; before.len()]);
                continue;
            }
            if conv.as_ref().is_none_or(|(position, _)| *position != array.position) {
                conv = Some((array.position, model.layers[array.position].weights()));
            }
            let now = conv.as_ref().map_or_else(Vec::new, |(_, conv)| array.read(conv));
            debug_assert!(array.numbers == ArrayNumbers::Biases || now.len() == before.len());
            all.push(now.iter().zip(&before).map(|(now, before)| now - before).collect());
        }
        Ok(all)
    }
}

//! The server's half of a round, for simulations: the weighted mean of nodes' answers (McMahan et al. 2017), one at a time, so
//! that its memory does not grow with the nodes.
//!
//! A node weighs as many photos as it trained on. The rows of a class in the class predictors weigh as many objects of that
//! class as the node has: a node without any has seen what the class is not, and has no say in what it is.

use super::array::ArrayRecord;
use super::participant::{SettingValue, Settings, Update};
use super::update::{Encoding, decode};
use crate::interchange::NamedArray;
use crate::model::Stage;
use anyhow::{Context, Result, bail};

/// The mean of a round so far.
pub struct RoundMean<'a> {
    layout: &'a [NamedArray],
    /// Numbers of each array as the round began.
    start: &'a [Vec<f32>],
    /// Columns of the class predictors, background included.
    columns: usize,
    /// Sums of differences times their weight.
    sums: Vec<Vec<f32>>,
    /// Weights of the photos of each array: not every node sends every array.
    photos: Vec<f64>,
    /// Weights of each class column, background first.
    objects: Vec<f64>,
}

impl<'a> RoundMean<'a> {
    pub fn new(layout: &'a [NamedArray], start: &'a [Vec<f32>], columns: usize) -> Self {
        let sums = start.iter().map(|values| vec![0.0; values.len()]).collect();
        Self { layout, start, columns, sums, photos: vec![0.0; layout.len()], objects: vec![0.0; columns] }
    }

    /// Takes a node's answer in.
    ///
    /// # Errors
    /// If its arrays or figures do not fit.
    pub fn add(&mut self, update: &Update) -> Result<()> {
        let photos = photos(&update.metrics)?;
        let encoding = match update.metrics.get("update") {
            Some(SettingValue::Text(name)) => Encoding::of_name(name)?,
            _ => Encoding::Float32,
        };
        let by_class = self.column_weights(&update.metrics, photos)?;
        for (i, place) in self.layout.iter().enumerate() {
            let Some(difference) = self.difference(i, encoding, &update.arrays)? else { continue };
            self.photos[i] += photos;
            let per = difference.len() / place.dims[0];
            for (row, (sums, values)) in
                self.sums[i].chunks_exact_mut(per).zip(difference.chunks_exact(per)).enumerate()
            {
                let weight = if is_by_class(place) { by_class[row % self.columns] } else { photos };
                sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight as f32 * v);
            }
        }
        self.objects.iter_mut().zip(by_class).for_each(|(all, of_node)| *all += of_node);
        Ok(())
    }

    /// The difference of the node's array `i` from the round's start.
    fn difference(&self, i: usize, encoding: Encoding, arrays: &ArrayRecord) -> Result<Option<Vec<f32>>> {
        let place = &self.layout[i];
        let Some(mut values) = decode(arrays, &place.name, &place.dims)? else { return Ok(None) };
        if !encoding.is_difference() {
            values.iter_mut().zip(&self.start[i]).for_each(|(v, start)| *v -= start);
        }
        Ok(Some(values))
    }

    /// A node's weight in each class column: photos for the background, objects for a class.
    fn column_weights(&self, metrics: &Settings, photos: f64) -> Result<Vec<f64>> {
        match metrics.get("class-examples") {
            None => Ok(vec![photos; self.columns]),
            Some(SettingValue::I64s(counts)) if counts.len() + 1 == self.columns && counts.iter().all(|n| *n >= 0) => {
                Ok(std::iter::once(photos).chain(counts.iter().map(|n| *n as f64)).collect())
            }
            Some(_) => bail!("class-examples: expected {} counts", self.columns - 1),
        }
    }

    /// The arrays with the mean of what has changed. Arrays that nobody sent, and classes that nobody has, stay as they were.
    pub fn finish(self) -> Vec<Vec<f32>> {
        let mut all = Vec::with_capacity(self.start.len());
        for (i, (mut sums, start)) in self.sums.into_iter().zip(self.start).enumerate() {
            let place = &self.layout[i];
            let per = (sums.len() / place.dims[0]).max(1);
            for (row, sums) in sums.chunks_exact_mut(per).enumerate() {
                let weight = if is_by_class(place) { self.objects[row % self.columns] } else { self.photos[i] };
                let share = if weight > 0.0 { (1.0 / weight) as f32 } else { 0.0 };
                let start = &start[row * per..][..per];
                sums.iter_mut().zip(start).for_each(|(sum, start)| *sum = start + share * *sum);
            }
            all.push(sums);
        }
        all
    }
}

/// True where an array has a row for each anchor and class column.
fn is_by_class(place: &NamedArray) -> bool {
    matches!(place.stage, Stage::ClassHead(_)) && place.name.contains("/ClassPredictor/")
}

fn photos(metrics: &Settings) -> Result<f64> {
    match metrics.get("num-examples").context("an answer without num-examples")? {
        SettingValue::I64(n) if *n > 0 => Ok(*n as f64),
        other => bail!("num-examples = {other:?}, expected a whole number above 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::InputSize;
    use crate::fleet::array::FleetArray;
    use crate::model::{initialise_network, ssdlite_mobilenet_v2};
    use rand::SeedableRng;

    const COLUMNS: usize = 3;

    fn layout() -> Vec<NamedArray> {
        let specs = ssdlite_mobilenet_v2(0.35, COLUMNS, true);
        let network = initialise_network(&specs, &mut rand_pcg::Pcg64Mcg::seed_from_u64(1));
        NamedArray::all(&network, InputSize::square(96)).unwrap()
    }

    fn answer(arrays: ArrayRecord, photos: i64, objects: &[i64], update: &str) -> Update {
        let metrics = [
            ("num-examples", SettingValue::I64(photos)),
            ("class-examples", SettingValue::I64s(objects.to_vec())),
            ("update", SettingValue::Text(update.into())),
        ];
        Update { arrays, metrics: metrics.map(|(k, v)| (k.to_string(), v)).into() }
    }

    #[test]
    fn nodes_weigh_their_photos_and_classes_their_objects() {
        let layout = layout();
        let start: Vec<Vec<f32>> = layout.iter().map(|p| vec![1.0; p.count()]).collect();
        let moved = |by: f32| -> ArrayRecord {
            layout.iter().map(|p| (p.name.clone(), FleetArray::floats(&p.dims, vec![1.0 + by; p.count()]))).collect()
        };
        let mut average = RoundMean::new(&layout, &start, COLUMNS);
        average.add(&answer(moved(1.0), 30, &[6, 0], "float32")).unwrap();
        average.add(&answer(moved(-1.0), 10, &[2, 0], "float32")).unwrap();
        for (place, values) in layout.iter().zip(average.finish()) {
            let per = values.len() / place.dims[0];
            for (i, value) in values.iter().enumerate() {
                // Of 40 photos 30 say +1 and 10 say -1, and so do 6 and 2 objects of the first class; nobody has the second.
                let expected = if is_by_class(place) && i / per % COLUMNS == 2 { 1.0 } else { 1.5 };
                assert!((value - expected).abs() < 1e-6, "{} {i}: {value}", place.name);
            }
        }
        assert_eq!(layout.iter().filter(|p| is_by_class(p)).count(), 12);
    }

    #[test]
    fn differences_are_added_and_arrays_that_nobody_sends_stay() {
        let layout = layout();
        let start: Vec<Vec<f32>> = layout.iter().map(|p| vec![2.0; p.count()]).collect();
        let mut arrays = ArrayRecord::new();
        Encoding::Float16.encode(&layout[0].name, &layout[0].dims, &vec![0.5; layout[0].count()], &mut arrays);
        let mut average = RoundMean::new(&layout, &start, COLUMNS);
        average.add(&answer(arrays, 5, &[1, 1], "float16")).unwrap();
        let after = average.finish();
        assert!(after[0].iter().all(|v| *v == 2.5) && after[1..] == start[1..]);
    }

    #[test]
    fn an_answer_that_does_not_fit_is_refused() {
        let layout = layout();
        let start: Vec<Vec<f32>> = layout.iter().map(|p| vec![0.0; p.count()]).collect();
        for bad in [
            answer(Vec::new(), 0, &[1, 1], "float32"),
            answer(Vec::new(), 1, &[1], "float32"),
            answer(Vec::new(), 1, &[1, -1], "float32"),
            answer(Vec::new(), 1, &[1, 1], "float8"),
            answer(vec![(layout[0].name.clone(), FleetArray::floats(&[1], vec![0.0]))], 1, &[1, 1], "float32"),
        ] {
            assert!(RoundMean::new(&layout, &start, COLUMNS).add(&bad).is_err());
        }
    }
}

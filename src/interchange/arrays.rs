//! A network's numbers as named arrays, one by one: the names and the layout (OIHW) of the initialisers that
//! [`super::export`] writes.
//!
//! As in a file, a depthwise kernel is cut where the map has a side of 1: the other taps only ever see padding.

use super::InterchangeError;
use super::export::{ExportStep, Layout};
use super::onnx::builder::inner_channels;
use crate::boxes::InputSize;
use crate::model::{ConvWeights, Ssd, Stage};
use std::path::Path;

/// The numbers of a convolution that an array has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayNumbers {
    /// `[O, I, kh, kw]`, the scale multiplied in; `I` is 1 for a depthwise kernel.
    Weights,
    /// `[O]`.
    Biases,
}

/// An array of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedArray {
    pub name: String,
    pub dims: Vec<usize>,
    pub stage: Stage,
    /// Of its convolution, in walk order.
    pub position: usize,
    pub numbers: ArrayNumbers,
    /// Row and column of the first tap in the network's own kernel.
    first_tap: [usize; 2],
}

impl NamedArray {
    /// All arrays of a network at an input size, in walk order, weights before biases.
    ///
    /// # Errors
    /// If a kernel does not fit into its map.
    pub fn all(network: &Ssd<ConvWeights>, size: InputSize) -> Result<Vec<Self>, InterchangeError> {
        let layout = Layout::of(network, size.dims(), Path::new("the network"))?;
        let convs = layout.steps.iter().filter_map(|step| match step {
            ExportStep::Conv { scope, conv, first_tap, .. } => Some((scope, conv, *first_tap)),
            ExportStep::Add { .. } => None,
        });
        let mut all = Vec::new();
        // A layout draws the convolutions in walk order.
        for (position, ((stage, _), (scope, conv, first_tap))) in network.convs().into_iter().zip(convs).enumerate() {
            let (spec, [kh, kw]) = (&conv.spec, conv.spec.kernel);
            let weights = vec![spec.out_channels, inner_channels(spec), kh, kw];
            for (numbers, word, dims) in
                [(ArrayNumbers::Weights, "weights", weights), (ArrayNumbers::Biases, "biases", vec![spec.out_channels])]
            {
                all.push(Self { name: format!("{scope}/{word}"), dims, stage, position, numbers, first_tap });
            }
        }
        Ok(all)
    }

    /// The count of its numbers.
    pub fn count(&self) -> usize {
        self.dims.iter().product()
    }

    /// Its numbers of the convolution that it stands for.
    pub fn read(&self, conv: &ConvWeights) -> Vec<f32> {
        match self.numbers {
            ArrayNumbers::Weights => self.taps(conv).map(|(place, o)| conv.weight[place] * conv.scale[o]).collect(),
            ArrayNumbers::Biases => conv.bias.clone(),
        }
    }

    /// Gives the folded convolution that it stands for other numbers.
    ///
    /// # Panics
    /// If there are not as many as it has, or the convolution has a scale.
    pub fn write(&self, conv: &mut ConvWeights, values: &[f32]) {
        assert_eq!(values.len(), self.count(), "{}", self.name);
        assert!(conv.scale.iter().all(|s| *s == 1.0), "{}: not folded", self.name);
        match self.numbers {
            ArrayNumbers::Weights => {
                let places: Vec<usize> = self.taps(conv).map(|(place, _)| place).collect();
                places.into_iter().zip(values).for_each(|(place, v)| conv.weight[place] = *v);
            }
            ArrayNumbers::Biases => conv.bias.copy_from_slice(values),
        }
    }

    /// The place of each of its weights in the convolution's, with its output channel.
    fn taps(&self, conv: &ConvWeights) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (out, inner) = (conv.spec.out_channels, inner_channels(&conv.spec));
        let (rows, columns, of_columns) = (self.dims[2], self.dims[3], conv.spec.kernel[1]);
        let [y, x] = self.first_tap;
        (0..out * inner * rows * columns).map(move |i| {
            let (o, rest) = (i / (inner * rows * columns), i % (inner * rows * columns));
            let (channel, tap) = (rest / (rows * columns), rest % (rows * columns));
            let own = (y + tap / columns) * of_columns + x + tap % columns;
            ((own * inner + channel) * out + o, o)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interchange::{ExportOptions, export, import};
    use crate::model::{initialise_network, ssd_mobilenet_v2, ssdlite_mobilenet_v2};
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    /// At 300 pixels the last map of an SSDLite has a side of 1.
    #[test]
    fn arrays_are_the_initialisers_of_the_file_and_come_back() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(3);
        let (folder, names) = (tempfile::tempdir().unwrap(), ["a", "b", "c"].map(String::from));
        for specs in [ssdlite_mobilenet_v2(0.35, 4, true), ssd_mobilenet_v2(0.35, 4)] {
            let mut network = initialise_network(&specs, &mut rng);
            network.convs_mut().into_iter().for_each(|(_, conv)| conv.unfold());
            let arrays = NamedArray::all(&network, InputSize::square(300)).unwrap();
            let path = folder.path().join("n.onnx");
            export(&network, &path, &ExportOptions::raw(InputSize::square(300), &names)).unwrap();
            let model = super::super::onnx::file::read(&path).unwrap();
            let initialisers: BTreeMap<String, Vec<usize>> = model
                .graph
                .unwrap()
                .initializer
                .into_iter()
                .map(|t| (t.name, t.dims.iter().map(|d| *d as usize).collect()))
                .collect();
            let mut other = initialise_network(&specs, &mut rng);
            for array in &arrays {
                assert_eq!(initialisers.get(&array.name), Some(&array.dims), "{}", array.name);
                let values = array.read(network.convs()[array.position].1);
                array.write(other.convs_mut().remove(array.position).1, &values);
            }
            assert_eq!(arrays.len(), 2 * network.convs().len());
            // A file of what was taken over is the file of the network: taps that see padding are in neither.
            export(&other, &path, &ExportOptions::raw(InputSize::square(300), &names)).unwrap();
            let taken = import(&path).unwrap().network;
            export(&network, &path, &ExportOptions::raw(InputSize::square(300), &names)).unwrap();
            assert_eq!(taken, import(&path).unwrap().network);
        }
    }
}

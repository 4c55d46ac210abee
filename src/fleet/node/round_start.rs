//! The network that a round begins with: a message's arrays in the place of the node's own, each checked before it is taken.

use crate::fleet::array::{ArrayData, ArrayRecord, FleetArray};
use crate::interchange::{ArrayNumbers, NamedArray};
use crate::model::{ConvWeights, Ssd, Stage};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Names that an error lists.
const SHOWN: usize = 3;

/// True where the layers of a stage are heads.
pub fn is_head(stage: Stage) -> bool {
    matches!(stage, Stage::BoxHead(_) | Stage::ClassHead(_))
}

/// Takes a message's arrays into a folded network, whose arrays are `layout`. Returns the names that came, in the network's
/// order. Heads are left as they are where they are `personal`.
///
/// # Errors
/// If an array is unknown, comes twice, has another shape, or holds a number that is not finite; or if an array is missing
/// that `must_come`.
pub fn take(
    network: &mut Ssd<ConvWeights>,
    layout: &[NamedArray],
    arrays: ArrayRecord,
    personal: bool,
    must_come: impl Fn(&NamedArray) -> bool,
) -> Result<Vec<String>> {
    let mut came = BTreeSet::new();
    {
        let mut convs = network.convs_mut();
        for (name, array) in arrays {
            let Some(place) = layout.iter().find(|place| place.name == name) else {
                let shown: String = name.chars().take(100).collect();
                bail!(
                    "array {shown:?}: this network has none of that name\nhelp: all nodes need weights of one architecture"
                );
            };
            if !came.insert(name) {
                bail!("array {}: there twice", place.name);
            }
            let values = checked(place, array)?;
            if !(personal && is_head(place.stage)) {
                place.write(convs[place.position].1, &values);
            }
        }
    }
    let missing: Vec<&str> =
        layout.iter().filter(|p| must_come(p) && !came.contains(&p.name)).map(|p| p.name.as_str()).collect();
    if !missing.is_empty() {
        bail!(
            "{} arrays that are trained did not come, such as {}\nhelp: the server has to send them all each round",
            missing.len(),
            missing[..missing.len().min(SHOWN)].join(", ")
        );
    }
    Ok(layout.iter().filter(|p| came.contains(&p.name)).map(|p| p.name.clone()).collect())
}

/// The numbers of an array that fits its place.
fn checked(place: &NamedArray, array: FleetArray) -> Result<Vec<f32>> {
    let name = &place.name;
    if array.shape != place.dims || array.data.len() != place.count() {
        let shape: Vec<usize> = array.shape.iter().copied().take(8).collect();
        bail!(
            "array {name}: shape {shape:?} with {} numbers, expected {:?}\n\
             help: all nodes need one architecture and one list of classes",
            array.data.len(),
            place.dims
        );
    }
    let values = match array.data {
        ArrayData::F32(values) => values,
        ArrayData::F16(values) => values.iter().map(|v| v.to_f32()).collect(),
        ArrayData::I8(_) => bail!("array {name}: 8-bit whole numbers, expected float32 or float16"),
    };
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(values),
        Some(at) => bail!("array {name}: number {at} is {}, expected finite numbers", values[at]),
    }
}

/// Makes a folded network ready to be trained: what a file brought once is unfolded, fresh layers stay as they are.
///
/// The norms are those of the round's start, which all nodes share: no statistics of batches exist that could differ.
///
/// # Errors
/// If a fresh layer is none of the network's.
pub fn unfold(network: &mut Ssd<ConvWeights>, layout: &[NamedArray], fresh: &[String]) -> Result<()> {
    let mut is_fresh = vec![false; network.convs().len()];
    for name in fresh {
        let place = layout.iter().find(|p| p.numbers == ArrayNumbers::Weights && p.name == *name);
        let place = place.with_context(|| format!("fresh-layers: {name:?} is no weight array of this network"))?;
        is_fresh[place.position] = true;
    }
    for ((_, conv), fresh) in network.convs_mut().into_iter().zip(is_fresh) {
        if !fresh {
            conv.unfold();
        }
    }
    Ok(())
}

/// A round's first arrays on disk, in an order that is written and read: a small board has no room for a second network.
pub struct Spill;

impl Spill {
    /// # Errors
    /// If the disk refuses.
    pub fn write<'a>(
        path: &Path,
        network: &Ssd<ConvWeights>,
        arrays: impl Iterator<Item = &'a NamedArray>,
    ) -> Result<()> {
        let refused = || format!("{}: cannot write", path.display());
        let mut file = BufWriter::new(File::create(path).with_context(refused)?);
        let convs = network.convs();
        for array in arrays {
            for value in array.read(convs[array.position].1) {
                file.write_all(&value.to_le_bytes()).with_context(refused)?;
            }
        }
        file.flush().with_context(refused)
    }

    /// Reads the arrays again, one after the other.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path) -> Result<SpillReader> {
        let file = File::open(path).with_context(|| format!("{}: cannot read", path.display()))?;
        Ok(SpillReader { file: BufReader::new(file) })
    }
}

pub struct SpillReader {
    file: BufReader<File>,
}

impl SpillReader {
    /// The next array.
    ///
    /// # Errors
    /// If the file ends.
    pub fn next(&mut self, array: &NamedArray) -> Result<Vec<f32>> {
        let mut bytes = vec![0; 4 * array.count()];
        self.file.read_exact(&mut bytes).with_context(|| format!("the round's start: {}", array.name))?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::InputSize;
    use crate::model::{initialise_network, ssdlite_mobilenet_v2};
    use rand::SeedableRng;

    fn network() -> Ssd<ConvWeights> {
        initialise_network(&ssdlite_mobilenet_v2(0.35, 4, true), &mut rand_pcg::Pcg64Mcg::seed_from_u64(4))
    }

    fn message(network: &Ssd<ConvWeights>, layout: &[NamedArray]) -> ArrayRecord {
        let convs = network.convs();
        layout.iter().map(|p| (p.name.clone(), FleetArray::floats(&p.dims, p.read(convs[p.position].1)))).collect()
    }

    #[test]
    fn arrays_of_a_message_become_the_network_and_heads_may_stay() {
        let (mut own, mut sent) = (network(), network());
        sent.convs_mut().into_iter().for_each(|(_, c)| c.bias.iter_mut().for_each(|b| *b += 1.0));
        let layout = NamedArray::all(&own, InputSize::square(96)).unwrap();
        let before = own.clone();
        let came = take(&mut own, &layout, message(&sent, &layout), false, |_| true).unwrap();
        assert_eq!((&own, came.len()), (&sent, layout.len()));
        let mut own = before.clone();
        take(&mut own, &layout, message(&sent, &layout), true, |_| true).unwrap();
        for ((stage, now), ((_, mine), (_, theirs))) in own.convs().iter().zip(before.convs().iter().zip(sent.convs()))
        {
            assert_eq!(*now, if is_head(*stage) { *mine } else { theirs });
        }
    }

    #[test]
    fn what_a_server_gets_wrong_is_told_and_nothing_is_trained() {
        let own = network();
        let layout = NamedArray::all(&own, InputSize::square(96)).unwrap();
        let whole = message(&own, &layout);
        type Spoil = fn(&mut ArrayRecord);
        let cases: [(Spoil, &str); 7] = [
            (|m| m[0].0 = "w".repeat(1000), "none of that name"),
            (|m| m[3].0 = m[2].0.clone(), "there twice"),
            (|m| m[5].1.shape.push(1), "shape"),
            (|m| m[5].1.data = ArrayData::F32(vec![]), "0 numbers"),
            (|m| m[7].1.data = ArrayData::I8(vec![0; m[7].1.data.len()]), "8-bit"),
            (|m| m.truncate(4), "did not come"),
            (
                |m| {
                    let ArrayData::F32(values) = &mut m[6].1.data else { panic!("floats") };
                    values[0] = f32::INFINITY;
                },
                "finite",
            ),
        ];
        for (spoil, said) in cases {
            let mut message = whole.clone();
            spoil(&mut message);
            let error = take(&mut own.clone(), &layout, message, false, |_| true).unwrap_err().to_string();
            assert!(error.contains(said) && error.len() < 400, "{error}");
        }
        assert!(unfold(&mut own.clone(), &layout, &["nothing".into()]).is_err());
    }

    #[test]
    fn unfolding_and_spilling_keep_what_the_network_computes() {
        let mut own = network();
        let layout = NamedArray::all(&own, InputSize::square(96)).unwrap();
        let whole = message(&own, &layout);
        unfold(&mut own, &layout, &[layout[layout.len() - 2].name.clone()]).unwrap();
        assert!(own.convs()[0].1.scale.iter().any(|s| *s != 1.0));
        assert!(own.convs().last().unwrap().1.scale.iter().all(|s| *s == 1.0));
        let file = tempfile::NamedTempFile::new().unwrap();
        Spill::write(file.path(), &own, layout.iter()).unwrap();
        let mut read = Spill::open(file.path()).unwrap();
        for (place, (_, array)) in layout.iter().zip(&whole) {
            let ArrayData::F32(values) = &array.data else { panic!("floats") };
            let again = read.next(place).unwrap();
            assert!(again.iter().zip(values).all(|(a, v)| (a - v).abs() <= 1e-6 * v.abs().max(1e-6)), "{}", place.name);
        }
        assert!(read.next(&layout[0]).is_err());
    }
}

//! The network that a run starts with: imported weights made ready for these photos and classes; extras and heads
//! without signal are re-initialised.
//!
//! A file may arrive with layers that say the same whatever the image (random heads, dead channels). That is measured
//! on the training photos, not assumed: the *response* of a layer is the deviation of its input over images divided by
//! its root mean square, near 0 where every image looks alike and 0.4 to 1 in a healthy backbone.

use super::wanted_classes::WantedClasses;
use crate::boxes::InputSize;
use crate::data::{DataError, normalised, plain};
use crate::model::{ConvWeights, Ssd, SsdModel};
use crate::ops;
use crate::train::recipe::Recipe;
use crate::train::records::Records;
use burn::tensor::Tensor;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// Photos that are looked at before the run.
const PROBED: usize = 16;

/// Below this response a layer carries nothing of the image.
const DEAF: f64 = 0.02;

/// Below this root mean square, against the backbone's last output, the signal has faded: ReLU6 networks keep theirs
/// within a factor of a few from layer to layer.
const FAINT: f64 = 0.02;

/// Statistics of a layer's input over some photos.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerResponse {
    /// Deviation over images over root mean square.
    pub response: f64,
    /// Root mean square.
    pub rms: f64,
    /// Share of channels that are zero everywhere in all images.
    pub dead: f64,
}

/// The network a run starts from, and what was found and done on the way.
#[derive(Clone, Debug)]
pub struct StartNetwork {
    /// Layers whose numbers the file brought are unfolded: their weights have norm 1 per output channel, their scale is
    /// frozen, and they train at the backbone's rate ([`crate::model::Origin::File`]). Fresh layers have scale 1.
    pub network: Ssd<ConvWeights>,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// Response of the input of every layer behind the backbone, in walk order, on the first photos of `records` at input
/// size `size`.
///
/// One photo at a time, and of the backbone's large maps nothing is kept.
///
/// # Errors
/// If a record cannot be read.
pub fn responses(
    network: &Ssd<ConvWeights>,
    records: &Records,
    size: InputSize,
) -> Result<Vec<LayerResponse>, DataError> {
    let count = PROBED.min(records.len());
    let backbone = network.backbone_len();
    let mut seen = vec![ResponseSums::default(); network.convs().len() - backbone];
    let model = SsdModel::for_inference(network);
    for i in 0..count {
        // Spread over the split: neighbours in a folder are often neighbours in time.
        let image = normalised(plain(&records.get(i * records.len() / count)?, size).image.pixels);
        model.forward_observed(ops::tensor(image, [1, size.height, size.width, 3]), &mut |position, x: &Tensor<4>| {
            if let Some(position) = position.checked_sub(backbone) {
                seen[position].add(x);
            }
        });
    }
    Ok(seen.iter().map(|seen| seen.response(count)).collect())
}

/// Sums over images of one layer's input, number by number.
#[derive(Clone, Debug, Default)]
pub(in crate::train) struct ResponseSums {
    sums: Vec<f64>,
    squares: Vec<f64>,
    channels: usize,
}

impl ResponseSums {
    /// Takes in one image's `[1,H,W,C]`.
    pub(in crate::train) fn add(&mut self, x: &Tensor<4>) {
        self.channels = x.dims()[3];
        ops::read(x, |x| {
            self.sums.resize(x.len(), 0.0);
            self.squares.resize(x.len(), 0.0);
            for ((sum, square), &v) in self.sums.iter_mut().zip(&mut self.squares).zip(x) {
                *sum += f64::from(v);
                *square += f64::from(v) * f64::from(v);
            }
        });
    }

    pub(in crate::train) fn response(&self, images: usize) -> LayerResponse {
        let n = images.max(1) as f64;
        let (mut variance, mut square, mut alive) = (0f64, 0f64, vec![false; self.channels]);
        for (i, (sum, squares)) in self.sums.iter().zip(&self.squares).enumerate() {
            alive[i % self.channels] |= *squares > 0.0;
            variance += (squares - sum * sum / n).max(0.0);
            square += squares;
        }
        let dead = alive.iter().filter(|a| !**a).count() as f64 / self.channels.max(1) as f64;
        let response = if square > 0.0 { (variance / square).sqrt() } else { 0.0 };
        LayerResponse { response, rms: (square / (n * self.sums.len().max(1) as f64)).sqrt(), dead }
    }
}

/// Gives the network the score function that the run trains, and says so where the file has another.
fn settle_scores(network: &mut Ssd<ConvWeights>, kept: bool, recipe: &Recipe, notes: &mut Vec<String>) {
    let of_file = network.convention.scores;
    let scores = recipe.score_function(of_file, kept);
    if scores == of_file {
        return;
    }
    if kept {
        notes.push(format!(
            "the file's score function is {of_file} and the run's is {scores}: class predictors were converted"
        ));
        network.convert_scores(scores);
    } else {
        notes.push(format!("the file's score function is {of_file}; the class predictors start fresh, with {scores}"));
        network.convention.scores = scores;
    }
}

/// Makes an imported network ready: fresh extras and heads where the file's carry nothing (or has none), class
/// predictors for the classes of the data set, the file's weights unfolded.
///
/// Class predictors keep their rows of classes that the file knows, and start fresh where it knows none. Predictors
/// with some fresh rows train as fresh ones.
///
/// # Errors
/// If a record cannot be read.
pub fn start(
    mut network: Ssd<ConvWeights>,
    wanted: &WantedClasses,
    recipe: &Recipe,
    records: &Records,
    size: InputSize,
) -> Result<StartNetwork, DataError> {
    let mut rng = Pcg64Mcg::seed_from_u64(recipe.seed ^ 0x5EED);
    let mut notes = Vec::new();
    let bare = network.heads.is_empty();
    // Before anything fresh joins: only what the file brought is unfolded.
    network.convs_mut().into_iter().for_each(|(_, conv)| conv.unfold());
    if bare {
        notes.push("the file has a backbone only: extras and heads start fresh".to_string());
        network.renew_extras_and_heads(wanted.columns(), &mut rng);
    }
    let found = responses(&network, records, size)?;
    let fresh_classes = bare || renew(&mut network, &found, wanted, &mut rng, &mut notes);
    // The first layer behind the backbone reads the backbone's last output.
    if let Some(last) = found.first().filter(|last| last.dead > 0.3) {
        notes.push(format!(
            "{:.0} % of the channels of the backbone's last layer are inactive on these photos; many pretrained files have \
             such channels, and training can use them",
            last.dead * 100.0
        ));
    }
    let of_the_file = !fresh_classes && wanted.are_the_files(network.classes);
    settle_scores(&mut network, !fresh_classes, recipe, &mut notes);
    if of_the_file {
        // Conversion of scores folds; unfolding twice is unfolding once.
        network.heads.iter_mut().for_each(|head| head.class_predictor.unfold());
    }
    if recipe.class_prior && fresh_classes {
        network.set_background_prior(recipe.background_share());
    }
    Ok(StartNetwork { network, notes })
}

/// Replaces what the photos cannot use of a detector's unfolded extras and heads, by what was `found` of their inputs.
/// Returns whether all class predictors start fresh.
fn renew(
    network: &mut Ssd<ConvWeights>,
    found: &[LayerResponse],
    wanted: &WantedClasses,
    rng: &mut Pcg64Mcg,
    notes: &mut Vec<String>,
) -> bool {
    let reference = found[0].rms;
    let lost = |r: &&LayerResponse| r.response < DEAF || r.rms < FAINT * reference;
    let (deaf, total) = (found.iter().filter(lost).count(), found.len());
    if deaf > 0 {
        notes.push(format!(
            "{deaf} of the file's {total} extra and head layers get next to no signal from the photos: all {total} start fresh"
        ));
        network.renew_extras_and_heads(wanted.columns(), rng);
        return true;
    }
    if wanted.are_the_files(network.classes) {
        return false;
    }
    if wanted.any_known() {
        notes.push(wanted.note());
        network.rearrange_classes(wanted.known());
        network.heads.iter_mut().for_each(|head| head.class_predictor.fold());
        return false;
    }
    notes.push("the file's classes are not those of the data set: class predictors start fresh".to_string());
    network.renew_class_predictors(wanted.columns(), rng);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConvLayer, LayerTraining, Origin, SsdModel, Stage, initialise_network, ssdlite_mobilenet_v2};

    const FILE_COLUMNS: usize = 4;

    fn network() -> Ssd<ConvWeights> {
        let specs = ssdlite_mobilenet_v2(0.35, FILE_COLUMNS, true);
        let mut network = initialise_network(&specs, &mut Pcg64Mcg::seed_from_u64(5));
        network.convs_mut().into_iter().for_each(|(_, conv)| conv.unfold());
        network
    }

    /// Counts of layers behind the backbone by origin: of the file, fresh.
    fn origins(network: &Ssd<ConvWeights>) -> [usize; 2] {
        let model = SsdModel::new(network, |_| LayerTraining::Trained);
        let behind: Vec<&ConvLayer> = model.layers.iter().skip(network.backbone_len()).collect();
        let of_file = behind.iter().filter(|layer| layer.origin() == Origin::File).count();
        assert!(model.layers[..network.backbone_len()].iter().all(|layer| layer.origin() == Origin::File));
        [of_file, behind.len() - of_file]
    }

    fn renewed(known: &[Option<usize>], response: f64) -> [usize; 2] {
        let mut network = network();
        let names = (0..known.len()).map(|i| format!("class {i}")).collect();
        let found = vec![LayerResponse { response, rms: 1.0, dead: 0.0 }; 3];
        let wanted = WantedClasses::new(names, known.to_vec());
        renew(&mut network, &found, &wanted, &mut Pcg64Mcg::seed_from_u64(1), &mut Vec::new());
        assert_eq!(network.classes, known.len() + 1);
        origins(&network)
    }

    #[test]
    fn only_what_the_file_brought_counts_as_its_own() {
        let [all, none] = origins(&network());
        assert_eq!(none, 0);
        let predictors = network().heads.len();
        assert_eq!(renewed(&[Some(0), Some(1), Some(2)], 1.0), [all, 0], "the file's classes");
        assert_eq!(renewed(&[None, None], 1.0), [all - predictors, predictors], "other classes");
        assert_eq!(renewed(&[Some(2), None], 1.0), [all - predictors, predictors], "one known class");
        assert_eq!(renewed(&[Some(0), Some(1), Some(2)], 0.0), [0, all], "heads that see nothing");
    }

    #[test]
    fn kept_extras_move_at_the_backbones_rate_and_are_not_held() {
        let recipe = Recipe { hold: 0.5, epochs: 4, batch: 1, micro_batch: 1, ..Recipe::default() };
        let schedule = recipe.schedule(40);
        let rate = |stage, origin| recipe.rates(stage, origin, &schedule, 60).weight;
        let fresh = rate(Stage::Extra(0), Origin::Fresh);
        assert!(fresh > 0.0 && rate(Stage::Last, Origin::File) == 0.0);
        assert_eq!(rate(Stage::Extra(0), Origin::File), fresh * recipe.backbone_rate);
    }
}

//! What a run starts from: imported weights made ready for these photos and classes.
//!
//! A file may arrive with layers that say the same whatever the image (random heads, dead channels). That is measured
//! on the training photos, not assumed: the *response* of a layer is the deviation of its input over images divided by
//! its root mean square, near 0 where every image looks alike and 0.4 to 1 in a healthy backbone.

use super::recipe::Recipe;
use super::records::Records;
use crate::data::{DataError, normalised, plain};
use crate::model::{ConvWeights, Ssd, SsdModel};
use crate::ops;
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

/// What a layer's input looks like over some photos.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Response {
    /// Deviation over images over root mean square.
    pub response: f64,
    /// Root mean square.
    pub rms: f64,
    /// Share of channels that are zero everywhere in all images.
    pub dead: f64,
}

/// The network a run starts from, and what was found and done on the way.
#[derive(Clone, Debug)]
pub struct Start {
    /// Unfolded: every backbone weight has norm 1 per output channel, its scale frozen.
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
pub fn responses(network: &Ssd<ConvWeights>, records: &Records, size: usize) -> Result<Vec<Response>, DataError> {
    let count = PROBED.min(records.len());
    let backbone = network.backbone_len();
    let mut seen = vec![Seen::default(); network.convs().len() - backbone];
    let model = SsdModel::for_inference(network);
    for i in 0..count {
        // Spread over the split: neighbours in a folder are often neighbours in time.
        let image = normalised(plain(&records.get(i * records.len() / count)?, size).image.pixels);
        model.forward_observed(ops::tensor(image, [1, size, size, 3]), &mut |position, x: &Tensor<4>| {
            if let Some(position) = position.checked_sub(backbone) {
                seen[position].add(x);
            }
        });
    }
    Ok(seen.iter().map(|seen| seen.response(count)).collect())
}

/// Sums over images of one layer's input, number by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    sums: Vec<f64>,
    squares: Vec<f64>,
    channels: usize,
}

impl Seen {
    /// Takes in one image's `[1,H,W,C]`.
    pub(super) fn add(&mut self, x: &Tensor<4>) {
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

    pub(super) fn response(&self, images: usize) -> Response {
        let n = images.max(1) as f64;
        let (mut variance, mut square, mut alive) = (0f64, 0f64, vec![false; self.channels]);
        for (i, (sum, squares)) in self.sums.iter().zip(&self.squares).enumerate() {
            alive[i % self.channels] |= *squares > 0.0;
            variance += (squares - sum * sum / n).max(0.0);
            square += squares;
        }
        let dead = alive.iter().filter(|a| !**a).count() as f64 / self.channels.max(1) as f64;
        let response = if square > 0.0 { (variance / square).sqrt() } else { 0.0 };
        Response { response, rms: (square / (n * self.sums.len().max(1) as f64)).sqrt(), dead }
    }
}

/// Makes an imported network ready: fresh extras and heads where the file's carry nothing (or has none), fresh class
/// predictors where the classes differ, weights unfolded.
///
/// `same_classes` says whether the file's classes are those of the data set, in order.
///
/// # Errors
/// If a record cannot be read.
pub fn start(
    mut network: Ssd<ConvWeights>,
    same_classes: bool,
    classes: usize,
    recipe: &Recipe,
    records: &Records,
    size: usize,
) -> Result<Start, DataError> {
    let mut rng = Pcg64Mcg::seed_from_u64(recipe.seed ^ 0x5EED);
    let (mut notes, mut fresh_classes) = (Vec::new(), true);
    let found = responses(&network, records, size)?;
    if network.heads.is_empty() {
        notes.push("the file has a backbone only: extras and heads start fresh".to_string());
        network.renew_extras_and_heads(classes, &mut rng);
    } else {
        let reference = found[0].rms;
        let lost = |r: &&Response| r.response < DEAF || r.rms < FAINT * reference;
        let deaf = found.iter().filter(lost).count();
        let total = found.len();
        if deaf > 0 {
            notes.push(format!(
                "{deaf} of the file's {total} extra and head layers get next to no signal from the photos: all {total} \
                 start fresh"
            ));
            network.renew_extras_and_heads(classes, &mut rng);
        } else if !same_classes {
            notes.push("the file's classes are not those of the data set: class predictors start fresh".to_string());
            network.renew_class_predictors(classes, &mut rng);
        } else {
            fresh_classes = false;
        }
    }
    // The first layer behind the backbone reads the backbone's last output.
    if let Some(last) = found.first().filter(|last| last.dead > 0.3) {
        notes.push(format!(
            "{:.0} % of the backbone's last channels are zero on these photos, a property of the file; they can wake up \
             in training",
            last.dead * 100.0
        ));
    }
    if recipe.class_prior && fresh_classes {
        // Hard negative mining shows three negatives for each positive.
        network.set_background_prior(0.75);
    }
    for (stage, conv) in network.convs_mut() {
        if stage.is_backbone() {
            conv.unfold();
        }
    }
    Ok(Start { network, notes })
}

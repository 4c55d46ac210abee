//! `fieldtune val`: a detector's AP on a split, or COCO detections against COCO ground truth.

use crate::data::{Pack, Split};
use crate::eval::{ApSamples, CocoMetrics, Interval, Threshold, Thresholds, coco_eval, read_results, read_truth};
use crate::interchange::TrainedOn;
use crate::session::{DataSource, LoadedDetector, LoadedTflite, open_source, set_threads, terminal, validation_split};
use crate::train::{Evaluation, Records, evaluate};
use crate::weights::match_names;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct ValArguments {
    /// A detector: a file (TFLite if `export` wrote it), or the name of kept weights
    #[arg(required_unless_present = "ground_truth")]
    pub model: Option<PathBuf>,
    /// Folder of labelled photos, a label file, or a pack
    #[arg(required_unless_present = "ground_truth")]
    pub data: Option<PathBuf>,
    /// The split to measure on [default: the validation split]
    #[arg(long)]
    pub split: Option<String>,
    /// Share of the images held back where the data set has no split [default: as in training, or 0.2]
    #[arg(long)]
    pub val_share: Option<f64>,
    /// Seed of that choice [default: as in training, or 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Names of the model's classes where its file has none: cat,dog or a file, one a line
    #[arg(long)]
    pub names: Option<String>,
    /// Threads for the network [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
    /// A second detector, judged on the same images: tells whether the first is better, or no difference can be told
    #[arg(long, conflicts_with = "ground_truth")]
    pub against: Option<PathBuf>,
    /// COCO ground truth (JSON), instead of a model and data
    #[arg(long, requires = "detections", conflicts_with_all = ["model", "data"])]
    pub ground_truth: Option<PathBuf>,
    /// COCO results (JSON)
    #[arg(long, requires = "ground_truth")]
    pub detections: Option<PathBuf>,
    /// Figures as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: ValArguments) -> Result<u8> {
    let SplitFigures { metrics, thresholds, samples, images, above } =
        match (&arguments.ground_truth, &arguments.detections, &arguments.model, &arguments.data) {
            (Some(truth), Some(detections), ..) => compare(truth, detections)?,
            (_, _, Some(model), Some(data)) => judge(model, data, &arguments)?,
            _ => bail!("give a model and data, or --ground-truth and --detections"),
        };
    if arguments.json {
        let mut figures = metrics.to_json();
        figures["thresholds"] = thresholds_json(&thresholds);
        figures["interval"] = json!({"AP": bounds(samples.ap()), "AP50": bounds(samples.ap50()), "images": images});
        if let Some(above) = above {
            figures["above"] = json!({"AP": above.difference, "interval": bounds(above.interval)});
        }
        terminal::print_json(&figures)?;
    } else {
        let names: Vec<String> = metrics.classes.iter().map(|c| c.name.clone()).collect();
        let error = render_error(&samples, images) + &above.map_or(String::new(), |above| above.render());
        terminal::print(format!("{}{error}{}", metrics.render_table(), render_thresholds(&thresholds, &names)))?;
    }
    Ok(0)
}

/// Figures of a detector on a split.
struct SplitFigures {
    metrics: CocoMetrics,
    thresholds: Thresholds,
    samples: ApSamples,
    images: usize,
    /// By how much it is above another, where there is one.
    above: Option<ApAbove>,
}

/// AP less another detector's on the same images.
#[derive(Clone, Copy, Debug)]
struct ApAbove {
    difference: f64,
    interval: Option<Interval>,
}

impl ApAbove {
    /// The difference, and whether it can be told.
    fn render(&self) -> String {
        let Some(interval) = self.interval else { return "the difference cannot be judged\n".into() };
        let told = match interval.excludes_zero() {
            true if self.difference > 0.0 => "the first detector is better",
            true => "the first detector is worse",
            false => "no difference can be told",
        };
        format!("AP is {:+.3} against the other detector's, 95 % interval {interval}: {told}\n", self.difference)
    }
}

fn bounds(interval: Option<Interval>) -> Option<[f64; 2]> {
    interval.map(|i| [i.low, i.high])
}

/// The intervals of AP and AP50.
fn render_error(samples: &ApSamples, images: usize) -> String {
    let (Some(ap), Some(ap50)) = (samples.ap(), samples.ap50()) else { return String::new() };
    format!("95 % interval over {images} images: AP {ap}, AP50 {ap50}\n")
}

fn compare(truth: &Path, detections: &Path) -> Result<SplitFigures> {
    let truth = read_truth(truth)?;
    let results = read_results(detections, &truth)?;
    for (category, count) in &results.unknown_categories {
        log::warn!("{count} detections of category {category}, which the ground truth does not have, are left out");
    }
    let names = truth.class_names();
    let thresholds = Thresholds::of(&truth.images, &results.images, names.len());
    let samples = ApSamples::of(&truth.images, &results.images, names.len());
    let metrics = coco_eval(&truth.images, &results.images, &names);
    Ok(SplitFigures { metrics, thresholds, samples, images: truth.images.len(), above: None })
}

fn judge(model: &Path, data: &Path, arguments: &ValArguments) -> Result<SplitFigures> {
    set_threads(arguments.threads)?;
    let judge = Judge::open(model, arguments.names.as_deref())?;
    let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
    // The same photos are held back as in training, where the file says which.
    let (share, seed) = judge.trained_on().map_or((0.2, 0), |t| (t.val_share, t.seed));
    let (share, seed) = (arguments.val_share.unwrap_or(share), arguments.seed.unwrap_or(seed));
    let DataSource { pack } = open_source(data, cache.path(), share, seed)?;
    let split = match &arguments.split {
        Some(name) => pack.split(name)?,
        None => match validation_split(&pack, judge.trained_on())? {
            Some(split) => split,
            None => pack.split(&pack.roles().train)?,
        },
    };
    tell_overlap(&pack, &split, judge.trained_on());
    log::info!("{} images of split {}", split.len(), split.name());
    let (evaluation, judged) = evaluated(&judge, model, &pack, &split)?;
    let samples = evaluation.ap_samples();
    let above = match &arguments.against {
        Some(path) => {
            let (other, _) = evaluated(&Judge::open(path, arguments.names.as_deref())?, path, &pack, &split)?;
            let pair = evaluation.metrics.ap.zip(other.metrics.ap);
            let interval = samples.ap_above(&other.ap_samples());
            pair.map(|(own, other)| ApAbove { difference: own - other, interval })
        }
        None => None,
    };
    let (mut metrics, mut thresholds) = (evaluation.metrics.clone(), evaluation.thresholds());
    let mut class = 0..;
    metrics.classes.retain(|_| class.next().is_some_and(|class| judged.contains(&class)));
    let mut class = 0..;
    thresholds.classes.retain(|_| class.next().is_some_and(|class| judged.contains(&class)));
    Ok(SplitFigures { metrics, thresholds, samples, images: split.len(), above })
}

/// The network's figures on a split, and which of its classes the data set has.
fn evaluated(judge: &Judge, path: &Path, pack: &Pack, split: &Split) -> Result<(Evaluation, BTreeSet<usize>)> {
    let columns = class_columns(pack.classes(), judge, path)?;
    let judged: BTreeSet<usize> = columns.iter().flatten().copied().collect();
    let split = split.clone();
    let records = Records::new(split.len(), move |i| {
        let mut record = split.record(i)?;
        record.objects.retain_mut(|o| columns[o.class].inspect(|&class| o.class = class).is_some());
        Ok(record)
    });
    Ok((judge.evaluate(&records)?, judged))
}

/// A network to be judged, in either kind of file.
enum Judge {
    Onnx(Box<LoadedDetector>),
    Tflite(Box<LoadedTflite>),
}

impl Judge {
    fn open(path: &Path, names: Option<&str>) -> Result<Self> {
        if LoadedTflite::is_named_so(path) {
            return Ok(Self::Tflite(Box::new(LoadedTflite::open(path)?)));
        }
        Ok(Self::Onnx(Box::new(LoadedDetector::open(path, names)?)))
    }

    /// True if anything names the classes.
    fn is_named(&self) -> bool {
        match self {
            Self::Onnx(loaded) => loaded.is_named,
            Self::Tflite(_) => true,
        }
    }

    /// The data set that the network was trained on, where its file says it.
    fn trained_on(&self) -> Option<&TrainedOn> {
        match self {
            Self::Onnx(loaded) => loaded.trained_on.as_ref(),
            Self::Tflite(loaded) => loaded.interpreter.about.trained_on.as_ref(),
        }
    }

    fn class_names(&self) -> &[String] {
        match self {
            Self::Onnx(loaded) => &loaded.class_names,
            Self::Tflite(loaded) => &loaded.class_names,
        }
    }

    fn evaluate(&self, records: &Records) -> Result<Evaluation> {
        match self {
            Self::Onnx(l) => Ok(evaluate(&l.model, records, l.size, &l.detector, &l.class_names)?),
            Self::Tflite(loaded) => loaded.evaluate(records),
        }
    }
}

/// The scores of best F1, overall and for each class.
fn render_thresholds(thresholds: &Thresholds, names: &[String]) -> String {
    let line = |name: &str, t: &Option<Threshold>| match t {
        Some(t) => format!(
            "{name}: F1 {:.3} at scores above {:.3} (precision {:.3}, recall {:.3})\n",
            t.f1(),
            t.score,
            t.precision,
            t.recall
        ),
        None => format!("{name}: nothing is right at any score\n"),
    };
    let mut text = line("best threshold", &thresholds.overall);
    if names.len() > 1 {
        text.extend(names.iter().zip(&thresholds.classes).map(|(name, t)| line(&format!("  {name}"), t)));
    }
    text
}

fn thresholds_json(thresholds: &Thresholds) -> Value {
    let one = |t: &Option<Threshold>| {
        t.map(|t| json!({"score": t.score, "f1": t.f1(), "precision": t.precision, "recall": t.recall}))
    };
    let classes: Vec<_> = thresholds.classes.iter().map(one).collect();
    json!({"overall": one(&thresholds.overall), "classes": classes})
}

/// Says whether the photos that are judged on were trained on, as far as the file tells.
fn tell_overlap(pack: &Pack, judged: &Split, trained: Option<&TrainedOn>) {
    let Some(trained) = trained else { return };
    let photos: HashSet<u32> = trained.photos.iter().copied().collect();
    let seen = judged.photos().iter().filter(|photo| photos.contains(photo)).count();
    if seen > 0 {
        log::warn!(
            "{seen} of the {} photos of split {} were trained on: AP promises too much",
            judged.len(),
            judged.name()
        );
    }
    let is_known = |photo: &u32| photos.contains(photo);
    match pack.split("all").map(|all| all.photos().iter().filter(|photo| is_known(photo)).count()) {
        _ if photos.is_empty() => log::info!("the model does not say which photos it was trained on"),
        Ok(0) => log::info!(
            "the model was trained on none of these photos, as they are packed (sides of at most {} pixels)",
            pack.options().max_side
        ),
        Ok(known) if known < photos.len() => {
            log::info!("of the {} photos that the model was trained on, {known} are in this data set", photos.len());
        }
        _ => {}
    }
}

/// For each class of the data set, its index among the model's; `None` for a class that the model does not know, whose
/// objects are not judged.
///
/// # Errors
/// If the model knows none of them.
fn class_columns(data: &[String], judge: &Judge, path: &Path) -> Result<Vec<Option<usize>>> {
    let (place, model) = (path.display(), judge.class_names());
    let columns = match_names(data, model);
    let unknown: Vec<&str> = data.iter().zip(&columns).filter(|(_, c)| c.is_none()).map(|(n, _)| n.as_str()).collect();
    if unknown.len() == data.len() {
        let first = unknown.first().copied().unwrap_or_default();
        let help = if judge.is_named() {
            "judge the model on data with classes that it was trained on, or correct its names with --names"
        } else {
            "the model does not name its classes: give --names cat,dog,... or put a labels.txt beside it"
        };
        bail!(
            "{place}: no class {first:?} among {}, nor any other class of the data set\nhelp: {help}",
            model.join(", ")
        );
    }
    let said = |(name, column): (&String, &Option<usize>)| {
        let known = &model[(*column)?];
        Some(if known == name { name.clone() } else { format!("{name} ({known} in the model)") })
    };
    let known: Vec<String> = data.iter().zip(&columns).filter_map(said).collect();
    if !unknown.is_empty() {
        log::warn!(
            "{place}: judged on {}; not judged, as the model does not know them: {}",
            known.join(", "),
            unknown.join(", ")
        );
    } else if known.iter().zip(data).any(|(said, name)| said != name) {
        log::info!("{place}: judged on {}", known.join(", "));
    }
    Ok(columns)
}

//! A fleet on one machine: nodes trained in turn on parts of one data set, by the code that real nodes run, and the mean of
//! their answers taken as a server takes it. Memory does not grow with the nodes; what nodes keep lies on disk.

mod plan;
mod record;
mod share_out;

pub use plan::{Link, PlanRow, plan};
pub use record::{RoundRow, write_curves, write_rounds};
pub use share_out::ShareOut;

use super::array::{ArrayRecord, FleetArray};
use super::average::RoundMean;
use super::node::{FleetNode, NodeOptions, SimulatedNode, StartOf, StoredStart};
use super::participant::{Participant, RoundId, SettingValue, Settings};
use super::update::{Encoding, byte_len};
use crate::interchange::NamedArray;
use crate::session::{Bar, PackChoice, loader_threads, open_sources, set_threads, starting_weights, tell_notes};
use crate::train::Records;
use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_pcg::Pcg64Mcg;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A folder for each of more nodes than these would be a burden.
const MOST_NODES: usize = 100_000;
const MOST_ROUNDS: u64 = 100_000;

/// A fleet to simulate. The node options say data, weights, recipe and privacy; their folder is the simulation's.
#[derive(Clone, Debug)]
pub struct SimulateOptions {
    pub node: NodeOptions,
    pub nodes: usize,
    pub rounds: u64,
    pub local_epochs: u64,
    /// Nodes of each round, drawn anew; all if absent.
    pub per_round: Option<usize>,
    pub share_out: ShareOut,
    pub encoding: Encoding,
    /// FedProx's mu.
    pub pull: f64,
    pub personal_heads: bool,
    /// Rounds between two judgements; the last round is always judged.
    pub judge_every: u64,
}

/// The outcome of a simulation.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Round 0 is the start, before any training.
    pub rounds: Vec<RoundRow>,
    /// Photos of each node.
    pub photos: Vec<usize>,
    /// Bytes of the whole network in float32.
    pub whole_bytes: usize,
}

/// The parts of a simulation that stay the same.
struct Fleet<'a> {
    options: &'a SimulateOptions,
    start: Arc<StoredStart>,
    layout: Vec<NamedArray>,
    training: Records,
    validation: Records,
    /// Photos of each node.
    dealt: Vec<Vec<usize>>,
    loader_threads: usize,
}

impl SimulateOptions {
    fn check(&self) -> Result<()> {
        if !(1..=MOST_NODES).contains(&self.nodes) {
            bail!("nodes = {}, expected 1 to {MOST_NODES}", self.nodes);
        }
        if !(1..=MOST_ROUNDS).contains(&self.rounds) || self.judge_every == 0 {
            bail!("rounds = {}, expected 1 to {MOST_ROUNDS}, judged every 1 or more", self.rounds);
        }
        if let Some(count) = self.per_round.filter(|count| !(1..=self.nodes).contains(count)) {
            bail!("{count} nodes of each round, expected 1 to {}", self.nodes);
        }
        self.node.recipe.check().map_err(|e| anyhow::anyhow!("recipe: {e}"))
    }

    /// The server's settings of a round.
    fn config(&self, round: u64) -> Settings {
        let whole = |key: &str, value: u64| (key.to_string(), SettingValue::I64(value as i64));
        Settings::from([
            whole("server-round", round),
            whole("rounds", self.rounds),
            whole("local-epochs", self.local_epochs),
            ("proximal-mu".to_string(), SettingValue::F64(self.pull)),
            ("personal-heads".to_string(), SettingValue::Bool(self.personal_heads)),
            ("update".to_string(), SettingValue::Text(self.encoding.name().into())),
        ])
    }
}

/// Simulates a fleet; writes `rounds.csv`, `curves.png` and the judge's `global.onnx` into the folder.
///
/// # Errors
/// If data or weights cannot be used, the settings make no sense, or the disk refuses.
pub fn simulate(options: &SimulateOptions) -> Result<Simulated> {
    options.check()?;
    let folder = &options.node.folder;
    fs::create_dir_all(folder).with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    let fleet = Fleet::gather(options)?;
    let (mut global, mut rows) = (fleet.first_arrays()?, Vec::new());
    let mut judge = fleet.node(&folder.join("judge"), Vec::new(), 0)?;
    rows.push(fleet.judged(&mut judge, &global, RoundRow::default())?);
    let progress = Bar::begin("rounds", options.rounds as usize);
    for round in 1..=options.rounds {
        let mut row = fleet.round(round, &mut global)?;
        if round % options.judge_every == 0 || round == options.rounds {
            row = fleet.judged(&mut judge, &global, row)?;
        }
        log::info!("{row}");
        rows.push(row);
        // After each round: who stops the simulation has what there was.
        write_rounds(&folder.join("rounds.csv"), &rows)?;
        progress.at(round as usize, options.rounds as usize);
    }
    drop(progress);
    write_curves(&folder.join("curves.png"), &rows)?;
    let whole_bytes = fleet.layout.iter().map(|a| Encoding::Float32.byte_len(&a.dims)).sum();
    Ok(Simulated { rounds: rows, photos: fleet.dealt.iter().map(Vec::len).collect(), whole_bytes })
}

impl<'a> Fleet<'a> {
    /// Opens data and start, and shares the photos out.
    fn gather(options: &'a SimulateOptions) -> Result<Self> {
        let of = &options.node;
        let threads = set_threads(of.threads)?;
        let weights = starting_weights(of.weights.as_deref())?;
        let choice = PackChoice { wish: of.pack_as, val_share: of.val_share, seed: of.recipe.seed };
        let source = open_sources(&of.data, &of.folder, &choice)?;
        tell_notes(&source.pack.notes());
        crate::session::refuse_unless_accepted(&source.pack.notes(), &of.accept)?;
        let roles = source.pack.roles();
        let training = source.pack.split(of.train_split.as_deref().unwrap_or(&roles.train))?;
        let Some(validation) = of.val_split.as_deref().or(roles.val.as_deref()) else {
            bail!("{}: no split to judge by\nhelp: name one with --val-split", source.pack.path().display());
        };
        let validation = source.pack.split(validation)?;
        let mut shown = Vec::with_capacity(training.len());
        for i in 0..training.len() {
            let mut classes: Vec<usize> = training.objects(i)?.iter().filter(|o| !o.crowd).map(|o| o.class).collect();
            classes.sort_unstable();
            classes.dedup();
            shown.push(classes);
        }
        let dealt = options.share_out.deal(&shown, options.nodes, of.recipe.seed)?;
        let [training, validation] = [Records::of_split(&training), Records::of_split(&validation)];
        let class_names = source.pack.classes();
        let start_of = StartOf { weights: &weights, names: of.names.as_deref(), size: of.imgsz, class_names };
        let start = StoredStart::of(&of.folder, &start_of, &of.recipe, &training)?;
        let network = start.network(class_names)?;
        let layout = NamedArray::all(&network, start.size)?;
        let start = Arc::new(start);
        Ok(Self { options, start, layout, training, validation, dealt, loader_threads: loader_threads(threads) })
    }

    /// The start's arrays, in the layout's order.
    fn first_arrays(&self) -> Result<Vec<Vec<f32>>> {
        let network = self.start.network(&self.start.class_names)?;
        let convs = network.convs();
        Ok(self.layout.iter().map(|array| array.read(convs[array.position].1)).collect())
    }

    fn node(&self, folder: &Path, photos: Vec<usize>, seed: u64) -> Result<FleetNode> {
        let of = SimulatedNode {
            folder: folder.into(),
            training: self.training.chosen(photos),
            validation: self.validation.clone(),
            privacy: self.options.node.privacy,
            seed,
        };
        FleetNode::simulated(of, &self.start, &self.options.node.recipe, self.loader_threads)
    }

    fn node_folder(&self, node: usize) -> PathBuf {
        self.options.node.folder.join(format!("nodes/{node:05}"))
    }

    /// The arrays as a server sends them.
    fn message(&self, global: &[Vec<f32>]) -> ArrayRecord {
        let named = |(place, values): (&NamedArray, &Vec<f32>)| {
            (place.name.clone(), FleetArray::floats(&place.dims, values.clone()))
        };
        self.layout.iter().zip(global).map(named).collect()
    }

    /// Trains the nodes of a round, one after the other, and moves the global arrays to their mean.
    fn round(&self, round: u64, global: &mut Vec<Vec<f32>>) -> Result<RoundRow> {
        let (options, seed) = (self.options, self.options.node.recipe.seed);
        let mut rng = Pcg64Mcg::seed_from_u64(seed.wrapping_mul(0x9E37_79B9).wrapping_add(round));
        let mut part = sample(&mut rng, options.nodes, options.per_round.unwrap_or(options.nodes)).into_vec();
        part.sort_unstable();
        let mut average = RoundMean::new(&self.layout, global, self.start.class_names.len() + 1);
        let mut row = RoundRow { round, nodes: part.len(), ..RoundRow::default() };
        for &node in &part {
            let folder = self.node_folder(node);
            let message = self.message(global);
            row.bytes_down += byte_len(&message) as f64;
            let began = Instant::now();
            let mut participant = self.node(&folder, self.dealt[node].clone(), seed ^ (node as u64) << 20 ^ round)?;
            let id = RoundId { run: 1, message: format!("round {round}") };
            let update = participant
                .train(&id, message, &options.config(round))
                .with_context(|| format!("node {node} in round {round}"))?;
            row.seconds += began.elapsed().as_secs_f64();
            row.bytes_up += byte_len(&update.arrays) as f64;
            row.photos += self.dealt[node].len();
            if let Some(SettingValue::F64(loss)) = update.metrics.get("train-loss") {
                row.train_loss += loss;
            }
            average.add(&update).with_context(|| format!("node {node} in round {round}"))?;
            // The state of a round that is over: of no use to the next, and large.
            fs::remove_dir_all(folder.join("weights")).ok();
            fs::remove_file(folder.join("round-start.bin")).ok();
        }
        *global = average.finish();
        Ok(row.per_node())
    }

    /// The row with the figures of the global network; of personal heads the mean over the nodes that have some.
    fn judged(&self, judge: &mut FleetNode, global: &[Vec<f32>], mut row: RoundRow) -> Result<RoundRow> {
        let id = RoundId { run: 1, message: format!("judge {}", row.round) };
        let (mut sums, mut count) = ([0.0; 3], 0);
        let mut look = |node: &mut FleetNode| -> Result<()> {
            let found = node.evaluate(&id, self.message(global), &self.options.config(row.round.max(1)))?;
            for (sum, key) in sums.iter_mut().zip(["ap", "ap50", "loss"]) {
                *sum += if let Some(SettingValue::F64(figure)) = found.get(key) { *figure } else { 0.0 };
            }
            count += 1;
            Ok(())
        };
        let personal: Vec<usize> = match self.options.personal_heads {
            true => (0..self.options.nodes).filter(|n| self.node_folder(*n).join("personal.onnx").is_file()).collect(),
            false => Vec::new(),
        };
        for &node in &personal {
            look(&mut self.node(&self.node_folder(node), Vec::new(), 0)?)?;
        }
        if personal.is_empty() {
            look(judge)?;
        }
        let [ap, ap50, loss] = sums.map(|sum| sum / f64::from(count.max(1)));
        (row.ap, row.ap50, row.loss) = (Some(ap), Some(ap50), Some(loss));
        Ok(row)
    }
}

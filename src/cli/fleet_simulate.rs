//! `fieldtune fleet simulate`: a fleet on one machine, and what it would take with more nodes.

use super::node_arguments::NodeArguments;
use crate::fleet::node::NodeOptions;
use crate::fleet::privacy::Privacy;
use crate::fleet::simulate::{Link, ShareOut, SimulateOptions, Simulated, plan, simulate};
use crate::fleet::update::Encoding;
use crate::session::terminal;
use crate::train::Recipe;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct SimulateArguments {
    #[command(flatten)]
    pub node: NodeArguments,
    /// Nodes that the training photos are shared out among
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub nodes: usize,
    /// Rounds of training and averaging
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub rounds: u64,
    /// Way to share the photos out: equal, class (sorted by the rarest class shown) or dirichlet:NUMBER
    #[arg(long = "split", default_value = "dirichlet:0.3", value_name = "WAY")]
    pub share_out: ShareOut,
    /// Nodes of each round, drawn anew [default: all]
    #[arg(long, value_name = "N")]
    pub per_round: Option<usize>,
    /// Passes of a node over its photos in a round
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub local_epochs: u64,
    /// Way to write a node's answer: float32, float16, int8 or int2
    #[arg(long, default_value = "float32", value_parser = parse_encoding, value_name = "ENCODING")]
    pub update: Encoding,
    /// Strength of FedProx's pull towards the round's start
    #[arg(long, default_value_t = 0.0, value_name = "MU")]
    pub proximal_mu: f64,
    /// Box and class heads stay on each node; figures are means over the nodes
    #[arg(long)]
    pub personal_heads: bool,
    /// Clip each answer to this norm, and add the noise of --noise
    #[arg(long, value_name = "NORM")]
    pub clip_update: Option<f64>,
    /// Deviation of the noise on each number, in clips
    #[arg(long, default_value_t = 0.0, requires = "clip_update", value_name = "CLIPS")]
    pub noise: f64,
    /// The delta that epsilon is told for
    #[arg(long, default_value_t = 1e-5, requires = "clip_update")]
    pub delta: f64,
    /// Rounds between two judgements on the validation photos
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub judge_every: u64,
    /// Any key of the job file's [recipe], as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub recipe: Vec<String>,
    /// Megabits a second of a node, for the plan
    #[arg(long, default_value_t = 10.0, value_name = "MBIT", help_heading = "Plan")]
    pub node_mbit: f64,
    /// Megabits a second of the server, for the plan
    #[arg(long, default_value_t = 1000.0, value_name = "MBIT", help_heading = "Plan")]
    pub server_mbit: f64,
    /// Times longer that a board takes than this machine, for the plan
    #[arg(long, default_value_t = 1.0, value_name = "TIMES", help_heading = "Plan")]
    pub slower: f64,
    /// Folder for rounds.csv, curves.png, plan.csv and the nodes' files
    #[arg(short, long, default_value = "runs/fleet/simulation", value_name = "FOLDER")]
    pub out: PathBuf,
}

fn parse_encoding(text: &str) -> Result<Encoding, String> {
    Encoding::of_name(text).map_err(|e| e.to_string())
}

/// The default recipe with `KEY=VALUE` pairs put over it.
fn recipe(pairs: &[String]) -> Result<Recipe> {
    let mut text = String::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').ok_or_else(|| anyhow!("--recipe {pair}: expected KEY=VALUE"))?;
        text.push_str(&format!("{} = {}\n", key.trim(), value.trim()));
    }
    toml::from_str(&text)
        .map_err(|e| anyhow!("--recipe: {}\nhelp: `fieldtune config` writes every key of [recipe]", e.message().trim()))
}

pub fn run(arguments: SimulateArguments) -> Result<u8> {
    let privacy = arguments.clip_update.map(|clip| Privacy::new(clip, arguments.noise)).transpose()?;
    for (flag, value) in
        [("node-mbit", arguments.node_mbit), ("server-mbit", arguments.server_mbit), ("slower", arguments.slower)]
    {
        if !(value.is_finite() && value > 0.0) {
            return Err(anyhow!("--{flag} {value}: expected more than 0"));
        }
    }
    if !(arguments.delta > 0.0 && arguments.delta < 1.0) {
        return Err(anyhow!("--delta {}: expected more than 0 and less than 1", arguments.delta));
    }
    let link = Link { node_mbit: arguments.node_mbit, server_mbit: arguments.server_mbit, slower: arguments.slower };
    let node = NodeOptions { recipe: recipe(&arguments.recipe)?, privacy, ..arguments.node.options(arguments.out) };
    let options = SimulateOptions {
        node,
        nodes: arguments.nodes,
        rounds: arguments.rounds,
        local_epochs: arguments.local_epochs,
        per_round: arguments.per_round,
        share_out: arguments.share_out,
        encoding: arguments.update,
        pull: arguments.proximal_mu,
        personal_heads: arguments.personal_heads,
        judge_every: arguments.judge_every,
    };
    let simulated = simulate(&options)?;
    tell(&options, &simulated, &link)?;
    if let Some(privacy) = privacy {
        let share = options.per_round.map_or(1.0, |n| n as f64 / options.nodes as f64);
        let epsilon = privacy.epsilon(options.rounds, share, arguments.delta);
        terminal::print_line(format_args!(
            "privacy of a node: epsilon {epsilon:.2} at delta {:e} after {} rounds",
            arguments.delta, options.rounds
        ))?;
    }
    Ok(0)
}

/// Says what came of it, and writes the plan.
fn tell(options: &SimulateOptions, simulated: &Simulated, link: &Link) -> Result<()> {
    let (least, most) = (simulated.photos.iter().min(), simulated.photos.iter().max());
    terminal::print_line(format_args!(
        "{} nodes with {} to {} photos, shared out {}",
        simulated.photos.len(),
        least.unwrap_or(&0),
        most.unwrap_or(&0),
        options.share_out
    ))?;
    simulated.rounds.iter().try_for_each(|row| terminal::print_line(format_args!("{row}")))?;
    let trained: Vec<_> = simulated.rounds.iter().filter(|row| row.nodes > 0).collect();
    let mean = |of: &dyn Fn(&crate::fleet::simulate::RoundRow) -> f64| {
        trained.iter().map(|row| of(row)).sum::<f64>() / trained.len().max(1) as f64
    };
    let bytes = [mean(&|r| r.bytes_down), mean(&|r| r.bytes_up)];
    let whole = simulated.whole_bytes as f64;
    terminal::print_line(format_args!(
        "an answer has {:.2} MB, {:.1} % less than the whole network in float32 ({:.2} MB)",
        bytes[1] / 1e6,
        100.0 * (1.0 - bytes[1] / whole),
        whole / 1e6
    ))?;
    let share = options.per_round.unwrap_or(options.nodes) as f64 / options.nodes as f64;
    let rows = plan(options.rounds, share, bytes, mean(&|r| r.seconds), link);
    let path = options.node.folder.join("plan.csv");
    let refused = || format!("{}: cannot write", path.display());
    let mut csv = csv::Writer::from_path(&path).with_context(refused)?;
    csv.write_record(["nodes", "per_round", "node_mb", "server_gb", "hours"]).with_context(refused)?;
    terminal::print_line(format_args!("\n  nodes  per round  MB of a node  GB of the server  hours"))?;
    for row in rows {
        terminal::print_line(format_args!(
            "{:>7}  {:>9}  {:>12.1}  {:>16.2}  {:>5.1}",
            row.nodes, row.per_round, row.node_mb, row.server_gb, row.hours
        ))?;
        let cells = [
            row.nodes.to_string(),
            row.per_round.to_string(),
            format!("{:.3}", row.node_mb),
            format!("{:.4}", row.server_gb),
            format!("{:.3}", row.hours),
        ];
        csv.write_record(cells).with_context(refused)?;
    }
    csv.flush().with_context(refused)
}

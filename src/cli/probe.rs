//! `fieldtune probe`: this board, its free memory and storage, and an estimate of the memory and time that training
//! would take.

use crate::bench::seconds_per_image;
use crate::board::{
    BoardConfig, Heat, Memory, MemoryLimit, MemoryState, Processor, Sensors, free_bytes, limits_are_enforced, model,
    total_memory,
};
use crate::boxes::InputSize;
use crate::config::JobFile;
use crate::kernel::{Isa, peak_gflops};
use crate::model::{initialise_network, ssdlite_mobilenet_v2};
use crate::session::{check_size, fit_memory, loader_threads, open_source, set_threads, settle_on_board, terminal};
use crate::train::{MemoryPlan, TrainState};
use anyhow::{Context, Result};
use clap::Args;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Classes, without the background, of the network that is planned for.
const CLASSES: usize = 4;

#[derive(Debug, Args)]
pub struct ProbeArguments {
    /// Data set to estimate the time for
    pub data: Option<PathBuf>,
    /// Settings of this board instead of the one that is found
    #[arg(long, default_value = "auto")]
    pub board: String,
    /// Input size in pixels, a side or HEIGHTxWIDTH
    #[arg(long, default_value_t = crate::session::DEFAULT_SIZE)]
    pub imgsz: InputSize,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Everything there is to say.
struct ProbeReport {
    board: Option<BoardConfig>,
    model: Option<String>,
    processor: Processor,
    heat: Heat,
    memory: MemoryState,
    total_memory: Option<u64>,
    enforced: Option<bool>,
    free: Option<u64>,
    job: JobFile,
    threads: usize,
    plan: MemoryPlan,
    /// The reason that training would be refused, if it would.
    refusal: Option<String>,
    isa: Isa,
    gflops: f64,
    seconds_per_image: f64,
    /// Training images of the data set and the seconds of a whole run, judging included.
    run: Option<(usize, f64)>,
}

pub fn run(arguments: ProbeArguments) -> Result<u8> {
    check_size(arguments.imgsz)?;
    // The report has the plan and the board's settings: nothing is to be said twice.
    log::set_max_level(log::LevelFilter::Warn);
    let report = look(&arguments)?;
    if arguments.json {
        terminal::print_line(report.to_json())?;
    } else {
        terminal::print(report.to_text())?;
    }
    Ok(0)
}

fn look(arguments: &ProbeArguments) -> Result<ProbeReport> {
    let root = Path::new("/");
    let mut job = JobFile { board: arguments.board.clone(), ..JobFile::default() };
    let board = settle_on_board(&mut job, root)?;
    let threads = set_threads(job.threads)?;
    let network = initialise_network(&ssdlite_mobilenet_v2(1.0, CLASSES + 1, false), &mut Pcg64Mcg::seed_from_u64(1));
    let state = TrainState::new(&network, &job.recipe);
    let memory = MemoryState::read(root);
    let plan_of = [threads, loader_threads(threads)];
    let budget = job.memory_mb;
    let fits = fit_memory(&state, &mut job.recipe, arguments.imgsz, plan_of, job.watchdog, budget);
    let plan = MemoryPlan::new(&state, &job.recipe, arguments.imgsz, plan_of, job.watchdog);
    drop((network, state));
    let isa = Isa::best();
    let seconds_per_image = seconds_per_image(&job.recipe, CLASSES, arguments.imgsz);
    let run = arguments.data.as_deref().map(|data| estimate(data, &job, seconds_per_image)).transpose()?;
    Ok(ProbeReport {
        model: model(root),
        processor: Processor::read(root),
        heat: Sensors::find(root).read(),
        total_memory: total_memory(root),
        enforced: limits_are_enforced(root),
        free: free_bytes(&std::env::current_dir().context("no current folder")?),
        gflops: peak_gflops(isa) * threads as f64,
        board,
        memory,
        job,
        threads,
        refusal: fits.err().map(|error| error.to_string()),
        plan,
        isa,
        seconds_per_image,
        run,
    })
}

/// Forward, backward and step of one image against looking at it after an epoch.
const JUDGING: f64 = 3.5;

/// Training images of a data set, and the seconds of a run over it.
fn estimate(data: &Path, job: &JobFile, seconds_per_image: f64) -> Result<(usize, f64)> {
    let cache = tempfile::tempdir().context("no place for a pack")?;
    let pack = open_source(data, cache.path(), job.val_share, job.recipe.seed)?.pack;
    let roles = pack.roles();
    let training = pack.split(&roles.train)?.len();
    let judged = roles.val.map_or(Ok(training), |val| pack.split(&val).map(|split| split.len()))?;
    let images = training as f64 + judged as f64 / JUDGING;
    Ok((training, images * job.recipe.epochs as f64 * seconds_per_image))
}

fn mb(bytes: u64) -> u64 {
    bytes >> 20
}

fn duration(seconds: f64) -> String {
    match (seconds / 3600.0, seconds / 60.0) {
        (hours, _) if hours >= 1.0 => format!("{hours:.1} h"),
        (_, minutes) if minutes >= 2.0 => format!("{minutes:.0} min"),
        _ => format!("{seconds:.0} s"),
    }
}

impl ProbeReport {
    /// The firmware's limits because of the board's power and heat.
    fn flags(&self) -> Vec<&'static str> {
        let Some(t) = self.heat.throttling else { return Vec::new() };
        let all = [
            (t.undervoltage, "undervoltage"),
            (t.capped, "clock capped"),
            (t.throttled, "throttled"),
            (t.soft_limit, "soft temperature limit"),
            (t.undervoltage_before, "undervoltage since power-on"),
            (t.throttled_before, "throttled since power-on"),
        ];
        all.into_iter().filter_map(|(is, name)| is.then_some(name)).collect()
    }

    fn enforcement(&self) -> &'static str {
        match self.enforced {
            Some(true) => "enforced here",
            Some(false) => "shown but not enforced here: memory accounting is off",
            None => "not known here",
        }
    }

    fn to_text(&self) -> String {
        let unknown = || "unknown".to_string();
        let p = &self.processor;
        let board = self.board.as_ref().map_or("none (no settings for this machine)".into(), |b| b.title.clone());
        let heat = self.heat.hottest.as_ref().map_or(unknown(), |(name, c)| format!("{c:.1} °C ({name})"));
        let flags = if self.heat.throttling.is_some() && self.flags().is_empty() {
            "none".into()
        } else if self.heat.throttling.is_none() {
            "not told by this machine".into()
        } else {
            self.flags().join(", ")
        };
        let left = self.memory.left.map_or(unknown(), |m: Memory| {
            let whose = match m.limit {
                MemoryLimit::Machine => "by the machine",
                MemoryLimit::ControlGroup => "by the control group",
            };
            format!("{} MB left {whose}", mb(m.available_bytes))
        });
        let recipe = &self.job.recipe;
        let mut text = format!(
            "model        {}\nsettings     {board}\nprocessor    {}, {} cores, {}\n\
             kernels      {}, {:.1} GFLOP/s at most on {} threads\ntemperature  {heat}; throttling: {flags}\n\
             memory       {} MB, {left}; limits of control groups are {}\nfree space   {} MB here\n\
             chosen       threads {}, batch {}, micro-batch {}, a checkpoint every {} s{}\n\
             {}\nspeed        {:.0} ms an image ({:.1} images/s)\n",
            self.model.clone().unwrap_or_else(unknown),
            p.core.clone().unwrap_or_else(unknown),
            p.cores,
            if p.features.is_empty() { "no vector features told".into() } else { p.features.join(" ") },
            self.isa.name(),
            self.gflops,
            self.threads,
            self.total_memory.map_or(unknown(), |b| mb(b).to_string()),
            self.enforcement(),
            self.free.map_or(unknown(), |b| mb(b).to_string()),
            self.threads,
            recipe.batch,
            recipe.micro_batch,
            self.job.checkpoint_every_s,
            self.board.as_ref().map_or(String::new(), |b| {
                format!(", held at {:.0} °C, {} MB an hour to the card", b.heat.hold_c, b.writes.mb_per_hour)
            }),
            self.plan,
            self.seconds_per_image * 1e3,
            1.0 / self.seconds_per_image
        );
        if let Some(refusal) = &self.refusal {
            text += &format!("refused      {refusal}\n");
        }
        if let Some((images, seconds)) = self.run {
            text += &format!(
                "estimate     {} for {} epochs of {images} training images, heat not counted\n",
                duration(seconds),
                recipe.epochs
            );
        }
        text
    }

    fn to_json(&self) -> Value {
        let recipe = &self.job.recipe;
        let limit = self.memory.left.map(|m| match m.limit {
            MemoryLimit::Machine => "machine",
            MemoryLimit::ControlGroup => "control group",
        });
        json!({
            "model": self.model,
            "board": self.board.as_ref().map(|b| &b.name),
            "core": self.processor.core,
            "cores": self.processor.cores,
            "features": self.processor.features,
            "backend": self.isa.name(),
            "gflops": self.gflops,
            "temperature_c": self.heat.hottest.as_ref().map(|(_, c)| c),
            "throttling": self.heat.throttling.map(|_| self.flags()),
            "memory": {
                "total_mb": self.total_memory.map(mb),
                "available_mb": self.memory.left.map(|m| mb(m.available_bytes)),
                "limited_by": limit,
                "stalled_percent": self.memory.stalled_percent,
                "limits_enforced": self.enforced,
            },
            "free_mb": self.free.map(mb),
            "chosen": {
                "threads": self.threads,
                "batch": recipe.batch,
                "micro_batch": recipe.micro_batch,
                "checkpoint_every_s": self.job.checkpoint_every_s,
                "hold_c": self.board.as_ref().map(|b| b.heat.hold_c),
                "write_mb_per_hour": self.board.as_ref().map(|b| b.writes.mb_per_hour),
                "plan_mb": mb(self.plan.total() as u64),
                "refused": self.refusal,
            },
            "ms_per_image": self.seconds_per_image * 1e3,
            "estimate": self.run.map(|(images, seconds)| json!({"images": images, "epochs": recipe.epochs, "seconds": seconds})),
        })
    }
}

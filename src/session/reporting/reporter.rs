//! Hears the events of a run, keeps its report, and writes it after each epoch.

use super::allowance::Allowance;
use super::background::{Background, labelled};
use super::chronicle::Chronicle;
use super::class_table::class_table;
use super::deploy::deploy;
use super::event_log::EventLog;
use super::judged::judge;
use super::machine::MachineLog;
use super::pictures;
use super::timeline::Timeline;
use super::verdict::Standing;
use crate::report::page::{
    BoxedPhoto, ClassFigures, ReportEpoch, RunCurves, RunReport, StepFigures, Suspicious, Tone, write_page,
};
use crate::train::{
    Ending, EpochRow, Evaluation, Event, Job, Records, RunProgress, StepReport, TrainError, read_rows, replace_file,
};
use crate::watchdog::{Mode, Suspected, story, suspicious};
use anyhow::Result;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

/// Training images in doubt that are shown, and their longer side in pixels.
const SUSPICIOUS: usize = 12;
const SIDE: usize = 400;

/// The name of the report in a run's folder.
const PAGE: &str = "report.html";

/// See the module.
pub struct Reporter<'a> {
    job: &'a Job,
    training: &'a Records,
    validation: &'a Records,
    report: RunReport,
    timeline: Timeline,
    chronicle: Chronicle,
    machine: MachineLog,
    events: EventLog,
    rows: Vec<EpochRow>,
    total_steps: u64,
    /// The best epoch of this call, or the first until there is one.
    best: Option<(u64, Evaluation)>,
    /// Training images whose photos are in the report.
    suspects: Vec<u32>,
    allowance: Allowance,
    /// An epoch ended, and the page does not tell it yet.
    due: bool,
    /// The reason that the run failed.
    failure: Option<String>,
    /// That the page cannot be written was said.
    warned: bool,
}

impl<'a> Reporter<'a> {
    /// Begins or goes on with a report; the first page is written before the first step.
    pub fn begin(
        job: &'a Job,
        training: &'a Records,
        validation: &'a Records,
        background: &Background,
        progress: &RunProgress,
    ) -> Self {
        let mut timeline = Timeline::default();
        // The journal of a run that begins is what an earlier one of that name left.
        let chronicle = match progress.step {
            0 => Chronicle::default(),
            _ => Chronicle::of_journal(&job.folder, &mut timeline),
        };
        let class = |(i, name): (usize, &String)| ClassFigures {
            name: name.clone(),
            training: background.objects.get(i).copied().unwrap_or(0),
            ..ClassFigures::default()
        };
        let mut report = RunReport {
            name: job.folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            classes: job.class_names.iter().enumerate().map(class).collect(),
            ..RunReport::default()
        };
        report.data = background.data(job, training, validation).unwrap_or_else(|error| {
            log::warn!("{error}\nthe report shows no training photos");
            Default::default()
        });
        report.plan.facts = background.plan(job);
        report.plan.settings = std::fs::read_to_string(job.folder.join("config.toml")).unwrap_or_default();
        report.plan.deploy = deploy(&job.folder);
        let mut reporter = Self {
            job,
            training,
            validation,
            report,
            timeline,
            chronicle,
            machine: MachineLog::new(Path::new("/")),
            events: EventLog::begin(job, progress.step),
            rows: read_rows(&job.folder, &job.class_names, &progress.history),
            total_steps: 0,
            best: None,
            suspects: Vec::new(),
            allowance: Allowance::default(),
            due: false,
            failure: None,
            warned: false,
        };
        reporter.events.pictures(&job.folder, progress.step);
        reporter.refresh(None);
        // The first page's time was spent before the first step.
        reporter.allowance = Allowance::default();
        reporter
    }

    /// Takes an event in. The page is written at the first step after an epoch, when the watchdog has had its say.
    pub fn hear(&mut self, event: &Event) {
        self.events.hear(event);
        match event {
            Event::Step(step) => self.step(step),
            Event::MicroBatch if self.due => self.refresh(None),
            Event::Epoch { record, evaluation, best, rows } => {
                self.rows = rows.to_vec();
                self.machine.look();
                self.machine.epoch_ended(record.epoch);
                if *best || self.best.is_none() {
                    self.best = Some((record.epoch, (*evaluation).clone()));
                }
                self.due = self.allowance.is_enough();
            }
            Event::Watchdog(entry) => self.chronicle.add(entry),
            _ => {}
        }
    }

    fn step(&mut self, report: &StepReport) {
        let stats = &report.stats;
        self.total_steps = report.total;
        let figures = StepFigures { step: report.step, class_loss: stats.class, box_loss: stats.boxes, lr: stats.lr };
        self.timeline.add(figures, 1);
        self.machine.look();
    }

    /// Writes the page for the last time, and where the run came to its end the pictures of the best epoch. Returns the
    /// table of that epoch's classes, which is empty where none was validated.
    ///
    /// # Errors
    /// If a picture cannot be written.
    pub fn finish(mut self, ending: Ending) -> Result<Vec<String>> {
        self.refresh(Some(ending));
        let resumable = matches!(ending, Ending::Stopped | Ending::Refused);
        if let Some((_, best)) = self.best.as_ref().filter(|_| !resumable) {
            pictures::write(self.job, best, self.validation)?;
            let last = self.rows.last().map_or(0, |row| row.record.step);
            self.events.pictures(&self.job.folder, last);
        }
        Ok(self.best.map_or(Vec::new(), |(_, best)| class_table(&best)))
    }

    /// Writes the page for the last time of a run that failed.
    pub fn fail(mut self, error: &TrainError) {
        self.failure = error.to_string().lines().next().map(str::to_string);
        self.refresh(None);
    }

    /// Brings the report up to date and writes it. A report that cannot be written is no reason to end a run.
    fn refresh(&mut self, ending: Option<Ending>) {
        let began = Instant::now();
        self.due = false;
        let written = self.update(ending).map_err(anyhow::Error::from).and_then(|()| self.write());
        if let Err(error) = written
            && !std::mem::replace(&mut self.warned, true)
        {
            log::warn!("{error:#}\nthe run goes on without a report");
        }
        log::debug!("the report took {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
        self.allowance.spend(began);
    }

    fn write(&self) -> Result<()> {
        let page = |temporary: &Path| {
            let mut file = BufWriter::with_capacity(32 << 10, File::create(temporary)?);
            write_page(&self.report, &mut file)?;
            file.flush()
        };
        replace_file(&self.job.folder.join(PAGE), page, |_| Ok(()))?;
        if !self.rows.is_empty() {
            pictures::write_results(&self.report.curves, &self.job.folder)?;
        }
        Ok(())
    }

    fn update(&mut self, ending: Option<Ending>) -> Result<(), TrainError> {
        self.report.curves = RunCurves {
            steps: self.timeline.points(),
            epochs: self.rows.iter().map(figures).collect(),
            marks: self.chronicle.marks(),
            total_steps: self.total_steps,
        };
        self.report.machine = self.machine.machine();
        self.judge()?;
        self.doubt()?;
        let watched = self.job.watchdog != Mode::Off;
        let name = |index: u32| match self.training.get(index as usize) {
            Ok(record) => record.source,
            Err(_) => format!("image {index}"),
        };
        let standing = Standing {
            ending,
            epochs: self.job.recipe.epochs,
            rows: &self.rows,
            judged: self.report.judged.as_ref(),
            causes: watched.then(|| self.chronicle.causes()),
            story: if watched && !self.rows.is_empty() { story(self.chronicle.entries(), &name) } else { Vec::new() },
        };
        self.report.verdict = standing.verdict();
        if let Some(failure) = &self.failure {
            self.report.verdict.headline = format!("The run failed: {failure}.");
            self.report.verdict.tone = Tone::Bad;
        }
        Ok(())
    }

    /// Judges the best epoch, if the report does not tell it yet.
    fn judge(&mut self) -> Result<(), TrainError> {
        let Some((epoch, evaluation)) = &self.best else { return Ok(()) };
        if self.report.judged.as_ref().is_some_and(|judged| judged.epoch == *epoch) {
            return Ok(());
        }
        self.report.judged = Some(judge(*epoch, evaluation, &self.job.class_names, self.validation)?);
        let thresholds = evaluation.thresholds();
        for (i, (class, found)) in self.report.classes.iter_mut().zip(&evaluation.metrics.classes).enumerate() {
            class.validation = Some(found.objects);
            (class.ap, class.ap50) = (found.ap, found.ap50);
            class.threshold = thresholds.classes.get(i).copied().flatten().map(|t| t.score);
        }
        Ok(())
    }

    /// Training images that the watchdog doubts; photos that are in the report already stay.
    fn doubt(&mut self) -> Result<(), TrainError> {
        let doubted = suspicious(self.chronicle.entries(), SUSPICIOUS);
        let indices: Vec<u32> = doubted.iter().map(|s| s.index).collect();
        let before = std::mem::replace(&mut self.suspects, indices);
        let mut known: Vec<(u32, BoxedPhoto)> =
            before.into_iter().zip(std::mem::take(&mut self.report.suspicious).into_iter().map(|s| s.photo)).collect();
        for Suspected { index, doubt, score } in doubted {
            let photo = match known.iter().position(|(i, _)| *i == index) {
                Some(at) => Some(known.swap_remove(at).1),
                None => labelled(self.job, self.training, index as usize, SIDE)?,
            };
            let why = format!("{}; {score:.1} deviations above the others", doubt.sentence());
            match photo {
                Some(photo) => self.report.suspicious.push(Suspicious { photo, why }),
                None => self.suspects.retain(|i| *i != index),
            }
        }
        Ok(())
    }
}

fn figures(row: &EpochRow) -> ReportEpoch {
    let r = &row.record;
    ReportEpoch {
        epoch: r.epoch,
        step: r.step,
        class_loss: r.class_loss,
        box_loss: r.box_loss,
        lr: r.lr,
        ap: r.ap,
        ap50: r.ap50,
        ap75: r.ap75,
        held_out: row.held_out,
        images_per_second: row.images_per_second,
        seconds: row.seconds,
        class_ap: row.class_ap.clone(),
    }
}

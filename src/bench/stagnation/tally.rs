//! The results of the stagnation bench: a row for each fault, and totals.

use super::fault::Fault;
use super::outcome::Outcome;
use crate::watchdog::median;
use std::fmt::Write;

/// Over the lines of single runs.
pub const HEADER: &str = "fault               seed  step  epochs  right  AP50 off  plateau   cure  healthy  first diagnosis; later; verdicts";

/// Sums over the runs with one fault.
struct TallyRow {
    fault: Fault,
    runs: u32,
    detected: u32,
    right: u32,
    /// Epochs until the first diagnosis.
    delays: Vec<f64>,
    aucs: Vec<f64>,
    /// AP50 as it is, stopped early, cured, healthy.
    ap50: [f64; 4],
    /// The first three against that of the healthy run of the same seed.
    shares: [f64; 3],
}

#[derive(Default)]
pub struct FaultTally {
    rows: Vec<TallyRow>,
    healthy: u32,
    alarms: u32,
}

impl FaultTally {
    pub fn healthy(&mut self, run: &Outcome) {
        self.healthy += 1;
        self.alarms += u32::from(run.first.is_some());
    }

    /// Takes in a run that was only watched and the same one cured.
    pub fn faulty(&mut self, fault: Fault, [off, on]: [&Outcome; 2], healthy: f64) {
        if self.rows.last().is_none_or(|r| r.fault != fault) {
            let (delays, aucs) = (Vec::new(), Vec::new());
            self.rows.push(TallyRow {
                fault,
                runs: 0,
                detected: 0,
                right: 0,
                delays,
                aucs,
                ap50: [0.0; 4],
                shares: [0.0; 3],
            });
        }
        let row = self.rows.last_mut().expect("a row was pushed");
        row.runs += 1;
        row.detected += u32::from(off.first.is_some());
        row.right += u32::from(off.named);
        row.delays.extend(off.first.as_ref().map(|(_, step)| *step as f64 / off.steps_per_epoch as f64));
        row.aucs.extend(off.auc);
        let found = [off.ap50, off.ap50_plateau, on.ap50];
        row.ap50.iter_mut().zip(found.iter().chain([&healthy])).for_each(|(sum, ap50)| *sum += ap50);
        row.shares.iter_mut().zip(found).for_each(|(sum, ap50)| *sum += ap50 / healthy.max(1e-6));
    }

    /// A row a fault, in Markdown, and what it all comes to.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| fault | detected | median delay, epochs | named right | AP50 as it is | early stopping | cured | healthy | AUC |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for r in &self.rows {
            let n = f64::from(r.runs.max(1));
            let [off, plateau, cured, healthy] = r.ap50.map(|sum| sum / n);
            let delay = if r.delays.is_empty() { "-".into() } else { format!("{:.1}", median(&r.delays)) };
            let auc = if r.aucs.is_empty() { String::new() } else { format!("{:.3}", median(&r.aucs)) };
            let name = r.fault.name();
            let _ = writeln!(
                text,
                "| {name} | {}/{} | {delay} | {}/{} | {off:.3} | {plateau:.3} | {cured:.3} | {healthy:.3} | {auc} |",
                r.detected, r.runs, r.right, r.runs
            );
        }
        let sum = |f: &dyn Fn(&TallyRow) -> u32| self.rows.iter().map(f).sum::<u32>();
        let (runs, detected, right) = (sum(&|r| r.runs), sum(&|r| r.detected), sum(&|r| r.right));
        let percent = |n: f64, of: u32| 100.0 * n / f64::from(of.max(1));
        let _ = writeln!(
            text,
            "{runs} runs with a fault: {:.0} % detected, {:.0} % named right; {} alarms in {} healthy runs",
            percent(f64::from(detected), runs),
            percent(f64::from(right), runs),
            self.alarms,
            self.healthy
        );
        for (which, curable) in [("curable", true), ("all", false)] {
            let rows: Vec<&TallyRow> = self.rows.iter().filter(|r| !curable || r.fault.is_curable()).collect();
            let runs = rows.iter().map(|r| r.runs).sum::<u32>();
            let share = |i: usize| percent(rows.iter().map(|r| r.shares[i]).sum(), runs);
            let _ = writeln!(
                text,
                "AP50 against healthy, {which}: {:.0} % as it is, {:.0} % with early stopping, {:.0} % cured",
                share(0),
                share(1),
                share(2)
            );
        }
        text
    }
}

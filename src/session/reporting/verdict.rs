//! Better or not, by how much, and what held the run back: the first thing a report says.

use crate::report::page::{BestFigures, RunVerdict, Tone, duration};
use crate::train::{Ending, EpochRow};

/// A difference of AP below this is none.
const GAIN: f64 = 0.005;

/// Fewer validation objects than these make a coarse AP.
const FEW_OBJECTS: usize = 50;

/// The facts behind a verdict.
pub struct Standing<'a> {
    /// `None` while the run goes on.
    pub ending: Option<Ending>,
    pub epochs: u64,
    pub rows: &'a [EpochRow],
    pub judged: Option<&'a BestFigures>,
    /// The causes that the watchdog named, each once; `None` where the run is not watched.
    pub causes: Option<Vec<&'static str>>,
    pub story: Vec<String>,
}

impl Standing<'_> {
    /// The row of the best epoch.
    fn best(&self) -> Option<&EpochRow> {
        let known = self.rows.iter().filter(|r| r.record.ap.is_some());
        // The first of equal ones is the one that was kept.
        known.reduce(|best, row| if row.record.ap > best.record.ap { row } else { best })
    }

    pub fn verdict(self) -> RunVerdict {
        let (tone, came) = self.came_to();
        let done = self.rows.last().map_or(0, |r| r.record.epoch);
        let headline = match self.ending {
            None if self.rows.is_empty() => "Training is under way; the first validation follows epoch 1.".into(),
            None => format!("Running, {done} of {} epochs done. {came}", self.epochs),
            Some(Ending::Finished) => came,
            Some(Ending::Patience) => format!("{came} Ended early, for AP rose no more."),
            Some(Ending::Reached) => format!("{came} Ended early with the AP that was asked for."),
            Some(Ending::GivenUp) => format!("{came} Ended early by the watchdog."),
            Some(Ending::Stopped) => {
                format!("Stopped after {done} of {} epochs, and can be resumed. {came}", self.epochs)
            }
            Some(Ending::Refused) => {
                format!("Stopped after {done} of {} epochs, for the storage refused. {came}", self.epochs)
            }
        };
        let tone = if self.ending.is_none() { Tone::Neutral } else { tone };
        let (figures, notes) = (self.figures(), self.notes());
        RunVerdict { headline, tone, figures, notes, story: self.story }
    }

    /// How AP went.
    fn came_to(&self) -> (Tone, String) {
        let Some(first) = self.rows.first() else { return (Tone::Neutral, "No epoch was validated.".into()) };
        let Some((best, ap)) = self.best().and_then(|row| Some((row, row.record.ap?))) else {
            return (Tone::Bad, "AP cannot be measured: the validation images show no object.".into());
        };
        let epoch = best.record.epoch;
        let start = first.record.ap.unwrap_or(0.0);
        if ap < GAIN {
            return (Tone::Bad, format!("Nothing is found yet: the best AP is {ap:.3}."));
        }
        if self.rows.len() == 1 {
            return (Tone::Neutral, format!("AP is {ap:.3} after the first epoch."));
        }
        if ap - start >= GAIN {
            let words = format!("AP rose from {start:.3} after the first epoch to {ap:.3} after epoch {epoch}.");
            return (Tone::Good, words);
        }
        let more = self.rows.len() - 1;
        (Tone::Bad, format!("No better: AP was {start:.3} after the first epoch, and {more} more did not raise it."))
    }

    fn figures(&self) -> Vec<(String, String)> {
        let mut figures: Vec<(String, String)> = Vec::new();
        let mut say = |what: &str, much: String| figures.push((what.into(), much));
        if let Some(best) = self.best() {
            let show = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.3}"));
            say("best AP", show(best.record.ap));
            say("AP at IoU 0.5", show(best.record.ap50));
            say("best epoch", best.record.epoch.to_string());
        }
        if let Some(t) = self.judged.and_then(|j| j.threshold) {
            say("threshold", format!("{:.2}", t.score));
            say("right above it", format!("{:.0} %", 100.0 * t.precision));
            say("objects found", format!("{:.0} %", 100.0 * t.recall));
        }
        if let Some(judged) = self.judged {
            say("images judged", judged.images.to_string());
            say("objects judged", judged.objects.to_string());
        }
        if let Some(last) = self.rows.last() {
            last.seconds.into_iter().for_each(|s| say("time", duration(s)));
            last.images_per_second.into_iter().for_each(|v| say("images/s", format!("{v:.1}")));
        }
        figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match &self.causes {
            Some(causes) if !causes.is_empty() => {
                notes.push(format!("What stood in the way, by the watchdog: {}.", causes.join("; ")));
            }
            Some(_) if self.ending.is_some() => notes.push("The watchdog found nothing that stood in the way.".into()),
            Some(_) => {}
            None => notes.push("The watchdog is off: nobody looked for causes.".into()),
        }
        let last = self.rows.last().map(|r| r.record.epoch);
        let at_the_end = last.is_some() && self.best().map(|b| b.record.epoch) == last;
        if self.ending == Some(Ending::Finished) && at_the_end && self.rows.len() > 1 {
            notes.push("The last epoch was the best one, so more epochs may still help.".into());
        }
        if let Some(judged) = self.judged.filter(|j| j.objects < FEW_OBJECTS) {
            notes.push(format!("Only {} objects were judged, so AP moves in large steps.", judged.objects));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::EpochRecord;

    fn verdict(aps: &[Option<f64>], ending: Option<Ending>) -> RunVerdict {
        let row = |(i, ap): (usize, &Option<f64>)| EpochRow {
            record: EpochRecord { epoch: i as u64 + 1, ap: *ap, ..EpochRecord::default() },
            ..EpochRow::default()
        };
        let rows: Vec<EpochRow> = aps.iter().enumerate().map(row).collect();
        Standing { ending, epochs: 30, rows: &rows, judged: None, causes: Some(Vec::new()), story: Vec::new() }
            .verdict()
    }

    #[test]
    fn the_headline_says_whether_it_is_better() {
        let finished = Some(Ending::Finished);
        let cases = [
            (
                vec![Some(0.1), Some(0.5), Some(0.4)],
                finished,
                Tone::Good,
                "from 0.100 after the first epoch to 0.500 after epoch 2",
            ),
            (vec![Some(0.3), Some(0.2)], finished, Tone::Bad, "No better: AP was 0.300"),
            (vec![Some(0.0), Some(0.0)], finished, Tone::Bad, "Nothing is found yet"),
            (vec![None, None], finished, Tone::Bad, "AP cannot be measured"),
            (vec![Some(0.3)], finished, Tone::Neutral, "AP is 0.300 after the first epoch"),
            (vec![], None, Tone::Neutral, "under way"),
            (vec![Some(0.1), Some(0.5)], None, Tone::Neutral, "Running, 2 of 30 epochs done. AP rose"),
            (vec![Some(0.1), Some(0.5)], Some(Ending::Stopped), Tone::Good, "can be resumed"),
        ];
        for (aps, ending, tone, words) in cases {
            let v = verdict(&aps, ending);
            assert!(v.tone == tone && v.headline.contains(words), "{aps:?}: {v:?}");
        }
    }

    #[test]
    fn a_run_that_was_best_at_its_end_may_go_on() {
        let notes = verdict(&[Some(0.1), Some(0.5)], Some(Ending::Finished)).notes.join(" ");
        assert!(
            notes.contains("more epochs may still help") && notes.contains("nothing that stood in the way"),
            "{notes}"
        );
        assert!(!verdict(&[Some(0.5), Some(0.1)], Some(Ending::Finished)).notes.join(" ").contains("more epochs"));
    }
}

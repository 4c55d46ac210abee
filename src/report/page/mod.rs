//! The report of a run as one HTML file that needs nothing else: no network, no script, no file beside it.
//!
//! [`write_page`] streams it, so that photos are not in memory twice. Every text that comes from outside passes through
//! `markup::MarkupText`; a content policy in the page forbids scripts and requests besides.

mod chart;
mod classes;
mod curves;
mod facts;
mod markup;
mod matrix;
mod photo;
mod photos;
mod run_report;

use std::io::{self, Write};

use markup::MarkupText;

pub use markup::duration;
pub use photo::{BoxMark, BoxedPhoto, ExamplePhoto, MarkedBox};
pub use run_report::{
    BestFigures, ClassFigures, DataAccount, MachineFigures, MarkKind, Plan, ReportEpoch, RunCurves, RunReport,
    RunVerdict, StepFigures, Suspicious, Tone, WatchdogMark,
};

const STYLE: &str = include_str!("style.css");

/// The content policy: scripts and requests are forbidden, whatever a text might smuggle in.
const POLICY: &str = include_str!("policy.txt");

/// Anchors and titles of the sections, in order.
const SECTIONS: [(&str, &str); 9] = [
    ("verdict", "Verdict"),
    ("curves", "Training"),
    ("classes", "Classes"),
    ("scores", "Scores"),
    ("confusion", "Confusion"),
    ("examples", "Examples"),
    ("data", "Data"),
    ("machine", "Machine"),
    ("plan", "Plan and use"),
];

/// Writes the page.
///
/// # Errors
/// If the writer refuses.
pub fn write_page(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let name = MarkupText(&report.name);
    writeln!(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(out, "<meta name=\"color-scheme\" content=\"light dark\">")?;
    writeln!(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">", POLICY.trim_end())?;
    writeln!(out, "<link rel=\"icon\" href=\"data:,\">")?;
    writeln!(out, "<title>{name}: report</title>\n<style>\n{STYLE}</style></head><body>")?;
    writeln!(out, "<header><h1>{name}</h1><nav aria-label=\"sections\">")?;
    for (id, title) in SECTIONS {
        write!(out, "<a href=\"#{id}\">{title}</a> ")?;
    }
    writeln!(out, "</nav></header><main>")?;
    for (id, title) in SECTIONS {
        writeln!(out, "<section id=\"{id}\"><h2>{title}</h2>")?;
        match id {
            "verdict" => verdict(&report.verdict, out)?,
            "curves" => curves::write(&report.curves, out)?,
            "classes" => classes::write(report, out)?,
            "scores" => classes::scores(report.judged.as_ref(), out)?,
            "confusion" => matrix::write(report.judged.as_ref(), out)?,
            "examples" => photos::examples(report.judged.as_ref(), out)?,
            "data" => photos::data(report, out)?,
            "machine" => facts::machine(report, out)?,
            _ => facts::plan(&report.plan, out)?,
        }
        writeln!(out, "</section>")?;
    }
    writeln!(out, "</main></body></html>")
}

fn verdict(verdict: &RunVerdict, out: &mut dyn Write) -> io::Result<()> {
    let (tone, sign) = match verdict.tone {
        Tone::Neutral => ("neutral", "●"),
        Tone::Good => ("good", "✔"),
        Tone::Bad => ("bad", "▲"),
    };
    writeln!(
        out,
        "<p class=\"headline {tone}\"><span aria-hidden=\"true\">{sign}</span> {}</p>",
        MarkupText(&verdict.headline)
    )?;
    if !verdict.figures.is_empty() {
        write!(out, "<dl class=\"tiles\">")?;
        for (what, much) in &verdict.figures {
            write!(out, "<div><dt>{}</dt><dd>{}</dd></div>", MarkupText(what), MarkupText(much))?;
        }
        writeln!(out, "</dl>")?;
    }
    for note in &verdict.notes {
        writeln!(out, "<p>{}</p>", MarkupText(note))?;
    }
    if verdict.story.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h3>What the watchdog saw</h3><ul class=\"story\">")?;
    for line in &verdict.story {
        let class = if line.starts_with(' ') {
            " class=\"follows\""
        } else if line.starts_with("To do:") {
            " class=\"todo\""
        } else {
            ""
        };
        writeln!(out, "<li{class}>{}</li>", MarkupText(line.trim()))?;
    }
    writeln!(out, "</ul>")
}

/// A sentence where there is nothing yet.
fn nothing(out: &mut dyn Write, why: &str) -> io::Result<()> {
    writeln!(out, "<p class=\"none\">{}</p>", MarkupText(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(report: &RunReport) -> String {
        let mut text = Vec::new();
        write_page(report, &mut text).expect("memory takes it");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn a_run_that_has_done_nothing_yet_has_a_page() {
        let text = page(&RunReport::default());
        for (id, _) in SECTIONS {
            assert!(text.contains(&format!("<section id=\"{id}\">")), "{id}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    const NASTY: &str =
        "</title></style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{1b}]0;x\u{7}\0&\u{202e}";

    /// A report with the same text in every place that a name, a path or a message may come to.
    fn hostile() -> RunReport {
        let text = || NASTY.to_string();
        let bbox = crate::boxes::CornerBox::new(0.1, 0.1, 0.9, 0.9);
        let boxes = || vec![MarkedBox { bbox, mark: BoxMark::Miss, label: text() }];
        let image = crate::data::RgbImage { width: 4, height: 4, pixels: vec![9; 48] };
        let photo = || BoxedPhoto::new(&image, 4, text(), boxes()).expect("pixels");
        let example = || ExamplePhoto { photo: photo(), detections: boxes() };
        let threshold = Some(crate::eval::Threshold { score: 0.4, precision: 0.9, recall: 0.8 });
        let point = |score| crate::eval::ScorePoint { score, precision: Some(0.5), recall: Some(0.5) };
        let confusion = Some(crate::eval::Confusion { counts: vec![1; 9], classes: 2 });
        let step = |step| StepFigures { step, class_loss: 2.0, box_loss: 1.0, lr: 0.1 };
        let epoch =
            |epoch| ReportEpoch { epoch, step: 9, ap: Some(0.1), class_ap: vec![Some(0.1); 2], ..Default::default() };
        RunReport {
            name: text(),
            verdict: RunVerdict {
                headline: text(),
                tone: Tone::Bad,
                figures: vec![(text(), text())],
                notes: vec![text()],
                story: vec![text(), format!("  {NASTY}"), format!("To do: {NASTY}")],
            },
            curves: RunCurves {
                steps: vec![step(1), step(9)],
                epochs: vec![epoch(1), epoch(2)],
                marks: vec![WatchdogMark { step: 5, kind: MarkKind::Cure, words: text() }; 3],
                total_steps: 20,
            },
            classes: vec![ClassFigures { name: text(), ..ClassFigures::default() }; 2],
            judged: Some(BestFigures {
                threshold,
                scores: vec![point(0.0), point(1.0)],
                rows: vec![text(); 2],
                confusion,
                best: vec![example()],
                worst: vec![example()],
                ..BestFigures::default()
            }),
            data: DataAccount { lines: vec![text()], errors: vec![text()], photos: vec![photo()], images: [1, 1] },
            suspicious: vec![Suspicious { photo: photo(), why: text() }],
            machine: MachineFigures { facts: vec![(text(), text())], temperatures: vec![(1, 50.0), (2, 55.0)] },
            plan: Plan { facts: vec![(text(), text())], settings: text(), deploy: vec![(text(), text())] },
        }
    }

    /// Name and attributes of every tag, read as a browser does: quotes hide everything.
    fn tags(page: &str) -> Vec<(String, String)> {
        let (mut tags, mut rest) = (Vec::new(), page);
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            let (mut quoted, mut end) = (false, rest.len());
            for (i, c) in rest.char_indices() {
                match c {
                    '"' => quoted = !quoted,
                    '>' if !quoted => {
                        end = i;
                        break;
                    }
                    _ => {}
                }
            }
            let tag = &rest[..end];
            let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            tags.push((name.trim_matches('/').to_ascii_lowercase(), attributes.to_string()));
            rest = &rest[end..];
        }
        tags
    }

    #[test]
    fn no_text_becomes_markup_wherever_it_stands() {
        let text = page(&hostile());
        const KNOWN: [&str; 51] = [
            "circle",
            "!doctype",
            "html",
            "head",
            "meta",
            "link",
            "title",
            "style",
            "body",
            "header",
            "h1",
            "h2",
            "h3",
            "nav",
            "a",
            "main",
            "section",
            "p",
            "span",
            "dl",
            "dt",
            "dd",
            "div",
            "ul",
            "ol",
            "li",
            "b",
            "br",
            "figure",
            "figcaption",
            "svg",
            "g",
            "path",
            "text",
            "rect",
            "image",
            "use",
            "details",
            "summary",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "input",
            "label",
            "i",
            "pre",
            "code",
            "small",
        ];
        for (name, attributes) in tags(&text) {
            assert!(KNOWN.contains(&name.as_str()), "<{name} {attributes}>");
            // Outside the quotes there is no event handler.
            let bare: String = attributes.split('"').step_by(2).collect();
            assert!(!bare.split_whitespace().any(|a| a.starts_with("on")), "<{name} {attributes}>");
        }
        let forbidden = ['\u{1b}', '\u{7}', '\0', '\u{202e}'];
        assert!(!text.contains(forbidden));
        assert!(text.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count() > 30);
        // The only addresses are data and places in the page.
        for address in text.split("href=\"").skip(1).chain(text.split("src=\"").skip(1)) {
            assert!(address.starts_with('#') || address.starts_with("data:"), "{}", &address[..40]);
        }
    }

    #[test]
    fn every_place_in_the_page_that_a_link_leads_to_is_there_once() {
        let text = page(&hostile());
        for target in text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(text.matches(&format!("id=\"{target}\"")).count(), 1, "{target}");
        }
    }

    #[test]
    fn the_style_has_nothing_from_elsewhere() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
    }
}

//! The sections with photos: best and worst predictions beside the labels, the data set, and training images in doubt.

use std::io::{self, Write};

use super::markup::MarkupText;
use super::nothing;
use super::photo::ExamplePhoto;
use super::run_report::{BestFigures, RunReport};

/// Writes the section of examples.
///
/// # Errors
/// If the writer refuses.
pub fn examples(judged: Option<&BestFigures>, out: &mut dyn Write) -> io::Result<()> {
    let Some(judged) = judged else { return nothing(out, "No epoch has been validated yet.") };
    writeln!(
        out,
        "<p>Validation photos by the weights of epoch {}, detections with a score of at least {:.2}. \
         <span class=\"key hit\">hit</span> <span class=\"key miss\">miss</span> \
         <span class=\"key alarm\">false alarm</span></p>",
        judged.epoch, judged.score
    )?;
    for (title, id, list) in [("Worst", "worst", &judged.worst), ("Best", "best", &judged.best)] {
        if list.is_empty() {
            continue;
        }
        writeln!(out, "<h3>{title}</h3><div class=\"examples\">")?;
        for (i, example) in list.iter().enumerate() {
            write!(out, "<figure>")?;
            example.write(out, &format!("photo-{id}-{i}"))?;
            writeln!(
                out,
                "<figcaption>{}<br>{}</figcaption></figure>",
                MarkupText(&example.photo.caption),
                counted(example)
            )?;
        }
        writeln!(out, "</div>")?;
    }
    Ok(())
}

fn counted(example: &ExamplePhoto) -> String {
    let [hits, misses, alarms] = example.counts();
    let many = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    [many(hits, "hit", "hits"), many(misses, "miss", "misses"), many(alarms, "false alarm", "false alarms")].join(", ")
}

/// Writes the section of the data set.
///
/// # Errors
/// If the writer refuses.
pub fn data(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let data = &report.data;
    let [training, validation] = data.images;
    writeln!(out, "<p>{training} images to train on, {validation} to validate on.</p>")?;
    if !data.lines.is_empty() {
        writeln!(out, "<ul class=\"account\">")?;
        for line in &data.lines {
            writeln!(out, "<li>{}</li>", MarkupText(line))?;
        }
        writeln!(out, "</ul>")?;
    }
    for error in &data.errors {
        writeln!(out, "<p class=\"warning\">▲ {}</p>", MarkupText(error))?;
    }
    if !report.suspicious.is_empty() {
        writeln!(out, "<h3>Labels worth a look</h3>")?;
        writeln!(
            out,
            "<p>Training photos whose losses stay highest, most suspicious first.</p><div class=\"photos\">"
        )?;
        for s in &report.suspicious {
            write!(out, "<figure>")?;
            s.photo.write(out)?;
            writeln!(
                out,
                "<figcaption>{}<br>{}</figcaption></figure>",
                MarkupText(&s.photo.caption),
                MarkupText(&s.why)
            )?;
        }
        writeln!(out, "</div>")?;
    }
    if !data.photos.is_empty() {
        writeln!(out, "<h3>Some training photos with their labels</h3><div class=\"photos\">")?;
        for photo in &data.photos {
            write!(out, "<figure>")?;
            photo.write(out)?;
            writeln!(out, "<figcaption>{}</figcaption></figure>", MarkupText(&photo.caption))?;
        }
        writeln!(out, "</div>")?;
    }
    Ok(())
}

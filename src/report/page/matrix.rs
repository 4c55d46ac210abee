//! The confusion matrix as a table: small ones with counts or shares in the cells, large ones as a map to scroll in, and
//! above both the commonest mix-ups in words.

use std::io::{self, Write};

use super::markup::MarkupText;
use super::nothing;
use super::run_report::BestFigures;
use crate::eval::Confusion;

/// With more rows than these, cells have no room for numbers.
const MOST_NUMBERS: usize = 24;
/// Mix-ups in words.
const MOST_WORDS: usize = 10;

/// Writes the section.
///
/// # Errors
/// If the writer refuses.
pub fn write(judged: Option<&BestFigures>, out: &mut dyn Write) -> io::Result<()> {
    let Some((judged, matrix)) = judged.and_then(|j| Some((j, j.confusion.as_ref()?))) else {
        return nothing(out, "No epoch has been validated yet.");
    };
    writeln!(
        out,
        "<p>Rows are labels, columns detections with a score of at least {:.2} at IoU 0.5. Blue is right, orange wrong; the \
         depth is the share of the row.</p>",
        judged.score
    )?;
    words(&judged.rows, matrix, out)?;
    let small = judged.rows.len() <= MOST_NUMBERS;
    if small {
        write!(out, "<input type=\"checkbox\" id=\"shares\"><label for=\"shares\">shares of the row in %</label>")?;
    }
    let class = if small { "matrix numbers" } else { "matrix" };
    writeln!(out, "<div class=\"scroll tall\" tabindex=\"0\"><table class=\"{class}\"><thead><tr><td></td>")?;
    let side = matrix.classes + 1;
    let name = |i: usize, edge: &'static str| judged.rows.get(i).map_or(edge, String::as_str);
    for i in 0..side {
        write!(out, "<th scope=\"col\"><span>{}</span></th>", MarkupText(name(i, "(missed)")))?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    for row in 0..side {
        write!(out, "<tr><th scope=\"row\">{}</th>", MarkupText(name(row, "(nothing)")))?;
        let total = total(matrix, row);
        for column in 0..side {
            let count = matrix.count(row, column);
            if count == 0 {
                write!(out, "<td>")?;
                continue;
            }
            let share = count as f64 / total.max(1) as f64;
            // The square root lets rare mix-ups show.
            let depth = 0.1 + 0.9 * share.sqrt();
            let right = row == column;
            let class = [if right { "r" } else { "w" }, if depth > 0.8 { " d" } else { "" }].concat();
            let (truth, found) = (name(row, "(nothing)"), name(column, "(missed)"));
            write!(
                out,
                "<td class=\"{class}\" style=\"--s:{depth:.2}\" title=\"{} → {}: {count} ({:.0} %)\">",
                MarkupText(truth),
                MarkupText(found),
                100.0 * share
            )?;
            if small {
                write!(out, "<i>{count}</i><b>{:.0}</b>", 100.0 * share)?;
            }
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>")
}

fn total(matrix: &Confusion, row: usize) -> usize {
    (0..=matrix.classes).map(|column| matrix.count(row, column)).sum()
}

/// The commonest errors as sentences.
fn words(rows: &[String], matrix: &Confusion, out: &mut dyn Write) -> io::Result<()> {
    let nothing = matrix.classes;
    let mut wrong: Vec<(usize, usize, usize)> = (0..=nothing)
        .flat_map(|row| (0..=nothing).map(move |column| (row, column)))
        .filter(|(row, column)| row != column)
        .map(|(row, column)| (matrix.count(row, column), row, column))
        .filter(|(count, ..)| *count > 0)
        .collect();
    wrong.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    if wrong.is_empty() {
        return Ok(());
    }
    let name = |i: usize| rows.get(i).map_or("", String::as_str);
    writeln!(out, "<p>Commonest errors:</p><ul class=\"mixups\">")?;
    for (count, row, column) in wrong.into_iter().take(MOST_WORDS) {
        let all = total(matrix, row);
        match (row == nothing, column == nothing) {
            (true, _) => writeln!(
                out,
                "<li>{count} detections of <b>{}</b> where nothing is labelled</li>",
                MarkupText(name(column))
            )?,
            (_, true) => writeln!(out, "<li>{count} of {all} <b>{}</b> missed</li>", MarkupText(name(row)))?,
            _ => writeln!(
                out,
                "<li>{count} of {all} <b>{}</b> taken for <b>{}</b></li>",
                MarkupText(name(row)),
                MarkupText(name(column))
            )?,
        }
    }
    writeln!(out, "</ul>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_error_comes_first_and_eighty_classes_have_no_numbers() {
        let rows: Vec<String> = (0..80).map(|i| format!("class <{i}>")).collect();
        let mut counts = vec![0; 81 * 81];
        (counts[3 * 81 + 4], counts[3 * 81 + 3], counts[80 * 81 + 7]) = (9, 11, 30);
        let confusion = Some(Confusion { counts, classes: 80 });
        let judged = BestFigures { rows, confusion, score: 0.4, ..BestFigures::default() };
        let mut text = Vec::new();
        write(Some(&judged), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let [phantom, mixup] = [
            "30 detections of <b>class &lt;7&gt;</b>",
            "9 of 20 <b>class &lt;3&gt;</b> taken for <b>class &lt;4&gt;</b>",
        ]
        .map(|sentence| text.find(sentence).unwrap_or_else(|| panic!("{sentence}: {text}")));
        assert!(phantom < mixup);
        assert_eq!(text.matches("<td").count(), 81 * 81 + 1);
        assert!(!text.contains("<i>") && !text.contains("type=\"checkbox\""));
    }
}

//! The sections of plain facts: the machine, the plan, the settings, and how to use the result.

use std::io::{self, Write};

use super::chart::{Chart, ChartLine};
use super::markup::MarkupText;
use super::nothing;
use super::run_report::{Plan, RunReport};

/// Writes the section of the machine.
///
/// # Errors
/// If the writer refuses.
pub fn machine(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    let machine = &report.machine;
    if machine.facts.is_empty() {
        return nothing(out, "Nothing is known about the machine.");
    }
    table(&machine.facts, out)?;
    let points = machine.temperatures.iter().map(|&(epoch, celsius)| (epoch as f64, celsius)).collect();
    let chart = Chart {
        title: "Temperature in °C, highest of each epoch".into(),
        x_name: "epoch",
        lines: vec![ChartLine { name: "hottest part".into(), points }],
        ..Chart::default()
    };
    writeln!(out, "<div class=\"charts\">")?;
    chart.write(out)?;
    writeln!(out, "</div>")
}

/// Writes the section of plan, settings and use.
///
/// # Errors
/// If the writer refuses.
pub fn plan(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    if !plan.deploy.is_empty() {
        writeln!(out, "<h3>How to use the detector</h3><dl class=\"deploy\">")?;
        for (purpose, command) in &plan.deploy {
            writeln!(
                out,
                "<dt>{}</dt><dd><code tabindex=\"0\">{}</code></dd>",
                MarkupText(purpose),
                MarkupText(command)
            )?;
        }
        writeln!(out, "</dl>")?;
    }
    if !plan.facts.is_empty() {
        writeln!(out, "<h3>Plan</h3>")?;
        table(&plan.facts, out)?;
    }
    if !plan.settings.is_empty() {
        writeln!(out, "<details><summary>All settings (config.toml)</summary>")?;
        writeln!(out, "<pre tabindex=\"0\">{}</pre></details>", MarkupText(&plan.settings))?;
    }
    Ok(())
}

fn table(facts: &[(String, String)], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<table class=\"facts\"><tbody>")?;
    for (what, value) in facts {
        writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", MarkupText(what), MarkupText(value))?;
    }
    writeln!(out, "</tbody></table>")
}

//! Text from outside as it may stand in HTML and SVG, and figures as people read them.

use std::fmt::{self, Display, Formatter, Write};

/// A text of any origin, safe between tags and inside quoted attributes.
///
/// Markup becomes entities. Control characters get their visible pictures, and those that turn the direction of what follows
/// or are not allowed in HTML become U+FFFD. Line ends and tabs stay.
pub struct MarkupText<'a>(pub &'a str);

impl Display for MarkupText<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '`' => f.write_str("&#96;")?,
                '\n' | '\t' => f.write_char(c)?,
                '\0'..='\u{1f}' => f.write_char(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'))?,
                '\u{7f}' => f.write_char('\u{2421}')?,
                '\u{80}'..='\u{9f}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{fffe}'
                | '\u{ffff}' => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Three digits behind the point, or a dash.
pub fn figure(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or("–".into(), |v| format!("{v:.3}"))
}

/// Hours and minutes, or minutes and seconds.
pub fn duration(seconds: f64) -> String {
    let s = if seconds.is_finite() { seconds.max(0.0) as u64 } else { 0 };
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_a_text() {
        let nasty = "</title><script>alert('1')</script>\" onload=`x` &amp; \u{1b}[31m \0 \u{202e}txt \u{7f}\u{85}";
        let safe = MarkupText(nasty).to_string();
        assert!(!safe.contains(['<', '>', '"', '\'', '`', '\u{1b}', '\0', '\u{202e}', '\u{7f}', '\u{85}']), "{safe}");
        assert!(safe.starts_with("&lt;/title&gt;&lt;script&gt;") && safe.contains("&amp;amp; ␛[31m ␀"), "{safe}");
        assert_eq!(MarkupText("浣熊 ünïcode\nline").to_string(), "浣熊 ünïcode\nline");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([figure(Some(0.12345)), figure(None), figure(Some(f64::NAN))], ["0.123", "–", "–"]);
        assert_eq!([duration(59.9), duration(61.0), duration(7260.0)], ["59 s", "1 min 01 s", "2 h 01 min"]);
    }
}

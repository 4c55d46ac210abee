//! JSON as Python writes it: `NaN` and `Infinity`, which no other program reads.

use std::borrow::Cow;

/// The same text with `null` where a number is none.
pub fn plain(text: &str) -> Cow<'_, str> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !WORDS.iter().any(|w| text.contains(w)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut rest) = (false, false, text);
    while let Some(c) = rest.chars().next() {
        if let Some(word) = WORDS.iter().find(|w| !in_string && rest.starts_with(**w)) {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn numbers_that_are_none_become_null_and_texts_stay() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity], "c": "a \" NaN", "d\\": NaN}"#;
        assert_eq!(plain(text), r#"{"a": null, "b": [null, null], "c": "a \" NaN", "d\\": null}"#);
        assert_eq!(plain("{}"), "{}");
    }
}

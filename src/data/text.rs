//! Bytes of label files as text, whatever wrote them.
//!
//! In this order: the byte order mark, the encoding that an XML declares, UTF-8, UTF-16 by its zero bytes (Notepad and
//! PowerShell write both with and without a mark), and at last windows-1252, which is a guess and said to be one.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The declaration of an XML file ends within so many bytes.
const DECLARATION: usize = 256;
/// A card that lost power leaves zeros at the end of a file, and DOS its mark for the end.
const FILLERS: [char; 2] = ['\0', '\u{1a}'];
/// The words for a file that Git LFS has not fetched.
pub const NOT_FETCHED: &str = "a pointer of Git LFS in the place of the file; fetch it with `git lfs pull`";
/// The first words of a pointer that Git LFS leaves in the place of such a file.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Decoded text, and what was guessed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedText {
    /// Without byte order mark.
    pub text: String,
    /// The guess where neither the file's own statement nor its bytes decide; `None` where nothing was guessed.
    pub guess: Option<String>,
}

/// The text of a file, with the line ends of today and without the fillers that old programs put at the end.
pub fn decode(bytes: &[u8]) -> DecodedText {
    let DecodedText { mut text, guess } = decoded(bytes);
    text.truncate(text.trim_end_matches(FILLERS).len());
    // Lines of the old Mac end in a carriage return alone.
    if text.contains('\r') && !text.contains('\n') {
        text = text.replace('\r', "\n");
    }
    DecodedText { text, guess }
}

fn decoded(bytes: &[u8]) -> DecodedText {
    let certain = |text: String| DecodedText { text, guess: None };
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(&bytes[mark..]);
        return certain(text.into_owned());
    }
    if let Some(wide) = without_mark(bytes) {
        return certain(wide.decode_without_bom_handling(bytes).0.into_owned());
    }
    // A declaration that can be read byte by byte is no UTF-16, whatever it says.
    let declared = declared(bytes).filter(|e| *e != UTF_8 && *e != UTF_16LE && *e != UTF_16BE);
    if let Some(encoding) = declared {
        let (text, faulty) = encoding.decode_without_bom_handling(bytes);
        if !faulty {
            return certain(text.into_owned());
        }
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => certain(text.to_string()),
        Err(_) => {
            let encoding = declared.unwrap_or(WINDOWS_1252);
            let text = encoding.decode_without_bom_handling(bytes).0.into_owned();
            DecodedText { text, guess: Some(format!("not UTF-8; read as {}", encoding.name())) }
        }
    }
}

/// True for a pointer of Git LFS, which stands where the file itself was not fetched.
pub fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(LFS_POINTER)
}

/// UTF-16 without a mark: of text in Latin letters, every other byte is zero.
fn without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = &bytes[..bytes.len().min(512) & !1];
    let zeros = |odd: usize| start.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), start.len() / 2);
    match pairs >= 2 {
        true if odd * 2 > pairs && even * 8 < pairs => Some(UTF_16LE),
        true if even * 2 > pairs && odd * 8 < pairs => Some(UTF_16BE),
        _ => None,
    }
}

/// The encoding in `<?xml ... encoding="..."?>`.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = bytes.trim_ascii_start();
    let start = &start[..start.len().min(DECLARATION)];
    let start = start.strip_prefix(b"<?xml")?;
    let end = start.windows(2).position(|w| w == b"?>")?;
    let declaration = String::from_utf8_lossy(&start[..end]).into_owned();
    let value = declaration.split("encoding").nth(1)?.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Encoding::for_label(value[1..].split(quote).next()?.trim().as_bytes())
}

/// Text for a terminal or a report: control characters and the marks that turn the direction of writing are escaped.
pub fn shown(text: &str) -> String {
    let harmless = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if text.chars().all(harmless) {
        return text.to_string();
    }
    text.chars().map(|c| if harmless(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_write_is_read() {
        let wide = |text: &str, big: bool, mark: bool| -> Vec<u8> {
            let units = text.encode_utf16().flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() });
            let bom: &[u8] = match (mark, big) {
                (false, _) => &[],
                (_, true) => &[0xfe, 0xff],
                (_, false) => &[0xff, 0xfe],
            };
            bom.iter().copied().chain(units).collect()
        };
        let (gbk, _, _) = encoding_rs::GBK.encode("<?xml version=\"1.0\" encoding=\"gb2312\"?><name>浣熊</name>");
        for (bytes, text, guessed) in [
            (b"\xef\xbb\xbfcat".to_vec(), "cat", false),
            (wide("p0\r\np1\r\n", false, true), "p0\r\np1\r\n", false),
            (wide("p0\r\np1\r\n", true, true), "p0\r\np1\r\n", false),
            (wide("p0\r\np1\r\n", false, false), "p0\r\np1\r\n", false),
            (wide("p0\r\np1\r\n", true, false), "p0\r\np1\r\n", false),
            (gbk.into_owned(), "<?xml version=\"1.0\" encoding=\"gb2312\"?><name>浣熊</name>", false),
            ("Gärten".as_bytes().to_vec(), "Gärten", false),
            (b"G\xe4rten".to_vec(), "Gärten", true),
            (
                b"<?xml version='1.0' encoding='UTF-16'?><a/>".to_vec(),
                "<?xml version='1.0' encoding='UTF-16'?><a/>",
                false,
            ),
            (b"0 0.5 0.5\r\n\x1a".to_vec(), "0 0.5 0.5\r\n", false),
            ([&b"0 0.5 0.5\n"[..], &[0; 64]].concat(), "0 0.5 0.5\n", false),
            (b"p0\rp1\r".to_vec(), "p0\np1\n", false),
            (Vec::new(), "", false),
        ] {
            let read = decode(&bytes);
            assert_eq!((read.text.as_str(), read.guess.is_some()), (text, guessed), "{bytes:?}");
        }
    }

    #[test]
    fn control_characters_are_shown_and_letters_stay() {
        assert_eq!(shown("Gärten 浣熊"), "Gärten 浣熊");
        assert_eq!(shown("a\u{1b}[2Jb\n\u{202e}"), "a\\u{1b}[2Jb\\n\\u{202e}");
    }
}

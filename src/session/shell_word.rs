//! A path as a word that can be pasted into a shell.

use std::path::Path;

/// The path as one word of a shell's command line.
pub fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_any_name_is_one_word() {
        assert_eq!(shell_word(Path::new("runs/train/a-1")), "runs/train/a-1");
        assert_eq!(shell_word(Path::new("my runs/$(rm)'s")), r"'my runs/$(rm)'\''s'");
    }
}

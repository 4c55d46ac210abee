//! Rules of style that hold for comments: a doc comment begins with the thing that it is about.

use crate::sources::sources;

/// Words that begin a clause, not a sentence with a subject.
const CLAUSES: [&str; 3] = ["What ", "Whether ", "Where "];

#[test]
fn doc_comments_begin_with_a_noun() {
    let mut wrong = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests/it")) {
        let mut before = "";
        for (i, line) in source.text.lines().map(str::trim_start).enumerate() {
            let first = |mark: &str| line.strip_prefix(mark).filter(|_| !before.starts_with(mark.trim_end()));
            let text = first("/// ").or_else(|| first("//! "));
            if text.is_some_and(|text| CLAUSES.iter().any(|word| text.starts_with(word))) {
                wrong.push(format!("{}:{}: {line}", source.path, i + 1));
            }
            before = line;
        }
    }
    assert!(wrong.is_empty(), "name the thing that is documented:\n{}", wrong.join("\n"));
}

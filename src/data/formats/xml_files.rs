//! All XML files of a set, each parsed once: Pascal VOC's and CVAT's, told apart by their root element.
//!
//! Other roots are project files and settings of labelling tools, and are passed over.

use std::collections::HashSet;

use super::super::account::FileFate;
use super::super::annotation::FilePlace;
use super::super::error::DataError;
use super::super::finding::{FindingAction, FindingKind};
use super::super::folder::Folder;
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::paths::stem;
use super::super::text::{NOT_FETCHED, decode, is_lfs_pointer};
use super::format::Format;
use super::xml::parse;
use super::{cvat, voc};

/// The labels in XML files, of the format that has most of them; `None` if no XML is a label file.
///
/// # Errors
/// If a file that was just listed cannot be read, or if it is CVAT's video format; a malformed file is a finding.
pub fn read(folder: &Folder) -> Result<Option<(Format, Labels)>, DataError> {
    let (mut of_voc, mut of_cvat) = (Labels::default(), Labels::default());
    let mut taken = [HashSet::new(), HashSet::new()];
    let mut files = [0, 0];
    for entry in folder.with_extension("xml") {
        let bytes = entry.read("read the labels")?;
        let text = decode(&bytes);
        let (labels, fate) = match parse(&text.text) {
            Ok(root) if root.name.eq_ignore_ascii_case("annotation") => {
                files[0] += 1;
                let fate = voc::read_one(folder, entry, &root, &mut of_voc, &mut taken[0]);
                if let Some((at, _)) = text.text.match_indices("<annotation>").nth(1) {
                    let line = text.text[..at].lines().count();
                    of_voc
                        .lost(FilePlace::line(&entry.name, line), "a second annotation in the file; the first is read");
                }
                (&mut of_voc, fate)
            }
            Ok(root) if cvat::is_one(&root) => {
                files[1] += 1;
                let fate = cvat::read_one(folder, entry, &root, &mut of_cvat, &mut taken[1])?;
                (&mut of_cvat, fate)
            }
            Ok(_) => continue,
            Err((line, fault)) => {
                files[0] += 1;
                if let PhotoMatch::One(id) = folder.matcher().find(stem(&entry.name), &entry.name, None) {
                    taken[0].insert(id);
                    of_voc.spoken_of.insert(folder.entries()[id].name.clone());
                }
                let fault = if is_lfs_pointer(&bytes) { NOT_FETCHED.into() } else { fault };
                of_voc.malformed(FilePlace::line(&entry.name, line), fault);
                (&mut of_voc, FileFate::Malformed)
            }
        };
        labels.files.push(entry.stored.clone());
        labels.fates.push((entry.name.clone(), fate));
        if let Some(guess) = text.guess {
            labels.findings.note(FindingKind::TextEncoding, FilePlace::file(&entry.name), FindingAction::Kept, guess);
        }
    }
    let cvat_has_more = of_cvat.annotations.len() > of_voc.annotations.len();
    let (format, mut labels) = match files {
        [0, 0] => return Ok(None),
        [0, _] => (Format::Cvat, of_cvat),
        [_, 0] => (Format::Voc, of_voc),
        _ if cvat_has_more => (Format::Cvat, of_cvat),
        _ => (Format::Voc, of_voc),
    };
    labels.report_unlabelled(folder);
    Ok(Some((format, labels)))
}

//! Photos to pack and back, and every way a pack can be broken.

use std::fs;
use std::path::Path;

use fieldtune::data::{
    DataSet, FindingKind, Pack, PackAs, PackOptions, PackReport, is_current, pack_or_reuse, write_pack,
};

use crate::photos::{Photos, jpeg, voc_xml};
use crate::shared::shared;

/// Ten labelled photos, one background, one cut-off image; two splits by folder.
fn photos() -> Photos {
    let photos = Photos::new();
    for i in 0..10 {
        let folder = if i < 7 { "train" } else { "val" };
        photos.voc(&format!("set/{folder}/{i}"), i, &[("cat", [20, 20, 120, 90]), ("dog", [150, 10, 150, 10])]);
    }
    photos.voc("set/train/background", 20, &[]);
    photos.file("set/train/cut.jpg", &jpeg(200, 100, 30)[..1500]);
    photos.file("set/train/cut.xml", voc_xml(200, 100, &[("cat", [20, 20, 120, 90])]));
    photos
}

fn packed(photos: &Photos) -> (Pack, PackReport) {
    let path = photos.path().join("set.pack");
    let dataset = DataSet::open(&photos.path().join("set")).expect("opens");
    let report = write_pack(&dataset, &path, &PackOptions { max_side: 100, ..PackOptions::default() }, &mut |_, _| {});
    let report = report.unwrap_or_else(|e| panic!("{e}"));
    (Pack::open(&path).unwrap_or_else(|e| panic!("{e}")), report)
}

fn error_of(path: &Path) -> String {
    let pack = match Pack::open(path) {
        Err(error) => return error.to_string(),
        Ok(pack) => pack.split("all").expect("is always there"),
    };
    let first = (0..pack.len()).find_map(|i| pack.record(i).err());
    first.map_or("no error".to_string(), |e| e.to_string())
}

#[test]
fn what_is_packed_comes_back_scaled_cleaned_and_split() {
    let photos = photos();
    // Left behind by a process that is gone; no process has this number.
    photos.file(".set.pack.4294967295.tmp", "half a pack");
    let (pack, report) = packed(&photos);
    assert_eq!((report.records, report.skipped, report.objects), (11, 1, 10));
    assert!(report.report.count(FindingKind::TruncatedImage) == 1);
    assert_eq!(pack.classes(), ["cat", "dog"]);
    assert_eq!(pack.split_names(), ["train", "val"]);
    let (train, val) = (pack.split("train").expect("is there"), pack.split("valid").expect("a synonym"));
    assert_eq!((train.len(), val.len(), pack.split("all").expect("is there").len()), (8, 3, 11));
    let record = val.record(0).expect("is sound");
    assert_eq!((record.source.as_str(), record.source_size), ("val/7.jpg", [200, 100]));
    assert_eq!((record.image.width, record.image.height, record.image.pixels.len()), (100, 50, 15_000));
    assert_eq!(record.objects.len(), 1);
    assert_eq!(record.objects[0].bbox, fieldtune::boxes::CornerBox::new(0.1, 0.2, 0.6, 0.9));
    assert_eq!(val.objects(0).expect("is sound"), record.objects);
    let error = pack.split("nights").expect_err("is not there").to_string();
    assert!(error.contains("no split \"nights\", expected one of train, val, all"), "{error}");
    // Nothing but the pack and the data set is left in the folder.
    assert_eq!(fs::read_dir(photos.path()).expect("lists").count(), 2);
}

#[test]
fn a_pack_is_reused_until_the_source_or_the_options_change() {
    let photos = photos();
    let (data, path) = (photos.path().join("set"), photos.path().join("set.pack"));
    let options = PackOptions::default();
    let mut steps = Vec::new();
    let (_, first) = pack_or_reuse(&data, &path, &options, &mut |i, n| steps.push((i, n))).expect("packs");
    assert!(first.is_some());
    assert_eq!((steps.first(), steps.last()), (Some(&(1, 12)), Some(&(12, 12))));
    let again =
        |options: &PackOptions| pack_or_reuse(&data, &path, options, &mut |_, _| {}).expect("packs").1.is_some();
    assert!(!again(&options));
    let smaller = PackOptions { max_side: 64, ..options };
    assert!(again(&smaller));
    photos.file("set/train/0.xml", voc_xml(200, 100, &[("cat", [20, 20, 120, 95]), ("cow", [1, 1, 90, 90])]));
    let dataset = DataSet::open(&data).expect("opens");
    assert!(!is_current(&path, &dataset, &smaller));
    assert!(again(&smaller));
    assert!(is_current(&path, &dataset, &smaller));
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    let photos = photos();
    packed(&photos);
    let first = fs::read(photos.path().join("set.pack")).expect("reads");
    packed(&photos);
    assert!(first == fs::read(photos.path().join("set.pack")).expect("reads"));
}

/// The file that a process killed at byte `cut` of this pack left: its header was never sealed.
fn half(whole: &[u8], cut: usize) -> Vec<u8> {
    let mut bytes = whole[..cut].to_vec();
    bytes[16..24].fill(0);
    let crc = crc32fast::hash(&bytes[..24]).to_le_bytes();
    bytes[24..28].copy_from_slice(&crc);
    bytes
}

#[test]
fn packing_goes_on_where_a_killed_process_was() {
    let photos = photos();
    packed(&photos);
    let (path, part) = (photos.path().join("set.pack"), photos.path().join(".set.pack.part"));
    let whole = fs::read(&path).expect("reads");
    let dataset = DataSet::open(&photos.path().join("set")).expect("opens");
    let options = PackOptions { max_side: 100, ..PackOptions::default() };
    let mut starts = Vec::new();
    // The first cut lies before any photo; the last after all of them, in the index.
    for cut in [40, whole.len() / 4, whole.len() / 2, whole.len() - 60] {
        fs::remove_file(&path).expect("removes");
        fs::write(&part, half(&whole, cut)).expect("writes");
        let mut steps = Vec::new();
        let report = write_pack(&dataset, &path, &options, &mut |done, _| steps.push(done)).expect("packs");
        assert!(fs::read(&path).expect("reads") == whole, "cut at {cut}: the same bytes");
        assert_eq!((report.records, report.skipped, report.objects), (11, 1, 10), "cut at {cut}");
        assert_eq!(report.report.count(FindingKind::TruncatedImage), 1, "what was found before the stop is told, too");
        assert!(!part.exists());
        starts.push(steps[0]);
    }
    assert!(starts[0] == 1 && starts[1] > 1 && starts[2] > starts[1] && starts[3] == 12, "{starts:?}");
    // Half a pack of other photos is none to go on from.
    fs::write(&part, half(&whole, whole.len() / 2)).expect("writes");
    photos.file("set/train/0.xml", voc_xml(200, 100, &[("cat", [20, 20, 120, 95])]));
    let dataset = DataSet::open(&photos.path().join("set")).expect("opens");
    let mut first = 0;
    write_pack(&dataset, &path, &options, &mut |done, _| first = if first == 0 { done } else { first }).expect("packs");
    assert_eq!(first, 1);
}

#[test]
fn a_pack_of_jpegs_holds_the_same_photos_in_less_room() {
    let photos = photos();
    let dataset = DataSet::open(&photos.path().join("set")).expect("opens");
    let pack = |name: &str, photos_as: PackAs, max_side: usize| {
        let path = photos.path().join(name);
        let options = PackOptions { max_side, photos: photos_as, ..PackOptions::default() };
        write_pack(&dataset, &path, &options, &mut |_, _| {}).expect("packs");
        let len = fs::metadata(&path).expect("is there").len();
        (Pack::open(&path).expect("opens").split("all").expect("is there"), len)
    };
    for (max_side, most) in [(512, 0), (100, 16)] {
        let (pixels, large) = pack("pixels.pack", PackAs::Pixels, max_side);
        let (jpegs, small) = pack("jpegs.pack", PackAs::Jpeg, max_side);
        assert!(2 * small < large, "{small} {large}");
        assert_eq!((jpegs.len(), jpegs.photos()), (11, pixels.photos()), "known as the same photos");
        for i in 0..11 {
            let (a, b) = (pixels.record(i).expect("is sound"), jpegs.record(i).expect("is sound"));
            assert_eq!((&a.source, a.source_size, &a.objects), (&b.source, b.source_size, &b.objects));
            let off = a.image.pixels.iter().zip(&b.image.pixels).map(|(a, b)| a.abs_diff(*b)).max();
            // Photos that are not scaled keep their own bytes.
            assert!(a.image.width == b.image.width && off.is_some_and(|off| off <= most), "{max_side}: {off:?}");
        }
    }
    // A damaged photo is told with its place.
    let path = photos.path().join("jpegs.pack");
    let mut bytes = fs::read(&path).expect("reads");
    let at = bytes.windows(3).position(|w| w == [0xff, 0xd8, 0xff]).expect("a JPEG");
    bytes[at + 1] = 0;
    fs::write(&path, bytes).expect("writes");
    assert!(error_of(&path).contains("the pack is damaged: record 0 at byte"), "{}", error_of(&path));
}

#[test]
fn a_cut_off_pack_is_told_from_a_damaged_one() {
    let photos = photos();
    packed(&photos);
    let whole = fs::read(photos.path().join("set.pack")).expect("reads");
    let path = photos.path().join("broken.pack");
    for cut in [1, 7, 8, 20, 31, 32, 33, 1000, whole.len() / 2, whole.len() - 41, whole.len() - 40, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).expect("writes");
        let error = error_of(&path);
        assert!(error.contains("the pack is cut off: ") && error.contains("\nhelp: "), "cut at {cut}: {error}");
        assert!(cut < 32 || error.contains(&format!("{cut} bytes, expected {}", whole.len())), "{error}");
    }
    // Every 97th byte, and all of header and footer: no flip goes unnoticed, none ends in a panic.
    let ends = (0..28).chain(whole.len() - 40..whole.len());
    for at in (0..whole.len()).step_by(97).chain(ends) {
        if (28..32).contains(&at) {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).expect("writes");
        let error = error_of(&path);
        let expected = match at {
            0..8 => "expected a pack",
            8..12 => "a pack of format",
            _ => "the pack is damaged: ",
        };
        assert!(error.contains(expected), "flip at {at}: {error}");
    }
    let mut longer = whole.clone();
    longer.extend([0; 5]);
    fs::write(&path, longer).expect("writes");
    assert!(error_of(&path).contains("the pack is damaged: end: "), "{}", error_of(&path));
}

#[test]
fn other_files_are_no_packs() {
    let photos = photos();
    packed(&photos);
    let mut newer = fs::read(photos.path().join("set.pack")).expect("reads");
    newer[8] = 4;
    let mut unsealed = newer.clone();
    unsealed[8] = 3;
    unsealed[16..24].fill(0);
    // The checksum of a header that was never sealed.
    let crc = crc32fast::hash(&unsealed[..24]).to_le_bytes();
    unsealed[24..28].copy_from_slice(&crc);
    for (name, bytes, expected) in [
        ("newer", newer.as_slice(), "a pack of format 4, expected format 3"),
        ("unsealed", unsealed.as_slice(), "expected a pack whose writing came to its end"),
        ("empty", b"", "an empty file, expected a pack"),
        ("text", b"hello", "a file of another kind, expected a pack"),
        ("jpeg", &jpeg(20, 20, 1), "a file of another kind, expected a pack"),
    ] {
        photos.file(name, bytes);
        let error = error_of(&photos.path().join(name));
        assert!(error.contains(expected) && error.contains("\nhelp: "), "{name}: {error}");
    }
    assert!(error_of(photos.path()).contains("not a regular file"));
    assert!(error_of(&photos.path().join("nowhere")).contains("cannot open the pack"));
}

#[test]
fn a_set_without_one_readable_image_leaves_nothing_behind() {
    let photos = Photos::new();
    photos.file("set/a.jpg", "no picture").file("set/a.xml", voc_xml(200, 100, &[("cat", [20, 20, 120, 90])]));
    let dataset = DataSet::open(&photos.path().join("set")).expect("opens");
    let path = photos.path().join("set.pack");
    let error = write_pack(&dataset, &path, &PackOptions::default(), &mut |_, _| {}).expect_err("no image").to_string();
    assert!(error.contains("1 images, none of which can be read; first of them: a.jpg: not a JPEG"), "{error}");
    assert_eq!(fs::read_dir(photos.path()).expect("lists").count(), 1);
    let nowhere = photos.path().join("no/such/folder/set.pack");
    let error = write_pack(&dataset, &nowhere, &PackOptions::default(), &mut |_, _| {}).expect_err("no folder");
    assert!(error.to_string().contains("cannot write the pack"), "{error}");
}

#[test]
fn the_real_sets_pack_with_their_splits() {
    for (name, records, objects, splits) in [
        ("data/bccd", 364, 4886, vec![("test", 72), ("train", 205), ("trainval", 292), ("val", 87)]),
        ("data/raccoon", 200, 217, vec![("test", 40), ("train", 128), ("val", 32)]),
        ("data/microcontrollers", 149, 177, vec![("test", 7), ("train", 114), ("val", 28)]),
    ] {
        let Some(path) = shared(name) else { return };
        let folder = tempfile::tempdir().expect("temporary folder");
        let options = PackOptions { max_side: 320, ..PackOptions::default() };
        let packed = pack_or_reuse(&path, &folder.path().join("a.pack"), &options, &mut |_, _| {});
        let (pack, report) = packed.unwrap_or_else(|e| panic!("{e}"));
        let report = report.expect("was packed");
        assert_eq!((report.records, report.skipped, report.objects), (records, 0, objects), "{name}");
        for (split, len) in splits {
            assert_eq!(pack.split(split).expect("is there").len(), len, "{name} {split}");
        }
        let all = pack.split("all").expect("is there");
        let read: usize = (0..all.len()).map(|i| all.record(i).expect("is sound").objects.len()).sum();
        assert_eq!(read, objects);
    }
}

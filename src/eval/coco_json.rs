//! COCO files: ground truth (`images`, `annotations`, `categories`) and results.
//!
//! Results are a list of `{"image_id", "category_id", "bbox", "score"}`, or of arrays of these four in this order;
//! boxes are `[x, y, width, height]` in pixels. Other keys (segmentations, file names, ...) are skipped unread.
//! Lenient where there is one sensible reading: a missing `area` is the box's, a missing `iscrowd` is 0.
//!
//! Images and categories are sorted by id, the order in which pycocotools takes them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CocoBox, EvalError, ImageDetections, ImageTruth, ScoredBox, TruthBox};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    pub id: i64,
    /// Unique: where two categories share a name, their ids are appended.
    pub name: String,
}

/// A ground-truth file; the class of an object is an index into `categories`.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoTruth {
    pub categories: Vec<Category>,
    pub image_ids: Vec<i64>,
    /// In the order of `image_ids`.
    pub images: Vec<ImageTruth>,
}

/// A results file, sorted to the images and classes of its ground truth.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoResults {
    /// In the order of [`CocoTruth::images`].
    pub images: Vec<ImageDetections>,
    /// Category ids that the ground truth does not have, with how many detections each had: they were left out, as
    /// pycocotools does in silence.
    pub unknown_categories: BTreeMap<i64, usize>,
}

impl CocoTruth {
    /// `[K - 1]`, as [`super::coco_eval`] takes them.
    pub fn class_names(&self) -> Vec<String> {
        self.categories.iter().map(|c| c.name.clone()).collect()
    }
}

const TRUTH_HELP: &str = "a ground-truth file holds the lists `images`, `annotations` and `categories`";
const RESULTS_HELP: &str = "a results file is a list of {\"image_id\", \"category_id\", \"bbox\", \"score\"}";
const BOX_HELP: &str = "a box is [x, y, width, height] in pixels, its sizes not negative";

#[derive(Deserialize)]
#[serde(expecting = "an object with images, annotations and categories")]
struct RawTruth {
    images: Option<Vec<RawImage>>,
    annotations: Option<Vec<RawAnnotation>>,
    categories: Option<Vec<RawCategory>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an image object")]
struct RawImage {
    id: Option<Value>,
}

#[derive(Deserialize)]
#[serde(expecting = "a category object")]
struct RawCategory {
    id: Option<Value>,
    name: Option<Value>,
}

#[derive(Deserialize)]
#[serde(expecting = "an annotation object")]
struct RawAnnotation {
    image_id: Option<Value>,
    category_id: Option<Value>,
    bbox: Option<Value>,
    area: Option<Value>,
    iscrowd: Option<Value>,
}

/// The order of the fields is the array form: serde reads a struct from either.
#[derive(Deserialize)]
#[serde(expecting = "a detection: an object or [image_id, category_id, bbox, score]")]
struct RawResult {
    image_id: Option<Value>,
    category_id: Option<Value>,
    bbox: Option<Value>,
    score: Option<Value>,
}

/// Reads a ground-truth file.
///
/// # Errors
/// Where the file is not such a file, an id is used twice, or an annotation names an image or category that the file
/// does not have.
pub fn read_truth(path: &Path) -> Result<CocoTruth, EvalError> {
    let raw: RawTruth = read(path, TRUTH_HELP)?;
    let file = JsonPlace { path, place: "top level".into(), help: TRUTH_HELP };
    let raw_images = file.required(raw.images, "images")?;
    let raw_categories = file.required(raw.categories, "categories")?;
    let annotations = file.required(raw.annotations, "annotations")?;

    let mut image_ids = Vec::with_capacity(raw_images.len());
    for (i, image) in raw_images.into_iter().enumerate() {
        let place = JsonPlace { path, place: format!("images[{i}]"), help: TRUTH_HELP };
        image_ids.push(place.id(image.id, "id")?);
    }
    let image_index = sorted_index(&mut image_ids).map_err(|id| file.repeated("image", id))?;

    let mut names = HashMap::new();
    let mut category_ids = Vec::with_capacity(raw_categories.len());
    for (i, category) in raw_categories.into_iter().enumerate() {
        let place = JsonPlace { path, place: format!("categories[{i}]"), help: TRUTH_HELP };
        let id = place.id(category.id, "id")?;
        let name = match place.required(category.name, "name")? {
            Value::String(name) => name,
            other => return Err(place.bad(&other, "name", "a string")),
        };
        category_ids.push(id);
        names.insert(id, name);
    }
    let class_index = sorted_index(&mut category_ids).map_err(|id| file.repeated("category", id))?;

    let mut images = vec![ImageTruth::default(); image_ids.len()];
    for (i, annotation) in annotations.into_iter().enumerate() {
        let place = JsonPlace { path, place: format!("annotations[{i}]"), help: TRUTH_HELP };
        let image = place.known(annotation.image_id, "image_id", &image_index, "`images`")?;
        let class = place.known(annotation.category_id, "category_id", &class_index, "`categories`")?;
        let bbox = place.bbox(annotation.bbox)?;
        let area = annotation.area.map_or(Ok(bbox.area()), |area| place.number(Some(area), "area"))?;
        let crowd = match annotation.iscrowd {
            None => false,
            Some(Value::Bool(crowd)) => crowd,
            Some(flag) => place.number(Some(flag), "iscrowd")? != 0.0,
        };
        images[image].objects.push(TruthBox { class, bbox, area, crowd, difficult: false });
    }
    Ok(CocoTruth { categories: unique_names(&category_ids, &names), image_ids, images })
}

/// Reads a results file for the images and categories of `truth`.
///
/// # Errors
/// Where the file is not such a file, a detection names an image that `truth` does not have, or not one detection has
/// a category that `truth` has (a sign of ids counted from another start).
pub fn read_results(path: &Path, truth: &CocoTruth) -> Result<CocoResults, EvalError> {
    let raw: Vec<RawResult> = read(path, RESULTS_HELP)?;
    let image_index: HashMap<i64, usize> = truth.image_ids.iter().enumerate().map(|(i, &id)| (id, i)).collect();
    let class_index: HashMap<i64, usize> = truth.categories.iter().enumerate().map(|(i, c)| (c.id, i)).collect();

    let mut images = vec![ImageDetections::default(); truth.images.len()];
    let mut unknown_categories = BTreeMap::new();
    let mut known = 0;
    for (i, result) in raw.into_iter().enumerate() {
        let place = JsonPlace { path, place: format!("detection [{i}]"), help: RESULTS_HELP };
        let image = place.known(result.image_id, "image_id", &image_index, "the ground truth")?;
        let category = place.id(result.category_id, "category_id")?;
        let bbox = place.bbox(result.bbox)?;
        let score = place.number(result.score, "score")?;
        if let Some(&class) = class_index.get(&category) {
            known += 1;
            images[image].detections.push(ScoredBox { class, bbox, score });
        } else {
            *unknown_categories.entry(category).or_default() += 1;
        }
    }
    if let (0, Some((&id, _))) = (known, unknown_categories.first_key_value()) {
        let (place, help) =
            ("every detection".to_string(), "check whether both files count categories from the same id");
        let known = "the ground truth".to_string();
        return Err(EvalError::UnknownId { path: path.into(), place, key: "category_id", id, known, help });
    }
    Ok(CocoResults { images, unknown_categories })
}

fn read<T: DeserializeOwned>(path: &Path, help: &'static str) -> Result<T, EvalError> {
    let bytes = fs::read(path).map_err(|error| EvalError::Unreadable { path: path.into(), error })?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(text).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        let message = e.to_string();
        let problem = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message).to_string();
        let help = if is_not_a_number(text, line, column) { "NaN and Infinity are no JSON numbers" } else { help };
        EvalError::Json { path: path.into(), line, column, problem, help }
    })
}

/// True if the text around a syntax error is one of the words that Python writes for numbers JSON does not have.
fn is_not_a_number(text: &[u8], line: usize, column: usize) -> bool {
    let Some(line) = text.split(|&b| b == b'\n').nth(line.saturating_sub(1)) else { return false };
    let start = column.saturating_sub(2).min(line.len());
    let near = &line[start..line.len().min(start + 10)];
    [&b"NaN"[..], b"nan", b"Inf", b"inf"].iter().any(|word| near.windows(3).any(|w| w == *word))
}

/// Sorts `ids` and gives the position of each, or the id that stands twice.
fn sorted_index(ids: &mut [i64]) -> Result<HashMap<i64, usize>, i64> {
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(pair[0]);
    }
    Ok(ids.iter().enumerate().map(|(i, &id)| (id, i)).collect())
}

/// Some exporters write a supercategory and its only class under one name; a report needs to tell them apart.
fn unique_names(ids: &[i64], names: &HashMap<i64, String>) -> Vec<Category> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for name in names.values() {
        *uses.entry(name).or_default() += 1;
    }
    let categories = ids.iter().map(|&id| {
        let name = &names[&id];
        Category { id, name: if uses[name.as_str()] > 1 { format!("{name} (category {id})") } else { name.clone() } }
    });
    categories.collect()
}

/// The place of a value, for its error message.
struct JsonPlace<'a> {
    path: &'a Path,
    place: String,
    help: &'static str,
}

impl JsonPlace<'_> {
    fn required<T>(&self, value: Option<T>, key: &'static str) -> Result<T, EvalError> {
        value.ok_or_else(|| EvalError::MissingKey {
            path: self.path.into(),
            place: self.place.clone(),
            key,
            help: self.help,
        })
    }

    fn bad(&self, found: &Value, key: &str, expected: &'static str) -> EvalError {
        let text: String = found.to_string().chars().take(60).collect();
        self.bad_text(format!("`{key}` {text}"), expected, self.help)
    }

    fn bad_text(&self, found: String, expected: &'static str, help: &'static str) -> EvalError {
        EvalError::BadValue { path: self.path.into(), place: self.place.clone(), found, expected, help }
    }

    fn repeated(&self, what: &str, id: i64) -> EvalError {
        self.bad_text(format!("{what} id {id} twice"), "every id once", "remove one of the two")
    }

    fn id(&self, value: Option<Value>, key: &'static str) -> Result<i64, EvalError> {
        let value = self.required(value, key)?;
        // Written by way of a float array, an id is 7.0.
        let whole = value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64);
        value.as_i64().or(whole).ok_or_else(|| self.bad(&value, key, "a whole number"))
    }

    fn number(&self, value: Option<Value>, key: &'static str) -> Result<f64, EvalError> {
        let value = self.required(value, key)?;
        value.as_f64().filter(|f| f.is_finite()).ok_or_else(|| self.bad(&value, key, "a finite number"))
    }

    fn known(
        &self,
        value: Option<Value>,
        key: &'static str,
        index: &HashMap<i64, usize>,
        known: &str,
    ) -> Result<usize, EvalError> {
        let id = self.id(value, key)?;
        index.get(&id).copied().ok_or_else(|| EvalError::UnknownId {
            path: self.path.into(),
            place: self.place.clone(),
            key,
            id,
            known: known.to_string(),
            help: "labels and detections must name the same images and categories by the same ids",
        })
    }

    fn bbox(&self, value: Option<Value>) -> Result<CocoBox, EvalError> {
        let place = JsonPlace { path: self.path, place: self.place.clone(), help: BOX_HELP };
        let value = place.required(value, "bbox")?;
        let numbers: Option<Vec<f64>> =
            value.as_array().and_then(|list| list.iter().map(|n| n.as_f64().filter(|f| f.is_finite())).collect());
        match numbers.as_deref() {
            Some(&[x, y, w, h]) if w >= 0.0 && h >= 0.0 => Ok(CocoBox { x, y, w, h }),
            Some(&[_, _, _, _]) => Err(place.bad(&value, "bbox", "a width and a height of at least 0")),
            _ => Err(place.bad(&value, "bbox", "four finite numbers")),
        }
    }
}

//! Pictures of labels and of the first batch, to be looked at before anything is trained.

use super::screen::Bar;
use crate::boxes::{CornerBox, InputSize};
use crate::data::{AugmentOptions, EpochPlan, Object, RgbImage, Split, augment};
use crate::report::{LabelsSeen, Marker, MosaicTile, draw_labels, mosaic, write_png};
use crate::train::Records;
use anyhow::Result;
use std::path::Path;

/// Tiles per picture, and their side in pixels.
const TILES: usize = 12;
const COLUMNS: usize = 4;
const SIDE: usize = 240;

/// The input of the pictures besides the records.
pub struct LabelPictures<'a> {
    pub class_names: &'a [String],
    pub size: InputSize,
    pub seed: u64,
    pub augment: &'a AugmentOptions,
}

impl LabelPictures<'_> {
    /// Writes `labels.png` and `train_batch0.png` into `folder`; `objects` are those of all training photos.
    ///
    /// # Errors
    /// If a record cannot be read or a picture cannot be written.
    pub fn write(&self, training: &Records, objects: &[(usize, CornerBox)], folder: &Path) -> Result<()> {
        let (mut labels, mut batch) = (Vec::new(), Vec::new());
        let plan = EpochPlan::shuffled(training.len(), self.seed, 0);
        let photos = TILES.min(training.len());
        let bar = Bar::begin("drawing", photos + 2);
        for position in 0..photos {
            bar.at(position, photos + 2);
            let record = training.get(plan.order()[position])?;
            let shown = augment(&record, self.size, self.augment, &mut plan.generator(position));
            batch.push((shown.image, shown.objects, String::new()));
            labels.push((record.image, record.objects, record.source));
        }
        let seen = LabelsSeen { class_names: self.class_names, objects, input_size: self.size };
        write_png(&draw_labels(&seen, &self.mosaic(&labels)), &folder.join("labels.png"))?;
        bar.add(1);
        write_png(&self.mosaic(&batch), &folder.join("train_batch0.png"))?;
        Ok(())
    }

    fn mosaic(&self, shown: &[(RgbImage, Vec<Object>, String)]) -> RgbImage {
        let tiles: Vec<MosaicTile> = shown.iter().map(|(i, o, caption)| self.tile(i, o, caption.clone())).collect();
        mosaic(&tiles, COLUMNS, SIDE)
    }

    fn tile<'i>(&self, image: &'i RgbImage, objects: &[Object], caption: String) -> MosaicTile<'i> {
        let marker = |o: &Object| Marker::object(o.bbox, o.class, &self.class_names[o.class]);
        MosaicTile { image, markers: objects.iter().map(marker).collect(), caption }
    }
}

/// Class and box of every object of the split that is trained on.
///
/// # Errors
/// If a record is damaged.
pub fn objects_of(split: &Split) -> Result<Vec<(usize, CornerBox)>> {
    let mut objects = Vec::new();
    for i in 0..split.len() {
        objects.extend(split.objects(i)?.iter().map(|o| (o.class, o.bbox)));
    }
    Ok(objects)
}

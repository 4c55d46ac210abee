//! A detector from a TFLite file, run by our own interpreter.

use crate::boxes::InputSize;
use crate::eval::PostProcessor;
use crate::interchange::Interpreter;
use crate::train::{Evaluation, Records, evaluate_by};
use anyhow::{Context, Result, bail};
use std::path::Path;

pub struct LoadedTflite {
    pub interpreter: Interpreter,
    pub detector: PostProcessor,
    pub size: InputSize,
    /// Without the background.
    pub class_names: Vec<String>,
}

impl LoadedTflite {
    /// True if the file's name says that it is one.
    pub fn is_named_so(path: &Path) -> bool {
        path.extension().and_then(|e| e.to_str()).is_some_and(|e| e.eq_ignore_ascii_case("tflite"))
    }

    /// # Errors
    /// If the file is damaged, or no detector that Fieldtune wrote.
    pub fn open(path: &Path) -> Result<Self> {
        let interpreter = Interpreter::open(path)?;
        let size = interpreter.size;
        let about = &interpreter.about;
        let (Some(class_names), Some(anchors), Some(scores)) =
            (about.class_names.clone(), about.anchors.as_ref(), about.scores)
        else {
            bail!(
                "{}: found no class names, anchors or score function, expected those that Fieldtune writes\n\
                 help: judge the network that the file was made from",
                path.display()
            );
        };
        let anchors = interpreter.anchors(anchors);
        let anchors = anchors.with_context(|| format!("{}: cannot place its anchors", path.display()))?;
        let detector = PostProcessor::new(anchors, scores);
        if interpreter.outputs() != [detector.anchors.len(), class_names.len() + 1] {
            let [rows, columns] = interpreter.outputs();
            bail!(
                "{}: found {rows} anchors and {columns} class columns, expected {} and {}",
                path.display(),
                detector.anchors.len(),
                class_names.len() + 1
            );
        }
        Ok(Self { interpreter, detector, size, class_names })
    }

    /// # Errors
    /// If a record cannot be read.
    pub fn evaluate(&self, records: &Records) -> Result<Evaluation> {
        let mut find = |pixels: &[u8]| {
            let outputs = self.interpreter.run(pixels);
            Ok(self.detector.detect(&outputs.logits, &outputs.deltas))
        };
        Ok(evaluate_by(&mut find, records, self.size, &self.class_names)?)
    }
}

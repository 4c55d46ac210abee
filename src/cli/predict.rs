//! `fieldtune predict`: detections on photos, folders, streams and watched folders.

use super::detector_arguments::DetectorArguments;
use crate::data::{Photo, RgbImage};
use crate::predict::{
    Finder, FolderWatch, FrameForm, FramePace, FrameSize, FrameStream, PictureSource, PixelLayout, PredictionResults,
    Printed, ResultOptions, Saved, StreamFrame, Timing, check_regular, photos,
};
use crate::session::{Supervisor, terminal};
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct PredictArguments {
    #[command(flatten)]
    pub detector: DetectorArguments,
    /// Photos, folders with the folders in them, patterns such as 'photos/**/*.jpg'; - for a stream on standard input
    #[arg(required_unless_present = "watch")]
    pub photos: Vec<PathBuf>,
    /// Folder for results; where it has some already, the next of its name with a number
    #[arg(short, long, default_value = "runs/predict")]
    pub output: PathBuf,
    /// Content of the folder besides a list of all detections [default: pictures; of a stream, nothing]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KINDS")]
    pub save: Vec<Saved>,
    /// Annotated pictures as PNG: without loss, ten times as large
    #[arg(long)]
    pub png: bool,
    /// Detections as one JSON list on the terminal, and no folder unless --save names something
    #[arg(long, conflicts_with = "jsonl")]
    pub json: bool,
    /// A line of JSON on the terminal for each photo at once, and no folder unless --save names something
    #[arg(long)]
    pub jsonl: bool,
    /// Look at photos as they arrive in this folder, until stopped
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["photos", "json"])]
    pub watch: Option<PathBuf>,
    /// The stream is plain pixels, not JPEGs: width and height of a frame
    #[arg(long, value_name = "WxH", help_heading = "Streams")]
    pub raw: Option<FrameSize>,
    /// How the pixels of --raw stand in a frame
    #[arg(long, value_enum, default_value = "rgb24", requires = "raw", help_heading = "Streams")]
    pub pixels: PixelLayout,
    /// Of frames that come too fast, look at the newest only: for live cameras
    #[arg(long, help_heading = "Streams")]
    pub latest: bool,
}

/// Time between two looks at a watched folder.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Frames that do not decode and are told of one by one; the others are counted.
const TOLD: u64 = 5;

pub fn run(arguments: PredictArguments) -> Result<u8> {
    let is_stream = arguments.photos.iter().any(|path| path == Path::new("-"));
    if is_stream && (arguments.photos.len() > 1 || arguments.json) {
        bail!("a stream on standard input comes alone, and as lines\nhelp: fieldtune predict MODEL - [--jsonl]");
    }
    if !is_stream && (arguments.raw.is_some() || arguments.latest) {
        bail!("--raw and --latest are for a stream\nhelp: name it `-`: ... | fieldtune predict MODEL -");
    }
    let finder = arguments.detector.open()?;
    let listed = if is_stream || arguments.watch.is_some() { Vec::new() } else { photos(&arguments.photos)? };
    let results = PredictionResults::open(options(&arguments, is_stream), finder.class_names())?;
    let mut prediction = Prediction { finder, results, timing: Timing::begin(), failed: 0 };
    if let Some(folder) = &arguments.watch {
        prediction.watch(folder)?;
    } else if is_stream {
        let form = arguments.raw.map_or(FrameForm::Mjpeg, |size| FrameForm::Raw(size, arguments.pixels));
        let pace = if arguments.latest { FramePace::Newest } else { FramePace::Every };
        let stream = FrameStream::start(std::io::stdin(), form, pace)?;
        prediction.stream(&stream)?;
        tell_stream(&stream, &prediction);
    } else {
        listed.iter().try_for_each(|path| prediction.photo(path))?;
    }
    prediction.finish()
}

fn options(arguments: &PredictArguments, is_stream: bool) -> ResultOptions {
    let printed = match (arguments.json, arguments.jsonl || is_stream) {
        (true, _) => Printed::Whole,
        (false, true) => Printed::Lines,
        (false, false) => Printed::Summary,
    };
    let mut saved = arguments.save.clone();
    if saved.is_empty() && printed == Printed::Summary {
        saved.push(Saved::Pictures);
    }
    saved.dedup();
    let endless = is_stream || arguments.watch.is_some();
    ResultOptions { output: arguments.output.clone(), saved, printed, png: arguments.png, endless }
}

/// Frames that were not looked at, and how fast the others were.
fn tell_stream(stream: &FrameStream, prediction: &Prediction) {
    log::info!("{}", prediction.timing.live());
    if stream.skipped() > 0 {
        log::info!("{} frames were skipped, they came while another was looked at", stream.skipped());
    }
    if stream.cut() > 0 {
        log::warn!("{} frames broke off", stream.cut());
    }
}

/// A detector at work.
struct Prediction {
    finder: Finder,
    results: PredictionResults,
    timing: Timing,
    /// Photos that cannot be read.
    failed: u64,
}

impl Prediction {
    /// One bad photo does not keep the others from being looked at.
    fn photo(&mut self, path: &Path) -> Result<()> {
        let began = Instant::now();
        match check_regular(path).and_then(|()| Ok(Photo::read(path)?)) {
            Ok(photo) => self.look(PictureSource::File(path), (photo.image, photo.size), began),
            Err(error) => {
                log::error!("{error:#}");
                self.failed += 1;
                Ok(())
            }
        }
    }

    fn frame(&mut self, frame: &StreamFrame) -> Result<()> {
        let began = Instant::now();
        match frame.picture() {
            Ok(picture) => self.look(PictureSource::Frame(frame), picture, began),
            Err(error) => {
                self.failed += 1;
                if self.failed <= TOLD {
                    log::error!("{error:#}");
                }
                Ok(())
            }
        }
    }

    fn look(&mut self, source: PictureSource, picture: (RgbImage, [u32; 2]), began: Instant) -> Result<()> {
        let decoding = began.elapsed();
        let (image, size) = picture;
        let sighting = self.finder.look(image, size);
        self.timing.looked(decoding, &sighting);
        let found = Instant::now();
        self.results.take(&self.finder, source, sighting)?;
        self.timing.wrote(found.elapsed());
        if let PictureSource::Frame(frame) = source {
            self.timing.answered(frame.arrived);
        }
        Ok(())
    }

    fn stream(&mut self, stream: &FrameStream) -> Result<()> {
        let stop = Supervisor::of_command().listen()?;
        while let Some(frame) = stream.next(&stop)? {
            self.frame(&frame)?;
        }
        Ok(())
    }

    fn watch(&mut self, folder: &Path) -> Result<()> {
        let stop = Supervisor::of_command().listen()?;
        let mut watch = FolderWatch::new(folder, self.results.folder());
        let stopped = |stop: &AtomicBool| stop.load(Ordering::Relaxed);
        while !stopped(&stop) {
            for path in watch.ready()? {
                self.photo(&path)?;
                if stopped(&stop) {
                    break;
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn finish(self) -> Result<u8> {
        let (timing, failed) = (self.timing, self.failed);
        let seen = timing.count;
        match self.results.finish()? {
            Some(saved) => terminal::print_line(format_args!("{seen} photos, {saved}; {timing}"))?,
            None => log::info!("{seen} photos; {timing}"),
        }
        if failed > 0 {
            log::error!("{failed} of {} photos cannot be read", seen + failed);
        }
        Ok(u8::from(failed > 0))
    }
}

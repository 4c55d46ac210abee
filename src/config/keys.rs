//! Every key of a job file, once: its place, its flag, and the sentence that help, documentation and `fieldtune config`
//! print. Defaults are not repeated here, they are read off [`JobFile::default`](super::JobFile).

/// A key of the job file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobKey {
    /// The table it stands in, as in TOML: `recipe.augment`; empty for the top of the file.
    pub table: &'static str,
    pub name: &'static str,
    /// The argument of `fieldtune train` that sets it, where there is one.
    pub flag: Option<&'static str>,
    /// Under which heading the flag stands in the help.
    pub heading: &'static str,
    /// Its effect, its unit and its range.
    pub doc: &'static str,
    /// For a default that is no constant: what holds where the file says nothing, and a value to show in its place.
    pub otherwise: Option<(&'static str, &'static str)>,
}

const DATA: &str = "Data";
const TRAINING: &str = "Training";
const LEARNING: &str = "Learning rate and optimizer";
const NETWORK: &str = "Network";
const LABELS: &str = "Loss and labels";
const RUN: &str = "Run";
const FOLLOW: &str = "Following a run";

const fn key(
    table: &'static str,
    name: &'static str,
    flag: &'static str,
    heading: &'static str,
    doc: &'static str,
) -> JobKey {
    let flag = if flag.is_empty() { None } else { Some(flag) };
    JobKey { table, name, flag, heading, doc, otherwise: None }
}

impl JobKey {
    const fn or(self, otherwise: &'static str, example: &'static str) -> Self {
        Self { otherwise: Some((otherwise, example)), ..self }
    }
}

/// In the order in which `fieldtune config` writes them: tables one after the other.
#[rustfmt::skip]
pub const KEYS: [JobKey; 86] = [
    key("", "data", "data", DATA, "Folder of labelled photos, a .zip of one, a label file, or a pack").or("must be named", "\"photos\""),
    key("", "also", "", DATA, "More data sets, joined with the first by the names of their classes: a list").or("none", "[\"street\"]"),
    key("", "accept", "accept", DATA, "Kinds of errors of a data set that are accepted, which otherwise end the run before it begins: a list").or("none", "[\"validation-is-training\"]"),
    key("", "weights", "weights", DATA, "Detector or MobileNetV2 backbone to start from: a file, or the name of kept weights").or("the kept default, see `fieldtune weights`", "\"detector.onnx\""),
    key("", "names", "names", DATA, "Names of the weights' classes where their file has none: a list with commas, or a file with a name a line").or("those of the file", "\"cat,dog\""),
    key("", "out", "out", RUN, "Folder that run folders are made in"),
    key("", "name", "name", RUN, "Name of the run folder").or("the data set's name and a number", "\"first\""),
    key("", "imgsz", "imgsz", NETWORK, "Input size in pixels, 64 to 1280, or HEIGHTxWIDTH").or("that of the weights file, or 300", "300"),
    key("", "threads", "threads", RUN, "Threads for the network; 0 for all cores").or("all cores", "4"),
    key("", "memory_mb", "memory", RUN, "Most memory that the whole run may take, in MB (32 to 1048576): micro-batches shrink and large photos are decoded small; what cannot fit is refused before step 1").or("that of the board's settings, or what the machine has to spare", "256"),
    key("", "train_split", "train_split", DATA, "Split of the data set to train on").or("train, or all images", "\"train\""),
    key("", "val_split", "val_split", DATA, "Split of the data set to validate on").or("val, or images held back", "\"val\""),
    key("", "val_share", "val_share", DATA, "Share of the images held back for validation where the data set names no split, 0 to below 1"),
    key("", "train_share", "train_share", DATA, "Share of the training images that are used, drawn by the seed, above 0, at most 1: for curves of AP over photos"),
    key("", "minutes", "minutes", TRAINING, "Minutes that the whole run may take: the epochs are chosen for it, by a measurement before the run").or("as long as the epochs take", "20"),
    key("", "pack_as", "pack_as", DATA, "How photos are packed: pixels, jpeg (a tenth of the room, decoded at every use), or auto (jpeg where pixels would take more than half of the free space)"),
    key("", "checkpoint_every_s", "checkpoint_every", RUN, "Longest time between checkpoints in seconds; 0 saves after every step"),
    key("", "watchdog", "watchdog", RUN, "What the watchdog may do when learning stagnates: cure, advise (only say so) or off"),
    key("", "board", "board", RUN, "Settings of a board by its name, none, or auto for the board this is"),
    key("", "serve", "serve", FOLLOW, "Address of the live page: 127.0.0.1:8070 for this machine alone, 0.0.0.0:8070 for all that have the token it names").or("no page", "\"127.0.0.1:8070\""),
    key("", "metrics_file", "metrics_file", FOLLOW, "File for Prometheus metrics, for node_exporter's textfile collector; its name ends in .prom").or("none", "\"/var/lib/prometheus/node-exporter/fieldtune.prom\""),
    key("", "notify", "notify", FOLLOW, "Web address that is sent JSON when a run starts, gets better, is in trouble, or ends").or("none", "\"http://homeassistant.local:8123/api/webhook/NAME\""),

    key("recipe", "epochs", "epochs", TRAINING, "Passes over the training images"),
    key("recipe", "batch", "batch", TRAINING, "Images per optimizer step"),
    key("recipe", "micro_batch", "micro_batch", TRAINING, "Images per forward and backward pass, a divisor of the batch: less memory, the same mathematics"),
    key("recipe", "lr", "lr", LEARNING, "Base learning rate, that of extras and heads"),
    key("recipe", "backbone_rate", "backbone_rate", LEARNING, "Learning rate of what the file brought, the backbone first of all, as a share of lr"),
    key("recipe", "bias_rate", "", LEARNING, "Learning rate of the biases of extras and heads, as a multiple of lr"),
    key("recipe", "weight_decay", "weight_decay", LEARNING, "Decoupled weight decay per unit of learning rate, on weights and not on biases"),
    key("recipe", "warmup", "warmup", LEARNING, "Optimizer steps over which the rate rises from zero; at most a tenth of the run is used"),
    key("recipe", "decay", "decay", LEARNING, "How the rate falls over the run: cosine, step, staircase or constant"),
    key("recipe", "clip", "clip", LEARNING, "Largest gradient norm (gradient clipping); 0 switches it off"),
    key("recipe", "ema", "ema", LEARNING, "Share of the exponential moving average of the weights kept per step; 0 switches it off"),
    key("recipe", "freeze", "freeze", NETWORK, "Leading stages that are never trained: 0 none, 1 the stem, k + 1 the stem and k blocks, 19 the backbone"),
    key("recipe", "hold", "hold", NETWORK, "Share of the run, at its start, during which the backbone is frozen"),
    key("recipe", "centred", "", LEARNING, "Take each layer's mean input out of its weight updates"),
    key("recipe", "half_activations", "", NETWORK, "Keep activations for the backward pass in 16 bits (IEEE half precision)"),
    key("recipe", "half_state", "", LEARNING, "Keep the optimizer's moments and the moving average in 16 bits (bfloat16)"),
    key("recipe", "loss", "loss", LABELS, "Class loss: mining (cross-entropy with hard negative mining 3:1) or focal"),
    key("recipe", "scores", "", LABELS, "How class logits become scores: softmax, sigmoid, or file (the weights file's function where its class predictors are kept, softmax where they start fresh)"),
    key("recipe", "box_weight", "", LABELS, "Multiplies the box part of the loss"),
    key("recipe", "class_weights", "class_weight", LABELS, "Weight of a class in the loss, as NAME=WEIGHT; classes that are not named have 1"),
    key("recipe", "class_prior", "", LABELS, "Start the class predictors at the share of background that mining will show them"),
    key("recipe", "inside", "", LABELS, "Share of the epochs, at the start, with centre sampling: every anchor answers for the object whose middle it lies in"),
    key("recipe", "match_iou", "", LABELS, "IoU from which an anchor takes its best object"),
    key("recipe", "min_anchors", "", LABELS, "Anchors that every object gets where enough overlap it"),
    key("recipe", "calm", "", TRAINING, "Share of the epochs, at the end, without crops and zoom-out (what others call close_mosaic)"),
    key("recipe", "patience", "patience", TRAINING, "Epochs without a better validation AP after which the run ends early; 0 never"),
    key("recipe", "until_ap", "until", TRAINING, "Validation AP with which the run ends early, 0 to 1; 0 never"),
    key("recipe", "seed", "seed", TRAINING, "Seed of everything random"),

    key("recipe.optimizer", "kind", "optimizer", LEARNING, "adamw or sgd; `optimizer = \"sgd\"` in [recipe] takes the usual numbers"),
    key("recipe.optimizer", "beta1", "", LEARNING, "AdamW: share of the mean gradient kept per step"),
    key("recipe.optimizer", "beta2", "", LEARNING, "AdamW: share of the mean squared gradient kept per step"),
    key("recipe.optimizer", "epsilon", "", LEARNING, "AdamW: added to the root of the mean squared gradient"),
    key("recipe.optimizer", "momentum", "", LEARNING, "SGD: share of the velocity kept per step").or("0.9 for sgd", "0.9"),

    key("recipe.augment", "zoom_out_probability", "", TRAINING, "Probability of laying the photo on a larger canvas"),
    key("recipe.augment", "max_zoom_out", "", TRAINING, "Largest side of that canvas, in sides of the photo; at least 1"),
    key("recipe.augment", "fill", "", TRAINING, "Grey level of the canvas, 0 to 255"),
    key("recipe.augment", "crops", "", TRAINING, "Ways to crop, one drawn per photo: whole, free, or { min-iou = IoU }; empty for none"),
    key("recipe.augment", "min_crop", "", TRAINING, "Smallest side of a crop, in sides of what it is cut from; above 0, at most 1"),
    key("recipe.augment", "max_crop_aspect", "", TRAINING, "Most elongated crop, longer side over shorter; at least 1"),
    key("recipe.augment", "brightness_probability", "", TRAINING, "Probability of a change of brightness"),
    key("recipe.augment", "brightness", "", TRAINING, "Largest shift of all channels, of 255"),
    key("recipe.augment", "contrast_probability", "", TRAINING, "Probability of a change of contrast"),
    key("recipe.augment", "contrast", "", TRAINING, "Range of the factor on all channels"),
    key("recipe.augment", "color_probability", "", TRAINING, "Probability that saturation and hue may change at all"),
    key("recipe.augment", "saturation_probability", "", TRAINING, "Probability of a change of saturation"),
    key("recipe.augment", "saturation", "", TRAINING, "Range of the factor on the saturation"),
    key("recipe.augment", "hue_probability", "", TRAINING, "Probability of a change of hue"),
    key("recipe.augment", "hue_degrees", "", TRAINING, "Largest turn of the hue in degrees, at most 180"),
    key("recipe.augment", "flip_horizontal", "", TRAINING, "Probability of mirroring left and right"),
    key("recipe.augment", "flip_vertical", "", TRAINING, "Probability of mirroring top and bottom: for photos from above"),
    key("recipe.augment", "min_object_px", "", TRAINING, "Objects with a side shorter than this many pixels at the input size are dropped"),

    key("service", "state", "", RUN, "Folder for runs and results").or("systemd's state directory, or /var/lib/fieldtune", "\"/var/lib/fieldtune\""),
    key("service", "inbox", "", RUN, "Where labelled photos are put").or("inbox in the state folder", "\"/var/lib/fieldtune/inbox\""),
    key("service", "poll_s", "", RUN, "Seconds between looks at the inbox"),
    key("service", "settle_s", "", RUN, "Seconds that nothing may have changed in the inbox before it is trained on"),
    key("service", "keep_runs", "", RUN, "Runs whose figures, pictures and models are kept besides the last"),

    key("fleet", "superlink", "", FOLLOW, "Address of a SuperLink: the service takes part in its fleet in place of training alone").or("must be named in [fleet]", "\"192.168.1.10:8000\""),
    key("fleet", "root_certificates", "", FOLLOW, "Authority that signed the SuperLink's certificate, as a PEM file").or("those that browsers trust", "\"/etc/fieldtune/ca.pem\""),
    key("fleet", "insecure", "", FOLLOW, "Send without encryption, for a SuperLink that was started with --insecure"),
    key("fleet", "key", "", FOLLOW, "Private key of this node (PKCS #8, PEM, P-256)").or("node.key in the node's folder, made at the first start", "\"/var/lib/fieldtune/fleet/node.key\""),
    key("fleet", "poll_s", "", FOLLOW, "Seconds between two questions for work during a run, 0.1 to 3600"),
    key("fleet", "mb_per_day", "", FOLLOW, "Megabytes that rounds may send and receive in a day").or("no bound", "50.0"),
    key("fleet", "clip_update", "", FOLLOW, "Norm that each answer is clipped to").or("not clipped", "1.0"),
    key("fleet", "noise", "", FOLLOW, "Deviation of the noise on each number of an answer, in clips"),
];

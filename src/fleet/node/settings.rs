//! The wishes of a server for a round, read from its message's settings: nothing in them is trusted.

use crate::fleet::participant::{SettingValue, Settings};
use crate::fleet::update::Encoding;
use crate::train::Recipe;
use anyhow::{Context, Result, anyhow, bail};
use std::ops::RangeInclusive;

const ROUNDS: RangeInclusive<u64> = 1..=100_000;
const LOCAL_EPOCHS: RangeInclusive<u64> = 1..=1000;
const MOST_PULL: f64 = 1000.0;

/// Images of a step, at most: a board's memory is the board's own matter.
const MOST_BATCH: usize = 256;

/// Names in a list, and bytes of each and of a recipe's text.
const MOST_NAMES: usize = 4096;
const LONGEST_NAME: usize = 1000;
const LONGEST_RECIPE: usize = 64 << 10;

/// Settings of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundSettings {
    /// Counted from 1.
    pub round: u64,
    /// Of the whole federation: the schedule runs over all of them.
    pub rounds: u64,
    /// Passes over the node's photos in each round.
    pub local_epochs: u64,
    /// With the epochs of all rounds together.
    pub recipe: Recipe,
    /// FedProx's mu; 0 for none.
    pub pull: f64,
    pub encoding: Encoding,
    /// Box and class heads stay on the node.
    pub personal_heads: bool,
    /// The node measures its trained network on its held-back photos.
    pub measure: bool,
    /// The federation's classes, in order; the node's own where the server does not say.
    pub class_names: Option<Vec<String>>,
    /// Weight arrays of layers that started from random numbers, which learn at the full rate; the node's own where the
    /// server does not say.
    pub fresh: Option<Vec<String>>,
}

impl RoundSettings {
    /// `own` is the node's recipe, which gives what the server does not say.
    ///
    /// # Errors
    /// If a value is of another kind or out of its range.
    pub fn of(config: &Settings, own: &Recipe) -> Result<Self> {
        let read = SettingsReader { config };
        let round = read.count("server-round", ROUNDS)?.unwrap_or(1);
        let rounds = read.count("rounds", ROUNDS)?.unwrap_or(round).max(round);
        let local_epochs = read.count("local-epochs", LOCAL_EPOCHS)?.unwrap_or(1);
        let mut recipe = read.recipe(own)?;
        recipe.epochs = rounds * local_epochs;
        recipe.check().map_err(|e| anyhow!("the server's recipe: {e}"))?;
        let pull = read.number("proximal-mu")?.unwrap_or(0.0);
        if !(0.0..=MOST_PULL).contains(&pull) {
            bail!("proximal-mu = {pull}, expected 0 to {MOST_PULL}");
        }
        Ok(Self {
            round,
            rounds,
            local_epochs,
            recipe,
            pull,
            encoding: read.text("update")?.map(Encoding::of_name).transpose()?.unwrap_or_default(),
            personal_heads: read.flag("personal-heads")?,
            measure: read.flag("measure")?,
            class_names: read.names("class-names")?,
            fresh: read.names("fresh-layers")?,
        })
    }

    /// Epochs of the whole run that are done before this round.
    pub fn epochs_before(&self) -> u64 {
        (self.round - 1) * self.local_epochs
    }
}

struct SettingsReader<'a> {
    config: &'a Settings,
}

impl<'a> SettingsReader<'a> {
    fn wrong<T>(key: &str, found: &SettingValue, expected: &str) -> Result<T> {
        let shown: String = format!("{found:?}").chars().take(80).collect();
        bail!("{key} = {shown}, expected {expected}\nhelp: see the settings in docs/fleet")
    }

    fn count(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let expected = || format!("a whole number, {} to {}", range.start(), range.end());
        match self.config.get(key) {
            None => Ok(None),
            Some(SettingValue::I64(n)) if u64::try_from(*n).is_ok_and(|n| range.contains(&n)) => Ok(Some(*n as u64)),
            Some(other) => Self::wrong(key, other, &expected()),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.config.get(key) {
            None => Ok(None),
            Some(SettingValue::F64(n)) if n.is_finite() => Ok(Some(*n)),
            Some(SettingValue::I64(n)) => Ok(Some(*n as f64)),
            Some(other) => Self::wrong(key, other, "a finite number"),
        }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.config.get(key) {
            None => Ok(false),
            Some(SettingValue::Bool(flag)) => Ok(*flag),
            Some(other) => Self::wrong(key, other, "true or false"),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>> {
        match self.config.get(key) {
            None => Ok(None),
            Some(SettingValue::Text(text)) => Ok(Some(text)),
            Some(other) => Self::wrong(key, other, "a text"),
        }
    }

    fn names(&self, key: &str) -> Result<Option<Vec<String>>> {
        match self.config.get(key) {
            None => Ok(None),
            Some(SettingValue::Texts(names))
                if names.len() <= MOST_NAMES && names.iter().all(|n| n.len() <= LONGEST_NAME) =>
            {
                Ok(Some(names.clone()))
            }
            Some(other) => Self::wrong(key, other, "a list of at most 4096 names of at most 1000 bytes"),
        }
    }

    /// The node's recipe with what the server says of it: some keys by themselves, any other in a TOML text.
    fn recipe(&self, own: &Recipe) -> Result<Recipe> {
        let mut recipe = own.clone();
        if let Some(text) = self.text("recipe")? {
            if text.len() > LONGEST_RECIPE {
                bail!("recipe of {} bytes, expected at most {LONGEST_RECIPE}", text.len());
            }
            recipe = merged(own, text).context("the server's recipe")?;
        }
        for (key, place) in [
            ("lr", &mut recipe.lr),
            ("backbone-rate", &mut recipe.backbone_rate),
            ("weight-decay", &mut recipe.weight_decay),
        ] {
            *place = self.number(key)?.unwrap_or(*place);
        }
        if let Some(freeze) = self.count("freeze", 0..=crate::train::BACKBONE_STAGES as u64)? {
            recipe.freeze = freeze as usize;
        }
        if let Some(batch) = self.count("batch", 1..=MOST_BATCH as u64)? {
            recipe.batch = batch as usize;
        }
        if let Some(seed) = self.count("seed", 0..=i64::MAX as u64)? {
            recipe.seed = seed;
        }
        if recipe.batch > MOST_BATCH {
            bail!("batch = {}, expected at most {MOST_BATCH}", recipe.batch);
        }
        // Memory is the board's own matter: the largest micro-batch up to its own that divides the batch.
        let most = own.micro_batch.min(recipe.batch).max(1);
        recipe.micro_batch = (1..=most).rev().find(|m| recipe.batch.is_multiple_of(*m)).unwrap_or(1);
        recipe.half_activations = own.half_activations;
        recipe.half_state = own.half_state;
        recipe.patience = 0;
        // The mean over nodes takes the place of the moving average.
        recipe.ema = 0.0;
        Ok(recipe)
    }
}

/// `own` with the keys of a TOML text in their place.
fn merged(own: &Recipe, text: &str) -> Result<Recipe> {
    let mut table = toml::Table::try_from(own).context("cannot write the recipe")?;
    let given: toml::Table = toml::from_str(text).map_err(|e| anyhow!("{}", e.message()))?;
    table.extend(given);
    toml::Value::Table(table).try_into().map_err(|e: toml::de::Error| anyhow!("{}", e.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, SettingValue)]) -> Result<RoundSettings> {
        let config = pairs.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        RoundSettings::of(&config, &Recipe::default())
    }

    #[test]
    fn flowers_own_keys_and_ours_are_read() {
        let read = settings(&[
            ("server-round", SettingValue::I64(3)),
            ("rounds", SettingValue::I64(10)),
            ("local-epochs", SettingValue::I64(2)),
            ("proximal-mu", SettingValue::F64(0.1)),
            ("lr", SettingValue::F64(1e-3)),
            ("batch", SettingValue::I64(3)),
            ("freeze", SettingValue::I64(14)),
            ("update", SettingValue::Text("int8".into())),
            ("recipe", SettingValue::Text("hold = 0.0\nseed = 7".into())),
        ])
        .unwrap();
        assert_eq!((read.epochs_before(), read.recipe.epochs, read.recipe.batch), (4, 20, 3));
        assert_eq!((read.recipe.lr, read.recipe.hold, read.recipe.seed, read.recipe.freeze), (1e-3, 0.0, 7, 14));
        assert_eq!((read.recipe.micro_batch, read.encoding, read.pull), (1, Encoding::Int8, 0.1));
        let nothing = settings(&[]).unwrap();
        assert_eq!((nothing.round, nothing.rounds, nothing.recipe.micro_batch), (1, 1, 2));
    }

    #[test]
    fn a_hostile_server_is_told_no() {
        for (key, value, said) in [
            ("server-round", SettingValue::I64(0), "server-round"),
            ("rounds", SettingValue::I64(i64::MAX), "rounds"),
            ("local-epochs", SettingValue::F64(1.0), "local-epochs"),
            ("lr", SettingValue::F64(f64::NAN), "lr"),
            ("lr", SettingValue::F64(-1.0), "lr"),
            ("batch", SettingValue::I64(1 << 40), "batch"),
            ("recipe", SettingValue::Text("batch = 4096".into()), "batch"),
            ("recipe", SettingValue::Text("nonsense = 1".into()), "nonsense"),
            ("recipe", SettingValue::Text("x".repeat(1 << 20)), "recipe"),
            ("proximal-mu", SettingValue::F64(1e9), "proximal-mu"),
            ("update", SettingValue::Text("int1".into()), "int1"),
            ("class-names", SettingValue::Texts(vec!["x".repeat(2000)]), "class-names"),
            ("measure", SettingValue::Text("yes".into()), "measure"),
        ] {
            let error = format!("{:#}", settings(&[(key, value.clone())]).unwrap_err());
            assert!(error.contains(said) && error.len() < 500, "{key}: {error}");
        }
    }
}

//! The machine's temperature and the firmware's throttling: files of sysfs, looked for once and read often.
//!
//! - `thermal_zone*/type` and `temp` (millidegrees) under `/sys/class/thermal`; where there is none, `temp*_input` under
//!   `/sys/class/hwmon`. Zones that are not the processor's surroundings do not count: the PMIC of a Jetson always says
//!   100 °C, a fan estimate is no temperature. A zone of a sleeping part of an Orin gives an error when it is read.
//! - Raspberry Pi: `get_throttled` of the firmware, hexadecimal digits, bits as `vcgencmd get_throttled` has them; where
//!   the kernel has no such file, the undervoltage alarm of the `rpi_volt` sensor.

use std::fs;
use std::path::{Path, PathBuf};

/// The file in which the firmware of a Raspberry Pi tells about throttling.
const THROTTLED: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";

/// Parts of the names of zones and sensors that are not the processor's surroundings.
const ELSEWHERE: [&str; 8] = ["pmic", "fan", "wifi", "wlan", "battery", "nvme", "charger", "acpitz"];

/// Chips whose sensors sit in processors.
const PROCESSORS: [&str; 5] = ["cpu", "soc", "coretemp", "k10temp", "gpu"];

/// Temperatures that a sensor on a working board may give.
const POSSIBLE_C: std::ops::RangeInclusive<f64> = -40.0..=150.0;

/// The firmware's limits on the processor, now and since the machine was switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    pub undervoltage: bool,
    pub capped: bool,
    pub throttled: bool,
    pub soft_limit: bool,
    pub undervoltage_before: bool,
    pub throttled_before: bool,
}

impl Throttling {
    /// From the firmware's word, bits 0 to 3 for now and 16 to 19 for before.
    pub fn from_bits(bits: u32) -> Self {
        let bit = |n: u32| bits & 1 << n != 0;
        Self {
            undervoltage: bit(0),
            capped: bit(1),
            throttled: bit(2),
            soft_limit: bit(3),
            undervoltage_before: bit(16),
            throttled_before: bit(17) || bit(18),
        }
    }

    /// True if the firmware slows the processor down because of its heat, now.
    pub fn is_hot(&self) -> bool {
        // With undervoltage the clock is capped as well, whatever the heat.
        !self.undervoltage && (self.throttled || self.capped)
    }
}

/// A reading of everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    /// The hottest part, with the name of its sensor. Missing is not cold: callers decide.
    pub hottest: Option<(String, f64)>,
    pub throttling: Option<Throttling>,
}

/// Sensors that were found.
#[derive(Clone, Debug, Default)]
pub struct Sensors {
    /// Name, file of millidegrees.
    temperatures: Vec<(String, PathBuf)>,
    throttled: Option<PathBuf>,
    undervoltage: Option<PathBuf>,
}

fn word(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_matches(['\0', '\n', ' ']).to_string())
}

/// The folders in `parent` whose name begins so, in order.
fn folders(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix)).map(|e| e.path()).collect();
    found.sort();
    found
}

impl Sensors {
    /// Looks for sensors below `root`: `/` on a board, a fixture tree in tests.
    pub fn find(root: &Path) -> Self {
        let hwmon = folders(&root.join("sys/class/hwmon"), "hwmon");
        let chip = |folder: &PathBuf| word(&folder.join("name")).unwrap_or_default().to_lowercase();
        let mut temperatures: Vec<(String, PathBuf)> = folders(&root.join("sys/class/thermal"), "thermal_zone")
            .into_iter()
            .map(|zone| (word(&zone.join("type")).unwrap_or_default(), zone.join("temp")))
            .filter(|(name, _)| !ELSEWHERE.iter().any(|part| name.to_lowercase().contains(part)))
            .collect();
        if temperatures.is_empty() {
            let processors = hwmon.iter().filter(|f| PROCESSORS.iter().any(|part| chip(f).contains(part)));
            temperatures = processors
                .flat_map(|folder| folders(folder, "temp").into_iter().map(move |file| (chip(folder), file)))
                .filter(|(_, file)| file.to_string_lossy().ends_with("_input"))
                .collect();
        }
        let throttled = Some(root.join(THROTTLED)).filter(|p| p.exists());
        let undervoltage = hwmon.iter().find(|f| chip(f) == "rpi_volt").map(|f| f.join("in0_lcrit_alarm"));
        Self { temperatures, throttled, undervoltage }
    }

    /// True if there is any temperature to be read.
    pub fn any(&self) -> bool {
        self.read().hottest.is_some()
    }

    pub fn read(&self) -> Heat {
        let celsius = |path: &Path| word(path)?.parse::<f64>().ok().map(|milli| milli / 1000.0);
        let hottest = self
            .temperatures
            .iter()
            .filter_map(|(name, path)| Some((name.clone(), celsius(path).filter(|c| POSSIBLE_C.contains(c))?)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let bits = |path: &PathBuf| u32::from_str_radix(word(path)?.trim_start_matches("0x"), 16).ok();
        let mut throttling = self.throttled.as_ref().and_then(bits).map(Throttling::from_bits);
        if let Some(alarm) = self.undervoltage.as_deref().and_then(word) {
            throttling.get_or_insert_default().undervoltage |= alarm == "1";
        }
        Heat { hottest, throttling }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::memory::tests::tree;

    #[test]
    fn a_pi_tells_its_heat_and_its_throttling() {
        let pi = tree(&[
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "61835\n"),
            ("sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "61835\n"),
            ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
            ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n"),
            (THROTTLED, "50004\n"),
        ]);
        let heat = Sensors::find(pi.path()).read();
        assert_eq!(heat.hottest, Some(("cpu-thermal".into(), 61.835)));
        let throttling = heat.throttling.unwrap();
        assert!(
            throttling.throttled && throttling.is_hot() && !throttling.undervoltage && throttling.undervoltage_before
        );
        fs::write(pi.path().join("sys/class/hwmon/hwmon1/in0_lcrit_alarm"), "1").unwrap();
        let throttling = Sensors::find(pi.path()).read().throttling.unwrap();
        assert!(throttling.undervoltage && !throttling.is_hot(), "the clock is capped for the voltage's sake");
    }

    #[test]
    fn a_jetson_has_zones_that_do_not_count() {
        let jetson = tree(&[
            ("sys/class/thermal/thermal_zone0/type", "AO-therm\n"),
            ("sys/class/thermal/thermal_zone0/temp", "39500\n"),
            ("sys/class/thermal/thermal_zone1/type", "CPU-therm\n"),
            ("sys/class/thermal/thermal_zone1/temp", "34500\n"),
            ("sys/class/thermal/thermal_zone2/type", "PMIC-Die\n"),
            ("sys/class/thermal/thermal_zone2/temp", "100000\n"),
            ("sys/class/thermal/thermal_zone3/type", "thermal-fan-est\n"),
            ("sys/class/thermal/thermal_zone3/temp", "99000\n"),
            ("sys/class/thermal/thermal_zone4/type", "cv0-thermal\n"),
            ("sys/class/thermal/thermal_zone5/type", "gpu-thermal\n"),
            ("sys/class/thermal/thermal_zone5/temp", "-256000\n"),
        ]);
        let heat = Sensors::find(jetson.path()).read();
        assert_eq!(heat, Heat { hottest: Some(("AO-therm".into(), 39.5)), throttling: None });
    }

    #[test]
    fn what_cannot_be_read_is_missing_not_cold() {
        assert_eq!(Sensors::find(tree(&[]).path()).read(), Heat::default());
        let broken = tree(&[
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal"),
            ("sys/class/thermal/thermal_zone0/temp", "warm"),
            (THROTTLED, "many"),
        ]);
        let sensors = Sensors::find(broken.path());
        assert!(!sensors.any() && sensors.read() == Heat::default());
        let old = tree(&[
            ("sys/class/hwmon/hwmon0/name", "nvme"),
            ("sys/class/hwmon/hwmon0/temp1_input", "90000"),
            ("sys/class/hwmon/hwmon1/name", "coretemp"),
            ("sys/class/hwmon/hwmon1/temp1_input", "50000"),
            ("sys/class/hwmon/hwmon1/temp1_max", "100000"),
            ("sys/class/hwmon/hwmon1/temp2_input", "52000"),
        ]);
        assert_eq!(Sensors::find(old.path()).read().hottest, Some(("coretemp".into(), 52.0)));
    }
}

//! The layers of settings, each over the one before: defaults, file, the files in `FILE.d`,
//! environment, flags, `-o`.
//!
//! Every layer is checked on its own before all are merged, so that a mistake is reported with its
//! place, even if a later layer would have hidden it. The merged result records the layer of each
//! value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use config::{Config, ConfigError, File, FileFormat, Map, Source, Value};
use ringbinder_ring::regular;
use serde::Serialize;

use super::error::{SettingsError, one_line};
use super::flags;
use super::options::{self, Options, VARIABLE_PREFIX, long_flag, variable};

/// The largest settings file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The variable that names the settings file.
pub(super) const CONFIG_VARIABLE: &str = "RINGBINDER_CONFIG";

/// The variable in which systemd names the directories of `StateDirectory=`, separated by colons.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// The name of the ring's copy in that directory.
const RING_CACHE_NAME: &str = "ring.toml";

/// The place where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    /// The directory that the service manager keeps for this service.
    StateDirectory,
    File(PathBuf),
    Environment,
    Flag,
    Extended,
}

impl Origin {
    /// The exact place, for a person who looks for it.
    pub(super) fn place(&self, key: &str) -> String {
        match self {
            Self::Default => format!("default of {key}"),
            Self::StateDirectory => STATE_DIRECTORY.to_owned(),
            Self::File(path) => format!("key '{key}' in {}", path.display()),
            Self::Environment => variable(key),
            Self::Flag => long_flag(key),
            Self::Extended => format!("-o {key}"),
        }
    }

    /// Whether it is on the command line.
    pub(super) fn is_command_line(&self) -> bool {
        matches!(self, Self::Flag | Self::Extended)
    }
}

/// The settings of one layer: keys that it does not mention are absent.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) origin: Origin,
    pub(super) values: Map<String, Value>,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone())
    }
}

/// All layers in one.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) options: Options,
    origins: BTreeMap<String, Origin>,
}

impl Merged {
    /// The place where the effective value of a key was written.
    pub(super) fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// An error about the effective value of a key.
    pub(super) fn error(&self, key: &str, reason: impl fmt::Display) -> SettingsError {
        let origin = self.origin(key);
        SettingsError::Value {
            place: origin.place(key),
            reason: reason.to_string(),
            on_command_line: origin.is_command_line(),
        }
    }
}

/// Merges `layers`, lowest priority first, over the defaults.
pub(super) fn merge(layers: &[Layer]) -> Result<Merged, SettingsError> {
    let defaults = Layer { origin: Origin::Default, values: to_map(&flags::defaults())? };
    for layer in layers {
        deserialize([&defaults, layer].into_iter(), &layer.origin)?;
    }
    let mut origins = BTreeMap::new();
    for layer in layers {
        origins.extend(layer.values.keys().map(|key| (key.clone(), layer.origin.clone())));
    }
    let all = std::iter::once(&defaults).chain(layers);
    let options = deserialize(all, &Origin::Default)?;
    Ok(Merged { options, origins })
}

fn deserialize<'a>(
    layers: impl Iterator<Item = &'a Layer>,
    blamed: &Origin,
) -> Result<Options, SettingsError> {
    let builder = layers.fold(Config::builder(), |b, layer| b.add_source(layer.clone()));
    let merged = builder.build().and_then(Config::try_deserialize);
    merged.map_err(|error| {
        let (key, reason) = explain(error);
        let place = match key {
            Some(key) => blamed.place(&key),
            None => "settings".into(),
        };
        SettingsError::Value { place, reason, on_command_line: blamed.is_command_line() }
    })
}

/// Takes the key out of an error, because the message names it with its place.
fn explain(error: ConfigError) -> (Option<String>, String) {
    match error {
        ConfigError::Type { unexpected, expected, key, .. } => {
            (key, format!("must be {expected}, not {unexpected}"))
        }
        ConfigError::At { error, key, .. } => {
            let (inner, reason) = explain(*error);
            (key.or(inner), reason)
        }
        other => (None, reworded(one_line(&other.to_string()))),
    }
}

/// Replaces serde's message for a wrong type by ours.
fn reworded(reason: String) -> String {
    match reason.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
        Some((found, expected)) => format!("must be {expected}, not {found}"),
        None => reason,
    }
}

/// The keys of some options and their values; a key without a value is absent.
pub(super) fn to_map(options: &impl Serialize) -> Result<Map<String, Value>, SettingsError> {
    let mut map = Config::try_from(options)
        .and_then(|config| config.collect())
        .map_err(|error| SettingsError::Usage(one_line(&error.to_string())))?;
    map.retain(|_, value| value.kind != config::ValueKind::Nil);
    Ok(map)
}

/// The format of a settings file, by the ending of its name.
fn format_of(path: &Path) -> Option<FileFormat> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Some(FileFormat::Toml),
        Some("yaml" | "yml") => Some(FileFormat::Yaml),
        Some("json") => Some(FileFormat::Json),
        _ => None,
    }
}

/// The files in the directory `FILE.d` beside the settings file `FILE`, sorted by name: the
/// settings of this machine, in addition to those of a package or an image. The second part of the
/// result has a warning for each file whose format is unknown. Hidden files are skipped, and so is
/// a link to `/dev/null`, which is the way to disable a file of the package.
///
/// # Errors
/// A directory or a file in it that cannot be used. A missing directory is not an error.
pub(super) fn from_directory_of(path: &Path) -> Result<(Vec<Layer>, Vec<String>), SettingsError> {
    let mut directory = path.as_os_str().to_owned();
    directory.push(".d");
    let directory = PathBuf::from(directory);
    let failed = |error: io::Error| SettingsError::File {
        path: directory.clone(),
        reason: error.to_string(),
    };
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        entries => entries.map_err(failed)?,
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    let is_hidden = |path: &Path| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    let (mut layers, mut warnings) = (Vec::new(), Vec::new());
    let is_masked =
        |path: &Path| fs::canonicalize(path).is_ok_and(|target| target == Path::new("/dev/null"));
    for path in paths.iter().filter(|path| !is_hidden(path) && !is_masked(path)) {
        match format_of(path) {
            Some(_) => layers.push(from_file(path)?),
            None => warnings.push(format!(
                "{} is ignored: its name must end in .toml, .yaml, .yml or .json",
                path.display()
            )),
        }
    }
    Ok((layers, warnings))
}

/// One settings file.
pub(super) fn from_file(path: &Path) -> Result<Layer, SettingsError> {
    let failed = |reason: String| SettingsError::File { path: path.into(), reason };
    let Some(format) = format_of(path) else {
        return Err(failed("its name must end in .toml, .yaml, .yml or .json".into()));
    };
    let bytes = regular::read(path, MAX_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            failed("it does not exist; correct --config or RINGBINDER_CONFIG".into())
        }
        _ => failed(error.to_string()),
    })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed(format!("it has more than {MAX_FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is no text in UTF-8".into()))?;
    let values = File::from_str(&text, format)
        .collect()
        .map_err(|error| failed(one_line(&error.to_string())))?;
    let known = options::keys();
    let unknown = values.keys().filter(|key| !known.contains(key)).min();
    if let Some(key) = unknown {
        return Err(SettingsError::UnknownKey {
            key: key.clone(),
            path: path.into(),
            suggestion: nearest(key, &known),
        });
    }
    Ok(Layer { origin: Origin::File(path.into()), values })
}

/// The variables that set keys, and a warning for each one that looks like such a variable but is
/// not.
pub(super) fn from_environment(
    environment: &[(OsString, OsString)],
) -> Result<(Layer, Vec<String>), SettingsError> {
    let known = options::keys();
    let mut values = Map::new();
    let mut warnings = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else {
            continue;
        };
        if name == CONFIG_VARIABLE || value.is_empty() {
            continue;
        }
        let key = known.iter().find(|key| variable(key) == name);
        let value = value.to_str();
        if is_service_link(name, value) {
            if key.is_some() {
                warnings.push(format!("{name} is ignored: Kubernetes set it for a service"));
            }
            continue;
        }
        match (key, value) {
            (Some(key), Some(value)) => {
                values.insert(key.clone(), Value::new(None, value.to_owned()));
            }
            (Some(_), None) => {
                return Err(SettingsError::Value {
                    place: name.into(),
                    reason: "must be UTF-8 text".into(),
                    on_command_line: false,
                });
            }
            (None, _) => warnings.push(format!("{name} is ignored: there is no such setting")),
        }
    }
    Ok((Layer { origin: Origin::Environment, values }, warnings))
}

/// The path of the ring's copy, if the service manager keeps a directory for this service and no
/// other layer sets the path. Not if the ring itself is there under that name.
pub(super) fn from_state_directory(
    environment: &[(OsString, OsString)],
    merged: &Merged,
) -> Option<Layer> {
    let ring = merged.options.ring.as_ref().filter(|ring| !ring.is_empty())?;
    let (_, directories) = environment.iter().find(|(name, _)| name == STATE_DIRECTORY)?;
    let first = directories.to_str()?.split(':').next()?;
    let path = Path::new(first).join(RING_CACHE_NAME);
    if merged.options.ring_cache.is_some() || !path.is_absolute() || path == Path::new(ring) {
        return None;
    }
    let path = Value::new(None, path.to_str()?.to_owned());
    let values = std::iter::once(("ring_cache".to_owned(), path)).collect();
    Some(Layer { origin: Origin::StateDirectory, values })
}

/// Whether Kubernetes sets this variable in every container for a service named `ringbinder`, such
/// as `RINGBINDER_PORT=tcp://10.0.0.1:11211`.
fn is_service_link(name: &str, value: Option<&str>) -> bool {
    let is_link = |value: &str| value.starts_with("tcp://") || value.starts_with("udp://");
    let is_port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
        || value.is_some_and(is_link)
}

/// The flags that were typed.
pub(super) fn from_flags(options: &Options, matches: &ArgMatches) -> Result<Layer, SettingsError> {
    let mut values = to_map(options)?;
    values.retain(|key, _| matches.value_source(key) == Some(ValueSource::CommandLine));
    Ok(Layer { origin: Origin::Flag, values })
}

/// The keys that were set after `-o`.
pub(super) fn from_extended(keys: &[(&'static str, String)]) -> Layer {
    let values = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::new(None, value.clone())))
        .collect();
    Layer { origin: Origin::Extended, values }
}

/// The key that was probably meant: with the same letters, or at most two edits away.
fn nearest(written: &str, known: &[String]) -> Option<String> {
    let plain = written.to_ascii_lowercase().replace(['-', '.'], "_");
    let distances = known.iter().map(|key| (edits(&plain, key), key));
    distances.filter(|(edits, _)| *edits <= 2).min().map(|(_, key)| key.clone())
}

/// The number of letters to insert, remove or change to make one word of the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_for_a_service_is_no_setting() {
        for (name, value) in [
            ("RINGBINDER_PORT", "tcp://10.0.0.1:11211"),
            ("RINGBINDER_SERVICE_HOST", "10.0.0.1"),
            ("RINGBINDER_SERVICE_PORT_CACHE", "11211"),
            ("RINGBINDER_PORT_11211_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, Some(value)), "{name}");
        }
        assert!(!is_service_link("RINGBINDER_PORT", Some("11211")));
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        let known = options::keys();
        assert_eq!(nearest("memory-limit", &known).as_deref(), Some("memory_limit"));
        assert_eq!(nearest("thread", &known).as_deref(), Some("threads"));
        assert_eq!(nearest("something_else", &known), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }
}

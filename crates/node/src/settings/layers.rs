//! The layers of settings, each over the one before: defaults, file, the files in `FILE.d`,
//! environment, flags, `-o`.
//!
//! A layer is a map of keys to texts. Every text is parsed exactly as if it followed its flag, so
//! types, bounds and words exist once, in [`super::options`]. A layer is checked before all are
//! merged, so that a mistake is reported with its place, even if a later layer hides it. The merged
//! result records the layer of each value.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches};
use config::{File, FileFormat, Source, Value};
use ringbinder_ring::regular;

use super::error::{SettingsError, one_line};
use super::options::{
    AdminSettings, RingSettings, Settings, VARIABLE_PREFIX, command_of, keys_of, long_flag,
    variable,
};
use super::texts;

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

    /// An error about the value that was written there.
    fn error(&self, key: &str, reason: String) -> SettingsError {
        let on_command_line = matches!(self, Self::Flag | Self::Extended);
        SettingsError::Value { place: self.place(key), reason, on_command_line }
    }
}

/// The texts of each key: one, or several for a list. Every text is what would follow the flag; a
/// flag without a value has `true` or `false`.
type Texts = BTreeMap<String, Vec<OsString>>;

/// The settings of one layer: keys that it does not mention are absent.
#[derive(Debug)]
pub(super) struct Layer {
    origin: Origin,
    values: Texts,
}

/// All layers in one: the value of each key that is set, and the place where it was written.
#[derive(Debug)]
pub(super) struct Merged(BTreeMap<String, (Vec<OsString>, Origin)>);

impl Merged {
    /// The place where the effective value of a key was written.
    pub(super) fn origin(&self, key: &str) -> &Origin {
        self.0.get(key).map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// The effective texts of a key; none if it is not set and has no default.
    pub(super) fn texts(&self, argument: &Arg) -> Vec<OsString> {
        match self.0.get(argument.get_id().as_str()) {
            Some((texts, _)) => texts.clone(),
            None => match argument.get_action() {
                ArgAction::SetTrue => vec!["false".into()],
                ArgAction::Count => vec!["0".into()],
                _ => argument.get_default_values().iter().map(OsString::from).collect(),
            },
        }
    }

    /// The effective settings, before the rules between them.
    pub(super) fn settings(&self) -> Result<Settings, SettingsError> {
        let command = command_of::<Settings>();
        let idle = self.idle_keys();
        let in_background = self.0.get("daemon").is_some_and(|(texts, _)| texts == &["true"]);
        let mut arguments = Vec::new();
        for (key, (texts, _)) in &self.0 {
            let argument = texts::find(&command, key).filter(|_| !idle.contains(key));
            let Some(argument) = argument else { continue };
            for text in texts {
                // A background process leaves the directory to which relative paths refer.
                let is_path = texts::parses(argument, TypeId::of::<PathBuf>());
                match std::path::absolute(text) {
                    Ok(path) if in_background && is_path => {
                        texts::push(argument, path.as_os_str(), &mut arguments);
                    }
                    _ => texts::push(argument, text, &mut arguments),
                }
            }
        }
        let program = OsString::from(command.get_name());
        let matches = command.try_get_matches_from(std::iter::once(program).chain(arguments));
        matches
            .and_then(|matches| Settings::from_arg_matches(&matches))
            .map_err(|error| SettingsError::Usage(one_line(&error.render().to_string())))
    }

    /// The keys of groups whose first setting is missing.
    fn idle_keys(&self) -> Vec<String> {
        let mut idle = Vec::new();
        if !self.0.contains_key("ring") {
            idle.extend(keys_of::<RingSettings>());
        }
        if !self.0.contains_key("admin") {
            idle.extend(keys_of::<AdminSettings>());
        }
        idle
    }

    /// Adds a warning for each of these keys that is set, although it needs another setting.
    pub(super) fn warn_idle(&self, keys: &[String], needed: &str, warnings: &mut Vec<String>) {
        let set = keys.iter().filter_map(|key| Some((key, self.0.get(key)?)));
        warnings.extend(set.map(|(key, (_, origin))| {
            format!("{} has no effect without {needed}", origin.place(key))
        }));
    }

    /// An error about the effective value of a key.
    pub(super) fn error(&self, key: &str, reason: impl Into<String>) -> SettingsError {
        self.origin(key).error(key, reason.into())
    }
}

/// Merges `layers`, lowest priority first.
pub(super) fn merge(layers: &[Layer]) -> Merged {
    let mut merged = BTreeMap::new();
    for Layer { origin, values } in layers {
        for (key, texts) in values {
            match texts.is_empty() {
                true => merged.remove(key),
                false => merged.insert(key.clone(), (texts.clone(), origin.clone())),
            };
        }
    }
    Merged(merged)
}

impl Layer {
    /// Reads values that were not parsed as flags, and checks each one.
    fn read(
        origin: Origin,
        values: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Layer, SettingsError> {
        let command = command_of::<Settings>();
        let mut layer = Layer { origin, values: Texts::new() };
        for (key, value) in values {
            let Some(argument) = texts::find(&command, &key) else { continue };
            let texts = texts::of_value(argument, value).and_then(|texts| {
                texts::check(&command, argument, &texts)?;
                Ok(texts)
            });
            let texts = texts.map_err(|reason| layer.origin.error(&key, reason))?;
            layer.values.insert(key, texts);
        }
        Ok(layer)
    }
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
                "{} is ignored: the name must end in .toml, .yaml, .yml or .json",
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
        return Err(failed("the name must end in .toml, .yaml, .yml or .json".into()));
    };
    let bytes = regular::read(path, MAX_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            failed("the file does not exist; correct --config or RINGBINDER_CONFIG".into())
        }
        _ => failed(error.to_string()),
    })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed(format!("the file has more than {MAX_FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("the file is not UTF-8 text".into()))?;
    let values = File::from_str(&text, format)
        .collect()
        .map_err(|error| failed(one_line(&error.to_string())))?;
    let known = keys_of::<Settings>();
    let unknown = values.keys().filter(|key| !known.contains(key)).min();
    if let Some(key) = unknown {
        return Err(SettingsError::UnknownKey {
            key: key.clone(),
            path: path.into(),
            suggestion: nearest(key),
        });
    }
    Layer::read(Origin::File(path.into()), values)
}

/// The variables that set keys, and a warning for each one that looks like such a variable but is
/// not.
pub(super) fn from_environment(
    environment: &[(OsString, OsString)],
) -> Result<(Layer, Vec<String>), SettingsError> {
    let known = keys_of::<Settings>();
    let mut values = Vec::new();
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
                values.push((key.clone(), Value::new(None, value.to_owned())));
            }
            (Some(_), None) => {
                let reason = "must be UTF-8 text".into();
                return Err(SettingsError::Value {
                    place: name.into(),
                    reason,
                    on_command_line: false,
                });
            }
            (None, _) => warnings.push(format!("{name} is ignored: unknown setting")),
        }
    }
    Ok((Layer::read(Origin::Environment, values)?, warnings))
}

/// The path of the ring's copy, if the service manager keeps a directory for this service and no
/// other layer sets the path. Not if the ring itself is there under that name.
pub(super) fn from_state_directory(
    environment: &[(OsString, OsString)],
    merged: &Merged,
) -> Option<Layer> {
    let (ring, _) = merged.0.get("ring").filter(|(ring, _)| ring != &[""])?;
    let (_, directories) = environment.iter().find(|(name, _)| name == STATE_DIRECTORY)?;
    let first = directories.to_str()?.split(':').next()?;
    let path = Path::new(first).join(RING_CACHE_NAME);
    let is_ring = ring.iter().any(|ring| path == Path::new(ring));
    if merged.0.contains_key("ring_cache") || !path.is_absolute() || is_ring {
        return None;
    }
    let values = Texts::from([("ring_cache".to_owned(), vec![path.into()])]);
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
pub(super) fn from_flags(matches: &ArgMatches) -> Layer {
    let mut values = Texts::new();
    for argument in command_of::<Settings>().get_arguments() {
        let key = argument.get_id().as_str();
        if matches.value_source(key) != Some(ValueSource::CommandLine) {
            continue;
        }
        let texts = match argument.get_action() {
            ArgAction::Count => vec![matches.get_count(key).to_string().into()],
            _ if texts::is_switch(argument) => vec![matches.get_flag(key).to_string().into()],
            _ => matches.get_raw(key).unwrap_or_default().map(OsString::from).collect(),
        };
        values.insert(key.to_owned(), texts);
    }
    Layer { origin: Origin::Flag, values }
}

/// The keys that were set after `-o`.
pub(super) fn from_extended(keys: Vec<(&'static str, String)>) -> Result<Layer, SettingsError> {
    let values = keys.into_iter().map(|(key, value)| (key.to_owned(), Value::new(None, value)));
    Layer::read(Origin::Extended, values)
}

/// The key that was probably meant: at most two edits away.
fn nearest(written: &str) -> Option<String> {
    let plain = written.to_ascii_lowercase().replace(['-', '.'], "_");
    let keys = keys_of::<Settings>().into_iter();
    let near = keys.map(|key| (strsim::levenshtein(&plain, &key), key));
    near.filter(|(edits, _)| *edits <= 2).min().map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_kubernetes_service_are_not_settings() {
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
        assert_eq!(nearest("memory-limit").as_deref(), Some("memory_limit"));
        assert_eq!(nearest("memory_limt").as_deref(), Some("memory_limit"));
        assert_eq!(nearest("thread").as_deref(), Some("threads"));
        assert_eq!(nearest("something_else"), None);
    }
}

//! The `[audit]` table of the configuration: raw TOML in, a valid [`Config`] out. Opens nothing.

use std::path::PathBuf;

use serde::Deserialize;

/// What happens to sessions when the log cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing runs any more until pgward is restarted.
    #[default]
    Stop,
    /// Statements go on; records that cannot be kept are lost, and the next checkpoint counts them.
    Continue,
}

/// A valid configuration of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Config {
    /// The file, appended to and made with mode 0600.
    pub path: PathBuf,
    /// How long a record may wait in memory before it is written, in milliseconds. With 0 it is
    /// written as soon as no other record is queued.
    pub buffer_ms: u64,
    /// Whether a record counts as taken only once it is on disk (`fdatasync`).
    pub fsync: bool,
    /// How many records may wait for the writer; further callers wait.
    pub queue_records_max: usize,
    /// Whether statements are recorded with their literals.
    pub full_text: bool,
    /// A checkpoint is written after this many records.
    pub checkpoint_records: u64,
    /// The Ed25519 key (PKCS #8, PEM) that signs checkpoints; without it the file is only
    /// hash-chained.
    pub signing_key: Option<PathBuf>,
    /// What a failing log does to sessions.
    pub on_failure: OnFailure,
}

impl Config {
    /// The defaults for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            buffer_ms: default_buffer_ms(),
            fsync: false,
            queue_records_max: default_queue_records_max(),
            full_text: false,
            checkpoint_records: default_checkpoint_records(),
            signing_key: None,
            on_failure: OnFailure::Stop,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    path: PathBuf,
    #[serde(default = "default_buffer_ms")]
    buffer_ms: u64,
    #[serde(default)]
    fsync: bool,
    #[serde(default = "default_queue_records_max")]
    queue_records_max: usize,
    #[serde(default)]
    full_text: bool,
    #[serde(default = "default_checkpoint_records")]
    checkpoint_records: u64,
    #[serde(default)]
    signing_key: Option<PathBuf>,
    #[serde(default)]
    on_failure: OnFailure,
}

const fn default_buffer_ms() -> u64 {
    100
}

const fn default_queue_records_max() -> usize {
    8_192
}

const fn default_checkpoint_records() -> u64 {
    1_000
}

impl TryFrom<Raw> for Config {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if raw.path.as_os_str().is_empty() {
            return Err("path must name a file".to_owned());
        }
        if raw.buffer_ms > 10_000 {
            return Err("buffer_ms must be at most 10000".to_owned());
        }
        if !(1..=1_000_000).contains(&raw.queue_records_max) {
            return Err("queue_records_max must be between 1 and 1000000".to_owned());
        }
        if !(1..=1_000_000).contains(&raw.checkpoint_records) {
            return Err("checkpoint_records must be between 1 and 1000000".to_owned());
        }
        Ok(Self {
            path: raw.path,
            buffer_ms: raw.buffer_ms,
            fsync: raw.fsync,
            queue_records_max: raw.queue_records_max,
            full_text: raw.full_text,
            checkpoint_records: raw.checkpoint_records,
            signing_key: raw.signing_key,
            on_failure: raw.on_failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_enough() {
        let config: Config = toml::from_str("path = 'audit.jsonl'").unwrap();
        assert_eq!(config, Config::new("audit.jsonl"));
        assert_eq!(config.buffer_ms, 100);
        assert_eq!(config.checkpoint_records, 1_000);
        assert_eq!(config.on_failure, OnFailure::Stop);
        assert!(!config.fsync && !config.full_text);
    }

    #[test]
    fn every_key_is_read() {
        let config: Config = toml::from_str(
            "path = 'a'\nbuffer_ms = 0\nfsync = true\nqueue_records_max = 7\nfull_text = true\n\
             checkpoint_records = 5\nsigning_key = 'k.pem'\non_failure = 'continue'",
        )
        .unwrap();
        assert_eq!(
            config,
            Config {
                path: "a".into(),
                buffer_ms: 0,
                fsync: true,
                queue_records_max: 7,
                full_text: true,
                checkpoint_records: 5,
                signing_key: Some("k.pem".into()),
                on_failure: OnFailure::Continue,
            }
        );
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("", "path"),
            ("path = ''", "path must name a file"),
            ("path = 'a'\nbuffer_ms = 10001", "buffer_ms must be"),
            ("path = 'a'\nbuffer_ms = -1", "buffer_ms"),
            (
                "path = 'a'\nqueue_records_max = 0",
                "queue_records_max must be",
            ),
            (
                "path = 'a'\ncheckpoint_records = 0",
                "checkpoint_records must be",
            ),
            ("path = 'a'\non_failure = 'ignore'", "ignore"),
            ("path = 'a'\npaht = 'b'", "paht"),
        ];
        for (text, expected) in cases {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}

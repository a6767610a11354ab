//! `pgward audit`: verify the log's chain, or read its end.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;

use crate::audit::{Entry, Follow, PublicKey, render, verify};

use super::Outcome;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check that no record was changed, removed or reordered
    Verify {
        /// The audit log
        file: PathBuf,
        /// The public key of the checkpoints (PEM, or 64 hexadecimal digits)
        #[arg(long)]
        key: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the last records
    Tail {
        /// The audit log
        file: PathBuf,
        /// How many records
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u64,
        /// Go on as records are written
        #[arg(short, long)]
        follow: bool,
        /// Print the records as they are written, in JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Verify { file, key, json } => verify_file(&file, key.as_deref(), json),
        Command::Tail {
            file,
            lines,
            follow,
            json,
        } => tail(&file, lines, follow, json),
    }
}

fn verify_file(file: &Path, key: Option<&Path>, json: bool) -> anyhow::Result<Outcome> {
    let key = key.map(read_key).transpose()?;
    let log =
        File::open(file).with_context(|| format!("{} could not be opened", file.display()))?;
    match verify(BufReader::new(log), key.as_ref()) {
        Ok(summary) if json => println!("{}", serde_json::to_string(&summary)?),
        Ok(summary) => println!("{summary}"),
        Err(broken) => {
            if json {
                println!("{}", serde_json::to_string(&broken)?);
            } else {
                println!("{}: {broken}", file.display());
            }
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Fine)
}

fn read_key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} could not be read", path.display()))?;
    PublicKey::parse(&text).with_context(|| format!("{} is not a public key", path.display()))
}

fn tail(file: &Path, lines: u64, follow: bool, json: bool) -> anyhow::Result<Outcome> {
    let mut log = Follow::open(file, lines)
        .with_context(|| format!("{} could not be opened", file.display()))?;
    loop {
        match log.next_line()? {
            Some(line) if json => println!("{line}"),
            Some(line) => match Entry::parse(&line) {
                Ok(entry) => println!("{}", render(&entry)),
                Err(error) => println!("(not a record: {error})"),
            },
            None if follow => std::thread::sleep(Duration::from_millis(200)),
            None => return Ok(Outcome::Fine),
        }
    }
}

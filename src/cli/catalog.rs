//! `pgward catalog dump`: the snapshot that policies are checked against without a database.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::catalog::Snapshot;
use crate::sql;
use crate::upstream::{Config, Connector};

use super::{Outcome, runtime};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the database's schema as JSON: names and types, no data
    Dump {
        /// Where the database is: postgres://user:password@host/database
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
        /// Write to a file instead of standard output
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<Outcome> {
    let Command::Dump {
        database_url,
        output,
    } = command;
    let text = fetch(&database_url)?;
    // What cannot be read back is of no use to anybody: find out now.
    Snapshot::from_json(&text).context("the database's answer is not a catalog snapshot")?;
    match output {
        Some(path) => std::fs::write(&path, text)
            .with_context(|| format!("{} could not be written", path.display()))?,
        None => println!("{text}"),
    }
    Ok(Outcome::Fine)
}

fn fetch(database_url: &str) -> anyhow::Result<String> {
    let config = Config::from_url(database_url).context("--database-url")?;
    let connector = Connector::new(&config)?;
    runtime()?
        .block_on(connector.introspect_json())
        .context("the database's catalog could not be read")
}

/// Where a command takes the schema from.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// A file of `pgward catalog dump`
    #[arg(long, conflicts_with = "database_url")]
    catalog: Option<PathBuf>,
    /// A live database: postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl Source {
    /// Whether any was named.
    pub(super) fn given(&self) -> bool {
        self.catalog.is_some() || self.database_url.is_some()
    }

    /// The snapshot, with the lineage of its views.
    pub(super) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let text = match (&self.catalog, &self.database_url) {
            (Some(path), _) => read(path)?,
            (None, Some(url)) => fetch(url)?,
            (None, None) => anyhow::bail!(
                "a schema is needed: give --catalog FILE (see `pgward catalog dump`) or \
                 --database-url URL"
            ),
        };
        Ok(sql::trace(Snapshot::from_json(&text)?))
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} could not be read", path.display()))
}

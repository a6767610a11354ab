//! `pgward policy`: check a policy, run its tests, explain one statement. No socket is opened but
//! to a database named by `--database-url`; what decides is the code that decides on the wire.

use std::io::{stderr, stdout};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::catalog::Snapshot;
use crate::clock::{Clock, SystemClock};
use crate::config::PolicyFiles;
use crate::gate::{self, Judged, Surroundings};
use crate::policy::{self, Rules};
use crate::principal::{Agent, Attribute, Principal, TokenFacts, User};
use crate::sql::Settings;
use crate::wire::Limits;

use super::catalog::Source;
use super::explain;
use super::{Outcome, colour};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check that the policy can be loaded, and warn of what looks wrong
    Check {
        /// Files and directories; *.cases.toml are left out
        #[arg(default_value = "policies")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        source: Source,
    },
    /// Run the *.cases.toml beside the policy
    Test {
        /// Files and directories
        #[arg(default_value = "policies")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        source: Source,
        /// Print only what failed
        #[arg(short, long)]
        quiet: bool,
    },
    /// Say what a statement touches, what is decided, and why
    Explain(Box<ExplainArgs>),
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The statement
    sql: String,
    /// Files and directories of the policy
    #[arg(long, default_value = "policies")]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// The agent that acts; repeated: each one delegated to by the one before
    #[arg(long = "agent", required = true)]
    agents: Vec<String>,
    /// The user
    #[arg(long)]
    user: String,
    /// A group of the user; may be repeated
    #[arg(long = "group")]
    groups: Vec<String>,
    /// An attribute of the user, name=value; may be repeated
    #[arg(long = "attribute")]
    attributes: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Check { paths, source } => check(&paths, &source),
        Command::Test {
            paths,
            source,
            quiet,
        } => test(&paths, &source, quiet),
        Command::Explain(args) => explain_statement(*args),
    }
}

/// The compiled policy, or `None` once its mistakes were printed.
fn load(files: &PolicyFiles) -> Option<Rules> {
    match policy::load(&files.policies()) {
        Ok(rules) => Some(rules),
        Err(diagnostics) => {
            eprint!("{}", diagnostics.render(colour(&stderr())));
            None
        }
    }
}

fn check(paths: &[PathBuf], source: &Source) -> anyhow::Result<Outcome> {
    let files = PolicyFiles::read(paths)?;
    let Some(rules) = load(&files) else {
        return Ok(Outcome::Failed);
    };
    if let Err(diagnostics) = policy::load_cases(&files.cases()) {
        eprint!("{}", diagnostics.render(colour(&stderr())));
        return Ok(Outcome::Failed);
    }
    let snapshot = source.given().then(|| source.snapshot()).transpose()?;
    let warnings = policy::lint(&rules, snapshot.as_ref());
    if !warnings.is_empty() {
        eprint!("{}", warnings.render(colour(&stderr())));
    }
    println!(
        "{} files: the policy is well-formed",
        files.policies().len()
    );
    Ok(Outcome::Fine)
}

fn test(paths: &[PathBuf], source: &Source, quiet: bool) -> anyhow::Result<Outcome> {
    let files = PolicyFiles::read(paths)?;
    let Some(rules) = load(&files) else {
        return Ok(Outcome::Failed);
    };
    let cases = match policy::load_cases(&files.cases()) {
        Ok(cases) => cases,
        Err(diagnostics) => {
            eprint!("{}", diagnostics.render(colour(&stderr())));
            return Ok(Outcome::Failed);
        }
    };
    anyhow::ensure!(!cases.is_empty(), "no *.cases.toml holds a case");
    let snapshot = source.snapshot()?;
    let settings = Settings::new(&snapshot);
    let limits = Limits::default();
    let around = surroundings(&snapshot, &rules, &settings, &limits);
    let mut failed = 0_usize;
    for case in &cases {
        let result = gate::run_case(case, &around);
        match result.failure {
            None if quiet => {}
            None => println!("ok    {}", case.name),
            Some(failure) => {
                failed = failed.saturating_add(1);
                println!(
                    "FAIL  {}\n      {}:{}: {failure}",
                    case.name, case.file, case.line
                );
                println!("      {}", case.sql);
            }
        }
    }
    println!("{} cases, {failed} failed", cases.len());
    Ok(if failed == 0 {
        Outcome::Fine
    } else {
        Outcome::Failed
    })
}

fn explain_statement(args: ExplainArgs) -> anyhow::Result<Outcome> {
    let files = PolicyFiles::read(&args.policy)?;
    let Some(rules) = load(&files) else {
        return Ok(Outcome::Failed);
    };
    let snapshot = args.source.snapshot()?;
    let principal = principal(&args)?;
    let settings = Settings::new(&snapshot);
    let limits = Limits::default();
    let around = surroundings(&snapshot, &rules, &settings, &limits);
    let judged = gate::judge(&principal, &args.sql, &around);
    if args.json {
        println!("{}", explain::json(&judged, &rules, &snapshot)?);
    } else {
        println!("{}", principal.describe());
        print!(
            "{}",
            explain::text(&args.sql, &judged, &rules, &snapshot, colour(&stdout()))?
        );
    }
    let denied = |judged: &Judged| judged.refusal.is_some();
    Ok(if judged.iter().any(denied) {
        Outcome::Failed
    } else {
        Outcome::Fine
    })
}

fn surroundings<'a>(
    snapshot: &'a Snapshot,
    rules: &'a Rules,
    settings: &'a Settings,
    limits: &'a Limits,
) -> Surroundings<'a> {
    Surroundings {
        snapshot,
        rules,
        settings,
        limits,
        now: SystemClock.now(),
        client: None,
    }
}

fn principal(args: &ExplainArgs) -> anyhow::Result<Principal> {
    let mut user = User {
        sub: args.user.clone(),
        groups: args.groups.clone(),
        ..User::default()
    };
    for pair in &args.attributes {
        let Some((name, value)) = pair.split_once('=') else {
            anyhow::bail!("--attribute {pair}: write name=value");
        };
        let value = Attribute::Text(value.to_owned());
        user.attributes.insert(name.to_owned(), value);
    }
    let agent = |sub: &String| Agent {
        sub: sub.clone(),
        issuer: None,
    };
    Ok(Principal {
        user,
        chain: args.agents.iter().rev().map(agent).collect(),
        scope: Vec::new(),
        authorization_details: None,
        token: TokenFacts {
            issuer: "policy explain".to_owned(),
            jti: "none".to_owned(),
            client_id: None,
            expires_at: crate::clock::Timestamp::from_seconds(i64::MAX),
            base: None,
        },
    })
}

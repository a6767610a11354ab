//! The scene that the demo plays: who says what, and how it must come out. Data, and the loop that
//! plays it over real connections with real tokens.

use anyhow::Context;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::agents::DemoAgent;

/// How a step must come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Rows come back, or the statement is carried out.
    Answered,
    /// Refused with this SQLSTATE.
    Refused(&'static str),
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// What is going on, for the reader.
    pub(super) tale: &'static str,
    /// The agent that speaks.
    pub(super) agent: &'static str,
    /// What it says.
    pub(super) sql: &'static str,
    /// How it must come out.
    pub(super) expected: Expected,
}

const fn answered(agent: &'static str, tale: &'static str, sql: &'static str) -> Step {
    Step {
        tale,
        agent,
        sql,
        expected: Expected::Answered,
    }
}

const fn refused(
    agent: &'static str,
    code: &'static str,
    tale: &'static str,
    sql: &'static str,
) -> Step {
    Step {
        tale,
        agent,
        sql,
        expected: Expected::Refused(code),
    }
}

/// The steps in order.
pub(super) const STEPS: &[Step] = &[
    answered(
        "support-bot",
        "The support agent looks at customers, in the columns that are open to it.",
        "SELECT id, name, region FROM customers ORDER BY id LIMIT 3",
    ),
    answered(
        "support-bot",
        "It reads the newest ticket. Somebody has written instructions for assistants into it.",
        "SELECT subject, body FROM tickets ORDER BY opened_at DESC LIMIT 1",
    ),
    refused(
        "support-bot",
        "42501",
        "The model obeys the ticket.",
        "SELECT name, ssn, card_number FROM customers",
    ),
    refused(
        "support-bot",
        "42501",
        "The ticket said what to try next: the whole row as JSON.",
        "SELECT row_to_json(c) FROM customers c",
    ),
    refused(
        "support-bot",
        "42501",
        "And the table of secrets.",
        "SELECT * FROM secrets",
    ),
    refused(
        "support-bot",
        "42501",
        "A statement that many parsers read as one literal, and Postgres as a column.",
        "SELECT id ||/* ' */ ssn FROM customers --'",
    ),
    refused(
        "support-bot",
        "42501",
        "Copying what may not be read into what may be written.",
        "INSERT INTO tickets (customer_id, subject, body) SELECT 7, name, ssn FROM customers",
    ),
    refused(
        "support-bot",
        "0A000",
        "Changing the schema is nobody's business here.",
        "DROP TABLE tickets",
    ),
    answered(
        "support-bot",
        "The agent goes back to work on the same connection.",
        "UPDATE tickets SET status = 'waiting' WHERE id = 1",
    ),
    answered(
        "support-triage",
        "The support agent has delegated to a second agent. Its statements carry the whole chain.",
        "SELECT status, count(*) FROM tickets GROUP BY status ORDER BY status",
    ),
    answered(
        "analyst-bot",
        "Another user's agent counts orders.",
        "SELECT status, count(*) AS orders FROM orders GROUP BY status ORDER BY orders DESC",
    ),
    refused(
        "analyst-bot",
        "42501",
        "It has no business with customers.",
        "SELECT count(*) FROM customers",
    ),
    refused(
        "analyst-bot",
        "42501",
        "Nor with salaries, whoever asks.",
        "SELECT name, salary FROM hr.employees",
    ),
    refused(
        "analyst-bot",
        "42501",
        "Nor with the server's files.",
        "SELECT pg_read_file('/etc/passwd')",
    ),
];

/// Plays the scene and tells it. True where every step came out as expected.
pub(super) async fn play(port: u16, database: &str, agents: &[DemoAgent]) -> anyhow::Result<bool> {
    let mut right = 0_usize;
    let mut clients: Vec<(&str, Client)> = Vec::new();
    for (number, step) in STEPS.iter().enumerate() {
        if !clients.iter().any(|(name, _)| *name == step.agent) {
            let agent = agents.iter().find(|agent| agent.name == step.agent);
            let agent = agent.with_context(|| format!("no agent {}", step.agent))?;
            clients.push((step.agent, connect(port, database, agent).await?));
        }
        let client = clients.iter().find(|(name, _)| *name == step.agent);
        let (_, client) = client.context("connected above")?;
        println!("\n{:>2}. {}", number.saturating_add(1), step.tale);
        println!("    {}=> {}", step.agent, step.sql);
        right = right.saturating_add(usize::from(run(client, step).await));
    }
    println!("\n{right} of {} steps came out as expected.", STEPS.len());
    Ok(right == STEPS.len())
}

/// Connects as any driver would: the token where the password goes.
async fn connect(port: u16, database: &str, agent: &DemoAgent) -> anyhow::Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user(&agent.name)
        .dbname(database)
        .password(agent.token.expose());
    let (client, connection) = config
        .connect(NoTls)
        .await
        .with_context(|| format!("{} could not connect", agent.name))?;
    tokio::spawn(connection);
    Ok(client)
}

async fn run(client: &Client, step: &Step) -> bool {
    match client.simple_query(step.sql).await {
        Ok(messages) => {
            show_rows(&messages);
            judge(step, None)
        }
        Err(error) => {
            let Some(answer) = error.as_db_error() else {
                println!("    {error}");
                return judge(step, Some("none"));
            };
            println!("    ERROR {}: {}", answer.code().code(), answer.message());
            for (name, text) in [("DETAIL", answer.detail()), ("HINT", answer.hint())] {
                if let Some(text) = text {
                    println!("    {name}: {text}");
                }
            }
            judge(step, Some(answer.code().code()))
        }
    }
}

fn judge(step: &Step, code: Option<&str>) -> bool {
    let right = match step.expected {
        Expected::Answered => code.is_none(),
        Expected::Refused(expected) => code == Some(expected),
    };
    if !right {
        println!("    *** expected {:?}", step.expected);
    }
    right
}

fn show_rows(messages: &[SimpleQueryMessage]) {
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let cells = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL"));
            println!("    | {}", cells.collect::<Vec<_>>().join(" | "));
        } else if let SimpleQueryMessage::CommandComplete(rows) = message {
            println!("    ok, {rows} rows");
        }
    }
}

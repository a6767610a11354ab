//! The command line as a person or a CI job runs it: the real program, its output and exit status.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::raw::Raw;
use crate::world::{scratch_directory, world};

/// Runs pgward in the project's directory.
fn pgward(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgward"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("DATABASE_URL")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

/// What it prints, where it ends with that status.
fn ends(arguments: &[&str], status: i32) -> String {
    let output = pgward(arguments, "");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    said
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The catalog that comes with the tests, without a database.
const CATALOG: &str = "tests/data/shop.catalog.json";

#[test]
fn the_shipped_policies_pass_their_tests() {
    let said = ends(&["policy", "test", "policies", "--catalog", CATALOG], 0);
    assert!(
        said.contains(" 0 failed") && !said.contains("FAIL"),
        "{said}"
    );
    assert!(
        said.lines().filter(|line| line.starts_with("ok ")).count() > 50,
        "{said}"
    );
    ends(&["policy", "check", "policies", "--catalog", CATALOG], 0);
}

#[test]
fn a_bad_policy_and_a_wrong_case_are_told_apart() {
    let directory = scratch_directory("cli-policy");
    let policy = directory.join("shop.toml");
    fs::write(
        &policy,
        "[[table]]\nname = \"public.customers\"\nsensitivty = \"internal\"\n",
    )
    .unwrap();
    let said = ends(&["policy", "check", shown(&directory)], 1);
    assert!(
        said.contains("shop.toml:3") && said.contains("sensitivty"),
        "{said}"
    );
    fs::copy("policies/shop.toml", &policy).unwrap();
    let case = "[[case]]\nname = \"wrong\"\nagent = \"support-bot\"\n\
                user = { sub = \"alice\", groups = [\"support\"] }\n\
                sql = \"SELECT ssn FROM customers\"\nexpect = \"allow\"\n";
    fs::write(directory.join("shop.cases.toml"), case).unwrap();
    let said = ends(
        &["policy", "test", shown(&directory), "--catalog", CATALOG],
        1,
    );
    assert!(
        said.contains("FAIL  wrong") && said.contains("1 failed"),
        "{said}"
    );
    let said = ends(
        &["policy", "test", "policies", "--catalog", "no such file"],
        2,
    );
    assert!(said.contains("no such file"), "{said}");
}

#[test]
fn an_explanation_shows_what_is_touched_and_why() {
    let explain = |sql: &str, more: &[&str], status: i32| {
        let who = [
            "--agent",
            "support-bot",
            "--user",
            "alice",
            "--group",
            "support",
        ];
        let base = ["policy", "explain", sql, "--catalog", CATALOG];
        ends(&[&base[..], &who, more].concat(), status)
    };
    let sql = "SELECT c.name FROM customer_overview AS c WHERE c.reference = 'x'";
    let said = explain(sql, &[], 1);
    for part in [
        "predicate customer_overview.reference: restricted",
        "result 1 name ← public.customer_overview.name ← public.customers.name",
        "DENIED 42501: permission denied for column \"reference\"",
        "hint: columns you can read: id, name",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(explain("SELECT name FROM customers", &[], 0).contains("ALLOWED"));
    let json: Value =
        serde_json::from_str(&explain("SELECT ssn FROM customers", &["--json"], 1)).unwrap();
    assert_eq!(json[0]["decision"], "deny");
    assert_eq!(json[0]["refusal"]["offset"], 7);
    explain("SELEC 1", &[], 1);
}

/// The file stands for the database of the demo; whatever belongs to the server is left out.
#[test]
fn the_catalog_is_dumped_and_the_one_beside_the_tests_is_of_today() {
    let path = scratch_directory("cli-catalog").join("catalog.json");
    let url = world().database.app_url();
    ends(
        &[
            "catalog",
            "dump",
            "--database-url",
            &url,
            "--output",
            shown(&path),
        ],
        0,
    );
    let ours = |path: &Path| -> Vec<Value> {
        let whole: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let relations = whole["relations"].as_array().unwrap();
        let mut ours: Vec<Value> = relations
            .iter()
            .filter(|one| {
                let schema = one["schema"].as_str().unwrap();
                ["public", "hr", "sales"].contains(&schema) && one["name"] != "born_later"
            })
            .map(|one| serde_json::json!([one["schema"], one["name"], one["kind"], one["columns"]]))
            .collect();
        ours.extend(["functions", "operators"].map(|part| whole[part].clone()));
        ours
    };
    assert_eq!(ours(&path), ours(Path::new(CATALOG)));
    let said = ends(
        &[
            "policy",
            "test",
            "policies",
            "--catalog",
            shown(&path),
            "--quiet",
        ],
        0,
    );
    assert!(said.contains(" 0 failed"), "{said}");
}

#[test]
fn a_minted_token_opens_a_session() {
    let world = world();
    let directory = scratch_directory("cli-token");
    ends(&["token", "keys", "--out", shown(&directory)], 0);
    let key = directory.join("private.pem");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others may read the key");
    let (issuer, audience) = world.trust();
    let token = ends(
        &[
            "token",
            "mint",
            "--key",
            shown(&key),
            "--issuer",
            issuer,
            "--audience",
            audience,
            "--user",
            "alice",
            "--group",
            "support",
            "--agent",
            "support-bot",
        ],
        0,
    );
    let token = token.trim();
    let inspected = said(&pgward(&["token", "inspect"], token));
    assert!(
        inspected.contains("alice") && inspected.contains("support-bot"),
        "{inspected}"
    );
    let (server, directory_of_server) = world.another("cli-minted", |config| config);
    // Another key than that server trusts.
    let port = server.local_addr().port();
    let refused = Raw::login(port, "agent", world.database.name(), token);
    assert_eq!(
        refused.err().map(|reply| reply.code()).as_deref(),
        Some("28000")
    );
    world.runtime.block_on(server.shutdown());
    fs::copy(
        directory.join("jwks.json"),
        directory_of_server.join("jwks.json"),
    )
    .unwrap();
    let (server, _) = world.another("cli-minted-trusted", |config| {
        let jwks = format!("jwks_file = \"{}/jwks.json\"", directory.display());
        config.replace("jwks_file = \"jwks.json\"", &jwks)
    });
    let port = server.local_addr().port();
    let login = Raw::login(port, "agent", world.database.name(), token);
    let mut raw = login.unwrap_or_else(|reply| panic!("{:?}", reply.error()));
    assert_eq!(
        raw.query("SELECT name FROM customers LIMIT 1").rows().len(),
        1
    );
    world.runtime.block_on(server.shutdown());
}

#[test]
fn an_audit_log_is_shown_and_verified() {
    let world = world();
    let (server, directory) = world.another("cli-audit", |config| config);
    let port = server.local_addr().port();
    let login = Raw::login(
        port,
        "agent",
        world.database.name(),
        world.token("support-bot"),
    );
    let mut raw = login.unwrap_or_else(|reply| panic!("{:?}", reply.error()));
    raw.query("SELECT name FROM customers WHERE name = 'a literal'");
    raw.query("SELECT ssn FROM customers");
    drop(raw);
    world.runtime.block_on(server.shutdown());
    let (log, key) = (
        directory.join("audit.jsonl"),
        directory.join("audit-key.pub"),
    );
    let tail = ends(&["audit", "tail", shown(&log)], 0);
    assert!(
        tail.contains("support-bot") && tail.contains("ssn"),
        "{tail}"
    );
    assert!(!tail.contains("a literal"), "{tail}");
    let json = ends(&["audit", "tail", "--json", "-n", "1", shown(&log)], 0);
    let last: Value = serde_json::from_str(json.trim()).unwrap();
    assert!(last["hash"].is_string(), "{last}");
    ends(&["audit", "verify", "--key", shown(&key), shown(&log)], 0);
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"deny\"", "\"permit\"", 1)).unwrap();
    let said = ends(&["audit", "verify", "--key", shown(&key), shown(&log)], 1);
    let place = 1 + text
        .lines()
        .position(|line| line.contains("\"deny\""))
        .unwrap();
    assert!(said.contains(&format!("{place}")), "{said}");
}

#[test]
fn a_configuration_with_a_mistake_names_the_line() {
    let directory = scratch_directory("cli-serve");
    let path = directory.join("pgward.toml");
    fs::write(&path, "listen = \"127.0.0.1:0\"\n[upstraem]\n").unwrap();
    let said = ends(&["serve", "--config", shown(&path)], 2);
    assert!(
        said.contains("upstraem") && said.contains("pgward.toml"),
        "{said}"
    );
}

/// The README's first command, without the set-up around it.
#[test]
fn the_demo_plays_as_it_should() {
    let said = ends(&["demo", "--once", "--port", "0"], 0);
    assert!(said.contains("verified:"), "{said}");
    assert!(!said.contains("CANARY"), "{said}");
}

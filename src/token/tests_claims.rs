//! Hostile claims: tokens that are well made and well signed, and still must be refused, each for
//! exactly the fault it has (see [`super::tests`] for the bench and for all other faults).

use serde_json::{Value, json};

use super::tests::{Bench, NOW, TEXT};

const SECONDS: &str = "whole seconds since 1970";

/// A chain of that many agents.
fn act(depth: usize) -> Value {
    (1..depth).fold(
        json!({ "sub": "zq7-0" }),
        |inner, place| json!({ "sub": format!("zq7-{place}"), "act": inner }),
    )
}

#[test]
fn as_many_agents_as_allowed() {
    let bench = Bench::new();
    let token = bench.with_claims(json!({ "act": act(4) }));
    let verified = bench.verify(&token).unwrap();
    let chain: Vec<&str> = verified
        .principal()
        .chain
        .iter()
        .map(|agent| agent.sub.as_str())
        .collect();
    assert_eq!(chain, ["zq7-3", "zq7-2", "zq7-1", "zq7-0"]);
}

#[test]
fn claims_that_are_missing_or_of_another_type() {
    let bench = Bench::new();
    for claim in ["iss", "aud", "sub", "jti", "exp", "nbf", "iat"] {
        let token = bench.with_claims(json!({ claim: "remove" }));
        bench.refused(claim, &token, &format!("token has no \"{claim}\""));
    }
    for claim in ["iss", "sub", "jti", "client_id"] {
        let message = format!("token claim \"{claim}\" must be {TEXT}");
        for bad in [
            json!(["https://zq7.example"]),
            json!({ "zq7": 1 }),
            json!(7),
            json!(null),
            json!(""),
            json!("zq7\0"),
            json!("zq7\r\nzq7"),
            json!("zq7x".repeat(64)),
        ] {
            bench.refused(claim, &bench.with_claims(json!({ claim: bad })), &message);
        }
    }
    for claim in ["exp", "nbf", "iat"] {
        let message = format!("token claim \"{claim}\" must be {SECONDS}");
        for bad in [
            json!(1e308),
            json!(1.8e9),
            json!(-1),
            json!(253_402_300_800_i64),
            json!(u64::MAX),
            json!("1800000300"),
            json!("zq7"),
            json!(true),
            json!(null),
            json!([NOW]),
        ] {
            bench.refused(claim, &bench.with_claims(json!({ claim: bad })), &message);
        }
    }
    for (claim, expected, bads) in [
        (
            "aud",
            "a text or a list of texts",
            vec![json!(7), json!(["zq7-db", 7]), json!({}), json!("")],
        ),
        (
            "groups",
            "a list of texts",
            vec![json!("zq7"), json!(["zq7", 7]), json!([""]), json!(null)],
        ),
        (
            "scope",
            "names separated by spaces",
            vec![json!(["zq7"]), json!(7), json!("zq7\nzq7")],
        ),
    ] {
        let message = format!("token claim \"{claim}\" must be {expected}");
        for bad in bads {
            bench.refused(claim, &bench.with_claims(json!({ claim: bad })), &message);
        }
    }
}

#[test]
fn claims_that_say_no() {
    let bench = Bench::new();
    let act_type = "token claim \"act\" must be an object with a text \"sub\"";
    let base_type =
        "token claim \"base\" must be an object with \"iss\", \"jti\" and \"exp\" alone";
    let bound = "token is bound to a key or certificate (\"cnf\"), which is not supported";
    let detail = "token has a postgres_access object with an unknown member";
    let base = |exp: Value| json!({ "base": { "iss": "zq7", "jti": "zq7", "exp": exp } });
    let cases = [
        (
            json!({ "iss": "https://zq7.example/" }),
            "token issuer is not trusted",
        ),
        (
            json!({ "iss": "https://ZQ7.example" }),
            "token issuer is not trusted",
        ),
        (
            json!({ "aud": "zq7-other" }),
            "token is not meant for this server",
        ),
        (
            json!({ "aud": ["zq7-other"] }),
            "token is not meant for this server",
        ),
        (json!({ "aud": [] }), "token is not meant for this server"),
        (json!({ "exp": NOW }), "token has expired"),
        (json!({ "exp": 0 }), "token has expired"),
        (json!({ "nbf": NOW + 6 }), "token is not valid yet"),
        (json!({ "iat": NOW + 6 }), "token was issued in the future"),
        (
            json!({ "iat": NOW + 3, "exp": NOW + 2 }),
            "token claim \"exp\" must be later than \"iat\"",
        ),
        (
            json!({ "exp": NOW + 3591 }),
            "token lives longer than 3600 seconds",
        ),
        (
            json!({ "exp": 253_402_300_799_i64 }),
            "token lives longer than 3600 seconds",
        ),
        (json!({ "cnf": { "x5t#S256": "zq7" } }), bound),
        (json!({ "cnf": null }), bound),
        (json!({ "act": "remove" }), "token names no agent"),
        (json!({ "act": null }), act_type),
        (json!({ "act": "zq7" }), act_type),
        (json!({ "act": [{ "sub": "zq7" }] }), act_type),
        (json!({ "act": {} }), act_type),
        (json!({ "act": { "sub": 7 } }), act_type),
        (json!({ "act": { "sub": "" } }), act_type),
        (json!({ "act": { "sub": "zq7", "iss": 7 } }), act_type),
        (json!({ "act": { "sub": "zq7", "act": "zq7" } }), act_type),
        (json!({ "act": { "sub": "zq7", "act": null } }), act_type),
        (
            json!({ "act": act(5) }),
            "token's chain of agents is longer than 4",
        ),
        (
            json!({ "act": act(60) }),
            "token's chain of agents is longer than 4",
        ),
        (
            json!({ "act": { "sub": "zq7", "act": { "sub": "zq7b", "act": { "sub": "zq7" } } } }),
            "token names the same agent twice",
        ),
        (
            json!({ "act": { "sub": "zq7", "iss": "a", "act": { "sub": "zq7", "iss": "b" } } }),
            "token names the same agent twice",
        ),
        (
            base(json!(NOW)),
            "the user's own token, behind this one, has expired",
        ),
        (base(json!("zq7")), base_type),
        (base(json!(1e308)), base_type),
        (
            json!({ "base": { "iss": "zq7", "exp": NOW + 9 } }),
            base_type,
        ),
        (json!({ "base": "zq7" }), base_type),
        (json!({ "base": null }), base_type),
        (
            json!({ "base": { "iss": "zq7", "jti": "zq7", "exp": NOW + 9, "zq7": 1 } }),
            base_type,
        ),
        (
            json!({ "authorization_details": { "type": "postgres_access" } }),
            "token claim \"authorization_details\" must be a list of objects that each have a \"type\"",
        ),
        (
            json!({ "authorization_details": [{ "type": "postgres_access", "zq7_rows": "zq7" }] }),
            detail,
        ),
        (
            json!({ "authorization_details": [{ "type": "other" }, { "type": "postgres_access", "datatypes": [] }] }),
            detail,
        ),
        (
            json!({ "authorization_details": [{ "type": "postgres_access", "actions": ["zq7"] }] }),
            "token has a postgres_access object whose \"actions\" must be \
             a list of select, insert, update, delete, call",
        ),
    ];
    for (changes, message) in cases {
        bench.refused(
            &changes.to_string(),
            &bench.with_claims(changes.clone()),
            message,
        );
    }
}

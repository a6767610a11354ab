//! `authorization_details` (RFC 9396): the `postgres_access` objects of a token, read strictly.
//! A member that pgward does not know might narrow the access in a way it would not honour, so it
//! refuses the token. Objects of other types are for other servers and are passed over.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::access::Action;
use crate::principal::AccessDetail;
use crate::refusal::Refusal;

use super::json;
use super::refusals;

/// The claim.
const CLAIM: &str = "authorization_details";

/// The `type` of pgward's own objects.
pub(super) const ACCESS_TYPE: &str = "postgres_access";

/// Every member a `postgres_access` object may have.
const MEMBERS: [&str; 6] = [
    "type",
    "locations",
    "actions",
    "tables",
    "clearance",
    "purpose",
];

/// The words of `clearance`, from the least to the most.
const CLEARANCES: [&str; 4] = ["public", "internal", "confidential", "restricted"];

/// The `postgres_access` objects of a token; `None` where it has no such claim at all.
pub(super) fn read(claims: &Map<String, Value>) -> Result<Option<Vec<AccessDetail>>, Refusal> {
    let Some(value) = claims.get(CLAIM) else {
        return Ok(None);
    };
    let malformed = || refusals::wrong_type(CLAIM, "a list of objects that each have a \"type\"");
    let mut found = Vec::new();
    for object in value.as_array().ok_or_else(malformed)? {
        let members = object.as_object().ok_or_else(malformed)?;
        let kind = members
            .get("type")
            .and_then(Value::as_str)
            .ok_or_else(malformed)?;
        if kind == ACCESS_TYPE {
            found.push(access_detail(members)?);
        }
    }
    Ok(Some(found))
}

fn access_detail(members: &Map<String, Value>) -> Result<AccessDetail, Refusal> {
    if !members.keys().all(|name| MEMBERS.contains(&name.as_str())) {
        return Err(refusals::unknown_detail_member(&MEMBERS));
    }
    Ok(AccessDetail {
        locations: member(members, "locations", "a list of names", json::texts)?,
        actions: member(
            members,
            "actions",
            "a list of select, insert, update, delete, call",
            actions,
        )?,
        tables: member(
            members,
            "tables",
            "an object of table names, each with a list of columns or \"*\"",
            tables,
        )?,
        clearance: member(
            members,
            "clearance",
            "public, internal, confidential or restricted",
            clearance,
        )?,
        purpose: member(members, "purpose", refusals::TEXT, |value| {
            json::text(value).map(str::to_owned)
        })?,
    })
}

/// A member that may be absent, but not of another shape.
fn member<T>(
    members: &Map<String, Value>,
    name: &'static str,
    expected: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(refusals::detail_type(name, expected)),
        },
    }
}

fn actions(value: &Value) -> Option<Vec<String>> {
    json::texts(value).filter(|words| words.iter().all(|word| Action::from_word(word).is_some()))
}

fn clearance(value: &Value) -> Option<String> {
    let word = value.as_str()?;
    CLEARANCES.contains(&word).then(|| word.to_owned())
}

fn tables(value: &Value) -> Option<BTreeMap<String, Option<Vec<String>>>> {
    let mut out = BTreeMap::new();
    for (table, columns) in value.as_object()? {
        let columns = if columns.as_str() == Some("*") {
            None
        } else {
            Some(json::texts(columns)?)
        };
        out.insert(table.clone(), columns);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_claim(value: Value) -> Result<Option<Vec<AccessDetail>>, Refusal> {
        read(json!({ CLAIM: value }).as_object().unwrap())
    }

    #[test]
    fn absent_is_not_empty() {
        assert_eq!(read(&Map::new()).unwrap(), None);
        assert_eq!(read_claim(json!([])).unwrap(), Some(Vec::new()));
        let others = json!([{ "type": "payment_initiation", "instructedAmount": {} }]);
        assert_eq!(read_claim(others).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn every_member_arrives() {
        let full = json!([
            { "type": "other" },
            {
                "type": "postgres_access",
                "locations": ["postgres://shop"],
                "actions": ["select", "call"],
                "tables": { "public.orders": "*", "public.customers": ["id", "name"], "a.b": [] },
                "clearance": "internal",
                "purpose": "support",
            },
            { "type": "postgres_access" },
        ]);
        let found = read_claim(full).unwrap().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            AccessDetail {
                locations: Some(vec!["postgres://shop".to_owned()]),
                actions: Some(vec!["select".to_owned(), "call".to_owned()]),
                tables: Some(BTreeMap::from([
                    ("a.b".to_owned(), Some(Vec::new())),
                    (
                        "public.customers".to_owned(),
                        Some(vec!["id".to_owned(), "name".to_owned()])
                    ),
                    ("public.orders".to_owned(), None),
                ])),
                clearance: Some("internal".to_owned()),
                purpose: Some("support".to_owned()),
            }
        );
        assert_eq!(found[1], AccessDetail::default());
    }

    #[test]
    fn other_shapes_are_refused() {
        let list = "token claim \"authorization_details\" must be \
                    a list of objects that each have a \"type\"";
        for bad in [
            json!({}),
            json!(null),
            json!("x"),
            json!([1]),
            json!([{}]),
            json!([{ "type": 1 }]),
        ] {
            assert_eq!(read_claim(bad).unwrap_err().message, list);
        }
        let object = "token has a postgres_access object";
        let list = "a list of select, insert, update, delete, call";
        let map = "an object of table names, each with a list of columns or \"*\"";
        let level = "public, internal, confidential or restricted";
        let cases = [
            (
                json!({ "rows": "true" }),
                "with an unknown member".to_owned(),
            ),
            (
                json!({ "Actions": [] }),
                "with an unknown member".to_owned(),
            ),
            (
                json!({ "locations": "x" }),
                "whose \"locations\" must be a list of names".to_owned(),
            ),
            (
                json!({ "actions": "select" }),
                format!("whose \"actions\" must be {list}"),
            ),
            (
                json!({ "actions": ["drop"] }),
                format!("whose \"actions\" must be {list}"),
            ),
            (
                json!({ "actions": ["SELECT"] }),
                format!("whose \"actions\" must be {list}"),
            ),
            (
                json!({ "actions": null }),
                format!("whose \"actions\" must be {list}"),
            ),
            (
                json!({ "tables": ["a.b"] }),
                format!("whose \"tables\" must be {map}"),
            ),
            (
                json!({ "tables": { "a.b": "id" } }),
                format!("whose \"tables\" must be {map}"),
            ),
            (
                json!({ "tables": { "a.b": [1] } }),
                format!("whose \"tables\" must be {map}"),
            ),
            (
                json!({ "clearance": "secret" }),
                format!("whose \"clearance\" must be {level}"),
            ),
            (
                json!({ "clearance": ["public"] }),
                format!("whose \"clearance\" must be {level}"),
            ),
            (
                json!({ "purpose": "" }),
                format!("whose \"purpose\" must be {}", refusals::TEXT),
            ),
        ];
        for (mut members, expected) in cases {
            members["type"] = json!("postgres_access");
            assert_eq!(
                read_claim(json!([members])).unwrap_err().message,
                format!("{object} {expected}")
            );
        }
    }
}

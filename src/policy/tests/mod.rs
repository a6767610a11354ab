//! Decisions on the small shop of the fixtures, as tables: what is touched, and what comes of it.

mod decisions;
mod denying;
mod narrowing;

use crate::principal::{AccessDetail, Principal};

use super::fixtures::{NOON, access, bob, shop};
use super::{Decision, Denial, Permit, Rules, decide};

fn decided(rules: &Rules, who: &Principal, touched: &str) -> Decision {
    decide(rules, who, &access(touched), &shop(), NOON, None)
}

fn denied(rules: &Rules, who: &Principal, touched: &str) -> Denial {
    match decided(rules, who, touched) {
        Decision::Denial(denial) => denial,
        Decision::Permit(_) => panic!("{touched} is permitted"),
    }
}

fn permitted(rules: &Rules, who: &Principal, touched: &str) -> Permit {
    match decided(rules, who, touched) {
        Decision::Permit(permit) => permit,
        Decision::Denial(denial) => panic!("{touched}: {denial:?}"),
    }
}

fn allows(rules: &Rules, who: &Principal, touched: &str) -> bool {
    matches!(decided(rules, who, touched), Decision::Permit(_))
}

fn with_details(details: Vec<AccessDetail>) -> Principal {
    Principal {
        authorization_details: Some(details),
        ..bob()
    }
}

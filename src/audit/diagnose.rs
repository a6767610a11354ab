//! What was done to a log at the first place where a line does not follow the one before it. All
//! lines looked at here carry their own hash; what is asked is which of them stands where it
//! should. A line is vouched for when the line after it holds its hash, or when it is a checkpoint
//! with a good signature.

use std::cmp::Ordering;
use std::io::BufRead;

use super::keys::PublicKey;
use super::verify::{Broken, Lines, Place, Seen, What};

/// Names the record at fault, given the last line that was in its place and the first that is not.
pub(super) fn diagnose(
    last: Option<&Seen>,
    seen: &Seen,
    lines: &mut Lines<impl BufRead>,
    key: Option<&PublicKey>,
) -> Broken {
    let place = Place::after(last);
    let next = lines.next().ok().flatten();
    let vouched = seen.is_signed_by(key)
        || next
            .as_ref()
            .is_some_and(|next| Place::after(Some(seen)).fits(next));
    match seen.header.seq.cmp(&place.seq) {
        Ordering::Equal => unlinked(last, seen, &place, next.as_ref(), vouched),
        Ordering::Greater => ahead(seen, &place, next, lines),
        Ordering::Less => behind(last, seen, &place, vouched),
    }
}

/// The number is right, but the line before is not the one it was written after.
fn unlinked(
    last: Option<&Seen>,
    seen: &Seen,
    place: &Place<'_>,
    next: Option<&Seen>,
    vouched: bool,
) -> Broken {
    if next.is_some_and(|next| place.fits(next)) {
        return at(
            seen,
            What::Inserted,
            "the record with its number follows it",
        );
    }
    match last {
        Some(last) if vouched => at(
            last,
            What::Changed,
            "the record after it holds another hash of it: it was changed and hashed anew",
        ),
        Some(_) | None => at(
            seen,
            What::Changed,
            "it does not hold the hash of the record before it: one of the two was changed",
        ),
    }
}

/// The number is too high: the records between are missing, or come later.
fn ahead(
    seen: &Seen,
    place: &Place<'_>,
    mut next: Option<Seen>,
    lines: &mut Lines<impl BufRead>,
) -> Broken {
    if seen.header.prev == place.prev {
        return at(
            seen,
            What::Changed,
            "it follows the record before it, but has another number",
        );
    }
    let expected = place.seq;
    loop {
        if let Some(found) = next.as_ref().filter(|found| place.fits(found)) {
            let why = format!(
                "record {expected} belongs here and stands at line {}",
                found.line
            );
            return at(seen, What::Reordered, &why);
        }
        next = match lines.next() {
            Ok(Some(seen)) => Some(seen),
            Ok(None) => break,
            Err(broken) if broken.what == What::Unreadable => break,
            Err(_) => None,
        };
    }
    let last = seen.header.seq.saturating_sub(1);
    let why = if last == expected {
        format!("record {expected} is missing before it")
    } else {
        format!("records {expected} to {last} are missing before it")
    };
    at(seen, What::Removed, &why)
}

/// The number was there already.
fn behind(last: Option<&Seen>, seen: &Seen, place: &Place<'_>, vouched: bool) -> Broken {
    if seen.header.prev == place.prev {
        return at(
            seen,
            What::Changed,
            "it follows the record before it, but has another number",
        );
    }
    let rival = last.filter(|last| {
        last.header.seq == seen.header.seq
            && last.header.prev == seen.header.prev
            && last.header.hash != seen.header.hash
    });
    match rival {
        Some(last) if vouched => at(
            last,
            What::Inserted,
            "the record after it has its number and is the one the log goes on from",
        ),
        Some(_) => at(
            seen,
            What::Inserted,
            "another record has its number and its place",
        ),
        None => at(
            seen,
            What::Repeated,
            "a record with its number stands before it",
        ),
    }
}

fn at(seen: &Seen, what: What, why: &str) -> Broken {
    Broken::new(seen.line, Some(seen.header.seq), what, why)
}

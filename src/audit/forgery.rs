//! Tests: everything that can be done to a log, and what `verify` says of it. The logs come from
//! the writer's own parts; the forgers know the format and lack only the key.

use super::keys::SigningKey;
use super::testing::{file, forged, log, member, rebuilt, sealed};
use super::verify::{Broken, Protection, Summary, What, verify};

fn check(bytes: &[u8], key: Option<&SigningKey>) -> Result<Summary, Broken> {
    verify(bytes, key.map(SigningKey::public))
}

fn broken(bytes: &[u8], key: Option<&SigningKey>) -> (u64, What) {
    let broken = check(bytes, key).unwrap_err();
    (broken.line, broken.what)
}

/// The line that holds the byte at an offset.
fn line_of(bytes: &[u8], offset: usize) -> u64 {
    let before = bytes[..offset].iter().filter(|byte| **byte == b'\n');
    u64::try_from(before.count()).unwrap() + 1
}

#[test]
fn a_long_log_is_intact() {
    let key = SigningKey::generate().unwrap();
    let lines = log(2_500, 1_000, Some(&key));
    let bytes = file(&lines);
    let summary = check(&bytes, Some(&key)).unwrap();
    assert_eq!(summary.records, 2_504);
    assert_eq!(summary.checkpoints, 4);
    assert_eq!((summary.starts, summary.adopted, summary.lost), (1, 0, 0));
    assert_eq!(summary.head, member(lines.last().unwrap(), "hash"));
    assert_eq!(summary.protection, Protection::Signed);
    assert_eq!(summary.key.as_deref(), Some(key.public().id()));
    assert_eq!(summary.last_checkpoint, 2_504);
    assert!(summary.closed);
    let unchecked = check(&bytes, None).unwrap();
    assert_eq!(unchecked.protection, Protection::NotChecked);
    assert!(unchecked.to_string().contains("not checked"));
}

#[test]
fn without_a_key_the_log_is_only_chained() {
    let bytes = file(&log(3, 10, None));
    let summary = check(&bytes, None).unwrap();
    assert_eq!(summary.protection, Protection::HashChained);
    assert_eq!(summary.key, None);
    assert!(summary.to_string().contains("only hash-chained"));
    let key = SigningKey::generate().unwrap();
    assert_eq!(broken(&bytes, Some(&key)), (1, What::Signature));
}

#[test]
fn the_end_says_what_it_does_not_prove() {
    let mut lines = log(5, 3, None);
    lines.truncate(6);
    let summary = check(&file(&lines), None).unwrap();
    assert_eq!((summary.last_checkpoint, summary.after_checkpoint), (5, 1));
    assert!(!summary.closed);
    let text = summary.to_string();
    assert!(
        text.contains("1 records after the last checkpoint (line 5)"),
        "{text}"
    );
}

#[test]
fn every_changed_byte_is_found_on_its_line() {
    let bytes = file(&log(2, 10, None));
    for offset in 0..bytes.len() {
        for mask in [
            0x01,
            0x20,
            0x80,
            bytes[offset] ^ b'\n',
            bytes[offset] ^ b'"',
        ] {
            if mask == 0 {
                continue;
            }
            let mut changed = bytes.clone();
            changed[offset] ^= mask;
            let (line, what) = broken(&changed, None);
            assert_eq!(line, line_of(&bytes, offset), "byte {offset} mask {mask}");
            let last = offset + 1 == bytes.len();
            let expected = if last { What::Truncated } else { What::Changed };
            assert_eq!(what, expected, "byte {offset} mask {mask}");
        }
    }
}

#[test]
fn every_removed_byte_is_found_on_its_line() {
    let bytes = file(&log(2, 10, None));
    for offset in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed.remove(offset);
        let (line, _) = broken(&changed, None);
        assert_eq!(line, line_of(&bytes, offset), "byte {offset}");
    }
}

#[test]
fn every_added_byte_is_found_on_its_line() {
    let bytes = file(&log(2, 10, None));
    for offset in 0..=bytes.len() {
        for byte in [b'0', b' ', b'\n', b'}'] {
            let mut changed = bytes.clone();
            changed.insert(offset, byte);
            // A line feed before a line feed ends the line it follows, and leaves an empty one.
            let moved = byte == b'\n' && bytes.get(offset) == Some(&b'\n');
            let expected = line_of(&bytes, offset) + u64::from(moved);
            assert_eq!(broken(&changed, None).0, expected, "byte {offset} {byte}");
        }
    }
}

#[test]
fn a_log_cut_anywhere_inside_a_line_is_cut_short() {
    let bytes = file(&log(2, 10, None));
    for length in 1..bytes.len() {
        let cut = &bytes[..length];
        if cut.ends_with(b"\n") {
            assert!(!check(cut, None).unwrap().closed);
        } else {
            assert_eq!(
                broken(cut, None),
                (line_of(&bytes, length), What::Truncated)
            );
        }
    }
    assert_eq!(broken(b"", None), (1, What::Truncated));
}

#[test]
fn a_removed_record_is_named_where_it_is_missing() {
    let lines = log(7, 3, None);
    for gone in 0..lines.len() - 1 {
        let mut left = lines.clone();
        left.remove(gone);
        let found = check(&file(&left), None).unwrap_err();
        let line = u64::try_from(gone).unwrap() + 1;
        assert_eq!((found.line, found.what), (line, What::Removed), "{found}");
        assert!(
            found
                .detail
                .starts_with(&format!("record {line} is missing")),
            "{found}"
        );
    }
    let mut left = lines.clone();
    left.drain(2..5);
    let found = check(&file(&left), None).unwrap_err();
    assert!(
        found.to_string().contains("records 3 to 5 are missing"),
        "{found}"
    );
}

#[test]
fn reordered_records_are_named_where_the_order_ends() {
    let lines = log(7, 3, None);
    for first in 0..lines.len() {
        for second in first + 1..lines.len() {
            let line = u64::try_from(first).unwrap() + 1;
            let mut swapped = lines.clone();
            swapped.swap(first, second);
            assert_eq!(broken(&file(&swapped), None), (line, What::Reordered));

            let mut later = lines.clone();
            let moved = later.remove(first);
            later.insert(second, moved);
            assert_eq!(broken(&file(&later), None), (line, What::Reordered));

            let mut earlier = lines.clone();
            let moved = earlier.remove(second);
            earlier.insert(first, moved);
            assert_eq!(broken(&file(&earlier), None), (line, What::Reordered));
        }
    }
}

#[test]
fn a_repeated_record_is_named_at_its_second_place() {
    let lines = log(7, 3, None);
    for source in 0..lines.len() {
        for target in source + 1..=lines.len() {
            let mut repeated = lines.clone();
            repeated.insert(target, lines[source].clone());
            let line = u64::try_from(target).unwrap() + 1;
            assert_eq!(broken(&file(&repeated), None), (line, What::Repeated));
        }
    }
}

#[test]
fn a_record_that_was_changed_and_hashed_anew_is_named() {
    let key = SigningKey::generate().unwrap();
    let lines = log(7, 3, Some(&key));
    for (index, line) in lines.iter().enumerate() {
        if !line.contains("\"rows\":10") {
            continue;
        }
        let mut changed = lines.clone();
        changed[index] = forged(line, "\"rows\":10", "\"rows\":11");
        let expected = (u64::try_from(index).unwrap() + 1, What::Changed);
        assert_eq!(broken(&file(&changed), Some(&key)), expected);
    }
}

#[test]
fn a_record_with_another_number_is_named() {
    let lines = log(4, 10, None);
    let body = "\"kind\":\"outcome\",\"time\":\"2026-03-01T10:00:00.000000Z\"";
    for seq in [1, 2, 4, 9] {
        let mut changed = lines.clone();
        changed[2] = sealed(seq, &member(&lines[2], "prev"), body);
        assert_eq!(broken(&file(&changed), None), (3, What::Changed), "{seq}");
    }
}

#[test]
fn an_inserted_record_is_named() {
    let lines = log(4, 10, None);
    let body = "\"kind\":\"outcome\",\"time\":\"2026-03-01T10:00:00.000000Z\"";
    let foreign = "ab".repeat(32);
    for prev in [member(&lines[2], "prev"), foreign] {
        let mut changed = lines.clone();
        changed.insert(2, sealed(3, &prev, body));
        assert_eq!(broken(&file(&changed), None), (3, What::Inserted), "{prev}");
    }
}

#[test]
fn nothing_can_be_added_to_a_closed_log() {
    let key = SigningKey::generate().unwrap();
    let lines = log(2, 10, Some(&key));
    let head = member(lines.last().unwrap(), "hash");
    let line = u64::try_from(lines.len()).unwrap() + 1;
    let record = forged(&lines[1], "", "");
    assert_eq!(record, lines[1]);

    let linked = "\"kind\":\"outcome\",\"time\":\"2026-03-01T10:00:00.000000Z\"";
    let start = "\"kind\":\"checkpoint\",\"time\":\"2026-03-01T10:00:00.000000Z\",\
                 \"reason\":\"start\",\"interval\":10,\"lost\":0";
    let cases = [
        (sealed(line, &head, linked), What::Inserted),
        (sealed(line, &"ab".repeat(32), linked), What::Changed),
        (sealed(line + 3, &"ab".repeat(32), linked), What::Removed),
        (
            sealed(line, &head, &start.replace("start", "close")),
            What::Inserted,
        ),
        (sealed(line, &head, start), What::Signature),
        ("{}".to_owned(), What::Changed),
    ];
    for (added, what) in cases {
        let mut longer = lines.clone();
        longer.push(added);
        assert_eq!(broken(&file(&longer), Some(&key)), (line, what));
    }
}

#[test]
fn what_is_added_to_an_open_log_is_not_covered() {
    let key = SigningKey::generate().unwrap();
    let mut lines = log(4, 3, Some(&key));
    lines.truncate(5);
    let body = "\"kind\":\"outcome\",\"time\":\"2026-03-01T10:00:00.000000Z\"";
    let head = member(&lines[4], "hash");
    lines.push(sealed(6, &head, body));
    let summary = check(&file(&lines), Some(&key)).unwrap();
    assert_eq!(summary.after_checkpoint, 1);
    let head = member(&lines[5], "hash");
    lines.push(sealed(7, &head, body));
    lines.push(sealed(8, &member(&lines[6], "hash"), body));
    lines.push(sealed(9, &member(&lines[7], "hash"), body));
    assert_eq!(broken(&file(&lines), Some(&key)), (9, What::Checkpoint));
}

#[test]
fn a_log_built_anew_fails_at_the_next_signature() {
    let key = SigningKey::generate().unwrap();
    let lines = log(7, 3, Some(&key));
    let mut changed = lines.clone();
    changed[2] = forged(&lines[2], "\"rows\":10", "\"rows\":0");
    let changed = rebuilt(&changed);
    assert!(check(&file(&changed), None).is_ok());
    assert_eq!(broken(&file(&changed), Some(&key)), (5, What::Signature));

    let mut shorter = lines.clone();
    shorter.remove(2);
    let shorter = rebuilt(&shorter);
    assert!(check(&file(&shorter), None).is_ok());
    assert_eq!(broken(&file(&shorter), Some(&key)), (4, What::Signature));
    assert_eq!(rebuilt(&lines), lines);
}

#[test]
fn a_checkpoint_cannot_be_taken_out_or_stripped() {
    let key = SigningKey::generate().unwrap();
    let lines = log(7, 3, Some(&key));
    let mut without = lines.clone();
    without.remove(4);
    let without = rebuilt(&without);
    assert_eq!(broken(&file(&without), Some(&key)), (5, What::Checkpoint));

    let mut headless = lines.clone();
    headless.remove(0);
    assert_eq!(
        broken(&file(&rebuilt(&headless)), None),
        (1, What::Checkpoint)
    );

    let signature = format!(",\"signature\":\"{}\"", member(&lines[4], "signature"));
    let mut stripped = lines.clone();
    stripped[4] = forged(&lines[4], &signature, "");
    let stripped = rebuilt(&stripped);
    assert!(check(&file(&stripped), None).is_ok());
    assert_eq!(broken(&file(&stripped), Some(&key)), (5, What::Signature));

    let mut longer = lines.clone();
    longer[4] = forged(&lines[4], "\"interval\":3", "\"interval\":9");
    assert_eq!(
        broken(&file(&rebuilt(&longer)), Some(&key)),
        (5, What::Signature)
    );
}

#[test]
fn another_key_signs_in_vain() {
    let key = SigningKey::generate().unwrap();
    let other = SigningKey::generate().unwrap();
    let bytes = file(&log(4, 3, Some(&other)));
    let found = check(&bytes, Some(&key)).unwrap_err();
    assert_eq!((found.line, found.what), (1, What::Signature));
    assert!(found.detail.contains(other.public().id()), "{found}");
}

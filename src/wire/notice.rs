//! What of the database's errors and notices a client may see. Postgres quotes values in them: the
//! row that broke a constraint, the text that is no number, whatever a function raises. Where a
//! statement touched anything that is not wholly open, only names and codes pass. What is let
//! through is listed; everything else is not.
//!
//! Sources: Postgres manual, "Error and Notice Message Fields" and appendix A (SQLSTATE).

use super::backend::ErrorFields;

/// Fields that never reach a client: where in the server's own source an error was raised.
const SOURCE_FIELDS: &[u8] = b"FLR";

/// Severity, SQLSTATE, message (which is looked at by itself) and position.
const FIELDS_OF_ANY_ERROR: &[u8] = b"SVCMP";

/// The same, and the names of schema, table, column, type and constraint.
const NAME_FIELDS: &[u8] = b"SVCMPstcdn";

/// Classes of SQLSTATE whose own messages are fixed words, or names the client gave: connections,
/// features, cardinality, transactions, cursors, prepared statements, roll-back, cancellation.
const CLASSES_WITHOUT_VALUES: [&str; 14] = [
    "02", "03", "08", "0A", "21", "24", "25", "26", "28", "2B", "2D", "34", "40", "57",
];

/// Classes whose messages quote the client's own text where they come with a POSITION in it.
/// Without one they may quote a value that was used as a name at run time (`value::regclass`).
const CLASSES_OF_NAMES: [&str; 3] = ["3D", "3F", "42"];

/// 42501 `insufficient_privilege`: names an object that exists, never with a position.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Cleans the fields of an ErrorResponse or NoticeResponse of the database for the client. `open`
/// says that every relation of the statement is wholly open to the principal: then only the source
/// location goes. Otherwise DETAIL, HINT, CONTEXT and the internal query go too, and a message that
/// can quote a value is replaced by words for its SQLSTATE. What has a CONTEXT was raised inside a
/// function or a COPY, whose author chose code, message and names: of it, only the SQLSTATE passes.
///
/// POSITION is left as it is: the caller then maps it to the client's own text or removes it.
pub fn sanitize(fields: ErrorFields, open: bool) -> ErrorFields {
    let listed: &[u8] = match fields.get(b'W') {
        Some(_) => FIELDS_OF_ANY_ERROR,
        None => NAME_FIELDS,
    };
    let kept = fields
        .fields()
        .iter()
        .filter(|(field, _)| may_pass(*field, listed, open))
        .map(|(field, value)| {
            let replaced = *field == b'M' && !open && may_quote_a_value(&fields);
            let value = if replaced {
                generic_words(fields.code()).to_owned()
            } else {
                value.clone()
            };
            (*field, value)
        })
        .collect();
    ErrorFields::new(kept)
}

fn may_pass(field: u8, listed: &[u8], open: bool) -> bool {
    if open {
        !SOURCE_FIELDS.contains(&field)
    } else {
        listed.contains(&field)
    }
}

fn may_quote_a_value(fields: &ErrorFields) -> bool {
    let code = fields.code();
    let class = class_of(code);
    let has = |field: u8| fields.get(field).is_some();
    let of_names = CLASSES_OF_NAMES.contains(&class) && has(b'P');
    let harmless =
        CLASSES_WITHOUT_VALUES.contains(&class) || of_names || code == INSUFFICIENT_PRIVILEGE;
    has(b'W') || !harmless
}

fn class_of(code: &str) -> &str {
    code.get(..2).unwrap_or_default()
}

/// What can be said of a SQLSTATE without saying what happened to which value.
fn generic_words(code: &str) -> &'static str {
    match (code, class_of(code)) {
        ("22001", _) => "value too long for its type",
        ("22003", _) => "numeric value out of range",
        ("22004", _) => "null value not allowed",
        ("22007", _) => "invalid date or time format",
        ("22008", _) => "date or time value out of range",
        ("22011", _) => "invalid bounds for a substring",
        ("22012", _) => "division by zero",
        ("22021" | "22P05", _) => "character not valid in the encoding",
        ("22023", _) => "invalid parameter value",
        ("22025", _) => "invalid escape sequence",
        ("2201B", _) => "invalid regular expression",
        ("2202E", _) => "array subscripts do not fit",
        ("22P02", _) => "invalid input syntax for a type",
        ("22P03", _) => "invalid binary representation of a value",
        ("23502", _) => "null value violates a not-null constraint",
        ("23503", _) => "operation violates a foreign key constraint",
        ("23505", _) => "duplicate key value violates a unique constraint",
        ("23514", _) => "new row violates a check constraint",
        ("23P01", _) => "new row conflicts with an exclusion constraint",
        (_, "00") => "notice from the database",
        (_, "01") => "warning from the database",
        (_, "22") => "a value does not fit what the statement does with it",
        (_, "23") => "operation violates an integrity constraint",
        (_, "40") => "the transaction was rolled back; it may be tried again",
        (_, "44") => "new row violates the check option of a view",
        (_, "53") => "the database is short of resources",
        (_, "54") => "a limit of the database was passed",
        (_, "55") => "an object is not in the state the statement needs",
        (_, "57") => "the statement was cancelled or the database is not available",
        (_, "58" | "XX") => "internal error of the database",
        (_, "P0") => "a function raised an error",
        _ => "the database refused the statement",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "078-05-1120";

    /// An error with every field but CONTEXT, the secret wherever a value may stand.
    fn full(code: &str) -> ErrorFields {
        let text = |field: u8| match field {
            b'S' | b'V' => "ERROR".to_owned(),
            b'C' => code.to_owned(),
            b'P' => "15".to_owned(),
            b's' => "public".to_owned(),
            b't' => "customers".to_owned(),
            b'c' => "ssn".to_owned(),
            b'd' => "text".to_owned(),
            b'n' => "customers_ssn_key".to_owned(),
            other => format!("{}: {SECRET}", char::from(other)),
        };
        let fields = b"SVCMDHPpqstcdnFLR?".iter();
        ErrorFields::new(fields.map(|field| (*field, text(*field))).collect())
    }

    fn types(fields: &ErrorFields) -> Vec<u8> {
        fields.fields().iter().map(|(field, _)| *field).collect()
    }

    #[test]
    fn an_open_statement_loses_the_source_location_only() {
        let clean = sanitize(full("23505"), true);
        assert_eq!(types(&clean), b"SVCMDHPpqstcdn?");
        assert_eq!(clean.message(), format!("M: {SECRET}"));
    }

    #[test]
    fn any_other_statement_keeps_names_and_codes() {
        let clean = sanitize(full("23505"), false);
        assert_eq!(types(&clean), b"SVCMPstcdn");
        assert_eq!(clean.code(), "23505");
        assert_eq!(
            clean.message(),
            "duplicate key value violates a unique constraint"
        );
        assert_eq!(clean.get(b'n'), Some("customers_ssn_key"));
        assert_eq!(clean.get(b'P'), Some("15"));
    }

    #[test]
    fn messages_that_can_quote_a_value_are_replaced() {
        let cases = [
            ("22P02", "invalid input syntax for a type"),
            ("22012", "division by zero"),
            (
                "22000",
                "a value does not fit what the statement does with it",
            ),
            (
                "22ZZZ",
                "a value does not fit what the statement does with it",
            ),
            ("23502", "null value violates a not-null constraint"),
            ("23000", "operation violates an integrity constraint"),
            ("P0001", "a function raised an error"),
            ("P0004", "a function raised an error"),
            ("XX000", "internal error of the database"),
            ("58P01", "internal error of the database"),
            ("00000", "notice from the database"),
            ("01000", "warning from the database"),
            ("44000", "new row violates the check option of a view"),
            ("53100", "the database is short of resources"),
            ("55P03", "an object is not in the state the statement needs"),
            ("HV000", "the database refused the statement"),
            ("ZZ999", "the database refused the statement"),
            ("", "the database refused the statement"),
            ("4", "the database refused the statement"),
            ("é2601", "the database refused the statement"),
        ];
        for (code, words) in cases {
            let clean = sanitize(full(code), false);
            assert_eq!(clean.message(), words, "{code}");
            assert!(!format!("{clean:?}").contains(SECRET), "{code}");
        }
    }

    fn error(code: &str, position: bool) -> ErrorFields {
        let mut fields = ErrorFields::default();
        fields.set(b'C', code);
        fields.set(b'M', format!("relation \"{SECRET}\" does not exist"));
        if position {
            fields.set(b'P', "15");
        }
        fields
    }

    #[test]
    fn messages_about_the_clients_own_text_stay() {
        let cases = [
            ("42P01", true),
            ("42703", true),
            ("42601", true),
            ("3F000", true),
            ("42501", false),
            ("0A000", false),
            ("25P02", false),
            ("26000", false),
            ("40001", false),
            ("57014", false),
        ];
        for (code, position) in cases {
            let error = error(code, position);
            assert_eq!(sanitize(error.clone(), false), error, "{code}");
        }
    }

    #[test]
    fn a_value_used_as_a_name_is_not_quoted() {
        for code in [
            "42P01", "42704", "42883", "42602", "42601", "3F000", "3D000",
        ] {
            let clean = sanitize(error(code, false), false);
            assert_eq!(clean.message(), "the database refused the statement");
            assert_eq!(clean.code(), code);
        }
    }

    #[test]
    fn of_what_a_function_raised_only_the_code_passes() {
        for code in ["42501", "42P01", "57014", "40001", "0A000", "P0001"] {
            let mut fields = full(code);
            fields.set(b'c', SECRET);
            fields.set(b'W', "PL/pgSQL function f() line 1 at RAISE");
            let clean = sanitize(fields.clone(), false);
            assert_eq!(types(&clean), b"SVCMP", "{code}");
            assert!(!format!("{clean:?}").contains(SECRET), "{code}");
            assert_eq!(sanitize(fields, true).get(b'c'), Some(SECRET));
        }
    }

    #[test]
    fn a_field_that_comes_twice_or_without_a_code_is_cleaned_too() {
        let fields = ErrorFields::new(vec![
            (b'M', SECRET.to_owned()),
            (b'D', SECRET.to_owned()),
            (b'M', SECRET.to_owned()),
            (b'D', SECRET.to_owned()),
        ]);
        let clean = sanitize(fields, false);
        assert_eq!(types(&clean), b"MM");
        assert!(!format!("{clean:?}").contains(SECRET));
    }

    proptest! {
        #[test]
        fn nothing_unlisted_passes(
            field in any::<u8>(),
            code in "[0-9A-Z]{5}",
            value in "[a-z]{12}",
        ) {
            let fields = ErrorFields::new(vec![(b'C', code.clone()), (field, value.clone())]);
            let clean = sanitize(fields, false);
            let message = CLASSES_WITHOUT_VALUES.contains(&class_of(&code)) || code == "42501";
            let listed = NAME_FIELDS.contains(&field) && (field != b'M' || message);
            prop_assert_eq!(format!("{clean:?}").contains(&value), listed);
        }
    }
}

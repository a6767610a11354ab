//! Mutations of inputs, reproducible from a seed: of bytes, and of SQL by its words, so that more of
//! the results are still statements.

/// A small generator of pseudo-random numbers (xorshift64*): the same seed gives the same numbers.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
        number as usize % bound.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// A few changes to the bytes of a seed, now and then with a part of another.
pub(crate) fn bytes(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = random.pick(seeds).clone();
    for _ in 0..=random.below(4) {
        let place = random.below(data.len() + 1);
        match random.below(6) {
            0 if place < data.len() => data[place] ^= 1 << random.below(8),
            1 if place < data.len() => drop(data.remove(place)),
            2 => data.insert(place, random.below(256) as u8),
            3 => data.truncate(place),
            4 => {
                let other = random.pick(seeds);
                let from = random.below(other.len());
                data.splice(place..place, other[from..].iter().copied());
            }
            _ if place < data.len() => data[place] = *random.pick(&[0, 1, 4, 0x7F, 0x80, 0xFF]),
            _ => {}
        }
    }
    data
}

/// Words that change what a statement means.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "AS",
    "LATERAL",
    "UNION ALL",
    "(",
    ")",
    ",",
    ".",
    "*",
    "ssn",
    "c",
    "c.*",
    "customers",
    "secrets",
    "token",
    "hr.employees",
    "JOIN",
    "USING (id)",
    "NATURAL JOIN",
    "ON true",
    "ORDER BY 1",
    "GROUP BY",
    "LIMIT 1",
    "OFFSET ssn",
    "WITH",
    "RECURSIVE",
    "VALUES (1)",
    "--",
    "/*",
    "*/",
    "''",
    "$$",
    "E'\\'",
    "\"ssn\"",
    "U&\"\\0073sn\"",
    "::text",
    "::regclass",
    "NOT",
    "IS NULL",
    "= ANY",
    "(SELECT ssn FROM customers)",
    "ROW(c)",
    "row_to_json(c)",
    "count(*)",
    "RETURNING *",
    "FOR UPDATE",
    "TABLE customers",
    ";",
    "||",
    "->",
    "current_setting('x')",
];

/// A few changes to the words of a text, now and then with a run of words of another.
pub(crate) fn sql(random: &mut Random, seeds: &[String]) -> String {
    let mut words = split(random.pick::<String>(seeds));
    for _ in 0..=random.below(3) {
        let place = random.below(words.len() + 1);
        match random.below(6) {
            0 if place < words.len() => drop(words.remove(place)),
            1 => words.insert(place, (*random.pick(WORDS)).to_owned()),
            2 if place < words.len() => words[place] = (*random.pick(WORDS)).to_owned(),
            3 => {
                let other = split(random.pick::<String>(seeds));
                let from = random.below(other.len());
                let to = (from + 1 + random.below(8)).min(other.len());
                words.splice(place..place, other[from..to].iter().cloned());
            }
            4 if place < words.len() => {
                let to = random.below(words.len());
                words.swap(place, to);
            }
            // A name in place of another of the same text.
            _ if place < words.len() => words[place] = random.pick(&words).clone(),
            _ => {}
        }
    }
    words.join(" ")
}

/// Runs of letters and digits, and every other character by itself; white space is left out.
fn split(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut inside = false;
    for c in text.chars() {
        let letter = c.is_alphanumeric() || c == '_';
        match words.last_mut() {
            Some(word) if letter && inside => word.push(c),
            _ if c.is_whitespace() => {}
            _ => words.push(c.to_string()),
        }
        inside = letter;
    }
    words
}

/// Every `sql` and every step in the data files of a folder of `tests/data`.
pub(crate) fn statements(folder: &str) -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|root| root.join("tests/data").is_dir())
        .unwrap()
        .join("tests/data")
        .join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        collect(&text.parse().unwrap(), &mut found);
    }
    found
}

/// The statements of every `.sql` file in the folder PGWARD_CORPUS, cut where a line ends in `;`.
pub(crate) fn corpus() -> Vec<String> {
    let Some(folder) = std::env::var_os("PGWARD_CORPUS") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "sql") {
            let bytes = std::fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            found.extend(text.split(";\n").map(str::to_owned));
        }
    }
    found.sort();
    found
}

fn collect(table: &toml::Table, found: &mut Vec<String>) {
    for (name, value) in table {
        collect_value(name, value, found);
    }
}

fn collect_value(name: &str, value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if name == "sql" || name == "steps" => found.push(text.clone()),
        toml::Value::Array(items) => {
            for item in items {
                collect_value(name, item, found);
            }
        }
        toml::Value::Table(table) => collect(table, found),
        _ => {}
    }
}

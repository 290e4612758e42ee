//! Deserialises a table and reports everything that is wrong with it, not only the first thing.
//!
//! serde stops at the first problem. So each problem is noted with its path, its cause taken out of the table (or a
//! stand-in put where a key is missing), and the rest read again, until nothing is left to say. A table with problems
//! never becomes a value.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::Problem;

/// More problems than this are not worth reading at once.
const LIMIT: usize = 100;

/// Words that stand in for a missing key so that the keys behind it are read too; what they mean is never used.
const STAND_INS: [&str; 7] = ["x", "1h", "2000-01-01T00:00:00Z", "discharge", "mm", "cpu", "127.0.0.1:0"];

/// The value of `table`, or every problem in it; `at` is the table's own path.
pub(crate) fn collect<T: DeserializeOwned>(at: &str, mut table: Value) -> Result<T, Vec<Problem>> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for _ in 0..LIMIT {
        let error = match serde_path_to_error::deserialize::<_, T>(table.clone()) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let message = error.inner().message().trim().to_owned();
        let mut path = split(&error.path().to_string());
        let missing = quoted(&message).filter(|_| message.starts_with("missing field"));
        let unknown = quoted(&message).filter(|_| message.starts_with("unknown field"));
        if let Some(key) = missing.as_ref().or(unknown.as_ref())
            && path.last() != Some(key)
        {
            path.push(key.clone());
        }
        let name = path.join(".");
        // A wrong value that was taken out is missing now, and so are the keys behind a stand-in: no second problem.
        let reported =
            named.iter().any(|n| name.strip_prefix(n).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        if reported && missing.is_none() {
            return Err(problems);
        }
        if !reported {
            problems.push(Problem { path: join(at, &name), message });
            named.push(name);
        }
        let progressed = if missing.is_some() { stand_in::<T>(&mut table, &path) } else { remove(&mut table, &path) };
        if !progressed {
            return Err(problems);
        }
    }
    Err(problems)
}

pub(crate) fn join(at: &str, name: &str) -> String {
    match (at.is_empty(), name.is_empty() || name == ".") {
        (_, true) => at.to_owned(),
        (true, false) => name.to_owned(),
        (false, false) => format!("{at}.{name}"),
    }
}

/// Puts the first stand-in at a missing key behind which reading goes on.
fn stand_in<T: DeserializeOwned>(table: &mut Value, path: &[String]) -> bool {
    let candidates = STAND_INS.iter().map(|s| Value::String((*s).to_owned())).chain([
        Value::Integer(1),
        Value::Float(1.0),
        Value::Boolean(true),
        Value::Array(Vec::new()),
        Value::Table(Table::new()),
    ]);
    let here = path.join(".");
    for candidate in candidates {
        let mut tried = table.clone();
        if !insert(&mut tried, path, candidate) {
            return false;
        }
        let refused = serde_path_to_error::deserialize::<_, T>(tried.clone())
            .is_err_and(|e| e.path().to_string() == here && !e.inner().message().starts_with("missing field"));
        if !refused {
            *table = tried;
            return true;
        }
    }
    false
}

fn split(path: &str) -> Vec<String> {
    path.replace('[', ".[").split('.').filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

/// The word between the first pair of back quotes.
fn quoted(message: &str) -> Option<String> {
    message.split('`').nth(1).map(str::to_owned)
}

fn node<'a>(root: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(root, |value, key| match (value, key.strip_prefix('[').and_then(|k| k.strip_suffix(']'))) {
        (Value::Array(items), Some(index)) => items.get_mut(index.parse::<usize>().ok()?),
        (Value::Table(table), _) => table.get_mut(key),
        _ => None,
    })
}

fn insert(root: &mut Value, path: &[String], value: Value) -> bool {
    let Some((key, parents)) = path.split_last() else { return false };
    match node(root, parents) {
        Some(Value::Table(table)) => table.insert(key.clone(), value).is_none(),
        _ => false,
    }
}

fn remove(root: &mut Value, path: &[String]) -> bool {
    let Some((key, parents)) = path.split_last() else { return false };
    match node(root, parents) {
        Some(Value::Table(table)) => table.remove(key).is_some(),
        Some(Value::Array(items)) => key
            .strip_prefix('[')
            .and_then(|k| k.strip_suffix(']')?.parse::<usize>().ok())
            .filter(|index| *index < items.len())
            .map(|index| items.remove(index))
            .is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        width: u32,
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        speed: f64,
        inner: Inner,
        many: Vec<u8>,
    }

    fn problems(text: &str) -> Vec<String> {
        let table = Value::Table(text.parse().unwrap());
        collect::<Outer>("top", table).unwrap_err().iter().map(|p| p.path.clone()).collect()
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let found = problems("speed = 'fast'\nmany = [1, 700]\nsurprise = 1\n[inner]\nwidth = -3\ncolour = 'red'");
        for path in
            ["top.speed", "top.many.[1]", "top.surprise", "top.inner.width", "top.inner.colour", "top.inner.name"]
        {
            assert!(found.iter().any(|f| f == path), "{path} is not in {found:?}");
        }
        assert_eq!(found.len(), 6, "nothing twice: {found:?}");
        let found = problems("");
        assert_eq!(found, ["top.speed", "top.inner", "top.many"], "all that is missing");
    }
}
